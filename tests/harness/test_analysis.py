"""What a history shows, told by histories made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis import analyse, merge_pods
from harness.analysis.results import GapSummary, summarise
from harness.scenario import Target

TARGET = Target()


def test_a_load_that_never_began(story: Any) -> None:
    """A history without a load can not be analysed, and says why the load never began."""
    from dataclasses import replace

    history = replace(story("pool").history(), began_at=None, failure="no image")

    with pytest.raises(ValueError, match="no image"):
        analyse(history, TARGET)


def test_phases_are_cut_at_steps_that_open_one(story: Any) -> None:
    """Calls count to the phase in which they were sent; an unnamed wait does not cut."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.step(2, None)
    told.step(4, "scale")
    for at in (-0.5, 1, 3, 4, 9, 10.5):
        told.call(at, "a")

    analysis = analyse(told.history(), TARGET)

    assert [window.name for window in analysis.windows] == ["start", "scale"]
    assert [tallies[0].calls for tallies in analysis.variants[0].tallies] == [2, 2]
    assert analysis.variants[0].calls == 4


def test_who_is_ready_in_a_phase(story: Any) -> None:
    """A window knows the pods that were ready at its beginning and those that changed in it."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.step(4, "scale")
    told.ready(5, "a", "c")
    told.step(7, "settled")

    start, scale, settled = analyse(told.history(), TARGET).windows

    assert ({"a", "b"}, set()) == (start.ready, start.changed)
    assert ({"a", "b"}, {"b", "c"}) == (scale.ready, scale.changed)
    assert ({"a", "c"}, set()) == (settled.ready, settled.changed)


def test_endpoints_in_several_slices(story: Any) -> None:
    """A Service's endpoints are the union of its slices; other Services do not count."""
    told = story("pool")
    told.ready(-1, "a", "b", name="one")
    told.ready(-1, "c", name="two")
    told.ready(-1, "x", service="other", name="three")

    assert {"a", "b", "c"} == analyse(told.history(), TARGET).whole.ready


def test_a_service_that_is_deleted(story: Any) -> None:
    """Pods that stay have not left because their Service was deleted, nor joined when it is there again."""
    told = story("pool")
    told.ready(-1, "a", name="one")
    told.ready(-1, "b", name="two")
    told.call(1, "a")
    told.slice_gone(2, name="one")
    told.slice_gone(2, name="two")
    told.call(3, "a")
    told.ready(4, "a", "b", name="three")

    variant = analyse(told.history(), TARGET).variants[0]

    assert (variant.leaves, variant.joins) == ((), ())


def test_a_slice_that_is_deleted(story: Any) -> None:
    """While another slice stays, the pods of a deleted one have left."""
    told = story("pool")
    told.ready(-1, "a", name="one")
    told.ready(-1, "b", name="two")
    told.call(1, "b")
    told.slice_gone(2, name="two")

    assert [leave.pod for leave in analyse(told.history(), TARGET).variants[0].leaves] == ["b"]


def test_join_gaps_are_measured_per_client(story: Any) -> None:
    """From endpoint ready to each client's first answer; a client that never got there is a miss."""
    told = story("pool")
    told.ready(-1, "a")
    for client in ("quick", "late", "blind"):
        told.call(0.1, "a", client=client)
    told.ready(2, "a", "b")
    told.call(1.998, "b", client="quick")
    told.call(3, "b", code="UNAVAILABLE", client="late")
    told.call(4.5, "b", client="late")
    told.call(9, "a", client="blind")

    gap = analyse(told.history(), TARGET).variants[0].join_gap

    assert (gap.count, gap.missed) == (3, 1)
    assert (pytest.approx(-0.002), pytest.approx(2.5)) == (gap.p50, gap.most)


def test_pods_that_were_there_before_the_load(story: Any) -> None:
    """Only pods whose endpoints became ready under load have a join gap."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(0.1, "a")

    assert analyse(told.history(), TARGET).variants[0].join_gap.count == 0


def test_a_pod_that_comes_back(story: Any) -> None:
    """A pod that was ready before has joined again, and its answers of before do not count."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(0.5, "b")
    told.ready(2, "a")
    told.call(2.2, "b", code="UNAVAILABLE")
    told.ready(4, "a", "b")
    told.call(4.25, "b")

    variant = analyse(told.history(), TARGET).variants[0]

    assert [pytest.approx(0.25)] == [join.gap_s for join in variant.joins]
    assert [(pytest.approx(0.2), 1, 1)] == [
        (leave.gap_s, leave.calls_after, leave.errors_after) for leave in variant.leaves
    ]


