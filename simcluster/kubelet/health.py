"""One gRPC health check: a connection, a call of `grpc.health.v1.Health/Check`, and what came of it.

The rule it keeps: only the answer SERVING, with status OK, is good. It speaks HTTP/2 itself (`h2`, `hpack`) because a
channel of grpcio costs twice the CPU for a single call, 30 MB, and threads, and the simulation's process has
none of them.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.exceptions
import hpack

_CONFIG = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_inbound_headers=False)
# RFC 9113, section 6: types of frames, flags, and the size of a frame that a peer takes unless it says otherwise.
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 7, 9
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
_HEAD, _MOST = 9, 16_384
# google.golang.org/grpc/health/grpc_health_v1: HealthCheckResponse_ServingStatus.
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
# google.golang.org/grpc/codes: the names that its errors print.
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# google.golang.org/grpc/backoff: how much longer each wait is.
_MORE = 1.6


class Unhealthy(Exception):  # noqa: N818 -- named for what was found
    """The check did not find the service serving; the text says what it found."""


@dataclass(slots=True)
class _Reply:
    data: bytes = b""
    status: str | None = None
    message: str = ""
    block: bytes = b""  # of headers, until its last frame has come
    is_last: bool = False
    ended: bool = False

    def take(self, headers: Iterable[tuple[object, object]]) -> None:
        for name, value in headers:
            if name == "grpc-status":
                self.status = str(value)
            elif name == "grpc-message":
                self.message = unquote(str(value))
            elif name == ":status" and value != "200":
                raise Unhealthy(
                    f"rpc error: code = Unavailable desc = unexpected HTTP status code received: {value}"
                )


def _request(service: str) -> bytes:
    """A HealthCheckRequest as a gRPC message; `service` is field 1."""
    name = service.encode()
    length, size = bytearray(), len(name)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    body = b"\x0a" + bytes(length) + name if name else b""
    return b"\0" + len(body).to_bytes(4) + body


def _read_status(data: bytes) -> str:
    """The serving status in a reply; absent field 1 is its zero value."""
    body = data[5 : 5 + int.from_bytes(data[1:5])]
    if not body:
        return _STATUSES[0]
    number = body[1] if len(body) == 2 and body[0] == 0x08 else len(_STATUSES)
    return _STATUSES[number] if number < len(_STATUSES) else f"status {body.hex()}"


async def connect(address: str, port: int, delay_s: float) -> Connection:
    """A connection; one that is refused is tried again after `delay_s`, then later and later, as grpc-go dials (without
    its jitter). The caller bounds the time.
    """
    while True:
        try:
            return await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(delay_s)
        delay_s *= _MORE


async def check(connection: Connection, authority: str, service: str, agent: str) -> None:
    """Return if the service is serving, Unhealthy or OSError if not; it ends the connection. The caller bounds the
    time.
    """
    reader, writer = connection
    try:
        reply = await _call(reader, writer, authority, service, agent)
    except h2.exceptions.ProtocolError as error:
        raise Unhealthy(
            f"rpc error: code = Unavailable desc = the server does not speak HTTP/2: {error}"
        ) from error
    finally:
        writer.close()
    if reply.status not in (None, "0"):
        code = int(reply.status) if reply.status.isdecimal() else 2
        name = _CODES[code] if code < len(_CODES) else f"Code({code})"
        raise Unhealthy(f"rpc error: code = {name} desc = {reply.message}")
    if reply.status is None or len(reply.data) < 5:
        raise Unhealthy("rpc error: code = Unavailable desc = the server ended the call without an answer")
    status = _read_status(reply.data)
    if status != "SERVING":
        raise Unhealthy(f'service unhealthy (responded with "{status}")')


async def _call(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str, agent: str
) -> _Reply:
    writer.write(_open_call(authority, service, agent))
    reply, frames = _Reply(), Frames()
    while not reply.ended:
        data = await reader.read(65536)
        if not data:
            raise Unhealthy("rpc error: code = Unavailable desc = connection closed by the server")
        for frame in frames.feed(data):
            _take(frame, reply, frames)
            if reply.ended:
                break  # What comes after the answer, such as a GOAWAY, is not about it.
    return reply


@functools.lru_cache(maxsize=4096)
def _open_call(authority: str, service: str, agent: str) -> bytes:
    """All that the client of one check sends; it is the same for every probe of a pod."""
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority), ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", agent),
    ]  # fmt: skip
    block = hpack.Encoder().encode(headers, huffman=False)
    call = _write_frame(_HEADERS, _END_HEADERS, block)
    return _greet() + call + _write_frame(_DATA, _END_STREAM, _request(service))


@functools.cache
def _greet() -> bytes:
    """What a connection begins with: the preface and the settings, h2's."""
    connection = h2.connection.H2Connection(_CONFIG)
    connection.initiate_connection()
    return connection.data_to_send()


