"""The faults that hold now, and their ends.

The rule it keeps: every fault that was begun is undone once, by whichever comes first: its time, its undoing, the going
of who asked for it, or the end of the cluster. A fault that can not be undone is logged and dropped; the others go on.

It knows no kinds: `begin` is given what begins a fault and returns what undoes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simcluster.faults.kinds import INSTANT, Asked, Fault, name_of

_log = logging.getLogger(__name__)
Undo = Callable[[], Awaitable[None]]
Begin = Callable[[Fault], Awaitable[Undo]]


@dataclass(frozen=True, slots=True)
class Active:
    """A fault that holds. `ends_at` is in seconds since the epoch, None if no time ends it."""

    id: str
    fault: Fault
    owner: object | None
    undo: Undo
    ends_at: float | None
    timer: asyncio.TimerHandle | None


class Board:
    """Begins and ends faults. `clock` gives seconds since the epoch."""

    def __init__(self, begin: Begin, clock: Callable[[], float]) -> None:
        self._begin = begin
        self._clock = clock
        self._active: dict[str, Active] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[bool]] = set()

    @property
    def active(self) -> list[Active]:
        """The faults that hold now, oldest first."""
        return list(self._active.values())

    async def begin(self, asked: Asked, owner: object | None) -> Active:
        """Begin a fault; what begins it may refuse. It ends with its owner if it is held."""
        undo = await self._begin(asked.fault)
        self._count += 1
        number, timer, ends_at = f"f{self._count}", None, None
        if asked.for_s is not None:
            ends_at = self._clock() + asked.for_s
            timer = asyncio.get_running_loop().call_later(asked.for_s, self._ring, number)
        active = Active(number, asked.fault, owner if asked.held else None, undo, ends_at, timer)
        if name_of(asked.fault) not in INSTANT:
            self._active[number] = active
        _log.info("fault %s begins: %s", number, asked)
        return active

    async def undo(self, number: str) -> bool:
        """End a fault; False if it does not hold (any more)."""
        active = self._active.pop(number, None)
        if active is None:
            return False
        if active.timer is not None:
            active.timer.cancel()
        try:
            await active.undo()
        except Exception:  # noqa: BLE001 - the others are undone all the same
            _log.exception("fault %s could not be undone", number)
        _log.info("fault %s ends", number)
        return True

    async def undo_of(self, owner: object) -> None:
        """End the faults of somebody who has gone."""
        for active in self.active:
            if active.owner is owner:
                await self.undo(active.id)

    async def close(self) -> None:
        """End all of them, newest first."""
        for active in reversed(self.active):
            await self.undo(active.id)

    def _ring(self, number: str) -> None:
        task = asyncio.create_task(self.undo(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
