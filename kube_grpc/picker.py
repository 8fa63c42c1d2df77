"""Which member gets the next call: snapshots of the members that serve, replaced whole.

Rule: a picker never changes its members. A new set makes a new picker out of the old one (`advance`), which
goes on where the old one stood, so that updates favour nobody: with round robin, the calls of members that
were there all the time differ by at most one, however often others came and went.

`pick` is on the path of every call: no lock, safe from any thread (`next` on an itertools.count is atomic).

Does not know connections, and draws no chance of its own: the generator comes in.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

from kube_grpc.endpoints import Key


class Keyed(Protocol):
    """A member: anything with a key to order it by."""

    @property
    def key(self) -> Key:
        """Unique in a pool."""
        ...


MemberT = TypeVar("MemberT", bound=Keyed)
# As a caller gives it: pairs, or None.
Metadata = Iterable[tuple[str, Any]] | None


class Picker(Protocol[MemberT]):
    """A policy."""

    @property
    def members(self) -> tuple[MemberT, ...]:
        """Who can be picked."""
        ...

    def pick(self, metadata: Metadata = None, /) -> MemberT:
        """The member for one call, whose metadata it may look at.

        IndexError or ZeroDivisionError on an empty picker: ask `members` first.
        """
        ...

    def advance(self, members: tuple[MemberT, ...]) -> Picker[MemberT]:
        """The same policy over other members, ordered by key."""
        ...


class RoundRobin(Generic[MemberT]):
    """Each in turn, in the order of keys."""

    __slots__ = ("_size", "_turn", "members")

    def __init__(self, members: tuple[MemberT, ...], *, start: int = 0) -> None:
        self.members = members
        self._size = len(members)
        self._turn = itertools.count(start)

    def pick(self, _metadata: Metadata = None) -> MemberT:
        """The next in turn."""
        return self.members[next(self._turn) % self._size]

    def advance(self, members: tuple[MemberT, ...]) -> RoundRobin[MemberT]:
        """Starts with the member whose turn it is, or with the one that follows it if that one is gone."""
        if not self.members or not members:
            return RoundRobin(members)
        due = self.members[next(self._turn) % self._size].key
        return RoundRobin(members, start=bisect_left([item.key for item in members], due))


class RandomChoice(Generic[MemberT]):
    """Each call by lot, as the original kube-grpc."""

    __slots__ = ("_random", "_size", "members")

    def __init__(self, members: tuple[MemberT, ...], rng: random.Random) -> None:
        self.members = members
        self._size = len(members)
        self._random = rng

    def pick(self, _metadata: Metadata = None) -> MemberT:
        """Any, equally likely, whatever was picked before."""
        return self.members[int(self._random.random() * self._size)]

    def advance(self, members: tuple[MemberT, ...]) -> RandomChoice[MemberT]:
        """There is nothing to carry over but the generator."""
        return RandomChoice(members, self._random)
