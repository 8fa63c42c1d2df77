"""Figures of a run as a page: each beside its bound and its peer's. Pure.

The rule it keeps: several rounds give a median with its spread, least to most; a peer that is not there is said to be
absent, never guessed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ABSENT = "not on this machine"


@dataclass(frozen=True, slots=True)
class Series:
    """One figure, measured in several rounds."""

    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def show(self) -> str:
        """The median and, of several rounds, the spread."""
        shown = f"{format_number(self.median)} {self.unit}"
        if len(self.values) == 1:
            return shown
        return f"{shown} ({format_number(min(self.values))} to {format_number(max(self.values))})"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must keep: at most or at least `limit`, in the figure's unit."""

    limit: float
    at_most: bool = True

    def holds(self, series: Series) -> bool:
        """Whether the median keeps it."""
        return series.median <= self.limit if self.at_most else series.median >= self.limit

    def show(self, unit: str) -> str:
        """In words."""
        return f"{'at most' if self.at_most else 'at least'} {format_number(self.limit)} {unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `peer` says whose the second series is; without one it is not on this machine."""

    what: str
    ours: Series
    bound: Bound | None = None
    peer: str = ""
    theirs: Series | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it keeps its bound, if it has one."""
        return self.bound is None or self.bound.holds(self.ours)

    @property
    def verdict(self) -> str:
        """The same in a word."""
        if self.bound is None:
            return ""
        return "kept" if self.is_kept else "**missed**"

    @property
    def ratio(self) -> str:
        """Ours over theirs."""
        return "" if self.theirs is None else f"{self.ours.median / self.theirs.median:.2f}"


def format_number(value: float) -> str:
    """Three digits that count; thousands apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def render(figures: Sequence[Figure], *, machine: str, profiles: Mapping[str, str] | None = None) -> str:
    """The page in Markdown; `profiles` say, for a measurement that missed a bound, where its time goes."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `tox -e bench`. Every figure is of one run on one machine, beside its peer's from the same run;",
        "several rounds give the median with the spread. Machines differ and are noisy: the ratio is what to look at.",
        "Python's modules are compiled before, as an installation leaves them.",
        "",
        f"Machine: {machine}.",
        "",
        "| what | here | bound | | peer | the peer's | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_line(each) for each in figures]
    for name, shares in (profiles or {}).items():
        lines += [
            "",
            f"Where the time of the simulated cluster goes in `{name}` (`python -m benchmarks.profiling {name}`):",
        ]
        lines += ["", *(f"    {line}" for line in shares.rstrip().splitlines())]
    return "\n".join(lines) + "\n"


def _line(figure: Figure) -> str:
    bound = "" if figure.bound is None else figure.bound.show(figure.ours.unit)
    theirs = figure.theirs.show() if figure.theirs is not None else (ABSENT if figure.peer else "")
    cells = (figure.what, figure.ours.show(), bound, figure.verdict, figure.peer, theirs, figure.ratio)
    return f"| {' | '.join(cells)} |"
