"""Verdicts: for every kind of expectation a history that meets it, and one in which the thing is broken."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import analyse
from harness.checks import FAIL, PASS, UNKNOWN, Verdict, judge, worst
from harness.history import PodSeen
from harness.scenario import Bound, Errors, Expectation, Gap, Shares, Silence, Target

PODS = ("a", "b", "c")


def verdict_of(
    told: Any, kind: str, rule: Any, *, phase: str | None = None, length_s: float = 10.0
) -> Verdict:
    """The verdict of one rule on a story."""
    analysis = analyse(told.history(length_s), Target())
    (found,) = judge([Expectation(7, told.variants[0], phase, kind, rule)], analysis, told.backend)
    return found


def spread(story: Any, counts: dict[str, int], *, ready: tuple[str, ...] = PODS) -> Any:
    """A story of one client whose calls are answered so often by each pod."""
    told = story("pool")
    told.ready(-1, *ready)
    told.calls(counts)
    return told


# --- shares ---------------------------------------------------------------------------------------------------


def test_one_pod(story: Any) -> None:
    """A client that only one pod answers fits `one_pod`."""
    found = verdict_of(spread(story, {"a": 100}), "shares", Shares("one_pod"))

    assert (found.verdict, found.evidence) == (PASS, "client was answered by one pod, 100 times")


def test_one_pod_control(story: Any) -> None:
    """One answer of another pod breaks `one_pod`, and the evidence names both."""
    found = verdict_of(spread(story, {"a": 99, "b": 1}), "shares", Shares("one_pod"))

    assert found.verdict == FAIL
    assert found.evidence == "client was answered by 2 pods: a 99 (99%), b 1 (1%)"


def test_one_pod_with_too_few_calls(story: Any) -> None:
    """A few answers of one pod may be chance, and prove nothing."""
    found = verdict_of(spread(story, {"a": 13}), "shares", Shares("one_pod"))

    assert found.verdict == UNKNOWN
    assert found.evidence == "client had 13 answers; 14 are needed to rule out chance among 3"


def test_even_random(story: Any) -> None:
    """Counts that a fair choice gives fit `even_random`."""
    found = verdict_of(spread(story, {"a": 330, "b": 350, "c": 320}), "shares", Shares("even_random"))

    assert found.verdict == PASS
    assert "a pod that takes 50% more would be seen with chance 1.000" in found.evidence


@pytest.mark.parametrize(
    "counts",
    [{"a": 1000}, {"a": 500, "b": 500}, {"a": 500, "b": 250, "c": 250}, {"a": 400, "b": 400, "c": 200}],
)
def test_even_random_control(story: Any, counts: dict[str, int]) -> None:
    """A pool that always picks the first member.

    Leaves one out or leans to one is seen, and the shares named.
    """
    found = verdict_of(spread(story, counts), "shares", Shares("even_random"))

    assert found.verdict == FAIL
    assert all(f"{pod} {count} (" in found.evidence for pod, count in counts.items())
    assert "under the false-alarm rate of 1e-06" in found.evidence


def test_even_random_with_too_few_calls(story: Any) -> None:
    """What could not have shown the skew proves no evenness."""
    found = verdict_of(spread(story, {"a": 20, "b": 20, "c": 20}), "shares", Shares("even_random"))

    assert found.verdict == UNKNOWN
    assert "under the 0.99 that the check needs: more calls are needed" in found.evidence


def test_clients_that_are_even_only_together(story: Any) -> None:
    """Three clients that each stick to a pod of their own are not even, though their sum is."""
    told = story("pool")
    told.ready(-1, *PODS)
    for pod in PODS:
        told.calls({pod: 400}, client=f"client-{pod}")

    assert verdict_of(told, "shares", Shares("even_random")).verdict == FAIL
    assert verdict_of(told, "shares", Shares("even_random", per="variant")).verdict == PASS


def test_even_round_robin(story: Any) -> None:
    """Counts that differ by one fit a rotation."""
    found = verdict_of(spread(story, {"a": 34, "b": 33, "c": 33}), "shares", Shares("even_round_robin"))

    assert found.verdict == PASS
    assert found.evidence.endswith("most and least differ by 1, at most 1 expected")


def test_even_round_robin_control(story: Any) -> None:
    """Counts that a random choice may well give are no rotation."""
    found = verdict_of(spread(story, {"a": 36, "b": 34, "c": 30}), "shares", Shares("even_round_robin"))

    assert found.verdict == FAIL
    assert (
        found.evidence == "a 36 (36%), b 34 (34%), c 30 (30%): most and least differ by 6, at most 1 expected"
    )


def test_failed_calls_took_their_turn(story: Any) -> None:
    """Each failed call widens the bound of a rotation by one, and the evidence says so."""
    told = spread(story, {"a": 34, "b": 33, "c": 31})
    told.call(9.95, None, code="UNAVAILABLE")
    told.call(9.96, None, code="UNAVAILABLE")

    found = verdict_of(told, "shares", Shares("even_round_robin"))

    assert found.verdict == PASS
    assert found.evidence.endswith("at most 3 expected (1 by rotation, 2 by failed calls)")


def test_even_round_robin_with_too_few_calls(story: Any) -> None:
    """Over so few calls any choice differs by little."""
    found = verdict_of(spread(story, {"a": 2, "b": 2, "c": 2}), "shares", Shares("even_round_robin"))

    assert found.verdict == UNKNOWN
    assert "6 calls are too few to see a pod take 50% more" in found.evidence


def test_matches(story: Any) -> None:
    """Shares that fit the stated weights, whichever pod has which."""
    rule = Shares("matches", weights=(0.5, 0.3, 0.2))

    assert verdict_of(spread(story, {"c": 500, "a": 310, "b": 190}), "shares", rule).verdict == PASS


@pytest.mark.parametrize("counts", [{"a": 340, "b": 330, "c": 330}, {"a": 500, "b": 500}])
def test_matches_control(story: Any, counts: dict[str, int]) -> None:
    """Even shares, or a pod left out, do not match uneven weights."""
    rule = Shares("matches", weights=(0.5, 0.3, 0.2))

    assert verdict_of(spread(story, counts), "shares", rule).verdict == FAIL


def test_another_number_of_pods_than_weights(story: Any) -> None:
    """Three weights can not match four pods."""
    told = spread(story, dict.fromkeys("abcd", 100), ready=tuple("abcd"))
    found = verdict_of(told, "shares", Shares("matches", weights=(0.5, 0.3, 0.2)))

    assert found.verdict == FAIL
    assert found.evidence.endswith("4 pods, but 3 weights")


def test_only_the_pods_that_were_called(story: Any) -> None:
    """`among.

    Called` judges evenness over the pods that a client knows, and leaves new ones to the join gap.
    """
    told = spread(story, {"a": 400, "b": 400}, ready=PODS)

    assert verdict_of(told, "shares", Shares("even_round_robin")).verdict == FAIL
    assert verdict_of(told, "shares", Shares("even_round_robin", among="called")).verdict == PASS


def test_pods_that_changed_in_the_phase(story: Any) -> None:
    """While pods come and go there is no one set to be even over."""
    told = spread(story, {"a": 400, "b": 400})
    told.ready(5, "a", "b")

    found = verdict_of(told, "shares", Shares("even_random"))

    assert found.verdict == UNKNOWN
    assert found.evidence == "the ready pods changed during whole run (c); give the wait a name"


def test_one_pod_alone_is_even_with_nobody(story: Any) -> None:
    """Evenness over one pod says nothing."""
    found = verdict_of(spread(story, {"a": 400}, ready=("a",)), "shares", Shares("even_random"))

    assert (
        found.verdict,
        found.evidence,
    ) == (UNKNOWN, "fewer than two pods were ready in whole run: nothing to compare")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 3))
def test_fair_choices_raise_no_alarm(seed: int, pods: int, clients: int) -> None:
    """Fair random choices of any number of clients are never taken for uneven."""
    found = _chosen(seed, [1.0] * pods, clients)

    assert found.verdict != FAIL


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_the_stated_skew_is_seen(seed: int, pods: int) -> None:
    """Where a check passes or fails a pod that takes twice its part, it fails it."""
    found = _chosen(seed, [2.0] + [1.0] * (pods - 1), 2)

    assert found.verdict == FAIL


def _chosen(seed: int, weights: list[float], clients: int) -> Verdict:
    from harness.analysis import Analysis, Tally, VariantResult, Window

    draw = random.Random(seed)
    names = [f"pod-{index}" for index in range(len(weights))]
    tallies = tuple(
        Tally(
            f"client-{index}",
            1500,
            0,
            tuple(sorted(Counter(draw.choices(names, weights, k=1500)).items())),
            (),
            None,
            None,
            0.0,
        )
        for index in range(clients)
    )
    window = Window("whole run", 0.0, 10.0, frozenset(names), frozenset())
    variant = VariantResult("pool", tallies, (tallies,), (), (), 0, 0, 0.0)
    expectation = Expectation(1, "pool", None, "shares", Shares("even_random"))
    (found,) = judge([expectation], Analysis(window, (window,), (variant,)), "sim")
    return found


# --- errors ---------------------------------------------------------------------------------------------------


def failing(story: Any, count: int) -> Any:
    """A hundred calls, so many of which failed between second 2 and 3."""
    told = story("pool")
    told.calls({"a": 100 - count})
    for index in range(count):
        told.call(2 + index / count, None, code="UNAVAILABLE")
    return told


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (Errors(most=Bound(0)), FAIL),
        (Errors(most=Bound(4)), FAIL),
        (Errors(most=Bound(5)), PASS),
        (Errors(most_share=Bound(0.05)), PASS),
        (Errors(most_share=Bound(0.04)), FAIL),
        (Errors(least=Bound(5)), PASS),
        (Errors(least=Bound(6)), FAIL),
        (Errors(most=Bound(9), most_share=Bound(0.01)), FAIL),
    ],
)
def test_five_of_a_hundred_calls_fail(story: Any, rule: Errors, verdict: str) -> None:
    """Each bound passes on its side of five failures, and fails on the other."""
    assert verdict == verdict_of(failing(story, 5), "errors", rule).verdict


def test_the_evidence_of_errors(story: Any) -> None:
    """How many, of which kind, and when."""
    found = verdict_of(failing(story, 5), "errors", Errors(most=Bound(0)))

    assert found.evidence == (
        "5 of 100 calls failed (5 UNAVAILABLE), from 2.00 s to 2.80 s after whole run began; at most 0 expected"
    )


def test_lost_samples_may_have_been_failures(story: Any) -> None:
    """No failure among the samples proves nothing where samples are missing."""
    told = story("pool")
    told.calls({"a": 50})
    told.skip_numbers(2)
    told.call(9.95, "a")

    found = verdict_of(told, "errors", Errors(most=Bound(0)))

    assert found.verdict == UNKNOWN
    assert found.evidence.endswith("but 2 sample(s) are missing from the logs, and may have been failures")


def quiet_from(story: Any, at: float, **pod: bool) -> Any:
    """A story of a client that calls ten times a second up to an instant, and of its pod at the seventh second."""
    told = story("pool")
    told.ready(-1, "a")
    told.calls({"a": int(at * 10)}, end=at)
    seen = {"is_terminating": False, "is_deleted": False} | pod
    told.records.append(
        PodSeen(1007.0, "client", "client", None, "Running", is_ready=True, restarts=0, **seen)
    )
    return told


@pytest.mark.parametrize(
    ("at", "pod", "verdict"),
    [
        (9.9, {}, PASS),
        (6.9, {"is_terminating": True}, PASS),
        (6.9, {"is_deleted": True}, PASS),
        (6.9, {}, UNKNOWN),
    ],
)
def test_a_client_that_stops_calling(story: Any, at: float, pod: dict[str, bool], verdict: str) -> None:
    """One that hangs counts no failure, which is no success; one that was taken away has not hung."""
    analysis = analyse(quiet_from(story, at, **pod).history(), Target(), rate=10)
    (found,) = judge([Expectation(7, "pool", None, "errors", Errors(most=Bound(0)))], analysis, "sim")

    assert found.verdict == verdict
    if verdict == UNKNOWN:
        assert found.evidence == (
            "0 of 69 calls failed; at most 0 expected; but client sent no call for 3.2 s from 6.80 s on: "
            "is its pace steady, and has each call a deadline?"
        )


def test_a_client_that_pauses(story: Any) -> None:
    """A pause in the middle is seen, too, and a slow pace is none."""
    told = story("pool")
    told.ready(-1, "a")
    told.calls({"a": 30}, end=3)
    told.calls({"a": 30}, begin=9)
    (stall,) = analyse(told.history(), Target(), rate=10).variants[0].stalls

    assert (stall.client, round(stall.length_s)) == ("client", 6)
    assert analyse(told.history(), Target(), rate=1).variants[0].stalls == ()


@pytest.mark.parametrize(("pod", "named"), [(None, "no pod"), ("hello", '"hello"')])
@pytest.mark.parametrize(
    ("kind", "rule"), [("shares", Shares("one_pod")), ("join_gap", Gap("join_gap", missed=None))]
)
def test_answers_of_nobody_knows_whom(story: Any, pod: str | None, named: str, kind: str, rule: Any) -> None:
    """What is about pods can not be told from answers that name none of the run; with names it is judged."""
    told, control = story("clusterip"), story("clusterip")
    for each, answered in ((told, pod), (control, "a")):
        each.ready(-1, "a")
        each.ready(2, "a", "b")
        for index in range(50):
            each.call(0.1 + index * 0.19, answered)

    found = verdict_of(told, kind, rule)

    assert found.verdict == UNKNOWN
    assert found.evidence.startswith(f"50 of 50 answered calls name {named}, which is no pod of this run")
    assert verdict_of(control, kind, rule).verdict == PASS


def test_a_phase_without_calls(story: Any) -> None:
    """No call, no verdict."""
    told = story("pool")
    told.call(1, "a")
    told.step(5, "quiet")

    found = verdict_of(told, "errors", Errors(most=Bound(0)), phase="quiet")

    assert (found.verdict, found.evidence) == (UNKNOWN, "no call in this phase")


# --- gaps -----------------------------------------------------------------------------------------------------


def joining(story: Any, *gaps: float | None, backend: str = "sim") -> Any:
    """A pod joins at second 2; each client answers it after its gap, or never."""
    told = story("pool", backend=backend)
    told.ready(-1, "a")
    for index in range(len(gaps)):
        told.call(0.5, "a", client=f"client-{index}")
    told.ready(2, "a", "b")
    for index, gap in enumerate(gaps):
        if gap is not None:
            told.call(2 + gap, "b", client=f"client-{index}")
    return told


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (Gap("join_gap", most=Bound(0.5)), PASS),
        (Gap("join_gap", most=Bound(0.3)), FAIL),
        (Gap("join_gap", p50=Bound(0.2), p95=Bound(0.5)), PASS),
        (Gap("join_gap", p50=Bound(0.05)), FAIL),
        (Gap("join_gap", is_every_one_missed=True, missed=None), FAIL),
    ],
)
def test_join_gaps_of_three_clients(story: Any, rule: Gap, verdict: str) -> None:
    """Each bound passes on its side of gaps of 0.1, 0.1 and 0.4 s, and fails on the other."""
    assert verdict == verdict_of(joining(story, 0.1, 0.1, 0.4), "join_gap", rule).verdict


def test_a_missed_join_is_not_hidden(story: Any) -> None:
    """A client that never reaches the new pod fails the expectation, however quick the others are."""
    found = verdict_of(joining(story, 0.1, None), "join_gap", Gap("join_gap", most=Bound(1)))

    assert (found.verdict, found.evidence) == (FAIL, "1 of 2 never reached; at most 0 expected")


def test_bad_news_stated_exactly(story: Any) -> None:
    """A variant that misses every pod meets `missed: all`, and no bound on a length."""
    told = joining(story, None, None)

    assert (
        verdict_of(told, "join_gap", Gap("join_gap", missed=None, is_every_one_missed=True)).verdict == PASS
    )
    assert verdict_of(told, "join_gap", Gap("join_gap", missed=None, p95=Bound(9))).verdict == FAIL


def test_no_pod_joined(story: Any) -> None:
    """Without a join there is no gap, and no verdict."""
    told = story("pool")
    told.ready(-1, "a")
    told.calls({"a": 9})

    found = verdict_of(told, "join_gap", Gap("join_gap", most=Bound(1)))

    assert found.verdict == UNKNOWN
    assert found.evidence == "no pod became ready while the load ran: there is no gap to measure"


def test_clocks_that_are_too_far_apart(story: Any) -> None:
    """A gap that is nearer to its bound than the clocks can tell is unknown; a clear one is not."""
    told = joining(story, 0.1, backend="kind")

    assert verdict_of(told, "join_gap", Gap("join_gap", most=Bound(0.1015))).verdict == UNKNOWN
    assert verdict_of(told, "join_gap", Gap("join_gap", most=Bound(0.2))).verdict == PASS
    assert verdict_of(told, "join_gap", Gap("join_gap", most=Bound(0.05))).verdict == FAIL


def test_bounds_that_differ_per_backend(story: Any) -> None:
    """Each backend is held to its own bound, and the evidence gives the file's reason."""
    rule = Gap("join_gap", most=Bound(None, (("sim", 0.2), ("kind", 0.8)), "probes"))

    found = verdict_of(joining(story, 0.5), "join_gap", rule)

    assert found.verdict == FAIL
    assert found.evidence.endswith("at most 200 ms expected (this bound differs per backend: probes)")
    assert verdict_of(joining(story, 0.5, backend="kind"), "join_gap", rule).verdict == PASS
    assert verdict_of(joining(story, 0.5, backend="kubeconfig"), "join_gap", rule).verdict == PASS


