"""Policies: who gets the next call, against plain models; and time and load as they come in."""

import itertools
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_grpc.endpoints import Key
from kube_grpc.picker import RoundRobin
from kube_grpc.policies import (
    ConsistentHash,
    LeastOutstanding,
    OwnPolicy,
    PowerOfTwo,
    SlowStart,
    make_picker,
)

KEY = "user"


@dataclass(eq=False)
class AMember:
    key: Key
    ready_at: float = 0.0
    in_flight: deque[None] = field(default_factory=deque)


def members(*numbers: int, ready_at: float = 0.0) -> tuple[AMember, ...]:
    return tuple(AMember(("10.0.0.1", number), ready_at) for number in sorted(numbers))


def busy(*counts: int) -> tuple[AMember, ...]:
    """Members with so many calls in flight."""
    made = members(*range(len(counts)))
    for member, count in zip(made, counts, strict=True):
        member.in_flight.extend([None] * count)
    return made


COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=16)
SETS = st.sets(st.integers(1, 40), min_size=1, max_size=12)
VALUES = st.lists(st.one_of(st.text(max_size=8), st.binary(max_size=8)), max_size=30)


@given(COUNTS, st.integers(0, 2**32))
def test_least_outstanding_picks_the_least(counts: list[int], seed: int) -> None:
    """Up to sixteen members nobody is less busy than the one that is picked."""
    picked = LeastOutstanding(busy(*counts), random.Random(seed)).pick()

    assert len(picked.in_flight) == min(counts)


def test_least_outstanding_shares_among_equals() -> None:
    """With nothing in flight anywhere each of four gets its quarter, within five standard deviations."""
    picker = LeastOutstanding(busy(0, 0, 0, 0), random.Random(3))

    counts = Counter(picker.pick().key for _ in range(40_000))

    assert all(abs(count - 10_000) < 5 * 87 for count in counts.values())


@given(st.lists(st.integers(0, 6), min_size=17, max_size=60), st.integers(0, 2**32))
def test_least_outstanding_of_many_picks_the_least_of_sixteen(counts: list[int], seed: int) -> None:
    """Of sixteen by lot it is the first of those with the fewest calls."""
    made, lot = busy(*counts), random.Random(seed)
    looked_at = [made[int(lot.random() * len(made))] for _ in range(16)]

    picked = LeastOutstanding(made, random.Random(seed)).pick()

    assert picked is min(looked_at, key=lambda item: len(item.in_flight))


def test_least_outstanding_of_many_avoids_the_busy() -> None:
    """Of a hundred members of which half are busy, hardly a call goes to a busy one: sixteen by lot were all busy."""
    picker = LeastOutstanding(busy(*([0] * 50 + [5] * 50)), random.Random(3))

    assert sum(len(picker.pick().in_flight) > 0 for _ in range(10_000)) < 10


@given(COUNTS, st.integers(0, 2**32))
def test_power_of_two_never_picks_the_busiest_alone(counts: list[int], seed: int) -> None:
    """A member that is busier than all others is picked only if it is the only one."""
    made = busy(*counts, max(counts) + 1)
    picker = PowerOfTwo(made, random.Random(seed))

    assert all(picker.pick() is not made[-1] for _ in range(20))


def test_power_of_two_compares_two_different_members() -> None:
    """Of two members, one of them busy, the other gets every call; of one, that one does."""
    made = busy(1, 0)
    picker = PowerOfTwo(made, random.Random(5))

    assert {picker.pick() for _ in range(100)} == {made[1]}
    assert picker.advance(made[:1]).pick() is made[0]


def own(value: Any) -> list[tuple[str, Any]]:
    return [("other", "x"), (KEY, value)]


@given(SETS, VALUES, st.integers(0, 2**32))
def test_equal_values_go_to_one_member(numbers: set[int], values: list[Any], seed: int) -> None:
    """In every process: whatever the seed, and whether the value is text or bytes."""
    one = ConsistentHash(members(*numbers), KEY, random.Random(seed))
    other = ConsistentHash(members(*numbers), KEY, random.Random())

    for value in values:
        encoded = value if isinstance(value, bytes) else value.encode()
        assert one.pick(own(value)).key == other.pick(own(encoded)).key


