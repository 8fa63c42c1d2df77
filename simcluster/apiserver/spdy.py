"""SPDY/3.1 frames, as far as commands and port-forwards need them. Pure: bytes in, frames out, and the other way.

The rules it keeps: frames may arrive in any pieces; header blocks of one direction share one compression, so all of
them are read, in their order; what this server does not act upon (settings, window updates, late headers) is read
and dropped. There is no flow control, as in the Go library that Kubernetes uses: the connection below has one.

No library that is kept up speaks SPDY. Source: the SPDY Protocol, draft 3.1, 2.2 to 2.6.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

_VERSION = 3
_CONTROL = 0x8000
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 0x01
_HEAD = 8
_LONGEST_FRAME = 2**24 - 1
# A header block is a few dozen bytes; what unpacks to more than this is an attack.
_LONGEST_HEADERS = 64 * 1024
PROTOCOL_ERROR, CANCEL = 1, 5

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream was opened with these headers; with `is_last` its sender will send nothing on it."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The other side agreed to a stream."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Data on a stream."""

    stream: int
    data: bytes
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream was given up."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether somebody is there; it is its own answer."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The sender will open no stream any more."""

    last: int


Frame = Opened | Answered | Data | Reset | Ping | GoAway


class SpdyError(Exception):
    """The other side does not speak SPDY/3; the text says where."""


def find_header(frame: Opened, name: str, default: str = "") -> str:
    """Return a header of a stream; its name, in lower case, is compared as HTTP's names are."""
    return next((value for key, value in frame.headers.items() if key.lower() == name), default)


@cache
def dictionary() -> bytes:
    """Return the text that header compression starts from."""
    words = [word.replace("_", " ").encode() for word in _WORDS.split()]
    return b"".join(len(word).to_bytes(4, "big") + word for word in words) + _TAIL.encode()


class Reader:
    """Reads frames from one direction of a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._unpack = zlib.decompressobj(zdict=dictionary())

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now; SpdyError if there are none to come."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            first, length = int.from_bytes(self._buffer[:4], "big"), int.from_bytes(self._buffer[5:8], "big")
            if len(self._buffer) < _HEAD + length:
                return
            flags, body = self._buffer[4], bytes(self._buffer[_HEAD : _HEAD + length])
            del self._buffer[: _HEAD + length]
            frame = self._read(first, flags, body)
            if frame is not None:
                yield frame

    def _read(self, first: int, flags: int, body: bytes) -> Frame | None:
        is_last = bool(flags & _FIN)
        if not first >> 31:
            return Data(first, body, is_last)
        if first >> 16 != _CONTROL | _VERSION:
            raise SpdyError(f"a control frame of version {first >> 16 & 0x7FFF}; only {_VERSION} is spoken")
        kind = first & 0xFFFF
        stream = int.from_bytes(body[:4], "big") & 0x7FFFFFFF
        if kind == _SYN_STREAM:
            return Opened(stream, self._read_headers(body[10:]), is_last)
        if kind == _SYN_REPLY:
            return Answered(stream, self._read_headers(body[4:]), is_last)
        if kind == _HEADERS:
            self._read_headers(body[4:])
        if kind == _RST_STREAM:
            return Reset(stream, int.from_bytes(body[4:8], "big"))
        if kind == _PING:
            return Ping(int.from_bytes(body[:4], "big"))
        return GoAway(stream) if kind == _GOAWAY else None

    def _read_headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._unpack.decompress(block, _LONGEST_HEADERS)
        except zlib.error as error:
            raise SpdyError(f"headers that can not be unpacked: {error}") from error
        if self._unpack.unconsumed_tail:
            raise SpdyError(f"headers of more than {_LONGEST_HEADERS} bytes")
        texts, rest = [], plain[4:]
        for _ in range(2 * min(int.from_bytes(plain[:4], "big"), _LONGEST_HEADERS)):
            end = 4 + int.from_bytes(rest[:4], "big")
            if len(rest) < max(end, 4):
                raise SpdyError("headers that end too early")
            texts.append(rest[4:end].decode(errors="replace"))
            rest = rest[end:]
        return dict(zip(texts[::2], texts[1::2], strict=True))


class Writer:
    """Writes frames for one direction of a connection; they must be sent in the order of their writing."""

    def __init__(self) -> None:
        self._pack = zlib.compressobj(zdict=dictionary())

    def write(self, frame: Frame) -> bytes:
        """Return a frame as bytes. ValueError for data that one frame can not hold."""
        match frame:
            case Data(stream, data, is_last):
                if len(data) > _LONGEST_FRAME:
                    raise ValueError(f"{len(data)} bytes in one frame\n  allowed: {_LONGEST_FRAME}")
                return stream.to_bytes(4, "big") + _tail_of_head(data, is_last=is_last)
            case Opened(stream, headers, is_last):
                body = stream.to_bytes(4, "big") + bytes(6) + self._write_headers(headers)
                return _control(_SYN_STREAM, body, is_last=is_last)
            case Answered(stream, headers, is_last):
                body = stream.to_bytes(4, "big") + self._write_headers(headers)
                return _control(_SYN_REPLY, body, is_last=is_last)
            case Reset(stream, status):
                return _control(_RST_STREAM, stream.to_bytes(4, "big") + status.to_bytes(4, "big"))
            case Ping(number):
                return _control(_PING, number.to_bytes(4, "big"))
            case GoAway(last):
                return _control(_GOAWAY, last.to_bytes(4, "big") + bytes(4))

    def _write_headers(self, headers: Mapping[str, str]) -> bytes:
        plain = len(headers).to_bytes(4, "big")
        for text in (text for pair in headers.items() for text in pair):
            encoded = text.encode()
            plain += len(encoded).to_bytes(4, "big") + encoded
        return self._pack.compress(plain) + self._pack.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, body: bytes, *, is_last: bool = False) -> bytes:
    head = (_CONTROL | _VERSION).to_bytes(2, "big") + kind.to_bytes(2, "big")
    return head + _tail_of_head(body, is_last=is_last)


def _tail_of_head(body: bytes, *, is_last: bool) -> bytes:
    return bytes([_FIN if is_last else 0]) + len(body).to_bytes(3, "big") + body
