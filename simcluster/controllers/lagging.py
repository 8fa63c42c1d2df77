"""The pods as a controller has seen them so far: each change comes in after a delay, in its order.

The rule it keeps: here is one side of the termination race, whose other side is the kubelet's. Which delay a
change has is the profile's, and chance's where that names a jitter; a later change never overtakes an earlier one
of a pod of the same name, so that a pod made again is not taken away by the end of the one before. It decides
nothing about endpoints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import Name, is_deleting, name_of
from simcluster.controllers.workqueue import Timer
from simcluster.store import Object


class LaggingPods:
    """Calls `tell` with each change when it comes in."""

    def __init__(self, context: Context, tell: Callable[[Object | None, Object | None], None]) -> None:
        self._context = context
        self._tell = tell
        self._seen: dict[str, dict[str, Object]] = {}
        # Per name: the changes under way, oldest first, and when the last of them comes in.
        self._under_way: dict[Name, deque[tuple[Object, Object | None]]] = {}
        self._due: dict[Name, float] = {}
        self._timers: set[Timer] = set()

    def list(self, namespace: str) -> list[Object]:
        """The pods of a namespace as seen so far."""
        return list(self._seen.get(namespace, {}).values())

    def take(self, old: Object | None, new: Object | None) -> None:
        """Have a change come in after its delay."""
        pod = new if new is not None else old
        if pod is None:
            return
        key, now = name_of(pod), self._context.clock()
        due = max(now + self._delay_s(old, new), self._due.get(key, now))
        if due <= now and key not in self._under_way:
            self._come_in(pod, new)
            return
        self._due[key] = due
        self._under_way.setdefault(key, deque()).append((pod, new))
        self._set_timer(key, due - now)

    def close(self) -> None:
        """See no more changes."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _set_timer(self, key: Name, delay_s: float) -> None:
        timers: list[Timer] = []

        def ring() -> None:
            self._timers.difference_update(timers)
            # Whichever timer rings first, the oldest change comes in.
            changes = self._under_way[key]
            pod, new = changes.popleft()
            if not changes:
                del self._under_way[key], self._due[key]
            self._come_in(pod, new)

        timers.append(self._context.call_later(delay_s, ring))
        self._timers.update(timers)

    def _delay_s(self, old: Object | None, new: Object | None) -> float:
        profile = self._context.profile
        if old is not None and new is not None and is_deleting(new) and not is_deleting(old):
            return self._context.race.endpoint_delay_s(profile, self._context.rng)
        return profile.endpoint_ready_s

    def _come_in(self, pod: Object, new: Object | None) -> None:
        namespace, name = name_of(pod)
        names = self._seen.setdefault(namespace, {})
        before = names.get(name)
        if new is not None:
            names[name] = new
        elif before is not None:
            del names[name]
        self._tell(before, new)
