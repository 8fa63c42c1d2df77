"""Numbered channels in one WebSocket, as remote commands and port-forwards use them.

The rule it keeps: the first subprotocol that the client names and the server knows is spoken; one that names none
gets the oldest. In the `base64` ones the channel is a digit and the data is text. Nothing is kept for a slow
reader: whoever sends waits.

Source: k8s.io/streaming pkg/httpstream/wsstream/conn.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from simcluster.errors import BadRequest, PlainError

V5, V4, V4_TEXT = "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"
OLD, OLD_TEXT, UNNAMED = "channel.k8s.io", "base64.channel.k8s.io", ""
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSE = 255
_KEY = 16  # bytes, of the client's key (RFC 6455, 4.1)
# What one message may hold; a real server sets no bound, and clients send pieces of some kilobytes.
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """What a client sent on a channel; `data` None if it has closed its end of it."""

    channel: int
    data: bytes | None


class Channels:
    """One WebSocket with channels, from `open` to `close`."""

    def __init__(self, request: web.BaseRequest, known: Collection[str]) -> None:
        require_key(request)
        self.protocol = choose_protocol(request, known)
        self._request = request
        self._is_text = "base64" in self.protocol
        self._socket = open_socket(self.protocol)

    @property
    def response(self) -> web.WebSocketResponse:
        """The answer to the request that asked for the connection."""
        return self._socket

    async def open(self) -> None:
        """Upgrade the connection."""
        await self._socket.prepare(self._request)

    async def send(self, channel: int, data: bytes) -> None:
        """Send data; returns when the client's side has room for it."""
        if self._is_text:
            await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Yield what the client sends until it is gone; what makes no sense is passed over."""
        async for message in self._socket:
            data: bytes = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY) or not data:
                continue
            if self.protocol == V5 and data[0] == _CLOSE:
                if len(data) != 2:
                    return
                yield Frame(data[1], None)
                continue
            frame = self._read(data)
            if frame is not None:
                yield frame

    def _read(self, data: bytes) -> Frame | None:
        if not self._is_text:
            return Frame(data[0], data[1:])
        try:
            return Frame(data[0] - ord("0"), base64.b64decode(data[1:], validate=True))
        except binascii.Error:
            return None

    async def end_output(self) -> None:
        """Nothing: what ends in one direction alone is not told on a WebSocket."""

    async def close(self) -> None:
        """End the connection in order."""
        await self._socket.close()


def changes_protocol(request: web.BaseRequest) -> bool:
    """Whether a request asks for its connection to be upgraded."""
    return "upgrade" in ",".join(request.headers.getall("Connection", ())).lower()


def require_upgrade(request: web.BaseRequest) -> None:
    """BadRequest with the real text if a request does not ask for its connection to be upgraded."""
    if not changes_protocol(request):
        raise BadRequest("Upgrade request required")


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether a request for an upgrade asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def require_key(request: web.BaseRequest) -> None:
    """PlainError if a request for a WebSocket is none that can be answered."""
    try:
        is_key = len(base64.b64decode(request.headers.get("Sec-WebSocket-Key", ""))) == _KEY
    except ValueError:
        is_key = False
    if request.method != "GET" or not is_key or request.headers.get("Sec-WebSocket-Version") != "13":
        raise PlainError("", 400)


def choose_protocol(request: web.BaseRequest, known: Collection[str]) -> str:
    """Return the subprotocol to speak; PlainError if the client speaks none of the known ones."""
    asked = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    for each in asked:
        if each in known:
            return each
    raise PlainError("", 403)


def open_socket(protocol: str) -> web.WebSocketResponse:
    """Return the answer that upgrades a connection to a WebSocket."""
    return web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), max_msg_size=_LARGEST, compress=False
    )
