"""Ejection and retries: what is decided, and what calls on real servers get of it."""

import asyncio
import random
from collections.abc import Callable, Iterator
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from kube_grpc import Ejection, OptionError, Retry, hooks
from kube_grpc.aio import Channel as AioChannel
from kube_grpc.aio.pool import AioPool
from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.retries import Budget
from kube_grpc.target import Target

SAY, COUNT, JOIN = (f"/test.Echo/{name}" for name in ("Say", "Count", "Join"))
TARGET = Target("greeter", "shop", 50051)
PORT = 50051
Open = Callable[..., Any]


@pytest.fixture
def open_channel(log: Any) -> Iterator[Open]:
    """Opens a channel over a pool that is told these servers, and connected to them."""
    opened: list[Channel] = []

    def begin(*servers: Any, **options: Any) -> Any:
        pool = Pool(TARGET, Options(hook=log, **options), rng=random.Random(1))
        channel = Channel.over(SimpleNamespace(pool=pool), pool.close)  # type: ignore[arg-type]
        opened.append(channel)
        pool.found(listing(*servers))
        log.wait_for(hooks.MemberReady, len(servers))
        return channel

    yield begin
    for channel in opened:
        channel.close()


class HealthServer:
    """A server with gRPC's health service."""

    def __init__(self, address: str) -> None:
        self.endpoint = Endpoint(address, PORT, pod="healthy")
        self._health = health.HealthServicer()
        self._executor = futures.ThreadPoolExecutor(8)
        self._server = grpc.server(self._executor, options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: b"healthy:" + request)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_insecure_port(f"{self.endpoint.address}:{PORT}")
        self.set_serving(is_serving=True)
        self._server.start()

    def set_serving(self, *, is_serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        self._health.set("greeter", status.SERVING if is_serving else status.NOT_SERVING)

    def stop(self) -> None:
        self._health.enter_graceful_shutdown()
        self._server.stop(0).wait()
        self._executor.shutdown()


@pytest.fixture
def health_server(make_address: Callable[[], str]) -> Iterator[Callable[[], HealthServer]]:
    """Starts servers with a health service; all are stopped afterwards."""
    started: list[HealthServer] = []

    def make() -> HealthServer:
        started.append(HealthServer(make_address()))
        return started[-1]

    yield make
    for server in started:
        server.stop()


def listing(*servers: Any) -> EndpointSet:
    return EndpointSet(
        tuple(sorted((item.endpoint for item in servers), key=lambda item: item.key)), slices=1
    )


def say(channel: Any, request: bytes) -> str:
    """The answer's server, or the code that it failed with."""
    try:
        answer: bytes = channel.unary_unary(SAY)(request, timeout=10)
    except grpc.RpcError as error:
        return str(error.code().name)  # type: ignore[attr-defined]
    return answer.decode()


def test_a_member_that_fails_calls_is_left_out_and_comes_back(
    open_channel: Open, make_backend: Any, log: Any
) -> None:
    """After so many failures in a row it gets no calls; when its time is over it gets some again."""
    channel = open_channel(*(make_backend(name) for name in "ab"), ejection=Ejection(errors=3, base_s=0.2))
    assert {say(channel, b"fail") for _ in range(6)} == {"UNAVAILABLE"}

    (unready,) = log.wait_for(hooks.MemberUnready)
    assert "3 calls in a row failed" in unready.reason
    left = next(view for view in channel.members() if view.is_serving)
    assert {say(channel, b"x")[0] for _ in range(4)} == {"a" if left.pod == "a" else "b"}

    log.wait_for(hooks.MemberReady, 3)
    assert {say(channel, b"x")[0] for _ in range(4)} == {"a", "b"}


@pytest.mark.parametrize("kind", ["blocking", "future", "stream"])
def test_calls_of_other_kinds_count_too(kind: str, open_channel: Open, make_process: Any, log: Any) -> None:
    """Streams and futures that fail speak against a member as unary-unary calls do."""
    server = make_process("a")
    channel = open_channel(server, ejection=Ejection(errors=1, share=1.0))
    server.kill()
    begin = {
        "blocking": lambda: channel.stream_unary(JOIN)(iter([b"x"]), timeout=10),
        "future": lambda: channel.stream_unary(JOIN).future(iter([b"x"]), timeout=10).result(),
        "stream": lambda: list(channel.unary_stream(COUNT)(b"x", timeout=10)),
    }[kind]
    pool = channel._pool
    (member,) = pool.members
    assert member.ejections == 0

    with pytest.raises(grpc.RpcError):
        begin()

    with pool._changed:
        assert pool._changed.wait_for(lambda: member.ejections == 1, 30)


@pytest.mark.parametrize("kind", ["stream_unary", "unary_stream"])
def test_asyncio_calls_of_other_kinds_count_too(kind: str, make_process: Any) -> None:
    """As with threads."""
    server = make_process("a")

    async def work() -> None:
        options = Options(ejection=Ejection(errors=1, share=1.0))
        pool = AioPool(TARGET, options, rng=random.Random(1))
        async with AioChannel.over(pool, options) as channel, asyncio.timeout(30):
            pool.found(listing(server))
            await channel.channel_ready()
            (member,) = pool.snapshot.members
            server.kill()
            begin = {
                "stream_unary": lambda: channel.stream_unary(JOIN)(iter([b"x"])),
                "unary_stream": lambda: channel.unary_stream(COUNT)(b"x").read(),
            }[kind]
            with pytest.raises(grpc.aio.AioRpcError):
                await begin()
            while member.ejections == 0:
                await pool.wait_for_change()

    asyncio.run(work())


def test_without_ejection_everybody_stays(open_channel: Open, make_backend: Any) -> None:
    """Negative control: the same failures leave both members in."""
    channel = open_channel(*(make_backend(name) for name in "ab"))
    for _ in range(10):
        say(channel, b"fail")

    assert {say(channel, b"x")[0] for _ in range(4)} == {"a", "b"}


def test_a_success_in_between_starts_the_count_anew(open_channel: Open, make_backend: Any) -> None:
    """Only failures in a row count."""
    channel = open_channel(make_backend("a"), make_backend("b"), ejection=Ejection(errors=3))
    for _ in range(5):
        for request in (b"fail", b"fail", b"fail", b"fail", b"x", b"x"):
            say(channel, request)

    assert all(view.is_serving for view in channel.members())


@given(st.integers(0, 20), st.integers(0, 20), st.floats(0, 1))
def test_no_more_than_the_share_is_out(out: int, members: int, share: float) -> None:
    """However often it is asked: never more than that part of the members."""
    rule = Ejection(share=share)
    while rule.may_eject(out=out, members=members):
        out += 1
        assert out <= share * members


def test_ejections_last_longer_and_longer() -> None:
    """The time doubles up to the longest."""
    rule = Ejection(base_s=1, most_s=10)

    assert [rule.duration_s(times) for times in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        (lambda: Ejection(errors=0), "errors: 1 or more"),
        (lambda: Ejection(base_s=0), "base_s: seconds, more than 0"),
        (lambda: Ejection(base_s=10, most_s=5), "most_s: seconds, not less than base_s"),
        (lambda: Ejection(share=2), "share: 0 to 1"),
        (lambda: Retry(attempts=1), "attempts: 2 or more"),
        (lambda: Retry(codes=frozenset()), "codes: one or more, not OK"),
        (lambda: Retry(backoff_s=-1), "backoff_s: seconds, 0 or more"),
        (lambda: Retry(most_backoff_s=0), "most_backoff_s: not less than backoff_s"),
        (lambda: Retry(budget=0), "budget: more than 0, at most 1"),
    ],
)
def test_values_that_mean_nothing(make: Callable[[], object], allowed: str) -> None:
    """A refusal says what is allowed."""
    with pytest.raises(OptionError) as caught:
        make()

    assert allowed in str(caught.value).splitlines()[1]


