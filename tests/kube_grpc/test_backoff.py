"""Waiting after failures."""

import random

from hypothesis import given
from hypothesis import strategies as st

from kube_grpc.backoff import Backoff


@given(st.integers(1, 10**9), st.integers())
def test_every_wait_is_bounded_and_jittered(failures: int, seed: int) -> None:
    """Never above the cap nor below half of what is due, however long an outage lasts."""
    delay_s = Backoff(first_s=0.25, most_s=30.0).delay_s(failures, random.Random(seed))

    assert 0.125 <= delay_s <= 30.0
    if failures >= 8:
        assert delay_s >= 15.0


def test_waits_double() -> None:
    """Without luck, each wait is twice the one before."""

    class NoLuck(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    assert [Backoff().delay_s(count, NoLuck()) for count in (1, 2, 3, 4)] == [0.25, 0.5, 1.0, 2.0]
