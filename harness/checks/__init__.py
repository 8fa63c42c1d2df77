"""Expectations against an analysis: verdicts, with the evidence in words and numbers.

Rule: a verdict is pass, fail or unknown. A check that can not tell (too few calls, samples lost, clocks too
far apart) says unknown and why, and so does one that crashes; unknown is never taken for passed. Pure. One
check a kind, in its own module; `_CHECKS` is the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.analysis import Analysis, VariantResult
from harness.checks import errors, gaps, shares, silence
from harness.checks.verdict import FAIL, PASS, UNKNOWN, Outcome, Verdict
from harness.scenario import Expectation

__all__ = ["FAIL", "PASS", "UNKNOWN", "Outcome", "Verdict", "judge", "worst"]

_Check = Callable[[Any, VariantResult, Analysis, str | None, str], Outcome]
_CHECKS: dict[str, _Check] = {
    "end_gap": gaps.check,
    "errors": errors.check,
    "join_gap": gaps.check,
    "leave_gap": gaps.check,
    "shares": shares.check,
    "silence": silence.check,
}

_OF_PODS = ("shares", "join_gap", "leave_gap", "end_gap")


def judge(expectations: Iterable[Expectation], analysis: Analysis, backend: str) -> list[Verdict]:
    """One verdict an expectation, in their order. `backend` chooses among bounds that differ."""
    return [_judge(expectation, analysis, backend) for expectation in expectations]


def worst(verdicts: Iterable[Verdict]) -> str:
    """Fail if any failed, else unknown if any is unknown, else pass."""
    found = {verdict.verdict for verdict in verdicts}
    return next((kind for kind in (FAIL, UNKNOWN) if kind in found), PASS)


def _judge(expectation: Expectation, analysis: Analysis, backend: str) -> Verdict:
    try:
        variant = analysis.variant(expectation.variant)
        outcome = _no_calls(variant)
        if outcome is None and expectation.kind in _OF_PODS:
            outcome = _no_names(variant)
        if outcome is None:
            outcome = _CHECKS[expectation.kind](
                expectation.rule, variant, analysis, expectation.phase, backend
            )
    except Exception as error:  # noqa: BLE001  # whatever broke, the honest verdict is unknown, never a pass
        outcome = Outcome(UNKNOWN, f"the check crashed: {type(error).__name__}: {error}")
    return Verdict(
        variant=expectation.variant,
        kind=expectation.kind,
        phase=expectation.phase,
        verdict=outcome.verdict,
        evidence=outcome.evidence,
        line=expectation.line,
    )


def _no_calls(variant: VariantResult) -> Outcome | None:
    return Outcome(UNKNOWN, "no call of this variant was recorded") if variant.calls == 0 else None


def _no_names(variant: VariantResult) -> Outcome | None:
    """Unknown where it can not be told which pods answered."""
    if not variant.strangers:
        return None
    count = sum(each for _, each in variant.strangers)
    answered = sum(each for tally in variant.whole for _, each in tally.pods)
    named = ", ".join("no pod" if name == "?" else f'"{name}"' for name, _ in variant.strangers[:3])
    return Outcome(
        UNKNOWN,
        f"{count} of {answered} answered calls name {named}, which is no pod of this run: "
        "a sample's `pod` is the name of the pod that answered",
    )
