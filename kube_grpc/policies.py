"""Policies beside round robin and random, and how a policy is chosen. Pure: time and chance are handed in.

Rule: as in `picker`: snapshots, never changed, made one out of the other. A pick costs no more with 1 000 members than
with ten.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence, Sized
from typing import Any, Generic, Protocol, TypeVar

from kube_grpc.endpoints import Key
from kube_grpc.errors import OptionError
from kube_grpc.picker import Metadata, Picker, RandomChoice, RoundRobin

POLICIES = ("consistent_hash", "least_outstanding", "power_of_two", "random", "round_robin")
# Above this many, least_outstanding looks at so many by lot.
_LOOKED_AT = 16
# Places of each member on the ring: shares differ by about an eighth (one over the root).
_PLACES = 64
# With a slow start: how often another member is tried before a new one gets the call after all.
_TRIES = 4
_LEAST_SHARE = 0.1


class Busy(Protocol):
    """A member whose calls in flight are counted."""

    @property
    def key(self) -> Key:
        """Unique in a pool."""
        ...

    @property
    def in_flight(self) -> Sized:
        """One item for each."""
        ...

    @property
    def ready_at(self) -> float:
        """Since when it serves (monotonic)."""
        ...


MemberT = TypeVar("MemberT", bound=Busy)


class Policy(Protocol):
    """An own policy: one method. `members` serve now, in the order of their addresses, and are at least one; each has
    `key` (address, port), `endpoint` (with `pod`), `in_flight` (its length counts calls) and `ready_at`. `metadata` is
    the call's, as the caller gave it.

    It is called for every call, from any thread: it must be quick and must not raise.
    """

    def pick(self, members: Sequence[Any], metadata: Metadata) -> Any:
        """One of `members`."""
        ...


class LeastOutstanding(Generic[MemberT]):
    """The member with the fewest calls in flight, among equals by lot; of more than sixteen, of sixteen by lot."""

    __slots__ = ("_random", "members")

    def __init__(self, members: tuple[MemberT, ...], rng: random.Random) -> None:
        self.members = members
        self._random = rng

    def pick(self, _metadata: Metadata = None) -> MemberT:
        """The least busy."""
        members = self.members
        size, chance = len(members), self._random.random
        if size <= _LOOKED_AT:
            # From a place by lot, so that equals share.
            start = int(chance() * size)
            return min(members[start:] + members[:start], key=_count)
        best = members[int(chance() * size)]
        fewest = len(best.in_flight)
        for _ in range(_LOOKED_AT - 1):
            if not fewest:
                break
            other = members[int(chance() * size)]
            count = len(other.in_flight)
            if count < fewest:
                best, fewest = other, count
        return best

    def advance(self, members: tuple[MemberT, ...]) -> LeastOutstanding[MemberT]:
        """The members carry the counts themselves."""
        return LeastOutstanding(members, self._random)


def _count(member: Busy) -> int:
    return len(member.in_flight)


class PowerOfTwo(Generic[MemberT]):
    """Of two different members by lot the one with fewer calls in flight."""

    __slots__ = ("_random", "_size", "members")

    def __init__(self, members: tuple[MemberT, ...], rng: random.Random) -> None:
        self.members = members
        self._size = len(members)
        self._random = rng

    def pick(self, _metadata: Metadata = None) -> MemberT:
        """The less busy of two."""
        size, chance = self._size, self._random.random
        first = int(chance() * size)
        if size == 1:
            return self.members[0]
        second = int(chance() * (size - 1))
        one, other = self.members[first], self.members[second if second < first else second + 1]
        return one if len(one.in_flight) <= len(other.in_flight) else other

    def advance(self, members: tuple[MemberT, ...]) -> PowerOfTwo[MemberT]:
        """The members carry the counts themselves."""
        return PowerOfTwo(members, self._random)


class ConsistentHash(Generic[MemberT]):
    """Calls with an equal value of one metadata key go to the same member, in every process alike.

    When members come or go only the calls that are theirs move. A call without the key goes to a member by lot.
    """

    __slots__ = ("_hash_key", "_places", "_points", "_random", "members")

    def __init__(self, members: tuple[MemberT, ...], hash_key: str, rng: random.Random) -> None:
        self.members = members
        self._hash_key = hash_key
        self._random = rng
        self._set(
            sorted(place for index, item in enumerate(members) for place in _places_of(item.key, index))
        )

    def _set(self, ring: list[tuple[int, int]]) -> None:
        self._points = [point for point, _ in ring]
        self._places = [index for _, index in ring]

    def pick(self, metadata: Metadata = None) -> MemberT:
        """The member whose place on the ring follows that of the value."""
        value = _find_value(metadata, self._hash_key)
        if value is None:
            return self.members[int(self._random.random() * len(self.members))]
        place = bisect_right(self._points, _hash(value)) % len(self._points)
        return self.members[self._places[place]]

    def advance(self, members: tuple[MemberT, ...]) -> ConsistentHash[MemberT]:
        """Takes over the places of those that stay: only those of new ones are computed."""
        new: ConsistentHash[MemberT] = ConsistentHash((), self._hash_key, self._random)
        new.members = members
        index_of = {item.key: index for index, item in enumerate(members)}
        moved = [index_of.get(item.key) for item in self.members]
        # Both parts are in order, which sorting makes use of.
        kept = [
            (point, now)
            for point, before in zip(self._points, self._places, strict=True)
            if (now := moved[before]) is not None
        ]
        held = {item.key for item in self.members}
        kept += sorted(
            place for key, index in index_of.items() if key not in held for place in _places_of(key, index)
        )
        kept.sort()
        new._set(kept)
        return new


def _places_of(key: Key, index: int) -> list[tuple[int, int]]:
    return [(_hash(f"{key[0]}:{key[1]}/{number}".encode()), index) for number in range(_PLACES)]


def _hash(value: bytes) -> int:
    # Not hash(): that differs from process to process.
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big")


def _find_value(metadata: Metadata, wanted: str) -> bytes | None:
    for key, value in metadata if metadata is not None else ():
        if key == wanted:
            return value if isinstance(value, bytes) else str(value).encode()
    return None


class OwnPolicy(Generic[MemberT]):
    """A policy of the caller's."""

    __slots__ = ("_allowed", "_policy", "members")

    def __init__(self, members: tuple[MemberT, ...], policy: Policy) -> None:
        self.members = members
        self._allowed = frozenset(members)
        self._policy = policy

    def pick(self, metadata: Metadata = None) -> MemberT:
        """Whom it says; OptionError for anybody else than one of the members."""
        member: MemberT = self._policy.pick(self.members, metadata)
        if member not in self._allowed:
            msg = (
                f"option policy: {self._policy!r} picked {member!r}\n"
                "  allowed: one of the members that it is given with each call; one that it kept may have left\n"
                "  do: pick among those"
            )
            raise OptionError(msg)
        return member

    def advance(self, members: tuple[MemberT, ...]) -> OwnPolicy[MemberT]:
        """The policy keeps what it wants to keep."""
        return OwnPolicy(members, self._policy)


