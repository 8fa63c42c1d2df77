"""A running API server for tests: in a thread with a loop of its own, with a kubelet that runs real commands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import random
import ssl
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from simcluster.apiserver import ApiServer, create_bootstrap_objects, publish, serve, write_admin_kubeconfig
from simcluster.registry import Addresses, Registry
from simcluster.schema import load
from simcluster.tokens import Bearer

T = TypeVar("T")


class Command:
    """A real process on this machine, as a command in a container."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.sizes: list[tuple[int, int]] = []

    async def write_stdin(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    async def close_stdin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        pieces: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

        async def carry(channel: int, stream: asyncio.StreamReader | None) -> None:
            assert stream is not None
            while data := await stream.read(4096):
                await pieces.put((channel, data))
            await pieces.put((channel, b""))

        tasks = [
            asyncio.create_task(carry(1, self._process.stdout)),
            asyncio.create_task(carry(2, self._process.stderr)),
        ]
        left = len(tasks)
        while left:
            channel, data = await pieces.get()
            if data:
                yield channel, data
            else:
                left -= 1

    def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def wait(self) -> int:
        return await self._process.wait()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


class Node:
    """A kubelet whose every container is this machine; logs are what the test has put there."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.more = asyncio.Event()
        self.asked: dict[str, Any] = {}
        self.commands: list[Command] = []

    async def logs(self, namespace: str, pod: str, container: str, **selection: Any) -> AsyncIterator[bytes]:
        self.asked = {"namespace": namespace, "pod": pod, "container": container, **selection}
        return self._read(follow=selection["follow"])

    async def _read(self, *, follow: bool) -> AsyncIterator[bytes]:
        at = 0
        while True:
            while at < len(self.lines):
                yield self.lines[at]
                at += 1
            if not follow:
                return
            await self.more.wait()
            self.more.clear()

    async def find_running(self, verb: str, namespace: str, pod: str, container: str) -> None:
        """Every container runs."""

    async def execute(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> Command:
        pipe = asyncio.subprocess.PIPE
        started = Command(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe if stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        )
        self.commands.append(started)
        return started

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> Command:
        return await self.execute(namespace, pod, container, ["cat"], stdin=stdin, tty=False)

    async def connect(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def attend(self, node: str) -> bool:
        """Every node is one that answers."""
        return True


class Running:
    """The server, its registry and node; `call` runs a function in its thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, server: ApiServer, node: Node, kubeconfig: Path
    ) -> None:
        self.loop = loop
        self.server = server
        self.registry = server.registry
        self.node = node
        self.kubeconfig = kubeconfig

    def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        async def run() -> T:
            return function(*arguments, **named)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)


@contextlib.contextmanager
def run_server(folder: Path, addresses: Addresses | None = None) -> Iterator[Running]:
    """A cluster without controllers for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="api-server")
    thread.start()

    async def begin() -> Running:
        registry = Registry(load(), clock=time.time, chance=random.Random(1), addresses=addresses)
        create_bootstrap_objects(registry)
        node = Node()
        server = await serve(registry, node)
        publish(registry, server.host, server.port)
        kubeconfig = folder / "kubeconfig"
        write_admin_kubeconfig(server, kubeconfig)
        return Running(loop, server, node, kubeconfig)

    running = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    try:
        yield running
    finally:
        asyncio.run_coroutine_threadsafe(running.server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Plain:
    """Requests without a client library; certificate, token or nobody."""

    def __init__(self, cluster: Running, token: str | None = None, *, administrator: bool = True) -> None:
        self.port = cluster.server.port
        self.context = ssl.create_default_context(cadata=cluster.server.authority.certificate.decode())
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if administrator and token is None:
            user = yaml.safe_load(cluster.kubeconfig.read_text())["users"][0]["user"]
            with tempfile.NamedTemporaryFile() as file:
                for key in ("client-certificate-data", "client-key-data"):
                    file.write(base64.b64decode(user[key]))
                file.flush()
                self.context.load_cert_chain(file.name)

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=10)
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if sent is not None:
            named.setdefault("Content-Type", "application/json")
        connection.request(method, path, sent, self.headers | named)
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = self.open(method, path, body, **headers)
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i:1"}]
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": containers, **spec}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"name": name}}, "data": data}


def lines(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The events of a watch."""
    for line in answer:
        yield json.loads(line)


def mint(cluster: Running, namespace: str, **more: str) -> str:
    account = cluster.call(cluster.registry.get, "serviceaccounts", namespace, "default")
    bearer = Bearer(namespace, "default", account["metadata"]["uid"], **more)
    return cluster.server.issuer.mint(bearer, now=time.time())
