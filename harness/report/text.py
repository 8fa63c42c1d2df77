"""The tables that a person reads: one after each scenario, one comparison at the end.

Rule: verdicts that did not pass come with their evidence and their line in the file; what was not measured
is a dash, what was missed is said. Text in, text out: where it is written to is the caller's business.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.analysis import GapSummary, VariantResult, merge_pods
from harness.analysis.results import summarise
from harness.checks import FAIL, PASS, UNKNOWN, Verdict
from harness.report.judged import Judged
from harness.report.spread import Spread, spreads

_MARKS = {PASS: "[green]pass[/]", FAIL: "[red]FAIL[/]", UNKNOWN: "[yellow]unknown[/]"}
_MOST_PODS = 8
_MOST_NOTES = 8


def scenario_table(result: Judged, *, width: int, is_coloured: bool) -> str:
    """The table of one scenario, then a line for each verdict that did not pass."""
    parts: list[Table | str] = [_title(result)]
    if result.history.failure is not None:
        parts.append(f"[red]it did not run to its end:[/] {escape(result.history.failure.splitlines()[0])}")
    if result.analysis is not None:
        parts.append(_variants(result))
    parts += [_told(verdict, result) for verdict in result.verdicts if verdict.verdict != PASS]
    notes = list(_notes(result))
    parts += [f"[yellow]note:[/] {escape(note)}" for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        parts.append(f"[yellow]note:[/] and {len(notes) - _MOST_NOTES} more; see notes in report.json")
    return _render(parts, width, is_coloured=is_coloured)


def comparison_table(results: Sequence[Judged], *, width: int, is_coloured: bool) -> str:
    """All scenarios side by side, one row a variant. Gaps are over all scenarios together."""
    table = _table(
        "variant",
        "calls",
        "errors",
        "join gap p50 / max",
        "leave gap p50 / max",
        "longest silence",
        "expectations met",
    )
    for label, found, verdicts in _rows(results):
        joins = summarise([join.gap_s for variant in found for join in variant.joins])
        leaves = summarise([leave.gap_s for variant in found for leave in variant.leaves])
        met = sum(verdict.verdict == PASS for verdict in verdicts)
        table.add_row(
            escape(label),
            str(sum(variant.calls for variant in found)),
            _errors(sum(variant.errors for variant in found)),
            _gap(joins),
            _gap(leaves),
            _seconds(max((variant.silence_s for variant in found), default=0.0)),
            f"{met} of {len(verdicts)}" if verdicts else "none stated",
        )
    return _render([table], width, is_coloured=is_coloured)


def spread_table(results: Sequence[Judged], *, width: int, is_coloured: bool) -> str:
    """How much the runs of repeated scenarios differ, one row a variant; empty where none was repeated."""
    rows = spreads(results)
    if not rows:
        return ""
    shown = ("errors", "join_gap_p95_s", "leave_gap_max_s", "end_gap_max_s", "silence_s")
    table = _table(
        "min / median / max over runs",
        "met",
        "errors",
        "join gap p95",
        "leave gap max",
        "end gap max",
        "silence",
    )
    for row in rows:
        measures = dict(row.measures)
        cells = [_spread(measures.get(name), is_time=name.endswith("_s")) for name in shown]
        table.add_row(escape(f"{row.scenario}: {row.label}"), f"{row.met} of {row.runs}", *cells)
    return _render([table], width, is_coloured=is_coloured)


def _spread(found: Spread | None, *, is_time: bool) -> str:
    if found is None:
        return "-"
    values = (found.least, found.median, found.most)
    return " / ".join(_seconds(value) if is_time else f"{value:g}" for value in values)


def failures(result: Judged) -> str:
    """What is wrong with a result, as plain text, for the error of its test."""
    if result.history.failure is not None:
        return result.history.failure
    wrong = [verdict for verdict in result.verdicts if verdict.verdict != PASS]
    return "\n".join(
        f"{result.history.path}:{verdict.line}: {verdict.check}: {verdict.verdict}\n  {verdict.evidence}"
        for verdict in wrong
    )


def _title(result: Judged) -> str:
    where = f"{result.history.backend}, Kubernetes {result.history.kubernetes}"
    return f"[bold]{escape(result.history.scenario)}[/] {_MARKS[result.verdict]} on {escape(where)}"


def _variants(result: Judged) -> Table:
    table = _table(
        "variant",
        "calls",
        "errors",
        "share per pod, %",
        "join gap p50 / max",
        "leave gap p50 / max",
        "silence",
        "expectations",
    )
    labels = {variant.name: variant.label for variant in result.scenario.variants}
    for found in () if result.analysis is None else result.analysis.variants:
        verdicts = [verdict for verdict in result.verdicts if verdict.variant == found.name]
        table.add_row(
            escape(labels.get(found.name, found.name)),
            str(found.calls),
            _errors(found.errors),
            _shares(found),
            _gap(found.join_gap),
            _gap(found.leave_gap),
            _seconds(found.silence_s),
            _summary(verdicts),
        )
    return table


def _rows(results: Iterable[Judged]) -> Iterable[tuple[str, list[VariantResult], list[Verdict]]]:
    labels: dict[str, str] = {}
    found: dict[str, list[VariantResult]] = {}
    verdicts: dict[str, list[Verdict]] = {}
    for result in results:
        notes = {variant.name: variant.label for variant in result.scenario.variants}
        for variant in () if result.analysis is None else result.analysis.variants:
            labels.setdefault(variant.name, notes.get(variant.name, variant.name))
            found.setdefault(variant.name, []).append(variant)
        for verdict in result.verdicts:
            verdicts.setdefault(verdict.variant, []).append(verdict)
    return [(labels[name], variants, verdicts.get(name, [])) for name, variants in found.items()]


def _told(verdict: Verdict, result: Judged) -> str:
    place = f"{result.history.path}:{verdict.line}"
    return f"{_MARKS[verdict.verdict]} {escape(verdict.check)} [dim]{escape(place)}[/]\n  {escape(verdict.evidence)}"


def _notes(result: Judged) -> Iterable[str]:
    yield from result.notes
    variants = () if result.analysis is None else result.analysis.variants
    for found in variants:
        if found.bad_lines:
            yield f"{found.name}: {found.bad_lines} broken sample(s) in its logs; see bad_line in history.jsonl"
        if found.lost:
            yield f"{found.name}: {found.lost} sample(s) are missing from its logs"
    clock_s = max((found.clock_s for found in variants), default=0.0)
    if clock_s:
        yield f"gaps are exact to {_seconds(clock_s)}: the clocks of clients and harness may be that far apart"


def _shares(found: VariantResult) -> str:
    pods = merge_pods(found.whole)
    total = sum(pods.values())
    shares = [f"{count / total:.0%}".rstrip("%") for count in pods.values()] if total else []
    more = f" and {len(shares) - _MOST_PODS} more" if len(shares) > _MOST_PODS else ""
    return (" ".join(shares[:_MOST_PODS]) + more) or "-"


def _gap(gap: GapSummary) -> str:
    if gap.count == 0:
        return "-"
    missed = f"[yellow]{gap.missed} of {gap.count} missed[/]" if gap.missed else ""
    if gap.p50 is None or gap.most is None:
        return missed
    lengths = f"{_seconds(gap.p50)} / {_seconds(gap.most)}"
    return f"{lengths}, {missed}" if missed else lengths


def _errors(count: int) -> str:
    return f"[red]{count}[/]" if count else "0"


def _summary(verdicts: Sequence[Verdict]) -> str:
    wrong = [_MARKS[verdict.verdict] for verdict in verdicts if verdict.verdict != PASS]
    return ", ".join(wrong) if wrong else f"{len(verdicts)} met" if verdicts else "none stated"


def _seconds(value: float) -> str:
    if abs(value) < 0.0005:
        return "0 ms"
    return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.2f} s"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(
            name, justify="right" if name in ("calls", "errors", "silence", "longest silence") else "left"
        )
    return table


def _render(parts: Iterable[Table | str], width: int, *, is_coloured: bool) -> str:
    target = io.StringIO()
    console = Console(
        file=target, width=width, force_terminal=is_coloured, no_color=not is_coloured, highlight=False
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())
