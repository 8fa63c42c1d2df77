"""The termination race: how long each side of a pod's end takes to begin. Pure; chance comes in.

The rule it keeps: unless somebody orders it, either side may come first, as on a real cluster. It is the one place that
knows both sides; the sides ask it for their own delay.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from simcluster.faults.kinds import TerminationOrder
from simcluster.profile import Profile


@dataclass(slots=True)
class Race:
    """The orders that hold now; the newest counts."""

    _orders: list[TerminationOrder] = field(default_factory=list)

    def order(self, order: TerminationOrder) -> Callable[[], None]:
        """Have an order hold from now on; returns what ends that."""
        self._orders.append(order)

        def remove() -> None:
            self._orders[:] = [each for each in self._orders if each is not order]

        return remove

    def endpoint_delay_s(self, profile: Profile, chance: random.Random) -> float:
        """DeletionTimestamp -> the endpoint is not ready."""
        usual_s = profile.endpoint_not_ready_s + profile.endpoint_not_ready_jitter_s * chance.random()
        if not self._comes_first("sigterm"):
            return usual_s
        return max(usual_s, profile.sigterm_s + profile.sigterm_jitter_s + self._orders[-1].by_s)

    def sigterm_delay_s(self, profile: Profile, chance: random.Random) -> float:
        """DeletionTimestamp -> SIGTERM, or the preStop hook."""
        usual_s = profile.sigterm_s + profile.sigterm_jitter_s * chance.random()
        if not self._comes_first("endpoint"):
            return usual_s
        latest_s = profile.endpoint_not_ready_s + profile.endpoint_not_ready_jitter_s
        return max(usual_s, latest_s + self._orders[-1].by_s)

    def _comes_first(self, side: str) -> bool:
        return bool(self._orders) and self._orders[-1].first == side
