"""Connections that are upgraded: raw bytes on them, and as much SPDY/3.1 as a client of streams needs.

It shares no code with any server. Headers are compressed without the protocol's dictionary, which a reader allows, and
what a server compresses is not looked into.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from rig.client import Answer, Client

_KINDS = {1: "open", 2: "reply", 3: "reset", 6: "ping", 7: "goaway"}


class Upgraded:
    """A request for an upgrade, its answer, and the connection after it."""

    def __init__(
        self, api: Client, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes = b""
    ) -> None:
        settings, address = api.configuration, urlsplit(api.url)
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if not settings.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        plain = socket.create_connection((address.hostname, address.port or 443), timeout=api.patience_s)
        self.socket = context.wrap_socket(plain, server_hostname=address.hostname)
        given = [("Host", address.netloc), *api.headers.items(), *headers]
        lines = "".join(f"{key}: {value}\r\n" for key, value in given)
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, _, lines = head.decode().partition("\r\n")
        self.status = int(first.split()[1])
        self.headers = http.client.parse_headers(io.BytesIO(f"{lines}\r\n\r\n".encode()))
        self._packing = zlib.compressobj()

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        assert data, "the connection ended"
        return data

    @property
    def answer(self) -> Answer:
        """The answer that is none of an upgrade."""
        assert self.status != 101
        while len(self._rest) < int(self.headers["Content-Length"]):
            self._rest += self._more()
        return Answer(self.status, self.headers, self._rest)

    def read(self, number: int) -> bytes:
        """The next bytes."""
        while len(self._rest) < number:
            self._rest += self._more()
        data, self._rest = self._rest[:number], self._rest[number:]
        return data

    def is_over(self) -> bool:
        """Wait for the end of the connection; whether it came without anything before it."""
        return not self._rest and self.socket.recv(1) == b""

    def open(self, stream: int, headers: Mapping[str, str], *, is_last: bool = False) -> None:
        """Open a SPDY stream."""
        texts = [text.encode() for pair in headers.items() for text in pair]
        plain = len(headers).to_bytes(4, "big")
        plain += b"".join(len(text).to_bytes(4, "big") + text for text in texts)
        block = self._packing.compress(plain) + self._packing.flush(zlib.Z_SYNC_FLUSH)
        self._control(1, stream.to_bytes(4, "big") + bytes(6) + block, is_last=is_last)

    def say(self, stream: int, data: bytes, *, is_last: bool = False) -> None:
        """Send data on a stream."""
        self.socket.sendall(
            stream.to_bytes(4, "big") + bytes([is_last]) + len(data).to_bytes(3, "big") + data
        )

    def reset(self, stream: int) -> None:
        """Give a stream up."""
        self._control(3, stream.to_bytes(4, "big") + (5).to_bytes(4, "big"))

    def ping(self, number: int) -> None:
        """Ask whether somebody is there."""
        self._control(6, number.to_bytes(4, "big"))

    def leave(self) -> None:
        """Say that no stream will be opened any more."""
        self._control(7, bytes(8))

    def _control(self, kind: int, body: bytes, *, is_last: bool = False) -> None:
        head = bytes([0x80, 3, 0, kind, is_last]) + len(body).to_bytes(3, "big")
        self.socket.sendall(head + body)

    def frames(self) -> Iterator[tuple[str, int, bytes, bool]]:
        """Kind, number, data and whether it is the last, of each frame to the end of the connection."""
        while self._rest or (first := self.socket.recv(65536)):
            self._rest = self._rest or first
            head = self.read(8)
            body = self.read(int.from_bytes(head[5:], "big"))
            if head[0] & 0x80:
                yield _KINDS[head[3]], int.from_bytes(body[:4], "big"), body[4:], bool(head[4])
            else:
                yield "data", int.from_bytes(head[:4], "big"), body, bool(head[4])


def stream(
    api: Client,
    path: str,
    *protocols: str,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    **query: object,
) -> Upgraded:
    """Ask for an upgrade to SPDY."""
    asked = [
        (key, each)
        for key, value in query.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    given = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("Content-Length", "0"),
        *(headers or {}).items(),
    ]
    given += [("X-Stream-Protocol-Version", each) for each in protocols]
    return Upgraded(api, method, f"{path}?{urlencode(asked)}", given)
