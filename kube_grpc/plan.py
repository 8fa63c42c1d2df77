"""What the pool has to do, as data: (held, wanted) -> open, keep, drain. Pure.

Rules, each one a promise that a property test holds:

- Nothing known (`wanted` is None: the API is away, or refuses) changes nothing.
- Every active endpoint (ready, not terminating) is opened or kept, unless it was evicted by a failed ping.
- A reserve endpoint (terminating, still serving) is kept if it is held, so that its calls in flight finish
  and there is
  something to fall back on. It is opened only when there is no active endpoint at all.
- An orphaned endpoint (its slices were deleted, see `endpoints`) is kept if it is held and never opened.
- Everything else that is held drains: no new calls, those in flight finish.

Choosing who of the held answers the next call is `serving`, below: connected active members, else connected
reserves.

Does not know what a connection is: keys and endpoints go in, keys and endpoints come out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kube_grpc.endpoints import Endpoint, EndpointSet, Key


@dataclass(frozen=True, slots=True)
class Plan:
    """Endpoints to open, endpoints held that stay (with what is now known of them), keys to drain."""

    open: tuple[Endpoint, ...] = ()
    keep: tuple[Endpoint, ...] = ()
    drain: tuple[Key, ...] = ()


def draw_up(
    held: Collection[Key], wanted: EndpointSet | None, *, evicted: AbstractSet[Key] = frozenset()
) -> Plan:
    """The steps from what is held to what is wanted. `evicted` keys are not wanted until the caller forgets
    them.
    """
    if wanted is None:
        return Plan()
    usable = [
        item for item in wanted.endpoints if item.key not in evicted and (item.is_active or item.is_reserve)
    ]
    has_active = any(item.is_active and not item.orphaned for item in usable)
    keep = tuple(item for item in usable if item.key in held)
    missing = (item for item in usable if item.key not in held and not item.orphaned)
    kept = {item.key for item in keep}
    return Plan(
        open=tuple(item for item in missing if item.is_active or not has_active),
        keep=keep,
        drain=tuple(sorted(key for key in held if key not in kept)),
    )


class Candidate(Protocol):
    """What `serving` has to know of a member."""

    @property
    def endpoint(self) -> Endpoint:
        """What is known of it now."""
        ...

    @property
    def is_connected(self) -> bool:
        """Calls sent now go out at once."""
        ...

    @property
    def is_ejected(self) -> bool:
        """Left out for a while because its calls failed."""
        ...


CandidateT = TypeVar("CandidateT", bound=Candidate)


def serving(members: Iterable[CandidateT], zone: str | None = None) -> tuple[CandidateT, ...]:
    """Who answers calls, in the order of keys: the connected active members that are not ejected, else the connected
    reserves; and if there is nobody else, those ejected.

    With a `zone`, of the first only those that the Service's hints have for it, if every one has hints and one has
    those (https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/#safeguards).
    """
    connected = sorted((item for item in members if item.is_connected), key=lambda item: item.endpoint.key)
    active = [item for item in connected if item.endpoint.is_active]
    sound = [item for item in active if not item.is_ejected]
    near = [item for item in sound if zone in item.endpoint.zones]
    if near and all(item.endpoint.zones for item in active):
        return tuple(near)
    for group in (sound, [item for item in connected if item.endpoint.is_reserve], active):
        if group:
            return tuple(group)
    return ()