class SlowStart(Generic[MemberT]):
    """Another policy, but a member that is new gets fewer calls: its share grows evenly for `window_s`, from a tenth.

    What counts is how new it is beside the others: with a whole new set all have the same share.
    """

    __slots__ = ("_clock", "_inner", "_oldest_at", "_random", "_until", "_window_s")

    def __init__(
        self, inner: Picker[MemberT], window_s: float, clock: Callable[[], float], rng: random.Random
    ) -> None:
        self._inner = inner
        self._window_s = window_s
        self._clock = clock
        self._random = rng
        starts = [item.ready_at for item in inner.members]
        self._oldest_at = min(starts, default=0.0)
        self._until = max(starts, default=0.0) + window_s

    @property
    def members(self) -> tuple[MemberT, ...]:
        """Who can be picked."""
        return self._inner.members

    def pick(self, metadata: Metadata = None) -> MemberT:
        """Whom the other policy says, unless that one is new and the lot is against it."""
        member = self._inner.pick(metadata)
        now = self._clock()
        if now >= self._until:
            return member
        full = self._share(self._oldest_at, now)
        for _ in range(_TRIES):
            if self._random.random() * full < self._share(member.ready_at, now):
                return member
            member = self._inner.pick(metadata)
        return member

    def _share(self, ready_at: float, now: float) -> float:
        return min(1.0, max(_LEAST_SHARE, (now - ready_at) / self._window_s))

    def advance(self, members: tuple[MemberT, ...]) -> SlowStart[MemberT]:
        """The other policy goes on."""
        return SlowStart(self._inner.advance(members), self._window_s, self._clock, self._random)


def make_picker(
    policy: str | Policy,
    *,
    hash_key: str | None,
    slow_start_s: float,
    clock: Callable[[], float],
    rng: random.Random,
) -> Picker[Any]:
    """A picker without members, for options that were checked."""
    picker: Picker[Any]
    if not isinstance(policy, str):
        picker = OwnPolicy((), policy)
    elif policy == "consistent_hash":
        picker = ConsistentHash((), str(hash_key), rng)
    elif policy == "round_robin":
        picker = RoundRobin(())
    else:
        makers: dict[str, Callable[[tuple[Any, ...], random.Random], Picker[Any]]] = {
            "least_outstanding": LeastOutstanding, "power_of_two": PowerOfTwo, "random": RandomChoice,
        }  # fmt: skip
        picker = makers[policy]((), rng)
    return SlowStart(picker, slow_start_s, clock, rng) if slow_start_s > 0 else picker
