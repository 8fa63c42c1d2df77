"""One gRPC health check: a connection, a call of `grpc.health.v1.Health/Check`, and what came of it.

The rule it keeps: only the answer SERVING, with status OK, is good. It speaks HTTP/2 itself (`h2`) because a
channel of grpcio costs twice the CPU for a single call, 30 MB, and threads, and the simulation's process has
none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

_CONFIG = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_inbound_headers=False)
# google.golang.org/grpc/health/grpc_health_v1: HealthCheckResponse_ServingStatus.
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
# google.golang.org/grpc/codes: the names that its errors print.
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


class Unhealthy(Exception):  # noqa: N818 -- named for what was found
    """The check did not find the service serving; the text says what it found."""


@dataclass(slots=True)
class _Reply:
    data: bytes = b""
    status: str | None = None
    message: str = ""
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


async def check(address: str, port: int, service: str, agent: str) -> None:
    """Return if the service is serving, Unhealthy or OSError if not. The caller bounds the time."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        reply = await _call(reader, writer, f"{address}:{port}", service, agent)
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
    connection = h2.connection.H2Connection(_CONFIG)
    connection.initiate_connection()
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority), ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", agent),
    ]  # fmt: skip
    connection.send_headers(1, headers)
    connection.send_data(1, _request(service), end_stream=True)
    writer.write(connection.data_to_send())
    reply = _Reply()
    while not reply.ended:
        data = await reader.read(65536)
        if not data:
            raise Unhealthy("rpc error: code = Unavailable desc = connection closed by the server")
        for event in connection.receive_data(data):
            _take_event(event, reply)
        writer.write(connection.data_to_send())
    return reply


def _take_event(event: h2.events.Event, reply: _Reply) -> None:
    match event:
        case h2.events.ResponseReceived() | h2.events.TrailersReceived():
            reply.take(event.headers)
        case h2.events.DataReceived():
            reply.data += event.data
        case h2.events.StreamEnded():
            reply.ended = True
        case h2.events.StreamReset() | h2.events.ConnectionTerminated():
            raise Unhealthy(
                f"rpc error: code = Unavailable desc = the server reset the call ({event.error_code})"
            )
