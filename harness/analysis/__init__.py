"""What a history shows: phases, shares, gaps, silence, errors. Pure: a history in, an Analysis out.

Rule: one pass a client, merged afterwards; nothing is judged here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from harness.analysis import gaps, phases
from harness.analysis.endpoints import Addresses, Stay, departures, stays
from harness.analysis.results import (
    Analysis,
    GapSummary,
    Join,
    Leave,
    Stall,
    Tally,
    VariantResult,
    Window,
    merge_pods,
)
from harness.history import BadLine, Call, History, PodSeen, SliceSeen
from harness.samples import Sample
from harness.scenario import Target

_PAUSE_S, _END_S = 5.0, 2.0
_STALL_CALLS = 10

__all__ = [
    "Analysis",
    "GapSummary",
    "Join",
    "Leave",
    "Stall",
    "Tally",
    "VariantResult",
    "Window",
    "analyse",
    "merge_pods",
]


def analyse(history: History, target: Target, rate: float | None = None) -> Analysis:
    """The analysis of a history whose load began and ended (else ValueError).

    `target.service` says who is ready, `rate` how many calls a second each client was to send, if that is known.
    """
    readiness = stays(history, target.service)
    whole, windows = phases.cut(history, readiness)
    frame = _Frame(history, target.service, readiness, whole, windows, rate)
    return Analysis(whole, windows, tuple(frame.variant(name) for name in history.variants))


class _Frame:
    """What the analysis of each variant has in common."""

    def __init__(
        self,
        history: History,
        service: str,
        readiness: list[Stay],
        whole: Window,
        windows: tuple[Window, ...],
        rate: float | None,
    ) -> None:
        self._history, self._rate = history, rate
        self._known = _pods(history)
        self._gone = _gone(history)
        self._readiness = readiness
        self._departures = departures(history, readiness)
        self._ends = departures(history, stays(history, service, is_serving=True))
        self._addresses = Addresses(history)
        self._whole, self._windows = whole, windows
        self._calls: dict[str, dict[str, list[Call]]] = {}
        for call in history.calls():
            self._calls.setdefault(call.sample.variant, {}).setdefault(call.client, []).append(call)

    def variant(self, name: str) -> VariantResult:
        clients = self._calls.get(name, {})
        ordered = {
            client: sorted((call.sample for call in calls), key=lambda sample: sample.sent_at)
            for client, calls in sorted(clients.items())
        }
        began_at, ended_at = self._whole.began_at, self._whole.ended_at
        return VariantResult(
            name=name,
            whole=_tallies(ordered, self._whole),
            tallies=tuple(_tallies(ordered, window) for window in self._windows),
            joins=tuple(
                join
                for client, calls in ordered.items()
                for join in gaps.joins(client, calls, self._readiness, began_at, ended_at)
            ),
            leaves=self._leaves(ordered, self._departures),
            ends=self._leaves(ordered, self._ends),
            lost=sum(_lost(calls, self._whole) for calls in ordered.values()),
            bad_lines=sum(
                isinstance(record, BadLine) and record.client in clients for record in self._history.records
            ),
            clock_s=self._clock_s(clients.values()),
            strangers=self._strangers(ordered),
            stalls=tuple(stall for client, calls in ordered.items() for stall in self._stalls(client, calls)),
        )

    def _strangers(self, clients: dict[str, list[Sample]]) -> tuple[tuple[str, int], ...]:
        answered = merge_pods(_tallies(clients, self._whole))
        return tuple((name, count) for name, count in answered.items() if name not in self._known)

    def _stalls(self, client: str, calls: list[Sample]) -> Iterable[Stall]:
        """Times without a call, longer than its pace or a busy machine explains."""
        if self._rate is None or not calls:
            return
        whole, sent = self._whole, [call.sent_at for call in calls]
        is_over = (
            sent[-1] < whole.ended_at and client not in self._gone
        )  # the load was followed until a call after it
        bounds = [(*pair, _PAUSE_S) for pair in pairwise(sent) if pair[0] < whole.ended_at]
        for earlier, later, bound_s in [*bounds, *([(sent[-1], whole.ended_at, _END_S)] if is_over else [])]:
            began_at = max(earlier, whole.began_at)
            if later - began_at > max(bound_s, _STALL_CALLS / self._rate):
                yield Stall(client, began_at, later - began_at)

    def _leaves(
        self, clients: dict[str, list[Sample]], departed: list[tuple[str, float, float | None]]
    ) -> tuple[Leave, ...]:
        began_at, ended_at = self._whole.began_at, self._whole.ended_at
        return tuple(
            leave
            for client, calls in clients.items()
            for leave in gaps.leaves(client, calls, departed, self._addresses, began_at, ended_at)
        )

    def _clock_s(self, clients: Iterable[Sequence[Call]]) -> float:
        """How far the clocks of the clients may be off the harness's, from the quickest line of each.

        The simulated cluster runs on the harness's own machine and clock. Elsewhere a line that arrives
        `lag` after its call ended bounds the offset from one side: the clock can not be further off than
        that, unless it is behind.
        """
        if self._history.backend == "sim":
            return 0.0
        lags = [min(call.at - call.sample.ended_at for call in calls) for calls in clients]
        return max((abs(lag) for lag in lags), default=0.0)


def _pods(history: History) -> frozenset[str]:
    """The name of every pod that was seen, itself or as an endpoint."""
    seen = {record.name for record in history.records if isinstance(record, PodSeen)}
    slices = (record for record in history.records if isinstance(record, SliceSeen))
    return frozenset(
        seen | {each.pod for found in slices for each in found.endpoints if each.pod is not None}
    )


def _gone(history: History) -> frozenset[str]:
    """The clients that ended, or were told to, before the load did: their pods went, or their container began anew."""
    found: set[str] = set()
    for record in history.records:
        if isinstance(record, PodSeen) and record.at <= (history.ended_at or record.at):
            before = record.restarts if record.is_deleted or record.is_terminating else record.restarts - 1
            found |= {
                record.name if number == 0 else f"{record.name}#{number}" for number in range(before + 1)
            }
    return frozenset(found)


def _tallies(clients: dict[str, list[Sample]], window: Window) -> tuple[Tally, ...]:
    return tuple(_tally(client, calls, window) for client, calls in clients.items())


def _tally(client: str, calls: Sequence[Sample], window: Window) -> Tally:
    sent = [call for call in calls if window.began_at <= call.sent_at < window.ended_at]
    failed = [call.sent_at for call in sent if not call.is_ok]
    pods = Counter(call.pod if call.pod is not None else "?" for call in sent if call.is_ok)
    return Tally(
        client=client,
        calls=len(sent),
        errors=len(failed),
        pods=tuple(sorted(pods.items())),
        codes=tuple(sorted(Counter(call.code for call in sent).items())),
        first_error_at=failed[0] if failed else None,
        last_error_at=failed[-1] if failed else None,
        silence_s=gaps.silence(
            [call.ended_at for call in calls if call.is_ok], window.began_at, window.ended_at
        ),
    )


def _lost(calls: Sequence[Sample], window: Window) -> int:
    numbers = {call.seq for call in calls if window.began_at <= call.sent_at < window.ended_at}
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
