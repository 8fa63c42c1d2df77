"""DER, as far as certificates on P-256 keys need it (X.690, RFC 5280, RFC 5480, RFC 5915). Pure.

It is here because the library that writes certificates takes as long to import as a tenth of the cluster's start.
"""

from __future__ import annotations

import base64
import datetime

_SEQUENCE, _SET = 0x30, 0x31
_FIRST_YEAR_OF_LONG_TIMES = 2050


def pack(tag: int, *parts: bytes) -> bytes:
    """One element: its tag, its length, its content."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE."""
    return pack(_SEQUENCE, *parts)


def set_of(part: bytes) -> bytes:
    """A SET of one."""
    return pack(_SET, part)


def integer(number: int) -> bytes:
    """An INTEGER that is not negative."""
    return pack(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """An OCTET STRING."""
    return pack(0x04, content)


def bits(content: bytes, unused: int = 0) -> bytes:
    """A BIT STRING, the last `unused` bits of which do not count."""
    return pack(0x03, bytes((unused,)), content)


def text(content: str) -> bytes:
    """A UTF8String."""
    return pack(0x0C, content.encode())


def true() -> bytes:
    """The BOOLEAN that is true."""
    return pack(0x01, b"\xff")


def identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER such as 2.5.4.3."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray((40 * first + second,))
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return pack(0x06, bytes(content))


def time(at: datetime.datetime) -> bytes:
    """A time to the second: UTCTime to 2049, GeneralizedTime after. `at` is aware."""
    utc = at.astimezone(datetime.UTC)
    if utc.year < _FIRST_YEAR_OF_LONG_TIMES:
        return pack(0x17, utc.strftime("%y%m%d%H%M%SZ").encode())
    return pack(0x18, utc.strftime("%Y%m%d%H%M%SZ").encode())


def pem(label: str, content: bytes) -> bytes:
    """The PEM of an element, such as a CERTIFICATE."""
    encoded = base64.b64encode(content).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()
