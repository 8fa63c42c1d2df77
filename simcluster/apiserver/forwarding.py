"""Port-forwards: connections to a pod's ports, carried in a WebSocket, as kubectl and as other clients speak.

The rules it keeps: each connection ends by itself and says why; whoever reads sets the pace; when the client goes,
all of them end. kubectl opens a pair of SPDY streams for each connection; others get one connection for each port
of the query, on two channels.

Sources: k8s.io/cri-streaming pkg/streaming/portforward (websocket.go, httpstream.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from simcluster.apiserver import spdy
from simcluster.apiserver.calls import Kubelet
from simcluster.apiserver.channels import (
    UNNAMED,
    V4,
    V4_TEXT,
    Channels,
    choose_protocol,
    open_socket,
)
from simcluster.errors import BadRequest, PlainError

_TUNNEL = "SPDY/3.1+"
TUNNELED = f"{_TUNNEL}portforward.k8s.io"
_BLOCK = 32 * 1024
_WAITING = 16  # pieces that may wait for a pod to read them
_MOST_PORT = 2**16 - 1
Send = Callable[[bytes], Awaitable[None]]
Inbox = asyncio.Queue[bytes | None]


class _Broken(Exception):  # noqa: N818 -- named for what happened
    """A connection could not be made or broke; the text is what the client is told."""


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Makes connections to one pod."""

    kubelet: Kubelet
    namespace: str
    pod: str
    uid: str

    async def carry(self, port: int, inbox: Inbox, send: Send) -> None:
        """Carry one connection to its end; _Broken says what went wrong."""
        try:
            reader, writer = await self.kubelet.connect(self.namespace, self.pod, port)
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            raise _Broken(
                f"error forwarding port {port} to pod {self.uid}, uid : failed to connect to {self.pod}:{port}: {why}"
            ) from error
        feeder = asyncio.create_task(_feed(writer, inbox))
        try:
            while data := await reader.read(_BLOCK):
                await send(data)
        except OSError as error:
            raise _Broken(f"error forwarding port {port} to pod {self.uid}, uid : {error}") from error
        finally:
            feeder.cancel()
            writer.close()


async def _feed(writer: asyncio.StreamWriter, inbox: Inbox) -> None:
    """Give the pod what the client sends, to the client's end."""
    with contextlib.suppress(OSError):
        while (data := await inbox.get()) is not None:
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    # What comes after that, the pod has no ear for any more; nobody may wait for it.
    while True:
        await inbox.get()


def read_ports(said: Sequence[str]) -> list[int]:
    """Return the ports of a query; BadRequest or PlainError if they are none."""
    ports = []
    for each in (part for value in said for part in value.split(",")):
        if not (each.isascii() and each.isdigit()):
            raise BadRequest(
                f'cannot convert to []int32: strconv.ParseUint: parsing "{each}": invalid syntax'
            )
        if len(each) > 5 or int(each) > _MOST_PORT:
            raise BadRequest(
                f'cannot convert to []int32: strconv.ParseUint: parsing "{each}": value out of range'
            )
        if int(each) == 0:
            raise PlainError(f'port "{each}" must be > 0', 400)
        ports.append(int(each))
    return ports


async def serve(request: web.BaseRequest, forwarder: Forwarder, ports: Sequence[int]) -> web.StreamResponse:
    """Forward until the client goes, in the protocol that it asked for."""
    asked = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    tunnels = [each.removeprefix(_TUNNEL) for each in asked if each.startswith(_TUNNEL)]
    if tunnels:
        if TUNNELED not in asked:
            text = f"client supports [{' '.join(tunnels)}], server accepts [portforward.k8s.io]"
            raise PlainError(f"unable to upgrade: unable to negotiate protocol: {text}", 403)
        socket = open_socket(choose_protocol(request, (TUNNELED,)))
        await socket.prepare(request)
        await _Session(socket, forwarder).run()
        return socket
    if not ports:
        raise PlainError('query parameter "port" is required', 400)
    channels = Channels(request, (V4, V4_TEXT, UNNAMED))
    await channels.open()
    await _serve_channels(channels, forwarder, ports)
    return channels.response


# --- Channels: a pair for each port


