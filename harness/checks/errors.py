"""How many calls failed, against the bounds of a scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.analysis import Analysis, Tally, VariantResult, Window
from harness.checks.verdict import FAIL, PASS, UNKNOWN, Outcome, because, combine, look_at
from harness.scenario import Errors


def check(
    rule: Errors, variant: VariantResult, analysis: Analysis, phase: str | None, backend: str
) -> Outcome:
    """Compare the failed calls of a window with each bound that is given.

    Unknown where no bound is broken but samples were lost, or a client stopped calling: those may have been failures.
    """
    window, tallies = look_at(variant, analysis, phase)
    calls = sum(tally.calls for tally in tallies)
    failed = sum(tally.errors for tally in tallies)
    if calls == 0:
        return Outcome(UNKNOWN, "no call in this phase")
    outcome = combine(_bounds(rule, calls, failed, _told(tallies, calls, failed, window), backend))
    if outcome.verdict == PASS and (rule.most is not None or rule.most_share is not None):
        unheard = list(_unheard(variant, analysis))
        if unheard:
            return Outcome(UNKNOWN, "; but ".join([outcome.evidence, *unheard]))
    return outcome


def _unheard(variant: VariantResult, analysis: Analysis) -> Iterable[str]:
    if variant.lost:
        yield f"{variant.lost} sample(s) are missing from the logs, and may have been failures"
    for stall in variant.stalls[:1]:
        since_s = stall.began_at - analysis.whole.began_at
        yield (
            f"{stall.client} sent no call for {stall.length_s:.1f} s from {since_s:.2f} s on: is its pace steady, "
            "and has each call a deadline?"
        )


def _bounds(rule: Errors, calls: int, failed: int, told: str, backend: str) -> Iterable[Outcome]:
    if rule.most is not None:
        most = rule.most.on(backend)
        verdict = PASS if failed <= most else FAIL
        yield Outcome(verdict, f"{told}; at most {most:g} expected{because(rule.most)}")
    if rule.most_share is not None:
        most = rule.most_share.on(backend)
        verdict = PASS if failed <= most * calls else FAIL
        yield Outcome(verdict, f"{told}; at most {most:.2%} expected{because(rule.most_share)}")
    if rule.least is not None:
        least = rule.least.on(backend)
        verdict = PASS if failed >= least else FAIL
        yield Outcome(verdict, f"{told}; at least {least:g} expected{because(rule.least)}")


def _told(tallies: Sequence[Tally], calls: int, failed: int, window: Window) -> str:
    if not failed:
        return f"0 of {calls} calls failed"
    codes: Counter[str] = Counter()
    for tally in tallies:
        codes.update({code: count for code, count in tally.codes if code != "OK"})
    kinds = ", ".join(f"{count} {code}" for code, count in codes.most_common())
    first = min(tally.first_error_at for tally in tallies if tally.first_error_at is not None)
    last = max(tally.last_error_at for tally in tallies if tally.last_error_at is not None)
    since = window.began_at
    span = f"{first - since:.2f} s to {last - since:.2f} s after {window.name} began"
    return f"{failed} of {calls} calls failed ({kinds}), from {span}"