def test_a_failed_call_is_made_again_where_that_is_asked_for(open_channel: Open, make_backend: Any) -> None:
    """A server's own UNAVAILABLE is repeated only with `retry`, on another member, as often as it says."""
    servers = [make_backend(name) for name in "abc"]
    plain, again = open_channel(*servers), open_channel(*servers, retry=Retry(attempts=3, backoff_s=0))

    assert say(plain, b"fail") == "UNAVAILABLE"
    seen = sum(len(item.metadata) for item in servers)
    assert seen == 1
    assert say(again, b"fail") == "UNAVAILABLE"
    assert sum(len(item.metadata) for item in servers) - seen == 3
    assert max(len(item.metadata) for item in servers) <= 2


def test_the_budget_bounds_retries(open_channel: Open, make_backend: Any) -> None:
    """When every call fails, retries end at what was saved up and a share of the calls."""
    server = make_backend("a")
    channel = open_channel(server, retry=Retry(attempts=2, backoff_s=0, budget=0.1))
    for _ in range(50):
        say(channel, b"fail")

    assert 50 + 10 <= len(server.metadata) <= 50 + 10 + 5


def test_retries_end_with_the_deadline(open_channel: Open, make_backend: Any) -> None:
    """A pause that does not fit into the time that is left is not made: the failure is told at once."""
    server = make_backend("a")
    channel = open_channel(server, retry=Retry(backoff_s=3600, most_backoff_s=3600))

    assert say(channel, b"fail") == "UNAVAILABLE"
    assert len(server.metadata) == 1