async def _serve_channels(channels: Channels, forwarder: Forwarder, ports: Sequence[int]) -> None:
    inboxes = [Inbox(_WAITING) for _ in ports]
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await channels.send(channel, port.to_bytes(2, "little"))
    listener = asyncio.create_task(_distribute(channels, inboxes))
    carriers: asyncio.Future[Any] = asyncio.gather(
        *(
            _serve_port(channels, forwarder, port, index, inbox)
            for index, (port, inbox) in enumerate(zip(ports, inboxes, strict=True))
        )
    )
    both: set[asyncio.Future[Any]] = {listener, carriers}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if carriers.done() and carriers.exception() is None:
            listener.cancel()
            await asyncio.wait({listener})
            await channels.close()
    finally:
        await _end(listener, carriers)


async def _distribute(channels: Channels, inboxes: Sequence[Inbox]) -> None:
    async for frame in channels.frames():
        index, is_error = divmod(frame.channel, 2)
        if index < len(inboxes) and not is_error and frame.data:
            await inboxes[index].put(frame.data)


async def _serve_port(channels: Channels, forwarder: Forwarder, port: int, index: int, inbox: Inbox) -> None:
    async def send(data: bytes) -> None:
        await channels.send(2 * index, data)

    try:
        await forwarder.carry(port, inbox, send)
    except _Broken as broken:
        with contextlib.suppress(ConnectionError):
            await channels.send(2 * index + 1, str(broken).encode())


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await task


# --- SPDY: a pair of streams for each connection


@dataclass(slots=True)
class _Pair:
    """The streams of one connection, as far as the client has opened them."""

    port: int
    data: int = 0
    error: int = 0


class _Session:
    """One SPDY connection inside a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, forwarder: Forwarder) -> None:
        self._socket = socket
        self._forwarder = forwarder
        self._writer = spdy.Writer()
        self._pairs: dict[str, _Pair] = {}
        self._inboxes: dict[int, Inbox] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until the client goes."""
        try:
            async for frame in self._frames():
                await self._take(frame)
        except spdy.SpdyError:
            await self._socket.close(code=1002)
        finally:
            await _end(*self._tasks.values())

    async def _frames(self) -> AsyncIterator[spdy.Frame]:
        reader = spdy.Reader()
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                for frame in reader.feed(message.data):
                    yield frame

    async def _send(self, *frames: spdy.Frame) -> None:
        await self._socket.send_bytes(b"".join(self._writer.write(frame) for frame in frames))

    async def _take(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.Opened(stream):
                await self._open(stream, frame.headers)
            case spdy.Data(stream, data, is_last):
                inbox = self._inboxes.get(stream)
                if inbox is not None and data:
                    await inbox.put(data)
                if inbox is not None and is_last:
                    await inbox.put(None)
            case spdy.Reset(stream):
                task = self._tasks.get(stream)
                if task is not None:
                    task.cancel()
            case spdy.Ping():
                await self._send(frame)

    async def _open(self, stream: int, headers: Mapping[str, str]) -> None:
        """Take a stream as one of a pair; start the connection when both are there."""
        said = {key.lower(): value for key, value in headers.items()}
        kind, port = said.get("streamtype", ""), said.get("port", "")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MOST_PORT
        if kind not in ("data", "error") or not is_port or stream in self._inboxes:
            await self._send(spdy.Reset(stream, spdy.REFUSED))
            return
        # Old clients number no requests: their streams of one pair follow each other, the error's first.
        name = said.get("requestid", str(stream if kind == "error" else stream - 2))
        pair = self._pairs.setdefault(name, _Pair(int(port)))
        if kind == "error":
            pair.error = stream
        else:
            pair.data = stream
            self._inboxes[stream] = Inbox(_WAITING)
        await self._send(spdy.Answered(stream, {}))
        if pair.data and pair.error:
            del self._pairs[name]
            self._tasks[pair.data] = asyncio.create_task(self._carry(pair))

    async def _carry(self, pair: _Pair) -> None:
        async def send(data: bytes) -> None:
            await self._send(spdy.Data(pair.data, data))

        end: tuple[spdy.Frame, ...] = (
            spdy.Data(pair.data, b"", is_last=True),
            spdy.Data(pair.error, b"", is_last=True),
        )
        try:
            await self._forwarder.carry(pair.port, self._inboxes[pair.data], send)
        except _Broken as broken:
            end = (
                spdy.Data(pair.error, str(broken).encode()),
                spdy.Data(pair.error, b"", is_last=True),
                spdy.Reset(pair.data, spdy.CANCEL),
            )
        finally:
            self._tasks.pop(pair.data, None)
            self._inboxes.pop(pair.data, None)
        with contextlib.suppress(ConnectionError):
            await self._send(*end)
