"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# A busy machine is slow, not wrong: how long one example takes is not what these tests are about.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

# A shell has its background jobs ignore Ctrl-C, and what they start does too: tests that press it could not.
signal.signal(signal.SIGINT, signal.default_int_handler)
