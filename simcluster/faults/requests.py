"""What becomes of a request, given the faults that the API suffers from. Pure; chance comes in.

The rule it keeps: a fault holds for the requests of its scope and no others; an empty scope holds for all. Where
several hold, delays add up and the first refusal counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a request when it comes in; `resource` is `plural[.group]`, empty for other paths."""

    verb: str
    resource: str
    namespace: str | None
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoped:
    """A fault of some requests. Each part names what is hit; one that is empty hits everything."""

    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def covers(self, facts: Facts) -> bool:
        """Whether a request is hit."""
        pairs = (
            (self.verbs, facts.verb),
            (self.resources, facts.resource),
            (self.namespaces, facts.namespace),
            (self.users, facts.user),
        )
        return all(not allowed or actual in allowed for allowed, actual in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLatency(Scoped):
    """Requests are answered later, by `delay_s` and up to `jitter_s` more."""

    delay_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRefuse(Scoped):
    """Requests are refused, or a share of them: with 429 as priority and fairness does it, or 500, or 503."""

    code: int = field(default=429, metadata={"choices": (429, 500, 503)})
    retry_after_s: int = 1
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsRepeat(Scoped):
    """Each event of a watch comes several times."""

    times: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsLate(Scoped):
    """The events of a watch come late, in their order."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStall(Scoped):
    """Watches get not one byte more, and no end: half-open. `new`: those that begin meanwhile, too."""

    new: bool = False


RequestFault = ApiLatency | ApiRefuse | EventsRepeat | EventsLate | WatchStall


class RequestFaults:
    """The faults of requests that hold now."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._active: list[RequestFault] = []

    def add(self, fault: RequestFault) -> Callable[[], None]:
        """Have a fault hold from now on; returns what ends that."""
        self._active.append(fault)

        def remove() -> None:
            # By identity: two equal faults are two.
            self._active[:] = [each for each in self._active if each is not fault]

        return remove

    def delay_s(self, facts: Facts) -> float:
        """How much later a request is to be answered."""
        found = self._that_cover(ApiLatency, facts)
        return sum(each.delay_s + each.jitter_s * self._chance.random() for each in found)

    def refusal(self, facts: Facts) -> ApiRefuse | None:
        """How a request is to be refused, None if it is not."""
        for each in self._that_cover(ApiRefuse, facts):
            if self._chance.random() < each.share:
                return each
        return None

    def times(self, facts: Facts) -> int:
        """How often each event of a watch is to be sent."""
        return max((each.times for each in self._that_cover(EventsRepeat, facts)), default=1)

    def lateness_s(self, facts: Facts) -> float:
        """How late the events of a watch are to be sent."""
        return sum(each.delay_s for each in self._that_cover(EventsLate, facts))

    def stalls(self, facts: Facts) -> bool:
        """Whether a watch that begins now gets nothing."""
        return any(each.new for each in self._that_cover(WatchStall, facts))

    def _that_cover(self, kind: type[T], facts: Facts) -> list[T]:
        if not self._active:
            return []
        return [each for each in self._active if isinstance(each, kind) and each.covers(facts)]
