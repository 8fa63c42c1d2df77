"""Port-forwards: connections to a pod's ports, as kubectl and as other clients speak.

The rules it keeps: each connection ends by itself and says why; whoever reads sets the pace; when the client goes,
all of them end. kubectl opens a pair of SPDY streams for each connection, on an upgraded connection or inside a
WebSocket; others get one connection for each port of the query, on two channels of a WebSocket.

Sources: k8s.io/cri-streaming pkg/streaming/portforward (websocket.go, httpstream.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simcluster.apiserver import spdy
from simcluster.apiserver.calls import Kubelet
from simcluster.apiserver.channels import (
    UNNAMED,
    V4,
    V4_TEXT,
    Channels,
    choose_protocol,
    is_websocket,
    open_socket,
    require_key,
)
from simcluster.apiserver.spdy_session import ASKED, Event, Plain, Session, Tunnel, negotiate, open_plain
from simcluster.errors import BadRequest, PlainError

_TUNNEL = "SPDY/3.1+"
_SPOKEN = "portforward.k8s.io"
TUNNELED = f"{_TUNNEL}{_SPOKEN}"
_BLOCK = 32 * 1024
_WAITING = 16  # pieces that may wait for a pod to read them
_MOST_PORT = 2**16 - 1
Send = Callable[[bytes], Awaitable[None]]


class Inbox:
    """What a client sends to one port and the pod has not read yet; None ends it. Once closed, it takes and drops."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._is_closed = False

    async def put(self, piece: bytes | None) -> None:
        """Add a piece; waits while there are too many."""
        if not self._is_closed:
            await self._pieces.put(piece)

    async def get(self) -> bytes | None:
        """Return the next piece."""
        return await self._pieces.get()

    def close(self) -> None:
        """Nobody reads any more: whoever waits to add something goes on."""
        self._is_closed = True
        while not self._pieces.empty():
            self._pieces.get_nowait()


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
            inbox.close()
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
            inbox.close()


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
    if not is_websocket(request):
        return await _serve_plain(request, forwarder)
    require_key(request)
    asked = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    tunnels = [each.removeprefix(_TUNNEL) for each in asked if each.startswith(_TUNNEL)]
    if tunnels:
        if TUNNELED not in asked:
            text = f"client supports [{' '.join(tunnels)}], server accepts [{_SPOKEN}]"
            raise PlainError(f"unable to upgrade: unable to negotiate protocol: {text}", 403)
        socket = open_socket(choose_protocol(request, (TUNNELED,)))
        await socket.prepare(request)
        await _Forwards(Session(Tunnel(socket)), forwarder).run()
        return socket
    if not ports:
        raise PlainError('query parameter "port" is required', 400)
    channels = Channels(request, (V4, V4_TEXT, UNNAMED))
    await channels.open()
    await _serve_channels(channels, forwarder, ports)
    return channels.response


async def _serve_plain(request: web.BaseRequest, forwarder: Forwarder) -> web.StreamResponse:
    if ASKED not in request.headers:
        # As a real server words it: its node's refusal has the code of a success.
        raise PlainError("invalid upgrade response: status code 200\n", 500)
    switched = open_plain(request, negotiate(request, (_SPOKEN,)))
    await _Forwards(Session(Plain(switched)), forwarder).run()
    return switched


# --- Channels: a pair for each port


async def _serve_channels(channels: Channels, forwarder: Forwarder, ports: Sequence[int]) -> None:
    inboxes = [Inbox() for _ in ports]
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


class _Forwards:
    """The connections that a client has asked for on one SPDY connection."""

    def __init__(self, session: Session, forwarder: Forwarder) -> None:
        self._session = session
        self._forwarder = forwarder
        self._pairs: dict[str, _Pair] = {}
        self._inboxes: dict[int, Inbox] = {}
        self._carried: dict[int, tuple[_Pair, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Serve until the client goes."""
        try:
            async with contextlib.aclosing(self._session.events()) as events:
                async for event in events:
                    await self._take(event)
        except ConnectionError:
            return
        finally:
            await _end(*(task for _, task in self._carried.values()))

    async def _take(self, event: Event) -> None:
        match event:
            case spdy.Opened(stream):
                await self._open(stream, event)
            case spdy.Data(stream, data, is_last):
                inbox = self._inboxes.get(stream)
                if inbox is not None and data:
                    await inbox.put(data)
                if inbox is not None and is_last:
                    await inbox.put(None)
            case spdy.Reset(stream):
                if stream in self._carried:
                    pair, task = self._carried.pop(stream)
                    await _end(task)
                    # The client waits to hear that nothing went wrong.
                    await self._session.send(spdy.Data(pair.error, b"", is_last=True))

    async def _open(self, stream: int, event: spdy.Opened) -> None:
        """Take a stream as one of a pair; start the connection when both are there."""
        kind, port = spdy.find_header(event, "streamtype"), spdy.find_header(event, "port")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MOST_PORT
        if kind not in ("data", "error") or not is_port:
            await self._session.send(spdy.Reset(stream, spdy.CANCEL))
            return
        # Old clients number no requests: their streams of one pair follow each other, the error's first.
        name = spdy.find_header(event, "requestid", str(stream if kind == "error" else stream - 2))
        pair = self._pairs.setdefault(name, _Pair(int(port)))
        if kind == "error":
            pair.error = stream
        else:
            pair.data = stream
            self._inboxes[stream] = Inbox()
        await self._session.send(spdy.Answered(stream, {}))
        if pair.data and pair.error:
            del self._pairs[name]
            self._carried[pair.data] = pair, asyncio.create_task(self._carry(pair))

    async def _carry(self, pair: _Pair) -> None:
        async def send(data: bytes) -> None:
            await self._session.send(spdy.Data(pair.data, data))

        told: tuple[spdy.Frame, ...] = ()
        try:
            await self._forwarder.carry(pair.port, self._inboxes[pair.data], send)
        except _Broken as broken:
            told = (spdy.Data(pair.error, str(broken).encode()),)
        finally:
            self._carried.pop(pair.data, None)
            self._inboxes.pop(pair.data, None)
        last = spdy.Data(pair.error, b"", is_last=True)
        with contextlib.suppress(ConnectionError):
            await self._session.send(spdy.Data(pair.data, b"", is_last=True), *told, last)
