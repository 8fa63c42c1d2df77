"""The open-loop pace, as arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server.pacer import Pacer

rates = st.floats(0.1, 10_000)


@given(rates, st.integers(0, 100_000))
def test_call_is_due_by_its_number_alone(rate: float, seq: int) -> None:
    """A call that is asked for at the start waits exactly its number divided by the rate."""
    assert Pacer(rate).wait_s(0.0, seq) == pytest.approx(seq / rate)


@given(rates, st.integers(0, 100_000), st.floats(0, 1e6))
def test_wait_is_never_negative_and_ends_when_due(rate: float, seq: int, elapsed_s: float) -> None:
    """Waiting what the pacer says brings the clock to the due time, or it is past that already and the wait is 0."""
    wait_s = Pacer(rate).wait_s(elapsed_s, seq)
    assert wait_s is not None
    assert wait_s >= 0
    assert elapsed_s + wait_s == pytest.approx(max(elapsed_s, seq / rate))


@given(rates, st.floats(0, 60), st.integers(1, 200))
def test_a_stall_drops_no_call(rate: float, stall_s: float, count: int) -> None:
    """After a stall of any length every call that was due is sent at once, none is skipped, and the pace goes on."""
    pacer, now_s, sent_s = Pacer(rate, count), stall_s, []
    while (wait_s := pacer.wait_s(now_s, len(sent_s))) is not None:
        now_s += wait_s
        sent_s.append(now_s)
    assert len(sent_s) == count
    assert sent_s == pytest.approx([max(stall_s, pacer.due_s(seq)) for seq in range(count)])


def test_closed_loop_would_thin_the_load() -> None:
    """Negative control: with answers of 1 s, waiting for each of them at 10 calls/s sends a tenth in 10 s."""
    pacer = Pacer(10.0)
    closed_s, closed = 0.0, 0
    while closed_s < 10.0:
        closed_s += (pacer.wait_s(closed_s, closed) or 0.0) + 1.0
        closed += 1
    opened = next(seq for seq in range(1000) if pacer.due_s(seq) >= 10.0)
    assert (closed, opened) == (10, 100)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_count_ends_the_pace(count: int) -> None:
    """Exactly `count` calls are sent."""
    pacer = Pacer(10.0, count)
    assert [pacer.wait_s(100.0, seq) for seq in range(count + 1)] == [*[0.0] * count, None]
