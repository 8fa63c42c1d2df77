"""The figures of a scenario as properties of its test, for JUnit files and other reports of pytest. Pure.

Rule: what was not measured is left out, never 0. Names are those of report.json, below `k8s` and the variant.
"""

from __future__ import annotations

from harness.analysis import GapSummary, VariantResult
from harness.report.judged import Judged


def properties(result: Judged) -> list[tuple[str, str]]:
    """Name and value of each; durations in seconds."""
    history = result.history
    found = [
        ("k8s.backend", history.backend),
        ("k8s.kubernetes", history.kubernetes),
        ("k8s.verdict", result.verdict),
    ]
    for variant in () if result.analysis is None else result.analysis.variants:
        found += [(f"k8s.{variant.name}.{name}", text) for name, text in _figures(variant)]
    return found


def _figures(variant: VariantResult) -> list[tuple[str, str]]:
    return [
        ("calls", str(variant.calls)),
        ("errors", str(variant.errors)),
        *_gap("join_gap", variant.join_gap),
        *_gap("leave_gap", variant.leave_gap),
        ("silence_s", f"{variant.silence_s:.6f}"),
    ]


def _gap(name: str, gap: GapSummary) -> list[tuple[str, str]]:
    if gap.count == 0:
        return []
    quantiles = (("p50", gap.p50), ("max", gap.most))
    return [
        *((f"{name}_{which}_s", f"{value:.6f}") for which, value in quantiles if value is not None),
        (f"{name}_missed", str(gap.missed)),
    ]