def leaving(story: Any, *after: float) -> Any:
    """A pod leaves at second 2; calls to it follow so long after."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(1, "b")
    told.ready(2, "a")
    for gap in after:
        told.call(2 + gap, "b")
    told.call(9, "a")
    return told


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (Gap("leave_gap", most=Bound(0.5)), PASS),
        (Gap("leave_gap", most=Bound(0.2)), FAIL),
        (Gap("leave_gap", calls_after=Bound(2)), PASS),
        (Gap("leave_gap", calls_after=Bound(1)), FAIL),
    ],
)
def test_leave_gaps(story: Any, rule: Gap, verdict: str) -> None:
    """Each bound passes on its side of two calls.

    The last 0.4 s after the pod left, and fails on the other.
    """
    assert verdict == verdict_of(leaving(story, 0.1, 0.4), "leave_gap", rule).verdict


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (Gap("end_gap", most=Bound(0.2), missed=None), PASS),
        (Gap("end_gap", most=Bound(0.05), missed=None), FAIL),
        (Gap("end_gap", calls_after=Bound(0), missed=None), FAIL),
        (Gap("leave_gap", most=Bound(0.2), missed=None), FAIL),
    ],
)
def test_end_gaps(story: Any, rule: Gap, verdict: str) -> None:
    """A pod serves for 1 s when it is to end, and is called 0.1 s later: a long leave gap, a short end gap."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(1, "b")
    told.terminating(2, "b", "a")
    told.ready(3, "a")
    told.call(3.1, "b")
    told.call(9, "a")

    assert verdict == verdict_of(told, rule.kind, rule).verdict


