"""A program that is a cluster's namespace with three pods and one Service, does one thing, and prints what came.

It is a process of its own because a process that has entered a network namespace does not come back.
"""

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from simcluster.controllers.informers import Informers
from simcluster.controllers.loop import Context
from simcluster.kubelet import rooms
from simcluster.network import fabric
from simcluster.network.kernel import KernelProxy
from simcluster.profile import FAST
from simcluster.registry import Registry
from simcluster.schema import load

PORT, CLIENT = 80, "10.244.0.9"
BACKENDS = ("10.244.0.2", "10.244.0.3", "10.244.0.4")
SLICES = "endpointslices.discovery.k8s.io"


class Net:
    """The cluster's namespace with its pods; each answers with its own address and the caller's."""

    def __init__(self) -> None:
        self.fabric = fabric.enter()
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        rng = random.Random(1)
        self.registry = Registry(load(), clock=time.time, chance=rng)
        self.registry.create("namespaces", None, {"metadata": {"name": "default"}})
        loop = asyncio.get_running_loop()
        context = Context(self.registry, Informers(self.registry), FAST, rng, time.time, loop.call_later)
        self.proxy = KernelProxy(context)
        self.pods = {address: self.fabric.attach(address) for address in (*BACKENDS, CLIENT)}

    def socket_of(self, address: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket in a pod's namespace."""
        rooms.enter(self.pods[address])
        try:
            made = socket.socket(socket.AF_INET, kind)
        finally:
            rooms.enter(self.home)
        made.setblocking(False)
        return made

    async def start(self) -> None:
        for address in BACKENDS:
            listening = self.socket_of(address)
            listening.bind(("0.0.0.0", PORT))
            await asyncio.start_server(answer, sock=listening)
            datagrams = self.socket_of(address, socket.SOCK_DGRAM)
            datagrams.bind(("0.0.0.0", PORT))
            asyncio.get_running_loop().add_reader(datagrams, echo, datagrams, address)
        self.proxy.start()

    def serve(self, address: str, protocol: str = "TCP", **spec: Any) -> None:
        ports = [{"name": "p", "port": PORT, "protocol": protocol}]
        self.registry.create("services", "default", {
            "metadata": {"name": "s"}, "spec": {"clusterIP": address, "ports": ports} | spec,
        })  # fmt: skip

    async def show(self, *numbers: int, protocol: str = "TCP", **conditions: bool) -> None:
        """Make these the endpoints, and wait until the rules say so."""
        for each in self.registry.list(SLICES, "default")[0]:
            self.registry.delete(SLICES, "default", each["metadata"]["name"])
        endpoints = [
            {"addresses": [BACKENDS[number]], "conditions": conditions or {"ready": True}}
            for number in numbers
        ]
        self.registry.create(SLICES, "default", {
            "addressType": "IPv4", "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "s"}},
            "endpoints": endpoints, "ports": [{"name": "p", "port": PORT, "protocol": protocol}],
        })  # fmt: skip
        for _ in range(3):  # informer, delay, sync: a turn of the loop each
            await asyncio.sleep(0)
        await self.proxy.thaw(())

    async def connect(
        self, to: str, source: str = CLIENT
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        client = self.socket_of(source)
        async with asyncio.timeout(3):
            await asyncio.get_running_loop().sock_connect(client, (to, PORT))
        return await asyncio.open_connection(sock=client)

    async def ask(self, to: str, source: str = CLIENT) -> list[str] | str:
        """[who answered, whom it saw], or the name of the failure, over a new connection."""
        try:
            connection = await self.connect(to, source)
        except (OSError, TimeoutError) as error:
            return type(error).__name__
        found = await say(connection)
        connection[1].close()
        return found

    async def ask_datagram(self, to: str) -> str:
        client = self.socket_of(CLIENT, socket.SOCK_DGRAM)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (to, PORT))
        try:
            await loop.sock_sendall(client, b"x")
            async with asyncio.timeout(3):
                return (await loop.sock_recv(client, 99)).decode()
        except (OSError, TimeoutError) as error:
            return type(error).__name__
        finally:
            client.close()


async def say(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> list[str] | str:
    """Ask over an open connection."""
    reader, writer = connection
    writer.write(b"x\n")
    try:
        async with asyncio.timeout(1):
            return (await reader.readline()).decode().split()
    except (OSError, TimeoutError) as error:
        return type(error).__name__


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    own, peer = writer.get_extra_info("sockname")[0], writer.get_extra_info("peername")[0]
    while await reader.readline():
        writer.write(f"{own} {peer}\n".encode())
    writer.close()


def echo(datagrams: socket.socket, address: str) -> None:
    _, peer = datagrams.recvfrom(99)
    datagrams.sendto(address.encode(), peer)


SERVICE = "10.96.0.50"


async def spread(net: Net) -> Any:
    net.serve(SERVICE)
    await net.show(0, 1, 2)
    answers = [await net.ask(SERVICE) for _ in range(900)]
    return [Counter(each[0] for each in answers), sorted({each[1] for each in answers})]


async def established(net: Net) -> Any:
    net.serve(SERVICE)
    await net.show(0)
    held = await net.connect(SERVICE)
    seen = [await say(held)]
    await net.show(1)
    seen += [await net.ask(SERVICE), await say(held)]
    await net.show()
    seen += [await net.ask(SERVICE), await say(held)]
    net.registry.delete("services", "default", "s")
    for _ in range(3):
        await asyncio.sleep(0)
    await net.proxy.thaw(())
    return [each[0] if isinstance(each, list) else each for each in (*seen, await say(held))]


async def last_resort(net: Net) -> Any:
    net.serve(SERVICE)
    await net.show(1, ready=False, serving=True, terminating=True)
    return (await net.ask(SERVICE))[0]


async def unallocated(net: Net) -> Any:
    net.serve(SERVICE)
    await net.show(0)
    return [await net.ask("10.96.0.51"), await net.ask("10.244.0.77")]


async def itself(net: Net) -> Any:
    net.serve(SERVICE)
    await net.show(0)
    return await net.ask(SERVICE, BACKENDS[0])


async def node(net: Net) -> Any:
    """The kubelet's side: this process itself is in the cluster's namespace."""
    net.serve(SERVICE)
    await net.show(0)
    found = []
    for address in (BACKENDS[0], SERVICE):
        connection = await asyncio.open_connection(address, PORT)
        found.append(await say(connection))
    return found


async def affinity(net: Net) -> Any:
    net.serve(SERVICE, sessionAffinity="ClientIP")
    await net.show(0, 1, 2)
    first = {(await net.ask(SERVICE))[0] for _ in range(20)}
    clients = [f"10.244.1.{number}" for number in range(1, 21)]  # 20: not all of them draw the same one
    net.pods |= {each: net.fabric.attach(each) for each in clients}
    others = {(await net.ask(SERVICE, each))[0] for each in clients}
    kept = BACKENDS.index(*first)
    await net.show((kept + 1) % 3, (kept + 2) % 3)
    moved = {(await net.ask(SERVICE))[0] for _ in range(20)}
    return [len(first), len(others) > 1, len(moved), bool(moved & first)]


async def datagrams(net: Net) -> Any:
    net.serve(SERVICE, "UDP")
    await net.show(0, 1, 2, protocol="UDP")
    found = Counter([await net.ask_datagram(SERVICE) for _ in range(60)])
    await net.show(protocol="UDP")
    return [sorted(found), await net.ask_datagram(SERVICE)]


async def silence(net: Net) -> Any:
    """A silent pod gets and sends nothing; a connection from before goes on when it is heard again."""
    net.serve(SERVICE)
    await net.show(0)
    held = await net.connect(SERVICE)
    seen = [(await say(held))[0]]
    await net.proxy.silence([BACKENDS[0]])
    seen += [await say(held), await net.ask(SERVICE), await net.ask(BACKENDS[0])]
    seen += [await net.ask(BACKENDS[1], BACKENDS[0]), (await net.ask(BACKENDS[1]))[0]]
    await net.proxy.thaw([BACKENDS[0]])
    reader, _ = held
    async with asyncio.timeout(5):
        return [*seen, (await reader.readline()).decode().split()[0], (await net.ask(SERVICE))[0]]


async def many(net: Net) -> Any:
    """Pods come and go; what is gone answers nothing."""
    addresses = [f"10.244.1.{number}" for number in range(1, 21)]
    for address in addresses:
        net.fabric.attach(address)
    for address in addresses:
        net.fabric.detach(address)
    return len(list(os.scandir("/proc/self/fd"))) < 40


async def main(trial: Callable[[Net], Awaitable[Any]]) -> None:
    net = Net()
    await net.start()
    sys.stdout.write(json.dumps(await trial(net)))
    sys.stdout.flush()
    os._exit(0)  # the servers need no goodbye


if __name__ == "__main__":
    asyncio.run(main(globals()[sys.argv[1]]))
