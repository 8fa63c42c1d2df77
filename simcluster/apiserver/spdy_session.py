"""SPDY connections from the server's side: over an upgraded connection, or inside a WebSocket.

The rules it keeps: the client opens all streams, with odd numbers that rise; its questions whether somebody is there
are answered at once; when it goes, or says that it goes, there is nothing more to read. The connection sets the pace.

Sources: k8s.io/streaming pkg/httpstream (httpstream.go, spdy/upgrade.go); github.com/moby/spdystream.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from aiohttp import WSMsgType, web

from simcluster.apiserver import spdy
from simcluster.apiserver.switching import Switched, switch
from simcluster.errors import PlainError

_SPDY = "SPDY/3.1"
ASKED = "X-Stream-Protocol-Version"
_BLOCK = 64 * 1024
Event = spdy.Opened | spdy.Data | spdy.Reset


class Wire(Protocol):
    """What carries frames."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield what the client sends until it is gone."""
        ...

    async def send(self, data: bytes) -> None:
        """Send; returns when there is room for more."""
        ...

    async def refuse(self) -> None:
        """End the connection with somebody who does not speak the protocol."""
        ...


class Plain:
    """An upgraded connection."""

    def __init__(self, switched: Switched) -> None:
        self._reader, self._writer = switched.reader, switched.writer

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """As `Wire.pieces`."""
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(_BLOCK):
                yield data

    async def send(self, data: bytes) -> None:
        """As `Wire.send`."""
        self._writer.write(data)
        await self._writer.drain()

    async def refuse(self) -> None:
        """As `Wire.refuse`."""
        self._writer.close()


class Tunnel:
    """A WebSocket, each message a piece."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """As `Wire.pieces`."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                yield message.data

    async def send(self, data: bytes) -> None:
        """As `Wire.send`."""
        await self._socket.send_bytes(data)

    async def refuse(self) -> None:
        """As `Wire.refuse`."""
        await self._socket.close(code=1002)


class Session:
    """One SPDY connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._writer = spdy.Writer()
        self._last = 0

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what concerns streams, until the client goes."""
        reader = spdy.Reader()
        try:
            async with contextlib.aclosing(self._wire.pieces()) as pieces:
                async for piece in pieces:
                    for frame in reader.feed(piece):
                        match frame:
                            case spdy.Opened(stream) if stream % 2 == 0 or stream <= self._last:
                                await self.send(spdy.Reset(stream, spdy.PROTOCOL_ERROR))
                            case spdy.Opened(stream):
                                self._last = stream
                                yield frame
                            case spdy.Ping(number) if number % 2:
                                await self.send(frame)
                            case spdy.GoAway():
                                return
                            case spdy.Data() | spdy.Reset():
                                yield frame
        except spdy.SpdyError:
            await self._wire.refuse()

    async def send(self, *frames: spdy.Frame) -> None:
        """Send frames, in their order; returns when there is room for more."""
        await self._wire.send(b"".join(self._writer.write(frame) for frame in frames))

    @property
    def goodbye(self) -> spdy.GoAway:
        """The frame that says that no stream is served any more."""
        return spdy.GoAway(self._last)


def negotiate(request: web.BaseRequest, known: Sequence[str], *, says_twice: bool = False) -> str:
    """Return the protocol that is spoken on the streams; PlainError if the client knows none or asks for no SPDY.

    `says_twice`: a real container run-time tells the refusal of a remote command twice.
    """
    said = ",".join(request.headers.getall(ASKED, ())).split(",")
    asked = [each.strip(" ") for each in said if each.strip(" ")]
    if not asked:
        raise PlainError(f"unable to upgrade: {ASKED} is required\n", 400)
    found = next((each for each in asked if each in known), None)
    if found is None:
        text = f"client supports [{' '.join(asked)}], server accepts [{' '.join(known)}]"
        refusal = f"unable to upgrade: unable to negotiate protocol: {text}\n" * (2 if says_twice else 1)
        raise PlainError(refusal, 403, [("X-Accepted-Stream-Protocol-Versions", each) for each in known])
    if _SPDY.lower() not in request.headers.get("Upgrade", "").lower():
        raise PlainError("unable to upgrade: missing upgrade headers in request\n", 400)
    return found


def open_plain(request: web.BaseRequest, protocol: str) -> Switched:
    """Upgrade a connection to SPDY, for a protocol that was negotiated."""
    return switch(request, _SPDY, X_Stream_Protocol_Version=protocol)