def test_no_pod_ceased_to_serve(story: Any) -> None:
    """One that only left the ready ones has an open end, and no verdict."""
    told = story("pool")
    told.ready(-1, "a", "b")
    told.call(1, "b")
    told.terminating(2, "b", "a")

    found = verdict_of(told, "end_gap", Gap("end_gap", most=Bound(1), missed=None))

    assert found.verdict == UNKNOWN
    assert found.evidence.startswith("no pod that this variant called ceased to serve")


def test_no_pod_left(story: Any) -> None:
    """Without a departure there is no gap, and no verdict."""
    found = verdict_of(joining(story, 0.1), "leave_gap", Gap("leave_gap", most=Bound(1)))

    assert found.verdict == UNKNOWN
    assert found.evidence.startswith("no pod that this variant called left")


# --- silence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "verdict"), [(4.5, PASS), (3.5, FAIL), (10.0, UNKNOWN)])
def test_four_seconds_of_silence(story: Any, bound: float, verdict: str) -> None:
    """The bound passes above the silence.

    Fails below it, and is unknown where the run was too short for it.
    """
    told = story("pool")
    for at in (0, 1, 2, 6, 7, 8, 9):
        told.call(at, "a")

    assert verdict == verdict_of(told, "silence", Silence(Bound(bound))).verdict


