"""TLS and mutual TLS, call credentials, and what is said for one member alone; over threads and over asyncio."""

import asyncio
import random
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from kube_grpc import hooks
from kube_grpc.aio import Channel as AioChannel
from kube_grpc.aio.pool import AioPool
from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

SAY = "/test.Echo/Say"
WAIT_S = 20.0
TARGET = Target("greeter", "shop", 50051)
NAME = "greeter.shop.svc"
Ask = Callable[..., list[bytes]]


@pytest.fixture(params=["sync", "aio"])
def ask(request: pytest.FixtureRequest, log: Any) -> Ask:
    """Makes calls over a pool that is told these endpoints; the answers."""

    def told(servers: list[Any]) -> EndpointSet:
        return EndpointSet(
            tuple(sorted((each.endpoint for each in servers), key=lambda item: item.key)), slices=1
        )

    def by_threads(servers: list[Any], calls: int, options: Options, per_call: dict[str, Any]) -> list[bytes]:
        pool = Pool(TARGET, options, rng=random.Random(1))
        with Channel.over(SimpleNamespace(pool=pool), pool.close) as channel:  # type: ignore[arg-type]
            pool.found(told(servers))
            if calls > 1:
                log.wait_for(hooks.MemberReady, len(servers))
            return [channel.unary_unary(SAY)(b"x", timeout=WAIT_S, **per_call) for _ in range(calls)]

    def by_a_loop(servers: list[Any], calls: int, options: Options, per_call: dict[str, Any]) -> list[bytes]:
        async def work() -> list[bytes]:
            pool = AioPool(TARGET, options, rng=random.Random(1))
            async with AioChannel.over(pool, options) as channel:
                pool.found(told(servers))
                if calls > 1:
                    await asyncio.to_thread(log.wait_for, hooks.MemberReady, len(servers))
                say = channel.unary_unary(SAY)
                return [await say(b"x", timeout=WAIT_S, **per_call) for _ in range(calls)]

        return asyncio.run(work())

    def begin(
        *servers: Any, calls: int = 1, per_call: dict[str, Any] | None = None, **given: Any
    ) -> list[bytes]:
        by = by_threads if request.param == "sync" else by_a_loop
        return by(list(servers), calls, Options(hook=log, **given), {} if per_call is None else per_call)

    return begin


@pytest.fixture
def mutual(certificate: Any, make_backend: Any) -> Any:
    """A server that asks for a client's certificate, and the certificates of both."""
    key, chain = certificate(NAME)
    client_key, client_chain = certificate("client")
    asking = grpc.ssl_server_credentials([(key, chain)], client_chain, require_client_auth=True)
    return SimpleNamespace(
        server=make_backend("a", None, asking), chain=chain, client_key=client_key, client_chain=client_chain
    )


def test_mutual_tls(ask: Ask, mutual: Any) -> None:
    """A client that shows the certificate that the server asks for is answered."""
    shown = grpc.ssl_channel_credentials(mutual.chain, mutual.client_key, mutual.client_chain)

    assert ask(mutual.server, credentials=shown) == [b"a:x"]


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_mutual_tls_without_the_right_certificate(ask: Ask, mutual: Any, certificate: Any, who: str) -> None:
    """Negative control: with no certificate, or with one that the server does not trust, no call gets through."""
    pair = (None, None) if who == "nobody" else certificate("client")

    with pytest.raises(grpc.RpcError) as caught:
        ask(mutual.server, credentials=grpc.ssl_channel_credentials(mutual.chain, *pair))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_plaintext_to_a_server_with_tls(ask: Ask, mutual: Any) -> None:
    """Negative control: without credentials nothing is said in the clear that the server would take."""
    with pytest.raises(grpc.RpcError) as caught:
        ask(mutual.server)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class Token(grpc.AuthMetadataPlugin):
    """Call credentials that say for which Service they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, context: Any, callback: Any) -> None:
        with self.lock:
            self.asked.append(context.service_url)
        callback((("authorization", "Bearer secret"),), None)


@pytest.mark.parametrize("way", ["with the channel", "with the call"])
def test_call_credentials(ask: Ask, certificate: Any, make_backend: Any, way: str) -> None:
    """They are asked for in the Service's name, not a pod's address, and what they give arrives."""
    key, chain = certificate(NAME)
    servers = [make_backend(name, None, grpc.ssl_server_credentials([(key, chain)])) for name in "ab"]
    token = Token()
    calls = grpc.metadata_call_credentials(token)
    tls = grpc.ssl_channel_credentials(chain)
    if way == "with the channel":
        said = ask(*servers, calls=2, credentials=grpc.composite_channel_credentials(tls, calls))
    else:
        said = ask(*servers, calls=2, credentials=tls, per_call={"credentials": calls})

    assert sorted(said) == [b"a:x", b"b:x"]
    assert [each.metadata[0]["authorization"] for each in servers] == ["Bearer secret"] * 2
    assert set(token.asked) == {f"https://{NAME}:50051/test.Echo"}


def test_a_member_with_a_name_of_its_own(ask: Ask, certificate: Any, make_backend: Any) -> None:
    """Pods with a certificate each, as a StatefulSet has them: every member is checked against its own name."""
    pairs = {name: certificate(f"{name}.{NAME}") for name in "ab"}
    servers = [make_backend(name, None, grpc.ssl_server_credentials([pair])) for name, pair in pairs.items()]
    roots = grpc.ssl_channel_credentials(b"".join(chain for _, chain in pairs.values()))

    def name_of(endpoint: Endpoint) -> list[tuple[str, Any]]:
        return [("grpc.default_authority", f"{endpoint.pod}.{NAME}")]

    assert sorted(ask(*servers, calls=2, credentials=roots, per_member=name_of)) == [b"a:x", b"b:x"]


@pytest.mark.parametrize("wrong", ["says another name", "raises"])
def test_overrides_that_are_wrong_never_loosen_the_check(
    ask: Ask, certificate: Any, make_backend: Any, caplog: Any, wrong: str
) -> None:
    """A wrong name is refused; with a callable that raises the Service's name counts, and the log says so."""
    key, chain = certificate(f"a.{NAME}")
    server = make_backend("a", None, grpc.ssl_server_credentials([(key, chain)]))

    def per_member(endpoint: Endpoint) -> list[tuple[str, Any]]:
        if wrong == "raises":
            raise LookupError(endpoint.pod)
        return [("grpc.default_authority", f"other.{NAME}")]

    with pytest.raises(grpc.RpcError) as caught:
        ask(server, credentials=grpc.ssl_channel_credentials(chain), per_member=per_member)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ("option per_member failed" in caplog.text) is (wrong == "raises")
