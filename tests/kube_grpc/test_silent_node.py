"""A node that is gone without a word: no FIN, no RST, nothing acknowledged. In a network namespace of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("silent_program.py")
NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]


def has_namespaces() -> bool:
    """Whether this machine lets its users have network namespaces with nft."""
    try:
        tried = subprocess.run([*NAMESPACE, "nft", "list", "ruleset"], capture_output=True, check=False)
    except OSError:
        return False
    return tried.returncode == 0


def run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*NAMESPACE, sys.executable, str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


needs_namespaces = pytest.mark.skipif(
    not has_namespaces(), reason="network namespaces and nft are not to be had here"
)


@needs_namespaces
def test_a_silent_node_is_left_out_within_seconds() -> None:
    """The kernel gives its connection up after 5 s without an acknowledgement; then all calls go to the other pod."""
    found = run()

    assert found["is_well"]
    assert found["failed"] > 0


@needs_namespaces
def test_without_keepalive_it_is_not_found() -> None:
    """Negative control: with gRPC's own default every other call fails for as long as was waited."""
    assert not run("--no-keepalive")["is_well"]
