"""Watching: the events of one resource, past and coming, as an async iterator.

The rule it keeps: from the revision that it starts at, no event is lost, none comes twice, and order is that of the
log. A reader that lets more than `LAGGING` events wait is cut off with Expired, as a real server ends the watch
of a client that does not read; it never holds up a write.

It filters by resource and namespace only; selectors are the reader's part.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from simcluster.errors import Expired
from simcluster.store import Event, Store

LAGGING = 20_000


class Subscription:
    """An async iterator of events; ends when closed. Belongs to the event loop's thread, as the registry does."""

    def __init__(self, store: Store, resource: str, namespace: str | None, begin: Iterable[Event]) -> None:
        self._store = store
        self._namespace = namespace
        self._events: deque[Event] = deque(begin)
        self._waiting: asyncio.Future[None] | None = None
        self._closed = False
        self._lost_at: int | None = None
        self._stop = store.listen(resource, self._notice)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._lost_at is not None:
                raise Expired(self._lost_at, self._store.revision)
            if self._closed:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._events.popleft()

    def take(self) -> list[Event]:
        """Return all events that have come and were not taken yet, without waiting."""
        taken = list(self._events)
        self._events.clear()
        return taken

    def close(self) -> None:
        """End the iteration; what has come already is still handed out."""
        self._closed = True
        self._stop()
        self._wake()

    def _notice(self, event: Event) -> None:
        if self._namespace is not None and event.record.key.namespace != self._namespace:
            return
        if len(self._events) >= LAGGING:
            self._lost_at = self._events[-1].revision
            self._stop()
        else:
            self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
