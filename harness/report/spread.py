"""How much the runs of one scenario differ, where it was repeated.

Rule: a run that did not come to its end has no numbers, and is counted as one that was not met; what no run measured is
None. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from harness.analysis import VariantResult
from harness.checks import PASS
from harness.report.judged import Judged


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the most of a number over runs."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of a scenario over its `runs`; in `met` of them every expectation of it was met."""

    scenario: str
    variant: str
    label: str
    runs: int
    met: int
    measures: tuple[tuple[str, Spread | None], ...]


def spreads(results: Sequence[Judged]) -> list[Row]:
    """A row for each variant of each scenario that ran more than once."""
    by_name: dict[str, list[Judged]] = {}
    for result in results:
        by_name.setdefault(result.history.scenario, []).append(result)
    return [
        _row(name, variant.name, variant.label, runs)
        for name, runs in by_name.items()
        if len(runs) > 1
        for variant in runs[0].scenario.variants
    ]


def _row(scenario: str, variant: str, label: str, runs: Sequence[Judged]) -> Row:
    found = [run.analysis.variant(variant) for run in runs if run.analysis is not None]
    met = sum(
        run.analysis is not None
        and all(verdict.verdict == PASS for verdict in run.verdicts if verdict.variant == variant)
        for run in runs
    )
    names = list(_measures(found[0])) if found else []
    each = [_measures(result) for result in found]
    return Row(
        scenario=scenario,
        variant=variant,
        label=label,
        runs=len(runs),
        met=met,
        measures=tuple((name, _spread([measures[name] for measures in each])) for name in names),
    )


def _measures(found: VariantResult) -> dict[str, float | None]:
    """What is compared; each of a run."""
    return {
        "errors": float(found.errors),
        "silence_s": found.silence_s,
        "join_gap_p50_s": found.join_gap.p50,
        "join_gap_p95_s": found.join_gap.p95,
        "join_gap_max_s": found.join_gap.most,
        "join_gap_missed": float(found.join_gap.missed),
        "leave_gap_max_s": found.leave_gap.most,
        "end_gap_max_s": found.end_gap.most,
    }


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread(min(known), median(known), max(known)) if known else None