@given(st.floats(0.01, 1), st.lists(st.booleans(), max_size=200))
def test_a_budget_spends_what_it_earned(income: float, steps: list[bool]) -> None:
    """Never more than what it began with and its income."""
    budget, calls, spent = Budget(income), 0, 0
    for is_call in steps:
        if is_call:
            budget.earn()
            calls += 1
        else:
            spent += budget.spend()

    assert spent <= Budget.MOST + calls * income


@given(st.integers(1, 100), st.floats(0, 1))
def test_pauses_grow_up_to_the_longest(retry: int, lot: float) -> None:
    """Half to all of the doubled pause, never longer than the longest."""
    pause = Retry(backoff_s=0.1, most_backoff_s=1.0).delay_s(retry, lot)

    full = min(1.0, 0.1 * 2.0 ** (retry - 1))
    assert full / 2 <= pause <= full


def test_asyncio_calls_are_judged_and_made_again_alike(make_backend: Any) -> None:
    """Ejection and retries hold for kube_grpc.aio: a failing member is left out, a failed call is repeated."""
    servers = [make_backend(name) for name in "ab"]

    async def work() -> None:
        options = Options(ejection=Ejection(errors=2), retry=Retry(attempts=2, backoff_s=0))
        pool = AioPool(TARGET, options, rng=random.Random(1))
        async with AioChannel.over(pool, options) as channel, asyncio.timeout(30):
            pool.found(listing(*servers))
            while len([view for view in channel.members() if view.is_serving]) < 2:
                await pool.wait_for_change()
            call = channel.unary_unary(SAY)
            for _ in range(2):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(b"fail")
            assert sum(len(item.metadata) for item in servers) == 4
            assert sum(view.is_serving for view in channel.members()) == 1
            answers = {(await call(b"x"))[:1] for _ in range(4)}
            assert len(answers) == 1

    asyncio.run(work())


def test_a_member_whose_health_service_says_no_gets_no_calls(
    open_channel: Open, health_server: Any, log: Any
) -> None:
    """With `health_service`: NOT_SERVING takes a member out, SERVING brings it back; one without the service counts."""
    server = health_server()
    channel = open_channel(server, health_service="greeter")
    server.set_serving(is_serving=False)
    log.wait_for(hooks.MemberUnready)
    assert say(channel, b"x") == "UNAVAILABLE"

    server.set_serving(is_serving=True)
    log.wait_for(hooks.MemberReady, 2)
    assert say(channel, b"x") == "healthy:x"


def test_a_member_without_a_health_service_counts(open_channel: Open, make_backend: Any) -> None:
    """As gRPC has it: a server that does not know the method is taken for healthy."""
    assert say(open_channel(make_backend("a"), health_service=""), b"x") == "a:x"
