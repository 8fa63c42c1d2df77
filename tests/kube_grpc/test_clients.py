"""gRPC's own clients, which know nothing of this package, on its channels; and `aio.connect`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import kube_grpc
import kube_grpc.aio

TARGET = "greeter.shop:50051"
WAIT_S = 30.0


class EchoStub:
    """As generated stubs are."""

    def __init__(self, channel: Any) -> None:
        self.Say = channel.unary_unary("/test.Echo/Say")


class OtherStub(EchoStub):
    """Another class over the same methods."""


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S):
            await work()

    asyncio.run(bounded())


@pytest.fixture
def servant(make_address: Callable[[], str], api: Any) -> Iterator[None]:
    """A pod with gRPC's health and reflection services."""
    address = make_address()
    executor = futures.ThreadPoolExecutor(4)
    server = grpc.server(executor, options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("echo", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    server.add_insecure_port(f"{address}:50051")
    server.start()
    api.put("greeter-1", address)
    yield
    server.stop(0).wait()
    executor.shutdown()


def test_grpcs_reflection_and_health_clients(servant: None, kubeconfig: Path) -> None:
    """Both work on a kube_grpc.Channel unchanged, in calls of one answer and in streams."""
    with kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="echo")
        assert stub.Check(request, timeout=WAIT_S).status == health_pb2.HealthCheckResponse.SERVING
        watching = stub.Watch(request, timeout=WAIT_S)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()

        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert sorted(services) == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]


def test_grpcs_health_client_for_asyncio(servant: None, kubeconfig: Path) -> None:
    """The same stub over kube_grpc.aio.Channel."""

    async def work() -> None:
        async with kube_grpc.aio.Channel(TARGET, kubeconfig=str(kubeconfig)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="echo")
            answer = await stub.Check(request, timeout=WAIT_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            async for first in stub.Watch(request, timeout=WAIT_S):
                assert first.status == health_pb2.HealthCheckResponse.SERVING
                break

    run(work)


def test_readiness_by_grpcs_own_future(servant: None, kubeconfig: Path) -> None:
    """grpc.channel_ready_future is done once a member serves."""
    with kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig)) as channel:
        grpc.channel_ready_future(channel).result(WAIT_S)
        assert [item.is_serving for item in channel.members()] == [True]


def test_asyncio_stubs_share_a_channel(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """Stubs of one loop, target and options have one connection, which the last to be closed ends."""
    server = make_backend("a")
    api.put("greeter-1", server.address)

    async def work() -> None:
        def connect(stub_class: Any, **options: Any) -> Any:
            return kube_grpc.aio.connect(TARGET, stub_class, kubeconfig=str(kubeconfig), **options)

        one, other = connect(EchoStub), connect(OtherStub)
        alone = connect(EchoStub, policy="random")
        for stub in (one, other, alone):
            assert await stub.Say(b"x", timeout=WAIT_S) == b"a:x"
        assert api.count("list") == 2
        await kube_grpc.aio.close(one)
        await kube_grpc.aio.close(one)
        assert await other.Say(b"x", timeout=WAIT_S) == b"a:x"
        await kube_grpc.aio.close(other)
        with pytest.raises(grpc.aio.UsageError):
            await other.Say(b"x", timeout=WAIT_S)
        again = connect(EchoStub)
        assert await again.Say(b"x", timeout=WAIT_S) == b"a:x"
        await kube_grpc.aio.close_all()
        for stub in (alone, again):
            with pytest.raises(grpc.aio.UsageError):
                await stub.Say(b"x", timeout=WAIT_S)

    run(work)


def test_each_event_loop_has_its_own(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """A second loop never gets the first one's channel, which can not be used there."""
    api.put("greeter-1", make_backend("a").address)

    async def work() -> None:
        stub = kube_grpc.aio.connect(TARGET, EchoStub, kubeconfig=str(kubeconfig))
        assert await stub.Say(b"x", timeout=WAIT_S) == b"a:x"
        await kube_grpc.aio.close(stub)

    run(work)
    run(work)
    with pytest.raises(RuntimeError, match="no running event loop"):
        kube_grpc.aio.connect(TARGET, EchoStub, kubeconfig=str(kubeconfig))


def test_an_asyncio_ping_with_a_stub(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """`ping` gets a stub of the class that was given, and may be a coroutine function."""
    server = make_backend("a")
    api.put("greeter-1", server.address)

    async def ping(stub: EchoStub) -> None:
        await stub.Say(b"ping")

    async def work() -> None:
        kube_grpc.aio.connect(TARGET, EchoStub, kubeconfig=str(kubeconfig), ping=ping, ping_interval_s=0.01)
        await asyncio.to_thread(server.wait_until, lambda: server.metadata)
        await kube_grpc.aio.close_all()

    run(work)


def test_an_asyncio_option_that_does_not_exist() -> None:
    """It is refused as by kube_grpc.connect, with what is allowed."""

    async def work() -> None:
        with pytest.raises(kube_grpc.OptionError) as caught:
            kube_grpc.aio.connect(TARGET, EchoStub, polcy="random")
        assert "  allowed: mode, policy" in str(caught.value)

    run(work)
