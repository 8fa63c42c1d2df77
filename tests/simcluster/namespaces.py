"""Whether this machine can have the namespace network, for tests that need it."""

import subprocess
import sys

import pytest

CHOICE = subprocess.run(
    [sys.executable, "-m", "simcluster", "network"], capture_output=True, text=True, check=True
).stdout.strip()
needs_namespaces = pytest.mark.skipif(not CHOICE.startswith("namespace"), reason=CHOICE)