def test_the_evidence_of_silence(story: Any) -> None:
    """Who was silent, and for how long."""
    told = story("pool")
    told.call(1, "a", latency_s=0.0)

    found = verdict_of(told, "silence", Silence(Bound(1)))

    assert found.evidence == "9.000 s without an answer at client, at most 1.000 s expected"


# --- all of them ----------------------------------------------------------------------------------------------


def test_a_check_that_crashes(story: Any) -> None:
    """What broke in a check is told, and is never taken for passed."""
    told = story("pool")
    told.calls({"a": 5})

    found = verdict_of(told, "errors", None)

    assert found.verdict == UNKNOWN
    assert found.evidence.startswith("the check crashed: AttributeError: ")


def test_a_phase_that_is_not_in_the_history(story: Any) -> None:
    """A saved run that is judged by a file with other phases gives unknown, not a traceback."""
    told = story("pool")
    told.calls({"a": 5})

    assert verdict_of(told, "errors", Errors(most=Bound(0)), phase="gone").verdict == UNKNOWN


def test_a_variant_without_calls(story: Any) -> None:
    """Nothing recorded, nothing known."""
    found = verdict_of(story("pool"), "silence", Silence(Bound(1)))

    assert (found.verdict, found.evidence) == (UNKNOWN, "no call of this variant was recorded")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [([], PASS), ([PASS], PASS), ([PASS, UNKNOWN], UNKNOWN), ([UNKNOWN, FAIL, PASS], FAIL)],
)
def test_the_worst_verdict_wins(kinds: list[str], expected: str) -> None:
    """Unknown outranks pass, and fail outranks both."""
    assert expected == worst(Verdict("pool", "errors", None, kind, "", 1) for kind in kinds)


def test_the_name_of_a_check() -> None:
    """A verdict is named for its variant, its kind and its phase."""
    assert Verdict("pool", "shares", "quiet", PASS, "", 1).check == "pool: shares in quiet"
    assert Verdict("pool", "errors", None, PASS, "", 1).check == "pool: errors"
