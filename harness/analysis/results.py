"""What the analysis of a history is made of.

Frozen values; instants are seconds since 1970, durations seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.statistics import quantile


@dataclass(frozen=True, slots=True)
class Window:
    """A phase, or the whole run: [began_at, ended_at).

    `ready` are the pods whose endpoints were ready at its beginning, `changed` those that joined or left in
    it.
    """

    name: str
    began_at: float
    ended_at: float
    ready: frozenset[str]
    changed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls of one client in one window. `pods` counts the answered ones per pod."""

    client: str
    calls: int
    errors: int
    pods: tuple[tuple[str, int], ...]
    codes: tuple[tuple[str, int], ...]
    first_error_at: float | None
    last_error_at: float | None
    silence_s: float


@dataclass(frozen=True, slots=True)
class Join:
    """A pod became ready; `gap_s` until the client's first answer from it, None where it never had one."""

    client: str
    pod: str
    ready_at: float
    gap_s: float | None


@dataclass(frozen=True, slots=True)
class Leave:
    """A pod left; `gap_s` until the last call that the client sent to it, 0 where none followed."""

    client: str
    pod: str
    left_at: float
    gap_s: float
    calls_after: int
    errors_after: int


@dataclass(frozen=True, slots=True)
class Stall:
    """A client sent no call for `length_s`."""

    client: str
    began_at: float
    length_s: float


@dataclass(frozen=True, slots=True)
class GapSummary:
    """Gaps of all clients together. `count` includes the `missed`; the quantiles are over the others."""

    count: int
    missed: int
    p50: float | None
    p95: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One variant. `tallies` has one row a client for each window, in the order of Analysis.windows.

    `leaves` count from the end of being ready, `ends` from the end of serving.

    `strangers` are names of pods in answered calls that no pod of the run has, with their number; `?` is no name.
    `stalls` are times in which a client sent nothing, though its pace asked for many calls.

    `lost` are samples whose numbers are missing from the logs; `clock_s` is how far the clients' clocks may
    be off the harness's.
    """

    name: str
    whole: tuple[Tally, ...]
    tallies: tuple[tuple[Tally, ...], ...]
    joins: tuple[Join, ...]
    leaves: tuple[Leave, ...]
    lost: int
    bad_lines: int
    clock_s: float
    ends: tuple[Leave, ...] = ()
    strangers: tuple[tuple[str, int], ...] = ()
    stalls: tuple[Stall, ...] = ()

    @property
    def calls(self) -> int:
        """Calls in the whole run."""
        return sum(tally.calls for tally in self.whole)

    @property
    def errors(self) -> int:
        """Failed calls in the whole run."""
        return sum(tally.errors for tally in self.whole)

    @property
    def silence_s(self) -> float:
        """The longest silence of any client."""
        return max((tally.silence_s for tally in self.whole), default=0.0)

    @property
    def join_gap(self) -> GapSummary:
        """All join gaps."""
        return summarise([join.gap_s for join in self.joins])

    @property
    def leave_gap(self) -> GapSummary:
        """All leave gaps."""
        return summarise([leave.gap_s for leave in self.leaves])

    @property
    def end_gap(self) -> GapSummary:
        """All leave gaps, from the end of serving on."""
        return summarise([leave.gap_s for leave in self.ends])


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a history shows. `whole` is the run from first to last step, `windows` are its phases."""

    whole: Window
    windows: tuple[Window, ...]
    variants: tuple[VariantResult, ...]

    def variant(self, name: str) -> VariantResult:
        """The result of a variant by name. Raises KeyError."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)


def summarise(gaps: Iterable[float | None]) -> GapSummary:
    """Exact quantiles of the gaps; None is a gap that was never closed."""
    every = list(gaps)
    closed = [gap for gap in every if gap is not None]
    if not closed:
        return GapSummary(len(every), len(every), None, None, None)
    return GapSummary(
        count=len(every),
        missed=len(every) - len(closed),
        p50=quantile(closed, 0.50),
        p95=quantile(closed, 0.95),
        most=max(closed),
    )


def merge_pods(tallies: Iterable[Tally]) -> dict[str, int]:
    """Answered calls per pod, of several clients together, most first."""
    together: Counter[str] = Counter()
    for tally in tallies:
        together.update(dict(tally.pods))
    return dict(sorted(together.items(), key=lambda entry: (-entry[1], entry[0])))
