"""Join gaps and leave gaps, against the bounds of a scenario."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis import Analysis, GapSummary, Leave, VariantResult
from harness.checks.verdict import FAIL, PASS, UNKNOWN, Outcome, because, combine, seconds
from harness.scenario import Bound, Gap

_EVENTS = {
    "join_gap": "no pod became ready",
    "leave_gap": "no pod that this variant called left",
    "end_gap": "no pod that this variant called ceased to serve",
}


def check(
    rule: Gap,
    variant: VariantResult,
    analysis: Analysis,  # noqa: ARG001  # all checks are called alike
    phase: str | None,  # noqa: ARG001  # a gap belongs to the whole run
    backend: str,
) -> Outcome:
    """Compare the gaps of all clients with each bound that is given.

    Unknown where nothing joined or left, and where a gap is nearer to its bound than the clocks can tell.
    """
    gap = {"join_gap": variant.join_gap, "leave_gap": variant.leave_gap, "end_gap": variant.end_gap}[
        rule.kind
    ]
    if gap.count == 0:
        return Outcome(UNKNOWN, f"{_EVENTS[rule.kind]} while the load ran: there is no gap to measure")
    outcomes = [*_missed(rule, gap), *_lengths(rule, gap, variant, backend)]
    if rule.calls_after is not None:
        leaves = variant.leaves if rule.kind == "leave_gap" else variant.ends
        outcomes.append(_calls_after(rule.calls_after, leaves, backend))
    return combine(outcomes) if outcomes else Outcome(PASS, f"{_told(gap)}; any number may be missed")


def _missed(rule: Gap, gap: GapSummary) -> Iterable[Outcome]:
    if rule.kind != "join_gap":
        return
    if rule.is_every_one_missed:
        verdict = PASS if gap.missed == gap.count else FAIL
        yield Outcome(verdict, f"{gap.missed} of {gap.count} never reached; all were expected to be missed")
    elif rule.missed is not None:
        verdict = PASS if gap.missed <= rule.missed else FAIL
        yield Outcome(verdict, f"{gap.missed} of {gap.count} never reached; at most {rule.missed} expected")


def _lengths(rule: Gap, gap: GapSummary, variant: VariantResult, backend: str) -> Iterable[Outcome]:
    bounds = (("p50", gap.p50, rule.p50), ("p95", gap.p95, rule.p95), ("max", gap.most, rule.most))
    for name, measured, bound in bounds:
        if bound is None:
            continue
        limit = bound.on(backend)
        if measured is None:
            yield Outcome(FAIL, f"{name}: every one was missed, so none is within {seconds(limit)}")
            continue
        told = f"{name} {seconds(measured)} of {gap.count - gap.missed}, at most {seconds(limit)} expected"
        if abs(measured - limit) < variant.clock_s:
            told += f"; the clocks may be {seconds(variant.clock_s)} apart, too much to tell"
            yield Outcome(UNKNOWN, told)
        else:
            yield Outcome(PASS if measured <= limit else FAIL, told + because(bound))


def _calls_after(bound: Bound, leaves: Iterable[Leave], backend: str) -> Outcome:
    every = list(leaves)
    after, failed = sum(leave.calls_after for leave in every), sum(leave.errors_after for leave in every)
    limit = bound.on(backend)
    told = f"{after} calls ({failed} failed) went to pods that had left, at most {limit:g} expected"
    return Outcome(PASS if after <= limit else FAIL, told + because(bound))


def _told(gap: GapSummary) -> str:
    return f"{gap.missed} of {gap.count} never reached"
