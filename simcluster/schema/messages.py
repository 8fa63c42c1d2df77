"""The messages of protobuf as their types have them: which field has which number, and how each form is written. Pure.

The rule it keeps: a field that Go holds by value and that is zero is absent, as it is in Go's JSON; unknown numbers
are passed over.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable
from typing import Any

import orjson

from simcluster.schema.types import Field, Form, Type
from simcluster.schema.wire import (
    BYTES,
    VARINT,
    WireError,
    fields,
    signed,
    varints,
    write_bytes,
    write_number,
)

Json = dict[str, Any]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SCALARS = {Form.INTEGER, Form.BOOLEAN}
_BITS = {"int32": 32}
# What IntOrString says of itself: 0 a number, 1 a text.
_IS_TEXT = 1


class _Layout:
    """The fields of one message by number: (field, whether Go holds it by pointer), and messages shown inline."""

    __slots__ = ("fields", "inline")

    def __init__(self) -> None:
        self.fields: dict[int, tuple[Field, bool]] = {}
        self.inline: dict[int, _Layout] = {}

    def add(self, field: Field, number: int | list[int]) -> None:
        path = number if isinstance(number, list) else [number]
        layout = self
        for outer in path[:-1]:
            layout = layout.inline.setdefault(outer, _Layout())
        if path[-1]:
            layout.fields[abs(path[-1])] = field, path[-1] < 0


class Layouts:
    """Reads and writes messages; `numbers` are those of each type, in the order of its properties' names."""

    def __init__(self, numbers: dict[str, list[int | list[int]]]) -> None:
        self._numbers = numbers
        self._known: dict[str, _Layout] = {}

    def read(self, type_: Type, data: bytes) -> Json:
        """Return a message as JSON values; WireError if it is none."""
        out: Json = {}
        self._read_into(self._layout(type_), data, out)
        return out

    def write(self, type_: Type, obj: Json) -> bytes:
        """Return JSON values, which must be of the type, as a message."""
        return self._write_from(self._layout(type_), obj)

    def _layout(self, type_: Type) -> _Layout:
        layout = self._known.get(type_.name)
        if layout is None:
            layout = self._known[type_.name] = _Layout()
            for name, number in zip(sorted(type_.fields), self._numbers[type_.name], strict=True):
                layout.add(type_.fields[name], number)
        return layout

    def _read_into(self, layout: _Layout, data: bytes, out: Json) -> None:
        for number, wire, value in fields(data):
            inner = layout.inline.get(number)
            if inner is not None:
                self._read_into(inner, _require_bytes(value, wire, "inline"), out)
                continue
            found = layout.fields.get(number)
            if found is None:
                continue
            field, is_pointer = found
            read = self._read_field(field, out.get(field.name), wire, value)
            if read or is_pointer or field.required or _means_something(field.type, read):
                out[field.name] = read

    def _read_field(self, field: Field, before: Any, wire: int, value: int | bytes) -> Any:
        type_ = field.type
        if type_.form is Form.LIST:
            listed: list[Any] = [] if before is None else before
            item = type_.item
            if item.form in _SCALARS and isinstance(value, bytes) and wire == BYTES:
                listed += [_read_scalar(item, each) for each in varints(value)]
            else:
                listed.append(self._read_value(item, field.name, wire, value))
            return listed
        if type_.form is Form.MAP:
            entry = self._read_entry(type_.item, field.name, _require_bytes(value, wire, field.name))
            return ({} if before is None else before) | entry
        return self._read_value(type_, field.name, wire, value)

    def _read_entry(self, item: Type, name: str, data: bytes) -> Json:
        key, read = "", _ZEROS.get(item.form, "")
        for number, wire, value in fields(data):
            if number == 1:
                key = _require_bytes(value, wire, name).decode(errors="replace")
            elif number == 2:
                read = self._read_value(item, name, wire, value)
        return {key: read}

    def _read_value(self, type_: Type, name: str, wire: int, value: int | bytes) -> Any:
        form = type_.form
        if form in _SCALARS:
            if wire != VARINT or not isinstance(value, int):
                raise _wrong_wire(wire, name)
            return _read_scalar(type_, value)
        data = _require_bytes(value, wire, name)
        if form is Form.STRING:
            return (
                base64.b64encode(data).decode() if type_.format == "byte" else data.decode(errors="replace")
            )
        if form is Form.OBJECT:
            return self.read(type_, data)
        if form is Form.LIST:
            # A list inside a map is a message of its own, whose one field repeats.
            return [
                self._read_value(type_.item, name, inner, each)
                for number, inner, each in fields(data)
                if number == 1
            ]
        return _READERS[form](type_, data)

    def _write_from(self, layout: _Layout, obj: Json) -> bytes:
        pieces = [
            write_bytes(number, self._write_from(inner, obj)) for number, inner in layout.inline.items()
        ]
        for number, (field, _) in layout.fields.items():
            value = obj.get(field.name)
            if value is None:
                continue
            form = field.type.form
            if form is Form.LIST:
                pieces += [self._write_value(field.type.item, number, each) for each in value]
            elif form is Form.MAP:
                for key, each in value.items():
                    entry = write_bytes(1, key.encode()) + self._write_value(field.type.item, 2, each)
                    pieces.append(write_bytes(number, entry))
            else:
                pieces.append(self._write_value(field.type, number, value))
        return b"".join(pieces)

    def _write_value(self, type_: Type, number: int, value: Any) -> bytes:
        form = type_.form
        if form in _SCALARS:
            return write_number(number, int(value))
        if form is Form.STRING:
            text: str = value
            return write_bytes(number, base64.b64decode(text) if type_.format == "byte" else text.encode())
        if form is Form.OBJECT:
            return write_bytes(number, self.write(type_, value))
        if form is Form.LIST:
            return write_bytes(number, b"".join(self._write_value(type_.item, 1, each) for each in value))
        return write_bytes(number, _WRITERS[form](type_, value))


