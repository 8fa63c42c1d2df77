"""The loop that every controller runs in: take a key, bring its object to what it should be, again on failure.

The rule it keeps: a controller never dies of one key. A sync is synchronous and idempotent; what it raises is
logged, and its key is tried again after a back-off that doubles. It decides nothing about objects.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from simcluster.controllers.events import Recorder
from simcluster.controllers.informers import Informers
from simcluster.controllers.workqueue import CallLater, WorkQueue
from simcluster.errors import StatusError
from simcluster.faults.race import Race
from simcluster.profile import Profile
from simcluster.registry import Registry

_log = logging.getLogger(__name__)
K = TypeVar("K", bound=tuple[str, ...])
_MANY = 20


@dataclass(frozen=True, slots=True)
class Context:
    """What all controllers of one cluster share; `clock` gives seconds since the epoch."""

    registry: Registry
    informers: Informers
    profile: Profile
    rng: random.Random
    clock: Callable[[], float]
    call_later: CallLater
    race: Race = field(default_factory=Race)

    def batch_s(self, count: int) -> float:
        """How long to wait for more changes before so many pods are looked through, so that a change of one of
        them costs the same however many they are; nothing where they are few.
        """
        return self.profile.batch_per_pod_s * count if count >= _MANY else 0.0

    def recorder(self, component: str) -> Recorder:
        """A recorder of events that name `component` as their source."""
        return Recorder(self.registry, component, clock=self.clock)


class ControlLoop(Generic[K]):
    """One controller: `sync` is called with each key whose turn it is."""

    def __init__(self, name: str, context: Context, sync: Callable[[K], None]) -> None:
        self.name = name
        self.queue: WorkQueue[K] = WorkQueue(
            context.call_later, base_s=context.profile.requeue_base_s, max_s=context.profile.requeue_max_s
        )
        self._sync = sync

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            key = await self.queue.get()
            self.work(key)
            # Between two keys everybody else has a turn.
            await asyncio.sleep(0)

    def work(self, key: K) -> None:
        """Sync one key, once."""
        try:
            self._sync(key)
        except StatusError as error:
            delay_s = self.queue.retry(key)
            _log.debug("%s: %s: again in %.3f s: %s", self.name, "/".join(key), delay_s, error.message)
        except Exception:  # noqa: BLE001 - the loop outlives every mistake of a sync; it is logged in full
            delay_s = self.queue.retry(key)
            _log.exception("%s: %s: again in %.3f s", self.name, "/".join(key), delay_s)
        else:
            self.queue.forget(key)
