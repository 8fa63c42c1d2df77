"""Verdicts, and the windows that a check looks at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis import Analysis, Tally, VariantResult, Window
from harness.scenario import Bound

PASS = "pass"  # noqa: S105  # a verdict, not a password
FAIL = "fail"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found."""

    verdict: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one expectation. `line` is its line in the scenario file."""

    variant: str
    kind: str
    phase: str | None
    verdict: str
    evidence: str
    line: int

    @property
    def check(self) -> str:
        """The expectation's name, e.g. `pool: shares in settled`."""
        return f"{self.variant}: {self.kind}" + ("" if self.phase is None else f" in {self.phase}")


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of several outcomes, with the evidence of that kind; of passes, all."""
    every = list(outcomes)
    for kind in (FAIL, UNKNOWN, PASS):
        told = [outcome.evidence for outcome in every if outcome.verdict == kind]
        if told:
            return Outcome(kind, "; ".join(told))
    return Outcome(UNKNOWN, "there was nothing to check")


def look_at(
    variant: VariantResult, analysis: Analysis, phase: str | None
) -> tuple[Window, tuple[Tally, ...]]:
    """The window that an expectation is about, and the variant's tallies in it."""
    if phase is None:
        return analysis.whole, variant.whole
    index = [window.name for window in analysis.windows].index(phase)
    return analysis.windows[index], variant.tallies[index]


def because(bound: Bound) -> str:
    """Why a bound is what it is, for the evidence; empty where it is the same everywhere."""
    return "" if bound.why is None else f" (this bound differs per backend: {bound.why})"


def seconds(value: float) -> str:
    """A duration as a person reads it: 4 ms, 1.250 s."""
    return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.3f} s"
