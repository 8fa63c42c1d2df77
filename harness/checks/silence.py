"""The longest time in which a client had no answered call, against the bound of a scenario."""

from __future__ import annotations

from harness.analysis import Analysis, VariantResult
from harness.checks.verdict import FAIL, PASS, UNKNOWN, Outcome, because, look_at, seconds
from harness.scenario import Silence


def check(
    rule: Silence, variant: VariantResult, analysis: Analysis, phase: str | None, backend: str
) -> Outcome:
    """Compare the longest silence of any client with the bound.

    Unknown where the window is shorter than the bound.
    """
    window, tallies = look_at(variant, analysis, phase)
    limit = rule.most.on(backend)
    if window.ended_at - window.began_at <= limit:
        return Outcome(UNKNOWN, f"{window.name} is shorter than the bound of {seconds(limit)}")
    worst = max(tallies, key=lambda tally: tally.silence_s)
    told = (
        f"{seconds(worst.silence_s)} without an answer at {worst.client}, at most {seconds(limit)} expected"
    )
    return Outcome(PASS if worst.silence_s <= limit else FAIL, told + because(rule.most))
