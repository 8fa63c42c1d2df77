"""A connection that sends what it is told, byte for byte, and keeps it alive; and what is wrong with an answer."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass, field

from fuzz_requests import Request

PATIENCE_S = 30.0  # how long an answer may take before it counts as a hang; nothing here takes a tenth of it
_STREAM_S = 0.02
# Where a real server answers 500, in its words.
_REAL = re.compile(
    r"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support\."
    r"|map: .* does not contain declared merge key: \w+"
    r"|failed to create typed (new|patch|live) object[ :].*"
    r"|resourceVersion: Invalid value: .*: strconv\.ParseUint: parsing .*: invalid syntax"
    r"|unknown patch type: .* in map: .*"
    r"|resourceVersion should not be set on objects to be created",
    re.DOTALL,
)


@dataclass(slots=True)
class Connection:
    """One keep-alive connection to a server; opens itself again where the server has closed it."""

    port: int
    context: ssl.SSLContext
    headers: tuple[tuple[str, str], ...] = ()
    answered: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    _socket: ssl.SSLSocket | None = None

    def send(self, request: Request) -> tuple[int, bytes]:
        """Code and body of the answer; TimeoutError for a hang."""
        fresh = self._socket is None
        try:
            return self._send(request)
        except (ConnectionError, http.client.BadStatusLine, ssl.SSLError):
            self.close()
            if fresh:
                raise
            return self._send(request)  # a connection that the server had closed between two requests

    def _send(self, request: Request) -> tuple[int, bytes]:
        if self._socket is None:
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
            self._socket = self.context.wrap_socket(plain, server_hostname="127.0.0.1")
        connection = self._socket
        connection.settimeout(PATIENCE_S)
        headers = (("Host", "x"), *self.headers, *request.headers)
        lines = [
            f"{request.method} {request.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(request.body)}")
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + request.body)
        response = http.client.HTTPResponse(connection, method=request.method)
        response.begin()
        self.answered += 1
        self.codes[response.status] = self.codes.get(response.status, 0) + 1
        body = self._read(response, connection)
        if response.will_close or response.status == 101:
            self.close()
        return response.status, body

    def _read(self, response: http.client.HTTPResponse, connection: ssl.SSLSocket) -> bytes:
        if response.status == 101:
            return b""
        if not response.chunked:
            return response.read()
        connection.settimeout(_STREAM_S)  # a stream may never end: its beginning is enough
        try:
            return response.read()
        except TimeoutError:
            response.will_close = True
            return b""

    def close(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def find_fault(code: int, body: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if code < 500 or code in (503, 504):
        return "" if code >= 100 else f"code {code}"
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        return f"{code}: {body[:300]!r}"
    return "" if _REAL.fullmatch(said) else f"{code}: {said}"
