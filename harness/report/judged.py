"""A history with what it shows and what became of its scenario's expectations.

Rule: everything here follows from the history alone, so that a saved one gives the same verdicts as the run
did.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis import Analysis, analyse
from harness.checks import FAIL, UNKNOWN, Verdict, judge, worst
from harness.errors import ScenarioError, located, suggest
from harness.history import History, Note
from harness.scenario import Scenario, parse


@dataclass(frozen=True, slots=True)
class Judged:
    """One scenario. `analysis` is None, and `verdicts` empty, where the run failed before its end."""

    scenario: Scenario
    history: History
    analysis: Analysis | None
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> str:
        """The worst of all verdicts; fail where the run itself failed, unknown where there is nothing to judge."""
        if self.history.failure is not None:
            return FAIL
        return UNKNOWN if self.analysis is None else worst(self.verdicts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about the run."""
        return tuple(record.text for record in self.history.records if isinstance(record, Note))


def judge_history(history: History, scenario: Scenario | None = None) -> Judged:
    """Judge a history by the scenario that it carries, or by another (an edited one).

    Raises ScenarioError, also where they have no variant in common.
    """
    told = parse(history.text, history.path) if scenario is None else scenario
    told, known = told.only(history.variants), told
    if not told.variants:
        hints = suggest(
            ", ".join(history.variants), [variant.name for variant in known.variants], what="variants"
        )
        raise ScenarioError(
            located(
                str(known.path),
                None,
                f"has none of the variants that ran: {', '.join(history.variants)}",
                hints,
            )
        )
    if history.failure is not None or history.began_at is None or history.ended_at is None:
        return Judged(told, history, None, ())
    analysis = analyse(history, told.target, told.load.rate)
    return Judged(told, history, analysis, tuple(judge(told.expectations, analysis, history.backend)))