def test_leave_gaps_count_answered_and_failed_calls(story: Any) -> None:
    """Calls to a pod that has left count whether it answered or not; a failed one is known by its address."""
    told = story("pool")
    told.pod(-2, "b", "10.0.0.9")
    told.ready(-1, "a", "b")
    told.call(1, "b")
    told.ready(2, "a")
    told.call(2.1, "b")
    told.call(2.6, None, code="UNAVAILABLE", peer="10.0.0.9:50051")
    told.call(3, "a")

    (leave,) = analyse(told.history(), TARGET).variants[0].leaves

    assert (pytest.approx(0.6), 2, 1) == (leave.gap_s, leave.calls_after, leave.errors_after)


def test_a_client_that_never_called_the_pod_that_left(story: Any) -> None:
    """It had nothing to notice, so it has no leave gap; one that stops at once has a gap of zero."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(1, "a", client="pinned")
    told.call(1, "b", client="quick")
    told.ready(2, "a")
    told.call(3, "a", client="quick")

    (leave,) = analyse(told.history(), TARGET).variants[0].leaves

    assert (leave.client, leave.gap_s, leave.calls_after) == ("quick", 0.0, 0)


def test_a_process_that_was_struck(story: Any) -> None:
    """A killed process has left when the signal reached it, before its endpoint shows that."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(1, "b")
    told.step(2, "kill", "b", struck_at=2.05)
    told.call(2.5, "b", code="UNAVAILABLE")
    told.ready(3, "a")
    told.ready(5, "a", "b")

    variant = analyse(told.history(), TARGET).variants[0]

    assert [pytest.approx(0.45)] == [leave.gap_s for leave in variant.leaves]
    assert [join.gap_s for join in variant.joins] == [None]


def test_an_address_that_served_two_pods(story: Any) -> None:
    """A failed call went to the pod that had the address at that time."""
    told = story("pool")
    told.pod(-2, "old", "10.0.0.9")
    told.pod(5, "new", "10.0.0.9")
    told.ready(-1, "old")
    told.call(1, "old")
    told.ready(2)
    told.call(3, None, code="UNAVAILABLE", peer="10.0.0.9:50051")
    told.call(6, None, code="UNAVAILABLE", peer="10.0.0.9:50051")

    (leave,) = analyse(told.history(), TARGET).variants[0].leaves

    assert (pytest.approx(1.0), 1) == (leave.gap_s, leave.calls_after)


def test_silence_is_the_longest_of_any_client(story: Any) -> None:
    """The longest time without an answer, from the beginning and to the end; failures do not break it."""
    told = story("pool")
    for at in (1, 2, 6, 9):
        told.call(at, "a", client="patient", latency_s=0.0)
    for at in range(10):
        told.call(at, "a", client="lucky", latency_s=0.0)
    told.call(4, None, code="UNAVAILABLE", client="patient")

    assert pytest.approx(analyse(told.history(), TARGET).variants[0].silence_s) == 4.0


def test_a_client_that_was_never_answered(story: Any) -> None:
    """It was silent for the whole run."""
    told = story("pool")
    told.call(5, None, code="UNAVAILABLE")

    assert pytest.approx(analyse(told.history(), TARGET).variants[0].silence_s) == 10.0


def test_samples_that_were_lost(story: Any) -> None:
    """Numbers that are missing from a log are counted; those after the end are not waited for."""
    told = story("pool")
    told.call(1, "a")
    told.skip_numbers(3)
    told.call(2, "a")
    told.bad_line(2)

    variant = analyse(told.history(), TARGET).variants[0]

    assert (variant.lost, variant.bad_lines) == (3, 1)


@pytest.mark.parametrize(("backend", "expected"), [("sim", 0.0), ("kind", 0.02)])
def test_how_far_clocks_may_be_apart(story: Any, backend: str, expected: float) -> None:
    """On one machine there is one clock.

    Elsewhere the quickest line of the slowest client bounds the error.
    """
    told = story("pool", backend=backend)
    told.call(1, "a", client="near", lag_s=0.004)
    told.call(2, "a", client="far", lag_s=0.5)
    told.call(3, "a", client="far", lag_s=0.02)

    assert expected == pytest.approx(analyse(told.history(), TARGET).variants[0].clock_s)


def test_variants_do_not_mix(story: Any) -> None:
    """Each variant has its own calls, also one that has none."""
    told = story("pool", "headless", "ingress")
    told.calls({"a": 3, "b": 1}, variant="pool", client="one")
    told.calls({"b": 2}, variant="headless", client="two")

    analysis = analyse(told.history(), TARGET)

    assert [variant.calls for variant in analysis.variants] == [4, 2, 0]
    assert merge_pods(analysis.variant("pool").whole) == {"a": 3, "b": 1}
    with pytest.raises(KeyError):
        analysis.variant("none")


def test_summaries_of_gaps() -> None:
    """Quantiles are over what was reached, and the count is over all."""
    assert GapSummary(0, 0, None, None, None) == summarise([])
    assert GapSummary(2, 2, None, None, None) == summarise([None, None])
    assert GapSummary(4, 1, 2.0, 3.0, 3.0) == summarise([1.0, None, 3.0, 2.0])
