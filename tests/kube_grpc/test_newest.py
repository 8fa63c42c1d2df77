"""Sets of endpoints that come faster than a pool takes them: one step to the newest, and none is lost."""

import asyncio
import random
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from kube_grpc import hooks
from kube_grpc.aio.pool import AioPool
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.newest import Newest
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

WAIT_S = 30.0
TARGET = Target("greeter", "shop", 50051)
NOBODY = [Endpoint(f"127.0.0.{number}", 1) for number in range(1, 4)]  # nothing listens on that port


def a_set(*endpoints: Endpoint) -> EndpointSet:
    return EndpointSet(endpoints, slices=1)


class Taking(Newest):
    """Takes what is put, whenever `work` is called, and keeps it."""

    def __init__(self) -> None:
        super().__init__(self.keep)
        self.told: list[Callable[[], None]] = []
        self.taken: list[int] = []
        self.while_taking: Callable[[], None] = lambda: None

    def say(self, number: int) -> None:
        self.put(EndpointSet(slices=number), self.told.append)

    def keep(self, wanted: EndpointSet) -> None:
        self.taken.append(wanted.slices)
        self.while_taking()

    def work(self) -> None:
        while self.told:
            self.told.pop(0)()


class Careless(Taking):
    """As it must not be: nobody is on the way only once the set was taken."""

    def _deliver(self) -> None:
        self._take(self._wanted)
        self._is_told = False


def put_while_taking(newest: Taking) -> list[int]:
    newest.while_taking = lambda: newest.say(2) if newest.taken == [1] else None
    newest.say(1)
    newest.work()
    return newest.taken


def test_one_that_waits_is_passed_by_when_the_next_comes() -> None:
    """Of three sets that come at once the last is taken, in one step; the next one is told of again."""
    newest = Taking()
    for number in (1, 2, 3):
        newest.say(number)
    assert len(newest.told) == 1

    newest.work()
    newest.say(4)
    newest.work()

    assert newest.taken == [3, 4]


def test_a_set_that_comes_while_another_is_taken() -> None:
    """It is taken next."""
    assert put_while_taking(Taking()) == [1, 2]


def test_a_taker_that_is_careless_is_found_out() -> None:
    """Negative control: one that clears its mark too late loses that set."""
    assert put_while_taking(Careless()) == [1]


def test_threads_at_full_speed_lose_nothing() -> None:
    """What is taken is in the order in which it was put, and the last is always among it."""
    inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    newest = Taking()

    def take() -> None:
        while (note := inbox.get()) is not None:
            note()

    for last in range(100, 3100, 100):
        taker = threading.Thread(target=take)
        taker.start()
        for number in range(last - 99, last + 1):
            newest.put(EndpointSet(slices=number), inbox.put)
        inbox.put(None)
        taker.join(WAIT_S)
        assert newest.taken[-1] == last
    assert newest.taken == sorted(newest.taken)


def added(events: list[Any]) -> list[str]:
    return [item.peer for item in events if isinstance(item, hooks.MemberAdded)]


def test_a_busy_pool_catches_up_in_one_step() -> None:
    """While a pool's thread is held up, three sets come: of a pod that came and went meanwhile nothing is opened, and
    one that is not in the last set is gone.
    """
    events: list[Any] = []
    is_held, may_go = threading.Event(), threading.Event()

    def hook(event: Any) -> None:
        events.append(event)
        is_held.set()
        may_go.wait(WAIT_S)

    one, two, three = NOBODY
    pool = Pool(TARGET, Options(hook=hook), rng=random.Random(1))
    pool.found(a_set(one))
    assert is_held.wait(WAIT_S)
    for wanted in (a_set(one, two), a_set(two), a_set(three)):
        pool.found(wanted)
    may_go.set()
    with pool._changed:
        assert pool._changed.wait_for(lambda: [item.endpoint for item in pool.members] == [three], WAIT_S)
    pool.close()

    assert added(events) == [one.uri, three.uri]
    assert [item.peer for item in events if isinstance(item, hooks.MemberRemoved)] == [one.uri]


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_busy_event_loop_catches_up_in_one_step(is_at_once: bool) -> None:
    """As with threads; and sets that come one by one are taken one by one."""
    events: list[Any] = []

    async def main() -> None:
        pool = AioPool(TARGET, Options(hook=events.append), rng=random.Random(1))
        for endpoint in NOBODY:
            pool.found(a_set(endpoint))
            if not is_at_once:
                async with asyncio.timeout(WAIT_S):
                    await pool.wait_for_change()
        while [item.endpoint for item in pool.snapshot.members] != NOBODY[-1:]:
            async with asyncio.timeout(WAIT_S):
                await pool.wait_for_change()
        await pool.close(None)

    asyncio.run(main())

    assert added(events) == [item.uri for item in (NOBODY[-1:] if is_at_once else NOBODY)]


def test_a_pool_of_asyncio_looks_once_for_all_that_are_new() -> None:
    """Connections of two hundred members are begun by one look at all of them, not by two hundred."""
    looks = 0

    async def main() -> None:
        nonlocal looks
        pool = AioPool(TARGET, Options(), rng=random.Random(1))
        look = pool._roster.look

        def count() -> float:
            nonlocal looks
            looks += 1
            return look()

        pool._roster.look = count  # type: ignore[method-assign]
        pool.found(a_set(*(Endpoint(f"127.0.1.{number}", 1) for number in range(200))))
        await pool.wait_for_change()  # By the look.
        await pool.close(None)

    asyncio.run(main())

    assert looks == 1