@given(SETS, SETS, VALUES)
def test_only_those_move_whose_member_left_or_came(
    before: set[int], after: set[int], values: list[Any]
) -> None:
    """A value stays with its member unless that one left, or moves to a member that came; and a ring that was changed
    is the same as one that was made anew.
    """
    old = ConsistentHash(members(*before), KEY, random.Random())
    new = old.advance(members(*after))
    fresh = ConsistentHash(members(*after), KEY, random.Random())

    for value in values:
        was, now = old.pick(own(value)).key[1], new.pick(own(value)).key[1]
        assert now == was or was not in after or now not in before
        assert now == fresh.pick(own(value)).key[1]


def test_values_spread_over_the_members() -> None:
    """10 000 values over ten members: each has between half and twice its share."""
    picker = ConsistentHash(members(*range(10)), KEY, random.Random())

    counts = Counter(picker.pick(own(str(number))).key for number in range(10_000))

    assert all(500 < count < 2_000 for count in counts.values())


def test_without_the_key_the_lot_decides() -> None:
    """Calls without it, or without metadata, reach everybody."""
    picker = ConsistentHash(members(1, 2), KEY, random.Random(1))

    assert {picker.pick(None).key[1] for _ in range(50)} == {1, 2}
    assert {picker.pick([("other", "x")]).key[1] for _ in range(50)} == {1, 2}


def test_an_own_policy_gets_the_members_and_the_metadata() -> None:
    """One method decides, and may keep what it likes from call to call."""

    class Last:
        def pick(self, members: Any, metadata: Any) -> Any:
            return members[-1] if metadata == "last" else members[0]

    picker = OwnPolicy((), Last()).advance(members(1, 2, 3))

    assert picker.pick("last").key[1] == 3  # type: ignore[arg-type]
    assert picker.pick().key[1] == 1


def share_of_the_new(age_s: float, *, is_all_new: bool = False) -> float:
    """The share of a member of that age beside two that are old, with a window of 10 s."""
    now = 100.0
    made = (
        *members(1, 2, ready_at=now - age_s if is_all_new else 0.0),
        *members(3, ready_at=now - age_s),
    )
    picker = SlowStart(RoundRobin(made), 10.0, lambda: now, random.Random(9))
    return Counter(picker.pick().key[1] for _ in range(30_000))[3] / 30_000


def test_a_new_member_gets_more_and_more() -> None:
    """Its share grows with its age up to the full third."""
    shares = [share_of_the_new(age_s) for age_s in (0.0, 2.5, 5.0, 7.5, 10.0)]

    assert all(before < after for before, after in itertools.pairwise(shares))
    assert 0.01 < shares[0] < 0.08
    assert abs(shares[-1] - 1 / 3) < 0.001


def test_where_all_are_new_all_have_the_same_share() -> None:
    """A whole new set is not slowed down."""
    assert abs(share_of_the_new(0.0, is_all_new=True) - 1 / 3) < 0.001


@pytest.mark.parametrize(
    "policy", ["least_outstanding", "power_of_two", "random", "round_robin", "consistent_hash"]
)
@pytest.mark.parametrize("slow_start_s", [0.0, 5.0])
def test_every_policy_survives_having_nobody(policy: str, slow_start_s: float) -> None:
    """An update to nobody and back works."""
    if policy == "consistent_hash" and slow_start_s:
        pytest.skip("the two do not go together")
    picker = make_picker(
        policy,
        hash_key=KEY if policy == "consistent_hash" else None,
        slow_start_s=slow_start_s,
        clock=time.monotonic,
        rng=random.Random(1),
    )
    there = members(2)

    assert picker.advance(there).advance(()).advance(there).pick(None) is there[0]
