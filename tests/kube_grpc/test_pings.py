"""Pings that hang, or whose member leaves meanwhile: what becomes of the others."""

import asyncio
import random
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from kube_grpc.aio.channel import Channel
from kube_grpc.aio.pool import AioPool
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.member import Connectivity, Member
from kube_grpc.options import Options
from kube_grpc.pings import Pinger
from kube_grpc.target import Target

SAY = "/test.Echo/Say"
WAIT_S = 30.0


class Results:
    """What a pinger reports, to be waited for."""

    def __init__(self) -> None:
        self.of: dict[Member, list[str | None]] = {}
        self.changed = threading.Condition()

    def __call__(self, member: Member, error: str | None) -> None:
        with self.changed:
            self.of.setdefault(member, []).append(error)
            self.changed.notify_all()

    def wait_until(self, predicate: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(predicate, WAIT_S), self.of

    def rounds_of(self, member: Member) -> int:
        return len(self.of.get(member, ()))


@pytest.fixture
def make_members() -> Any:
    """Makes members that were not connected to, and tells who is asked by the channel that a ping gets."""
    made: list[Member] = []

    def make(count: int) -> list[Member]:
        for number in range(1, count + 1):
            endpoint = Endpoint(f"127.0.0.{number}", 1)
            member = Member(endpoint, grpc.insecure_channel(endpoint.uri), lambda _: None)
            member.state = Connectivity.READY
            made.append(member)
        return made

    yield make
    for member in made:
        member.channel.close()


def begin(members: list[Member], hangs: Callable[[Member], bool]) -> Any:
    """A running pinger whose ping of some members hangs until `gate` opens."""
    gate, results = threading.Event(), Results()

    class Hanging(Pinger):
        def _ping_one(self, member: Member) -> str | None:
            if hangs(member):
                gate.wait(WAIT_S)
            return None

    pinger = Hanging(lambda: tuple(members), lambda _: None, results, interval_s=0.02)
    thread = threading.Thread(target=pinger.run)
    thread.start()

    def end() -> None:
        pinger.stop()
        gate.set()
        thread.join(WAIT_S)

    return results, end


def ping_threads() -> int:
    return sum(thread.name.startswith("kube-grpc ping") for thread in threading.enumerate())


def test_a_ping_that_hangs_for_ever_holds_up_nobody_else(make_members: Any) -> None:
    """It is reported once and holds one thread; more rounds than there are threads later, the others are well."""
    hanging, sound = members = make_members(2)
    results, end = begin(members, lambda member: member is hanging)

    results.wait_until(lambda: results.rounds_of(sound) >= 40)

    assert results.of[hanging] == ["no answer within 0.04 s"]
    assert set(results.of[sound]) == {None}
    assert ping_threads() <= 3
    end()


def test_who_was_not_asked_for_want_of_a_turn_is_not_blamed(make_members: Any) -> None:
    """Where as many pings hang as there are threads, nothing is said of those behind them."""
    members = make_members(34)
    results, end = begin(members, lambda member: member in members[:32])

    results.wait_until(lambda: all(results.rounds_of(member) for member in members[:32]))

    assert [results.of.get(member) for member in members[32:]] == [None, None]
    end()


def test_an_aio_member_that_leaves_while_it_is_pinged(make_backend: Any) -> None:
    """Its connection is closed and its ping cancelled with it; the others go on to be asked."""
    leaving, staying = make_backend("leaving"), make_backend("staying")
    asked: list[Any] = []

    async def ping(channel: Any) -> None:
        asked.append(channel)
        await channel.unary_unary(SAY)(b"hold")

    async def work() -> None:
        options = Options(ping=ping, ping_interval_s=0.2)
        pool = AioPool(Target("greeter", "shop", 50051), options, rng=random.Random(1))
        async with Channel.over(pool, options) as channel, asyncio.timeout(WAIT_S):
            pool.found(EndpointSet((leaving.endpoint,)))
            await channel.channel_ready()
            await asyncio.to_thread(leaving.wait_until, lambda: leaving.held)
            pool.found(EndpointSet((staying.endpoint,)))
            await asyncio.to_thread(staying.wait_until, lambda: staying.held)

    asyncio.run(work())
