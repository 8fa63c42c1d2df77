"""Pickers: exactness of round robin across updates, evenness of random, and threads."""

import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_grpc.endpoints import Key
from kube_grpc.picker import RandomChoice, RoundRobin


@dataclass(frozen=True)
class AMember:
    key: Key


def members(*numbers: int) -> tuple[AMember, ...]:
    return tuple(AMember(("10.0.0.1", number)) for number in sorted(numbers))


SETS = st.sets(st.integers(1, 12), min_size=1, max_size=8)
HISTORY = st.lists(st.tuples(SETS, st.integers(0, 20)), min_size=1, max_size=10)


def play(history: list[tuple[set[int], int]], advance: Any) -> tuple[Counter[AMember], set[AMember]]:
    """Picks so often from each set in turn; how often each was picked, and who was there all the time."""
    counts: Counter[AMember] = Counter()
    picker: Any = RoundRobin(())
    for numbers, picks in history:
        picker = advance(picker, members(*numbers))
        counts.update(picker.pick() for _ in range(picks))
    return counts, set.intersection(*(set(members(*numbers)) for numbers, _ in history))


def spread(counts: Counter[AMember], steady: set[AMember]) -> int:
    return max((counts[item] for item in steady), default=0) - min(
        (counts[item] for item in steady), default=0
    )


@given(SETS, st.integers(0, 100))
def test_round_robin_is_exact(numbers: set[int], picks: int) -> None:
    """After any number of calls, the counts differ by at most one."""
    counts, steady = play([(numbers, picks)], RoundRobin.advance)

    assert steady == set(members(*numbers))
    assert spread(counts, steady) <= 1


@given(HISTORY)
def test_updates_favour_nobody(history: list[tuple[set[int], int]]) -> None:
    """However often others come and go, the counts of those that were there all the time differ by at most
    one.
    """
    counts, steady = play(history, RoundRobin.advance)

    assert spread(counts, steady) <= 1


def test_a_picker_that_starts_anew_at_each_update_is_found_out() -> None:
    """Negative control: beginning with the first member after each update favours the first one."""
    history = [({1, 2, 3 + number % 2}, 1) for number in range(10)]

    counts, steady = play(history, lambda _, new: RoundRobin(new))

    assert spread(counts, steady) > 1


def test_a_picker_keeps_its_members() -> None:
    """A snapshot in use by a call is not changed by an update."""
    old = RoundRobin(members(1, 2))

    new = old.advance(members(2, 3))

    assert (old.members, new.members) == (members(1, 2), members(2, 3))


def test_many_threads_share_one_picker() -> None:
    """Round robin is exact also when the calls come from many threads at once."""
    picker = RoundRobin(members(1, 2, 3, 4))
    counts: list[Counter[AMember]] = []
    ready = threading.Barrier(8)

    def pick() -> None:
        ready.wait()
        counts.append(Counter(picker.pick() for _ in range(501)))

    threads = [threading.Thread(target=pick) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    total = sum(counts, Counter())
    assert sorted(total.values()) == [1002, 1002, 1002, 1002]


@given(st.integers(0, 2**32), SETS)
def test_random_picks_any_member_and_only_members(seed: int, numbers: set[int]) -> None:
    """With enough calls every member is picked (the chance of missing one of eight is below 1e-10)."""
    picker = RandomChoice(members(), random.Random(seed)).advance(members(*numbers))

    assert {picker.pick() for _ in range(200)} == set(members(*numbers))


def test_random_is_even() -> None:
    """Each of four members gets its quarter of 40 000 calls within five standard deviations (87 each)."""
    picker = RandomChoice(members(1, 2, 3, 4), random.Random(7))

    counts = Counter(picker.pick() for _ in range(40_000))

    assert all(abs(count - 10_000) < 5 * 87 for count in counts.values())


@pytest.mark.parametrize("picker", [RoundRobin(members(1)), RandomChoice(members(1), random.Random(1))])
def test_nobody_left_and_back_again(picker: Any) -> None:
    """An update to nobody and back works: the pool never asks an empty picker, but it advances one."""
    assert picker.advance(()).advance(members(2)).pick() == members(2)[0]
