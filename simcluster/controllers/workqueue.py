"""A queue of keys to be worked on: each at most once in it, later or after a failure by a timer.

The rule it keeps, as client-go's: a key added while it waits is not added twice; one added while it is worked
on is worked on again; of two times for a key the earlier counts; failures of a key double its wait.
It does not do the work, and has no clock: timers come from the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class Timer(Protocol):
    """What `call_later` gives back."""

    def cancel(self) -> None:
        """Do not call."""

    def when(self) -> float:
        """When it is called, on the loop's clock."""


CallLater = Callable[[float, Callable[[], None]], Timer]


class WorkQueue(Generic[K]):
    """Keys to be worked on; `base_s` and `max_s` bound the wait after failures."""

    def __init__(self, call_later: CallLater, *, base_s: float, max_s: float) -> None:
        self._call_later = call_later
        self._base_s = base_s
        self._max_s = max_s
        self._order: deque[K] = deque()
        self._waiting: set[K] = set()
        self._timers: dict[K, Timer] = {}
        self._failures: dict[K, int] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: K) -> None:
        """Have `key` worked on as soon as its turn comes."""
        if key not in self._waiting:
            self._waiting.add(key)
            self._order.append(key)
            self._filled.set()

    def add_after(self, key: K, delay_s: float) -> None:
        """Have `key` worked on in `delay_s`, or earlier where that is asked for already."""
        if delay_s <= 0:
            self.add(key)
            return
        timer = self._call_later(delay_s, lambda: self._ring(key))
        earlier = self._timers.get(key)
        if earlier is not None:
            first, second = (earlier, timer) if earlier.when() <= timer.when() else (timer, earlier)
            second.cancel()
            timer = first
        self._timers[key] = timer

    def retry(self, key: K) -> float:
        """Have `key` worked on after its back-off, which doubles; return that wait in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(self._max_s, self._base_s * 2.0 ** min(failures, 60))
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """The work on `key` has succeeded: its next failure waits the least again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key, take it out and return it."""
        while not self._order:
            self._filled.clear()
            await self._filled.wait()
        key = self._order.popleft()
        self._waiting.discard(key)
        return key

    def close(self) -> None:
        """Cancel all timers and drop all keys."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._order.clear()
        self._waiting.clear()

    def _ring(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
