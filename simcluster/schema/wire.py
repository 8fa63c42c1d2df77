"""Protobuf's bytes: varints, and the fields of a message as they follow each other. Pure.

The rule it keeps: whatever the bytes, reading ends with them, in values or in `WireError`; the texts are those of Go's
decoder. It knows nothing of types.

Source: protobuf.dev, "Encoding"; texts as gogo/protobuf generates them into k8s.io/api.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, GROUP_START, GROUP_END, FIXED32 = range(6)
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_WORD = 2**64 - 1


class WireError(ValueError):
    """The bytes are no message; the text says why."""


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield (number, wire type, value) of each field; of the fixed widths, which no type here has, their bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise WireError(f"proto: illegal tag 0 (wire type {wire})")
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            width, at = _varint(data, at)
        elif wire in _WIDTHS:
            width = _WIDTHS[wire]
        else:
            # A caller that knows the number says so first, in the words of its field.
            yield number, wire, b""
            raise WireError(f"proto: illegal wireType {wire}")
        if width > end - at:
            raise WireError("unexpected EOF")
        yield number, wire, data[at : at + width]
        at += width


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if at + index >= len(data):
            raise WireError("unexpected EOF")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & _WORD, at + index + 1
    raise WireError("proto: integer overflow")


def varints(data: bytes) -> Iterator[int]:
    """Yield the numbers of a packed field."""
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def signed(value: int, bits: int) -> int:
    """Return a varint's value as a signed integer of so many bits, as Go cuts it."""
    value &= 2**bits - 1
    return value - 2**bits if value >> (bits - 1) else value


def write_varint(value: int) -> bytes:
    """Return an integer, negative ones as 64 bits, as a varint."""
    value &= _WORD
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_number(number: int, value: int) -> bytes:
    """Return a field that holds an integer."""
    return write_varint(number << 3 | VARINT) + write_varint(value)


def write_bytes(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes: a text, a message, or bytes."""
    return write_varint(number << 3 | BYTES) + write_varint(len(value)) + value
