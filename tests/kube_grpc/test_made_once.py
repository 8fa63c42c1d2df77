"""Which calls are made once, whatever `retry` and `hedge` say: futures of threads, and streams."""

import asyncio
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from scripted import KINDS, SERVICE, Server

from kube_grpc import Hedge, Retry, hooks
from kube_grpc.aio import Channel as AioChannel
from kube_grpc.aio.pool import AioPool
from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

TARGET = Target("greeter", "shop", 50051)
FAILING = {"timeout": 20, "metadata": (("script", "abort"),)}
AGAIN = {
    "retry": Retry(attempts=3, codes=frozenset({grpc.StatusCode.FAILED_PRECONDITION}), backoff_s=0),
    "hedge": Hedge(after_s=10),
}


class Counting(Server):
    """Counts its calls."""

    calls = 0

    def _begin(self, requests: Any, context: Any) -> str:
        self.calls += 1
        return super()._begin(requests, context)


@pytest.fixture
def server(make_address: Callable[[], str]) -> Iterator[Counting]:
    """A pod whose calls fail."""
    started = Counting(make_address())
    yield started
    started.stop()


def only(server: Counting) -> EndpointSet:
    return EndpointSet((Endpoint(server.address, 50051),), slices=1)


def method(channel: Any, kind: str) -> Any:
    return getattr(channel, KINDS[kind])(f"/{SERVICE}/{kind}")


@pytest.mark.parametrize(("how", "calls"), [("blocking", 3), ("future", 1), ("us", 1), ("su", 1), ("ss", 1)])
def test_with_threads(how: str, calls: int, server: Counting, log: Any) -> None:
    """A blocking unary-unary call is made three times (the control), all others once."""
    begin: dict[str, Callable[[Any], Any]] = {
        "blocking": lambda channel: method(channel, "uu")(b"x", **FAILING),
        "future": lambda channel: method(channel, "uu").future(b"x", **FAILING).result(),
        "us": lambda channel: list(method(channel, "us")(b"x", **FAILING)),
        "su": lambda channel: method(channel, "su")(iter([b"x"]), **FAILING),
        "ss": lambda channel: list(method(channel, "ss")(iter([b"x"]), **FAILING)),
    }
    pool = Pool(TARGET, Options(hook=log, **AGAIN), rng=random.Random(1))  # type: ignore[arg-type]
    with Channel.over(SimpleNamespace(pool=pool), pool.close) as channel:  # type: ignore[arg-type]
        pool.found(only(server))
        log.wait_for(hooks.MemberReady)
        with pytest.raises(grpc.RpcError):
            begin[how](channel)

    assert server.calls == calls


@pytest.mark.parametrize(("kind", "calls"), [("uu", 3), ("us", 1), ("su", 1), ("ss", 1)])
def test_with_asyncio(kind: str, calls: int, server: Counting) -> None:
    """As with threads; there every unary-unary call is one that is made again."""

    async def work() -> None:
        options = Options(**AGAIN)  # type: ignore[arg-type]
        pool = AioPool(TARGET, options, rng=random.Random(1))
        async with AioChannel.over(pool, options) as channel, asyncio.timeout(30):
            pool.found(only(server))
            await channel.channel_ready()
            request = b"x" if kind in ("uu", "us") else iter([b"x"])
            call = method(channel, kind)(request, **FAILING)
            assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION

    asyncio.run(work())

    assert server.calls == calls
