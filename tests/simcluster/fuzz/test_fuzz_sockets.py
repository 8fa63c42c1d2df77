"""Frames that make no sense, over WebSocket and plain SPDY: sent to commands, attached clients and port-forwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterator

import aiohttp
import pytest
from api_process import Plain, Running, pod, run_server

from simcluster.apiserver.spdy import Data, GoAway, Opened, Ping, Reset, Writer

SEED = 20260102
ROUNDS = 120
_FRAMES = 20
_PATHS = {
    "exec?stdin=1&stdout=1&stderr=1&command=cat": (
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
    ),
    "exec?stdin=1&stdout=1&tty=1&command=cat": ("v5.channel.k8s.io", "base64.channel.k8s.io"),
    "attach?stdin=1&stdout=1": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    "portforward?ports=1&ports=2": ("v4.channel.k8s.io", "v4.base64.channel.k8s.io"),
    "portforward": ("SPDY/3.1+portforward.k8s.io",),
}
_ROOT = "/api/v1/namespaces/default/pods/p/"
_STREAMED = ("v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_server(tmp_path_factory.mktemp("api")) as running:
        running.call(running.registry.create, "pods", "default", pod())
        running.call(running.registry.bind, "default", "p", "n1")
        yield running


def make_frame(chance: random.Random, writer: Writer) -> bytes:
    """Something that may be a frame of a channel or of SPDY, or not."""
    noise = bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
    stream = chance.choice((0, 1, 2, 3, 5, 2**31 - 1))
    headers = {
        chance.choice(("streamtype", "port", "requestid", "x")): chance.choice(
            ("data", "error", "stdin", "stdout", "resize", "1", "x", "99999999")
        )
        for _ in range(3)
    }
    return chance.choice(
        (
            noise,
            bytes([chance.choice((0, 1, 2, 3, 4, 5, 255))]) + noise,
            b"\xff\x00",
            b"\xff\x09",
            b"\x04" + chance.choice((b"{}", b"[]", b'{"Width":1e9}', b'{"Width":"a","Height":[]}', b"}" * 9)),
            writer.write(Opened(stream, headers)),
            writer.write(Data(stream, noise, is_last=chance.random() < 0.5)),
            writer.write(Reset(stream, 1)),
            writer.write(Ping(1)),
            writer.write(GoAway(1)),
        )
    )


async def talk(session: aiohttp.ClientSession, url: str, protocol: str, chance: random.Random) -> int:
    """Send frames until there is no more to send or nobody who listens; how many were sent."""
    writer = Writer()
    async with session.ws_connect(url, protocols=(protocol,), max_msg_size=0) as socket:
        for sent in range(_FRAMES):
            try:
                frame = make_frame(chance, writer)
                if chance.random() < 0.2:
                    await socket.send_str(frame.decode(errors="replace"))
                else:
                    await socket.send_bytes(frame)
            except ConnectionError:
                return sent
    return _FRAMES


def require_unharmed(cluster: Running, caplog: pytest.LogCaptureFixture) -> None:
    """The server logged no failure, ended every command, and answers."""
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == []
    for command in cluster.node.commands:
        asyncio.run_coroutine_threadsafe(command._process.wait(), cluster.loop).result(30)
    assert Plain(cluster).ask("GET", "/api/v1/namespaces/default/pods/p")[0] == 200


def test_no_frame_is_too_odd(cluster: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Over 1 500 frames on 120 connections: the server logs no failure, ends every command, and goes on to answer."""
    chance = random.Random(SEED)
    root = f"https://127.0.0.1:{cluster.server.port}/api/v1/namespaces/default/pods/p/"

    async def run() -> int:
        connector = aiohttp.TCPConnector(ssl=Plain(cluster).context)
        sent = 0
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(ROUNDS):
                path = chance.choice(sorted(_PATHS))
                protocol = chance.choice(_PATHS[path])
                async with asyncio.timeout(30):
                    sent += await talk(session, root + path, protocol, chance)
        return sent

    with caplog.at_level(logging.ERROR):
        sent = asyncio.run(run())
    assert sent > 1500
    require_unharmed(cluster, caplog)


async def talk_spdy(cluster: Running, path: str, chance: random.Random) -> int:
    """Upgrade a connection to SPDY and send frames of it, a few of them broken; how many were sent."""
    writer = Writer()
    reader, sending = await asyncio.open_connection(
        "127.0.0.1", cluster.server.port, ssl=Plain(cluster).context
    )
    protocol = "portforward.k8s.io" if path == "portforward" else chance.choice(_STREAMED)
    lines = f"POST {_ROOT}{path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1"
    sending.write("\r\n".join((*lines, f"X-Stream-Protocol-Version: {protocol}", "", "")).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    types = ["error", "stdin", "stdout", "resize"][: chance.randrange(5)]
    for number, each in enumerate(types):
        sending.write(writer.write(Opened(2 * number + 1, {"streamtype": each})))
    for _ in range(_FRAMES):
        sending.write(make_frame(chance, writer))
    with contextlib.suppress(ConnectionError):
        sending.write_eof() if sending.can_write_eof() else sending.close()
        await sending.drain()
    sending.close()
    return len(types) + _FRAMES


def test_no_frame_of_spdy_is_too_odd(cluster: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Over 1 500 frames on 80 connections: the server logs no failure, ends every command, and goes on to answer."""
    chance = random.Random(SEED)
    paths = [path for path in sorted(_PATHS) if "ports" not in path]

    async def run() -> int:
        async with asyncio.timeout(60):
            return sum([await talk_spdy(cluster, chance.choice(paths), chance) for _ in range(80)])

    with caplog.at_level(logging.ERROR):
        sent = asyncio.run(run())
    assert sent > 1500
    require_unharmed(cluster, caplog)
