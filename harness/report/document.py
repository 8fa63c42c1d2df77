"""report.json: everything about a run that a program may ask. Described in docs/report.md.

Rule: durations in seconds, instants in seconds since 1970; what was not measured is null, never 0. Fields
are added, not changed, while `schema` is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis import GapSummary, Leave, Tally, VariantResult, Window, merge_pods
from harness.checks import FAIL, Verdict
from harness.history import StepDone
from harness.report.judged import Judged
from harness.report.spread import Row, spreads

SCHEMA = 1
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A scenario that was not begun: its file or its manifests can not be used, or there was no cluster."""

    name: str
    path: str
    reason: str


def build(
    results: Sequence[Judged],
    *,
    refused: Sequence[Refused] = (),
    backend: str,
    reason: str,
    kubernetes: str | None,
    failure: str | None = None,
) -> Document:
    """The report of a run. `reason` is why this backend was used, `failure` why there was no cluster."""
    return {
        "schema": SCHEMA,
        "backend": backend,
        "backend_reason": reason,
        "kubernetes": kubernetes,
        "failure": failure,
        "scenarios": [*map(_scenario, results), *map(_refused, refused)],
        "spread": [_spread(row) for row in spreads(results)],
    }


def _spread(row: Row) -> Document:
    return {
        "scenario": row.scenario,
        "variant": row.variant,
        "runs": row.runs,
        "met": row.met,
        **{
            name: None
            if found is None
            else {"min": _round(found.least), "median": _round(found.median), "max": _round(found.most)}
            for name, found in row.measures
        },
    }


def _scenario(result: Judged) -> Document:
    history, analysis = result.history, result.analysis
    ran = history.began_at is not None and history.ended_at is not None
    return {
        "name": history.scenario,
        "path": history.path,
        "about": result.scenario.about,
        "verdict": result.verdict,
        "failure": history.failure,
        "began_at": history.began_at,
        "duration_s": None if not ran else _round((history.ended_at or 0) - (history.began_at or 0)),
        "load": {
            "rate_per_s": result.scenario.load.rate,
            "clients": result.scenario.load.clients,
            "deadline_s": result.scenario.load.deadline_s,
        },
        "steps": [_step(step, history.began_at) for step in history.steps()],
        "variants": []
        if analysis is None
        else [_variant(found, analysis.windows, result) for found in analysis.variants],
        "verdicts": [_verdict(verdict) for verdict in result.verdicts],
        "notes": list(result.notes),
    }


def _refused(found: Refused) -> Document:
    return {
        "name": found.name,
        "path": found.path,
        "about": None,
        "verdict": FAIL,
        "failure": found.reason,
        "began_at": None,
        "duration_s": None,
        "load": None,
        "steps": [],
        "variants": [],
        "verdicts": [],
        "notes": [],
    }


def _step(step: StepDone, began_at: float | None) -> Document:
    since = step.at if began_at is None else began_at
    return {
        "number": step.number,
        "text": step.text,
        "phase": step.phase,
        "at_s": _round(step.at - since),
        "done_s": _round(step.done_at - since),
        "pods": list(step.pods),
    }


def _variant(found: VariantResult, windows: Sequence[Window], result: Judged) -> Document:
    note = next((each.note for each in result.scenario.variants if each.name == found.name), None)
    return {
        "name": found.name,
        "note": note,
        "clients": len(found.whole),
        "calls": found.calls,
        "errors": found.errors,
        "codes": _codes(found.whole),
        "pods": merge_pods(found.whole),
        "join_gap_s": _gap(found.join_gap),
        "leave_gap_s": _leave_gap(found.leave_gap, found.leaves),
        "end_gap_s": _leave_gap(found.end_gap, found.ends),
        "silence_s": _round(found.silence_s),
        "lost_samples": found.lost,
        "bad_lines": found.bad_lines,
        "clock_uncertainty_s": _round(found.clock_s),
        "phases": [_phase(window, tallies) for window, tallies in zip(windows, found.tallies, strict=True)],
    }


def _phase(window: Window, tallies: Sequence[Tally]) -> Document:
    failed = [
        (tally.first_error_at, tally.last_error_at)
        for tally in tallies
        if tally.first_error_at is not None and tally.last_error_at is not None
    ]
    return {
        "name": window.name,
        "duration_s": _round(window.ended_at - window.began_at),
        "calls": sum(tally.calls for tally in tallies),
        "errors": sum(tally.errors for tally in tallies),
        "error_window_s": None
        if not failed
        else [
            _round(min(first for first, _ in failed) - window.began_at),
            _round(max(last for _, last in failed) - window.began_at),
        ],
        "pods": merge_pods(tallies),
        "silence_s": _round(max((tally.silence_s for tally in tallies), default=0.0)),
        "ready_pods": sorted(window.ready),
    }


def _gap(gap: GapSummary) -> Document:
    return {
        "count": gap.count,
        "missed": gap.missed,
        "p50": _round_or_none(gap.p50),
        "p95": _round_or_none(gap.p95),
        "max": _round_or_none(gap.most),
    }


def _leave_gap(gap: GapSummary, leaves: Sequence[Leave]) -> Document:
    return {
        **_gap(gap),
        "calls_after": sum(leave.calls_after for leave in leaves),
        "errors_after": sum(leave.errors_after for leave in leaves),
    }


def _verdict(verdict: Verdict) -> Document:
    return {
        "check": verdict.check,
        "variant": verdict.variant,
        "kind": verdict.kind,
        "phase": verdict.phase,
        "verdict": verdict.verdict,
        "evidence": verdict.evidence,
        "line": verdict.line,
    }


def _codes(tallies: Sequence[Tally]) -> dict[str, int]:
    together: dict[str, int] = {}
    for tally in tallies:
        for code, count in tally.codes:
            together[code] = together.get(code, 0) + count
    return together


def _round(value: float) -> float:
    return round(value, 6)


def _round_or_none(value: float | None) -> float | None:
    return None if value is None else _round(value)