# What a map holds for a key that came without a value.
_ZEROS: dict[Form, Any] = {
    Form.INTEGER: 0,
    Form.BOOLEAN: False,
    Form.QUANTITY: "0",
    Form.LIST: [],
    Form.OBJECT: {},
}


def _means_something(type_: Type, value: Any) -> bool:
    """Return whether an empty value stands in Go's JSON: a struct does, a zero does not."""
    return type_.form in (Form.OBJECT, Form.ANY, Form.INT_OR_STRING) and value is not None


def _require_bytes(value: int | bytes, wire: int, name: str) -> bytes:
    if wire != BYTES or not isinstance(value, bytes):
        raise _wrong_wire(wire, name)
    return value


def _wrong_wire(wire: int, name: str) -> WireError:
    return WireError(f"proto: wrong wireType = {wire} for field {name[:1].upper()}{name[1:]}")


def _read_scalar(type_: Type, value: int) -> int | bool:
    return bool(value) if type_.form is Form.BOOLEAN else signed(value, _BITS.get(type_.format, 64))


def _numbers(data: bytes) -> dict[int, int | bytes]:
    return {number: value for number, _, value in fields(data)}


def _integer(held: dict[int, int | bytes], number: int, bits: int) -> int:
    value = held.get(number, 0)
    if not isinstance(value, int):
        raise WireError(f"proto: wrong wireType = {BYTES} for field {number}")
    return signed(value, bits)


def _read_time(type_: Type, data: bytes) -> str | None:
    if not data:
        return None
    held = _numbers(data)
    seconds, nanos = _integer(held, 1, 64), _integer(held, 2, 32)
    try:
        at = _EPOCH + datetime.timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as error:
        raise WireError("Time.MarshalJSON: year outside of range [0,9999]") from error
    precision = "microseconds" if type_.short_name == "MicroTime" else "seconds"
    return at.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _write_time(_type: Type, value: str) -> bytes:
    since = datetime.datetime.fromisoformat(value) - _EPOCH
    return write_number(1, since.days * 86400 + since.seconds) + write_number(2, since.microseconds * 1000)


def _read_quantity(_type: Type, data: bytes) -> str:
    text = _require_bytes(_numbers(data).get(1, b""), BYTES, "string").decode(errors="replace")
    return text if text else "0"


def _read_int_or_string(_type: Type, data: bytes) -> int | str:
    held = _numbers(data)
    if _integer(held, 1, 64) == _IS_TEXT:
        return _require_bytes(held.get(3, b""), BYTES, "strVal").decode(errors="replace")
    return _integer(held, 2, 32)


def _write_int_or_string(_type: Type, value: int | str) -> bytes:
    if isinstance(value, str):
        return write_number(1, _IS_TEXT) + write_number(2, 0) + write_bytes(3, value.encode())
    return write_number(1, 0) + write_number(2, value) + write_bytes(3, b"")


def _read_any(_type: Type, data: bytes) -> Any:
    """Read a RawExtension or FieldsV1: JSON inside a field of bytes. Other types without fields are empty."""
    raw = _require_bytes(_numbers(data).get(1, b""), BYTES, "raw")
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise WireError(f"error decoding from json: {error}") from error


_READERS: dict[Form, Callable[[Type, bytes], Any]] = {
    Form.TIME: _read_time,
    Form.QUANTITY: _read_quantity,
    Form.INT_OR_STRING: _read_int_or_string,
    Form.ANY: _read_any,
}
_WRITERS: dict[Form, Callable[[Type, Any], bytes]] = {
    Form.TIME: _write_time,
    Form.QUANTITY: lambda _type, value: write_bytes(1, value.encode()),
    Form.INT_OR_STRING: _write_int_or_string,
    Form.ANY: lambda _type, value: write_bytes(1, orjson.dumps(value)),
}
