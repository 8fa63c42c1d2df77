"""When each pod was a ready endpoint of a Service, or a serving one, folded from the slices that the watch showed.

A Service that has pods or not has at least one slice; with the last one gone, the Service is, and its pods
have not left on that account.

Rule: a Service's endpoints are the union of its slices, by slice name; a deleted slice takes its endpoints
away. A pod is ready while any slice says so. It also knows which pod had an address at a time, to name the
pod that a failed call went to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from harness.history import History, PodSeen, SliceSeen, StepDone

_DELETION_S = 2.0  # within which the slices of a deleted Service go


@dataclass(frozen=True, slots=True)
class Stay:
    """One time in which a pod was ready (or serving).

    From `ready_at` until `left_at` (None: until the end of the history).
    """

    pod: str
    ready_at: float
    left_at: float | None


def stays(history: History, service: str, *, is_serving: bool = False) -> list[Stay]:
    """Every stay of every pod among the ready endpoints of a Service, in order of its beginning.

    With `is_serving`: among the serving ones, which terminating pods still are.
    """
    slices: dict[str, frozenset[str]] = {}
    ready_since: dict[str, float] = {}
    found: list[Stay] = []
    for record in history.records:
        if not isinstance(record, SliceSeen) or record.service != service:
            continue
        if not record.is_deleted:
            slices[record.name] = _pods(record, is_serving=is_serving)
        elif slices.pop(record.name, None) is not None and not slices:
            _reopen(found, ready_since, record.at)
            continue
        ready = frozenset().union(*slices.values())
        gone = sorted(ready_since.keys() - ready)
        found += [Stay(pod, ready_since.pop(pod), record.at) for pod in gone]
        for pod in ready - ready_since.keys():
            ready_since[pod] = record.at
    found += [Stay(pod, since, None) for pod, since in ready_since.items()]
    return sorted(found, key=lambda stay: (stay.ready_at, stay.pod))


def _reopen(found: list[Stay], ready_since: dict[str, float], at: float) -> None:
    """The Service is gone, its slices one after the other: nobody left with the first ones either."""
    for stay in [stay for stay in found if stay.left_at is not None and stay.left_at > at - _DELETION_S]:
        found.remove(stay)
        ready_since[stay.pod] = stay.ready_at


def departures(history: History, among: Iterable[Stay]) -> list[tuple[str, float, float | None]]:
    """(pod, left_at, until) for each departure.

    `until` is when the pod was ready again, None if it was not.

    A pod whose process was struck by a signal has left at that instant, whether or not its endpoint ever
    showed it.
    """
    by_pod: dict[str, list[Stay]] = {}
    for stay in among:
        by_pod.setdefault(stay.pod, []).append(stay)
    struck = [(pod, step.struck_at) for step in _struck(history) for pod in step.pods]
    found: list[tuple[str, float, float | None]] = []
    for pod, visits in by_pod.items():
        blows = sorted(at for name, at in struck if name == pod and at is not None)
        for index, stay in enumerate(visits):
            following = visits[index + 1].ready_at if index + 1 < len(visits) else None
            end = stay.left_at
            within = [at for at in blows if stay.ready_at <= at and (end is None or at < end)]
            if within:
                found.append((pod, within[0], following if end is not None else None))
            elif end is not None:
                found.append((pod, end, following))
    return sorted(found, key=lambda departure: departure[1])


class Addresses:
    """Which pod had an address at a time. An address may serve several pods, one after the other."""

    def __init__(self, history: History) -> None:
        self._since: dict[str, list[tuple[float, str]]] = {}
        for record in history.records:
            if isinstance(record, PodSeen) and record.address is not None and not record.is_deleted:
                owners = self._since.setdefault(record.address, [])
                if not owners or owners[-1][1] != record.name:
                    owners.append((record.at, record.name))

    def pod_at(self, peer: str | None, at: float) -> str | None:
        """The pod behind `address:port` at a time; None where the address is no pod's."""
        if peer is None:
            return None
        owners = self._since.get(peer.rpartition(":")[0].strip("[]"))
        if not owners:
            return None
        index = bisect_right([since for since, _ in owners], at)
        return owners[max(0, index - 1)][1]


def _pods(seen: SliceSeen, *, is_serving: bool) -> frozenset[str]:
    return frozenset(
        endpoint.pod
        for endpoint in seen.endpoints
        if endpoint.pod is not None and (endpoint.is_serving if is_serving else endpoint.is_ready)
    )


def _struck(history: History) -> Iterable[StepDone]:
    return (step for step in history.steps() if step.struck_at is not None)
