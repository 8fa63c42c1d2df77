"""Events do not stay: each goes some time after it was last written, as by its lease in etcd.

The rule it keeps: one timer, however many events there are; they expire in the order in which they were written.

Source: kube-apiserver's --event-ttl, and k8s.io/apiserver pkg/registry/generic/registry/store.go (TTLFunc).
"""

from __future__ import annotations

import contextlib

from simcluster.controllers.loop import Context
from simcluster.controllers.workqueue import Timer
from simcluster.errors import NotFound
from simcluster.store import Event, Key

_RESOURCE = "events"


class EventExpiry:
    """Deletes events of which nothing was heard for `event_ttl_s`."""

    def __init__(self, context: Context) -> None:
        self._registry = context.registry
        self._clock = context.clock
        self._call_later = context.call_later
        self._ttl_s = context.profile.event_ttl_s
        # When each is to go, the next one first: all live equally long.
        self._ends: dict[Key, float] = {}
        self._timer: Timer | None = None
        self._stop = context.registry.listen(_RESOURCE, self._notice)

    def close(self) -> None:
        """Delete none any more."""
        self._stop()
        if self._timer is not None:
            self._timer.cancel()

    def _notice(self, event: Event) -> None:
        self._ends.pop(event.record.key, None)
        if event.type != "DELETED":
            self._ends[event.record.key] = self._clock() + self._ttl_s
            self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._ends:
            next_at = next(iter(self._ends.values()))
            self._timer = self._call_later(max(0.0, next_at - self._clock()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock()
        due = [key for key, end_at in self._ends.items() if end_at <= now]
        for key in due:
            with contextlib.suppress(NotFound):
                self._registry.delete(_RESOURCE, key.namespace, key.name, grace_s=0)
        self._arm()