def _write_frame(kind: int, flags: int, payload: bytes) -> bytes:
    """A frame of stream 1, where the only call is."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + (1).to_bytes(4) + payload


class Frames:
    """What a server sends, frame by frame, and its headers. The client has told its limits: they are h2's defaults.

    Only as much of HTTP/2 as one short call needs (RFC 9113, section 4.1 and 6): a machine of states for it takes
    most of the time of a probe, and a node has hundreds of probes a second.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._blocks: tuple[bytes, ...] = ()
        self._is_first = True

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield type, flags and payload, without padding and priority, of each whole frame; ProtocolError."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            length, kind, flags = int.from_bytes(self._buffer[:3]), self._buffer[3], self._buffer[4]
            if length > _MOST or (self._is_first and kind != _SETTINGS):
                raise h2.exceptions.ProtocolError(f"a frame of {length} bytes, of type {kind}")
            if len(self._buffer) < _HEAD + length:
                return
            payload, self._buffer = self._buffer[_HEAD : _HEAD + length], self._buffer[_HEAD + length :]
            self._is_first = False
            yield kind, flags, _unwrap(kind, flags, payload)

    def read_headers(self, block: bytes) -> list[tuple[str, str]]:
        """The fields of the next header block; ProtocolError if it is none."""
        self._blocks = (*self._blocks, block)
        try:
            return _decode(self._blocks)
        except (hpack.HPACKError, UnicodeDecodeError) as error:
            raise h2.exceptions.ProtocolError(f"headers that can not be read: {error}") from error


@functools.lru_cache(maxsize=128)
def _decode(blocks: tuple[bytes, ...]) -> list[tuple[str, str]]:
    """The fields of the last of a connection's header blocks: it refers to those before. Servers of one kind send the
    same ones, and reading them is most of a probe.
    """
    decoder = hpack.Decoder()
    for block in blocks:
        fields = decoder.decode(block)
    return [(str(name), str(value)) for name, value in fields]


def _unwrap(kind: int, flags: int, payload: bytes) -> bytes:
    if kind in (_DATA, _HEADERS) and flags & _PADDED:
        if not payload or payload[0] >= len(payload):
            raise h2.exceptions.ProtocolError("more padding than frame")
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if kind == _HEADERS and flags & _PRIORITY else payload


def _take(frame: tuple[int, int, bytes], reply: _Reply, frames: Frames) -> None:
    kind, flags, payload = frame
    if kind == _DATA:
        reply.data += payload
    elif kind in (_HEADERS, _CONTINUATION):
        reply.block += payload
        if kind == _HEADERS:
            reply.is_last = bool(flags & _END_STREAM)
        if not flags & _END_HEADERS:
            return
        reply.take(frames.read_headers(reply.block))
        reply.block = b""
        reply.ended = reply.is_last
        return
    elif kind in (_RST_STREAM, _GOAWAY):
        code = int.from_bytes(payload[-4:] if kind == _RST_STREAM else payload[4:8])
        raise Unhealthy(f"rpc error: code = Unavailable desc = the server reset the call ({code})")
    reply.ended = kind == _DATA and bool(flags & _END_STREAM)
