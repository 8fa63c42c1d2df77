"""Connections that are HTTP no more: taken over from the HTTP server, and read and written as they are.

The rules it keeps: what the client sent after its request is the first that is read; whoever reads and writes sets the
pace; when the connection is lost the HTTP server learns of it, and ends who answers the request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

_BLOCK = 64 * 1024


class Switched(web.StreamResponse):
    """A connection after its switch. To the HTTP server it is the answer to the request, with nothing left to write."""

    def __init__(self, request: web.BaseRequest, head: bytes) -> None:
        super().__init__(status=101)
        self.force_close()
        self.reader, self.writer = take_over(request.transport, request.protocol)
        self.writer.write(head)

    @property
    def prepared(self) -> bool:
        """Nothing of the answer can be changed any more."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the head was written at the switch."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the connection is closed."""


def take_over(
    transport: asyncio.Transport | None, former: Any, *payload: None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return what reads and writes a connection from now on; ConnectionResetError if it is gone.

    `former` is the protocol of an aiohttp server, or of a client, which takes a `payload`.
    """
    if transport is None:
        raise ConnectionResetError("the connection ended before it was switched")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(_BLOCK, loop)
    successor = _Successor(reader, former, loop)
    former.set_parser(_Rest(reader), *payload)
    transport.set_protocol(successor)
    successor.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, successor, reader, loop)


class _Successor(asyncio.StreamReaderProtocol):
    """Reads a connection after the HTTP server."""

    def __init__(
        self, reader: asyncio.StreamReader, former: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(reader, loop=loop)
        self._former = former

    def connection_lost(self, exc: Exception | None) -> None:
        # TLS breaks in ways of its own; to whoever reads or writes, a broken connection is one.
        is_known = exc is None or isinstance(exc, ConnectionError)
        super().connection_lost(exc if is_known else ConnectionResetError(str(exc)))
        self._former.connection_lost(exc)


class _Rest:
    """Takes from the HTTP server what it has read beyond the request."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


def switch(request: web.BaseRequest, protocol: str, **headers: str) -> Switched:
    """Take a connection over and tell the client so; in `headers` an underscore stands for a hyphen."""
    said = {"Connection": "Upgrade", "Upgrade": protocol} | headers
    lines = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in said.items())
    return Switched(request, f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode())
