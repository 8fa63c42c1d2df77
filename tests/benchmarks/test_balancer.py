"""The balancer's benchmarks measure what is there; that they run is tested, never how fast."""

import time

import pytest

from benchmarks.balancer import measure_calls, measure_members
from benchmarks.callers import KINDS, Turns, _order
from benchmarks.clusters import Peers
from benchmarks.members import await_that, time_picks
from kube_grpc.endpoints import Endpoint
from kube_grpc.member import Member

NOBODY = Peers(None, None, None, None)


def ignore(_text: str) -> None:
    """Says nothing."""


def test_calls_through_all_channels_are_timed() -> None:
    """Both styles, each with what it is beside; a pool's calls take no less than no time."""
    figures = measure_calls(NOBODY, 1, ignore, slices=1, slice_s=0.05)

    assert len(figures) == 24
    assert [each.bound is not None for each in figures[:4]] == [True, True, False, False]
    assert all(each.ours.median > 0 for each in figures)
    assert {each.peer for each in figures if each.theirs} == {"a bare channel", "gRPC's round_robin"}


def test_members_are_held_picked_and_replaced() -> None:
    """A small pool of real connections: each policy's pick, an update, the memory beside a plain channel's."""
    figures = measure_members(NOBODY, 1, ignore, count=20)

    by_name = {each.what: each.ours.median for each in figures}
    assert sum(name.startswith("20 members, pick: ") for name in by_name) == 5
    assert sum("10 replaced" in name for name in by_name) == 2
    assert by_name["memory of an idle, connected member"] > 0


def test_turns_are_in_every_order() -> None:
    """In as many rounds as there are channels each is first once."""
    assert {_order(number)[0] for number in range(len(KINDS))} == set(KINDS)
    assert all(set(_order(number)) == set(KINDS) for number in range(9))


def test_the_shares_of_many_turns_are_of_all_calls() -> None:
    """Two turns count as one long one, and the 99th percentile is of all latencies."""
    turns = Turns()
    turns.note([0.001] * 50, 1.0, 0.1)
    turns.note([0.003] * 50, 3.0, 0.1)

    assert turns.show() == pytest.approx({"rate": 25, "p50_ms": 3, "p99_ms": 3, "cpu_us": 2000})


def test_a_slow_pick_is_seen() -> None:
    """A policy that takes a tenth of a millisecond for each pick shows as one that does."""

    class Slow:
        def pick(self, members: list[Member], metadata: object) -> Member:
            until = time.thread_time() + 0.000_1
            while time.thread_time() < until:
                pass
            return members[0]

    member = Member(Endpoint("127.0.0.1", 1), None, lambda _member: None)
    assert time_picks(Slow(), [member], picks=50) > 100  # type: ignore[arg-type]
    assert await_that(lambda: True) <= time.perf_counter()
