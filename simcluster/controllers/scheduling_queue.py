"""The pods that wait for a node: those whose turn it is, those that failed, in the scheduler's order. Pure.

The rule it keeps: higher priority first, then who came first. A pod that fitted nowhere waits until something happens
that may help it, or for `flush_s`; one whose last failure is not long ago goes behind those that have not failed, as
kube-scheduler takes from its back-off queue only when the active one is empty.

Source: scheduler/backend/queue (active_queue.go, backoff_queue.go, scheduling_queue.go).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from simcluster.controllers.metadata import Name

_DOUBLINGS = 30


@dataclass(slots=True)
class _Waiting:
    priority: int
    came: int
    failures: int = 0
    failed_at: float = 0.0
    is_stuck: bool = False


@dataclass(slots=True)
class SchedulingQueue:
    """Back-off is `base_s`, doubled with each failure up to `most_s`."""

    base_s: float
    most_s: float
    flush_s: float
    _pods: dict[Name, _Waiting] = field(default_factory=dict)
    _active: list[tuple[int, int, Name]] = field(default_factory=list)
    _backing_off: list[tuple[float, int, int, Name]] = field(default_factory=list)
    _stuck: dict[Name, None] = field(default_factory=dict)
    _came: int = 0

    def add(self, name: Name, priority: int) -> None:
        """A pod waits from now on; one that waits already keeps its place."""
        if name not in self._pods:
            self._came += 1
            self._pods[name] = _Waiting(priority, self._came)
            heapq.heappush(self._active, (-priority, self._came, name))

    def drop(self, name: Name) -> None:
        """A pod waits no more."""
        self._pods.pop(name, None)
        self._stuck.pop(name, None)

    def stuck(self) -> list[Name]:
        """The pods that fitted nowhere, and wait for something to happen."""
        return list(self._stuck)

    def fail(self, name: Name, now: float) -> None:
        """A pod that was taken fits nowhere."""
        waiting = self._pods.get(name)
        if waiting is not None:
            waiting.failures += 1
            waiting.failed_at = now
            waiting.is_stuck = True
            self._stuck[name] = None

    def park(self, name: Name, now: float) -> None:
        """A pod that was taken has its node, and waits for its volumes there."""
        waiting = self._pods.get(name)
        if waiting is not None:
            waiting.failures = 0
            waiting.failed_at = now
            waiting.is_stuck = True
            self._stuck[name] = None

    def retry(self, name: Name, now: float) -> None:
        """Something happened that may help a stuck pod."""
        waiting = self._pods.get(name)
        if waiting is None or not waiting.is_stuck:
            return
        waiting.is_stuck = False
        del self._stuck[name]
        doublings = min(waiting.failures - 1, _DOUBLINGS)
        wait_s = min(self.most_s, self.base_s * 2.0**doublings) if waiting.failures else 0.0
        entry = (-waiting.priority, waiting.came, name)
        if waiting.failed_at + wait_s <= now:
            heapq.heappush(self._active, entry)
        else:
            heapq.heappush(self._backing_off, (waiting.failed_at + wait_s, *entry))

    def flush(self, now: float) -> float | None:
        """Retry what has been stuck for too long; return when the next one will have been, None if nothing is."""
        for name in self.stuck():
            if self._pods[name].failed_at + self.flush_s <= now:
                self.retry(name, now)
        return min((self._pods[name].failed_at + self.flush_s for name in self._stuck), default=None)

    def take(self, now: float) -> Name | None:
        """The pod whose turn it is; it stays known until it is dropped. None if it is nobody's."""
        while self._backing_off and self._backing_off[0][0] <= now:
            heapq.heappush(self._active, heapq.heappop(self._backing_off)[1:])
        while self._active or self._backing_off:
            entry = heapq.heappop(self._active) if self._active else heapq.heappop(self._backing_off)[1:]
            waiting = self._pods.get(entry[2])
            # What was dropped, or dropped and added anew, has left its old entries behind.
            if waiting is not None and waiting.came == entry[1] and not waiting.is_stuck:
                return entry[2]
        return None
