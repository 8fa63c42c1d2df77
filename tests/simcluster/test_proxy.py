"""Connections to ClusterIPs, through a real Envoy to real sockets."""

import asyncio
import math
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simcluster.controllers.loop import Context
from simcluster.kubelet.spawner import Spawner
from simcluster.network.addresses import claim_block, pod_pool, service_pool
from simcluster.network.proxy import ServiceProxy
from simcluster.profile import FAST, Profile

PORT = 7700


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with the address that it came to."""
    while line := await reader.readline():
        writer.write(f"{writer.get_extra_info('sockname')[0]} {line.decode()}".encode())
    writer.close()


@dataclass
class Connection:
    """A client's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self) -> str:
        """The address that answers."""
        self.writer.write(b"x\n")
        async with asyncio.timeout(5):
            return (await self.reader.readline()).decode().split()[0]


@dataclass
class Net:
    """One Service with a proxy, and three backends that listen."""

    context: Context
    address: str
    backends: list[str]
    spawner: Spawner

    def show(self, *endpoints: dict[str, Any]) -> None:
        """Make these the endpoints of the Service, two to a slice."""
        registry = self.context.registry
        for each in registry.list("endpointslices.discovery.k8s.io", "default")[0]:
            registry.delete("endpointslices.discovery.k8s.io", "default", each["metadata"]["name"])
        for number in range(0, len(endpoints), 2):
            slice_ = {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": f"s-{number}", "labels": {"kubernetes.io/service-name": "s"}},
                "endpoints": list(endpoints[number : number + 2]), "ports": [{"name": "p", "port": PORT}],
            }  # fmt: skip
            registry.create("endpointslices.discovery.k8s.io", "default", slice_)

    def ready(self, *numbers: int) -> list[dict[str, Any]]:
        """Ready endpoints on those backends."""
        return [{"addresses": [self.backends[number]], "conditions": {"ready": True}} for number in numbers]

    async def connect(self) -> Connection:
        return Connection(*await asyncio.open_connection(self.address, PORT))

    async def answer(self) -> str | None:
        """Who answers one new connection; None if it is refused."""
        try:
            connection = await self.connect()
        except ConnectionRefusedError:
            return None
        try:
            return await connection.ask()
        except (ConnectionError, IndexError):
            return None
        finally:
            connection.writer.close()

    async def until(self, condition: Callable[[str | None], bool]) -> float:
        """Seconds until a new connection's answer meets the condition; TimeoutError after five."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        async with asyncio.timeout(5):
            while not condition(await self.answer()):  # noqa: ASYNC110 -- only trying tells what the kernel does
                await asyncio.sleep(0.001)
        return loop.time() - started_at


def create_service(context: Context, address: str, name: str = "s", port: int = PORT) -> None:
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"clusterIP": address, "ports": [{"name": "p", "port": port}]},
    }  # fmt: skip
    context.registry.create("services", "default", service)


@asynccontextmanager
async def running(make_context: Any, directory: Path, profile: Profile = FAST) -> AsyncIterator[Net]:
    """A proxy over three backends; ends with nothing running."""
    block = claim_block(random.Random())
    pods, services = pod_pool(block), service_pool(block)
    context = make_context(profile)
    spawner = Spawner()
    proxy = ServiceProxy(context, spawner, directory / "proxy")
    proxy.start()
    net = Net(context, services.allocate(), [pods.allocate() for _ in range(3)], spawner)
    servers = [await asyncio.start_server(echo, address, PORT) for address in net.backends]
    try:
        create_service(context, net.address)
        yield net
    finally:
        await proxy.stop()
        await spawner.stop()
        for server in servers:
            server.close()
        block.close()


def test_each_connection_goes_to_a_backend_chosen_at_random(make_context: Any, tmp_path: Path) -> None:
    """900 connections spread evenly over three backends by a G-test that is wrong once in a million runs."""

    async def scenario() -> tuple[Counter[str | None], list[str]]:
        async with running(make_context, tmp_path) as net:
            net.show(*net.ready(0, 1, 2))
            await net.until(lambda answer: answer is not None)
            return Counter([await net.answer() for _ in range(900)]), net.backends

    counts, backends = asyncio.run(scenario())
    assert set(counts) == set(backends)
    assert _g(list(counts.values())) < 27.63  # chi squared, two degrees of freedom: exp(-27.63 / 2) = 1e-6
    assert (
        len(set(counts.values())) > 1 or counts.total() % 3
    )  # strict turns would give thrice the same number


def _g(counts: Sequence[int]) -> float:
    expected = sum(counts) / len(counts)
    return 2 * sum(count * math.log(count / expected) for count in counts)


def test_the_g_test_sees_a_skew() -> None:
    """Negative control: a quarter less for one backend is found."""
    assert _g([345, 345, 210]) > 27.63


def test_established_connection_outlives_its_endpoint_and_its_service(
    make_context: Any, tmp_path: Path
) -> None:
    """Removal of the endpoint, scale to zero, and deletion of the Service leave it alone; new ones follow at
    once.
    """

    async def scenario() -> tuple[list[str], list[str], dict[str, float]]:
        async with running(make_context, tmp_path) as net:
            took_s = {}
            net.show(*net.ready(0))
            await net.until(lambda answer: answer is not None)
            held = await net.connect()
            seen = [await held.ask()]
            net.show(*net.ready(1))
            took_s["moved"] = await net.until(lambda answer: answer == net.backends[1])
            seen.append(await held.ask())
            net.show()
            took_s["refused"] = await net.until(lambda answer: answer is None)
            seen.append(await held.ask())
            net.show(*net.ready(2))
            took_s["back"] = await net.until(lambda answer: answer == net.backends[2])
            seen.append(await held.ask())
            net.context.registry.delete("services", "default", "s")
            took_s["deleted"] = await net.until(lambda answer: answer is None)
            seen.append(await held.ask())
            held.writer.close()
            return seen, net.backends, took_s

    seen, backends, took_s = asyncio.run(scenario())
    assert seen == [backends[0]] * 5
    assert max(took_s.values()) < 0.5, took_s


def test_serving_endpoints_that_leave_are_used_when_none_is_ready(make_context: Any, tmp_path: Path) -> None:
    """Terminating but serving endpoints take connections as the last resort, and only then."""

    async def scenario() -> tuple[str | None, str | None]:
        async with running(make_context, tmp_path) as net:
            leaving = {
                "addresses": [net.backends[0]],
                "conditions": {"ready": False, "serving": True, "terminating": True},
            }
            net.show(leaving)
            await net.until(lambda answer: answer is not None)
            last_resort = await net.answer()
            net.show(leaving, *net.ready(1))
            await net.until(lambda answer: answer == net.backends[1])
            answers = {await net.answer() for _ in range(20)}
            assert answers == {net.backends[1]}
            return last_resort, net.backends[0]

    last_resort, expected = asyncio.run(scenario())
    assert last_resort == expected


def test_cluster_without_endpoints_runs_no_proxy(make_context: Any, tmp_path: Path) -> None:
    """A Service alone starts nothing, and is refused by the kernel."""

    async def scenario() -> tuple[bool, str | None]:
        async with running(make_context, tmp_path) as net:
            net.show({"addresses": [net.backends[0]], "conditions": {"ready": False}})
            await asyncio.sleep(0)
            answer = await net.answer()
            return net.spawner._process is None, answer

    assert asyncio.run(scenario()) == (True, None)


@pytest.mark.skipif(
    int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80,
    reason="any user may bind port 80 here",
)
def test_privileged_port_is_told_and_others_work(
    make_context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to bind port 80, its Service gets a Warning event, and another Service works."""
    bind = socket.socket.bind

    def refuse(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[1] == 80:
            raise PermissionError(13, "Permission denied")
        bind(self, address)

    if os.geteuid() == 0:  # as root the kernel would not refuse
        monkeypatch.setattr("simcluster.network.proxy.socket.socket.bind", refuse, raising=True)

    async def scenario() -> list[tuple[str, str, str, str]]:
        async with running(make_context, tmp_path) as net:
            create_service(net.context, net.address[:-1] + "9", "web", 80)
            net.show(*net.ready(0))
            await net.until(lambda answer: answer == net.backends[0])
            events = net.context.registry.list("events", "default")[0]
            return [(e["involvedObject"]["name"], e["type"], e["reason"], e["message"]) for e in events]

    assert asyncio.run(scenario()) == [(
        "web", "Warning", "FailedToBindPort",
        "port 80: the cluster's loopback network runs without privilege and can not listen on ports below 1024; "
        "connections to it are refused\n  use a port from 1024 up, or run the cluster as root",
    )]  # fmt: skip


def test_dead_proxy_is_started_again(make_context: Any, tmp_path: Path) -> None:
    """After kill -9 of Envoy, connections are served again."""

    async def scenario() -> str | None:
        async with running(make_context, tmp_path) as net:
            net.show(*net.ready(0))
            await net.until(lambda answer: answer is not None)
            (child,) = net.spawner._children.values()
            child.kill()
            await child.wait()
            await net.until(lambda answer: answer is not None)
            return await net.answer()

    assert asyncio.run(scenario()) is not None
