"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow, not wrong: how long one example takes is not what these tests are about.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
