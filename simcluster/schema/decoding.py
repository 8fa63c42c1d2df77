"""Reads an object as its kind's type: drops what the type has not, refuses what has the wrong form, defaults.

The rule it keeps: what comes out shares nothing with what went in and holds only fields of the type, `kind`,
`apiVersion` and `metadata` first; what the API server fills in is filled in. Conditions and tolerations of pods, which
thousands have alike, are shared by all that came out: nobody may change them in place. Empty lists, maps and texts
are left out as Go's encoder leaves them out, and where it writes `null` for an empty list, so does this.

It knows no rules between fields: that is validation. It is pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from simcluster.errors import BadRequest
from simcluster.schema import base64_text, quantities
from simcluster.schema.defaulting import CONDITIONAL
from simcluster.schema.defaults import KEPT_EMPTY, STATIC
from simcluster.schema.types import Field, Form, Type
from simcluster.schema.zeros import INSTANTS, ZEROS

# Where a value is: (path of its parent, its own segment, the type that it is a field of), or None at the top.
Path = tuple[Any, str, Type | None] | None

_QUANTITY = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_FIRST = ("kind", "apiVersion", "metadata")
# Elements of lists that thousands of pods have alike: each is kept once.
_ALIKE = frozenset({"io.k8s.api.core.v1.PodCondition", "io.k8s.api.core.v1.Toleration"})
_MOST_SHARED = 5_000
_shared: dict[tuple[Any, ...], dict[str, Any]] = {}


class Report:
    """What decoding met and could drop: unknown fields, by path, in the order met."""

    __slots__ = ("unknown",)

    def __init__(self) -> None:
        self.unknown: list[str] = []


class Malformed(BadRequest):
    """The value can not be read as its type; the message is Go's."""


def decode(type_: Type, value: Any, report: Report) -> dict[str, Any]:
    """Return an object read as `type_`; Malformed if a value has the wrong form."""
    if not isinstance(value, dict):
        raise Malformed(f"json: cannot unmarshal {_go_kind(value)} into Go value of type {type_.go_name}")
    ordered = {key: value[key] for key in _FIRST if key in value} | value
    decoded: dict[str, Any] = _object(type_, ordered, None, report)
    return decoded


def show(path: Path) -> str:
    """Return a path as errors show it: `spec.ports[0].name`."""
    parts: list[str] = []
    while path is not None:
        path, segment, _ = path
        parts.append(segment)
    parts.reverse()
    text = ""
    for part in parts:
        text += part if part.startswith("[") or not text else f".{part}"
    return text


def _object(type_: Type, value: Any, path: Path, report: Report) -> Any:
    if value.__class__ is not dict:
        raise _wrong(type_, value, path)
    fields = type_.fields
    out: dict[str, Any] = {}
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            report.unknown.append(show((path, key, type_)))
        elif item.__class__ is str and field.type.is_text:
            # Most values are: as they are, and without the path that an error would show.
            if item or not _is_left_out(type_, field, item):
                out[key] = item
        elif item is not None:
            kept = _DECODERS[field.type.form](field.type, item, (path, key, type_), report)
            if kept or not _is_left_out(type_, field, kept):
                out[key] = kept
    _default(type_, fields, out, report)
    return out


def _is_left_out(type_: Type, field: Field, empty: Any) -> bool:
    """Return whether an empty value (text, number, list, map, object) is not stored."""
    if empty == 0:
        return (type_.name, field.name) in ZEROS
    if field.type.form in (Form.OBJECT, Form.ANY):
        return False
    if field.required and empty == "":
        return False
    return (type_.name, field.name) not in KEPT_EMPTY


def _default(type_: Type, fields: dict[str, Field], out: dict[str, Any], report: Report) -> None:
    filled = type_.filled
    if filled is None:
        filled = type_.filled = _list_filled(type_, fields)
    for name, default in filled:
        if name not in out:
            out[name] = _object(fields[name].type, {}, None, report) if default is _EMPTY else default
    fill = CONDITIONAL.get(type_.name)
    if fill is not None:
        fill(out)


_EMPTY = object()


def _list_filled(type_: Type, fields: dict[str, Field]) -> list[tuple[str, Any]]:
    """Return what an absent field is given: the defaults that OpenAPI states, null instants, Go's own defaults."""
    filled: list[tuple[str, Any]] = []
    for name, field in fields.items():
        form = field.type.form
        if form is Form.OBJECT and field.default == {}:
            filled.append((name, _EMPTY))
        elif (type_.name, name) in ZEROS and not field.default:
            continue
        elif field.default is not None and form not in (Form.OBJECT, Form.TIME, Form.ANY, Form.QUANTITY):
            filled.append((name, field.default))
    filled += [(name, None) for name in INSTANTS.get(type_.name, ())]
    return filled + list((STATIC.get(type_.name) or {}).items())


def _list(type_: Type, value: Any, path: Path, report: Report) -> Any:
    if value.__class__ is not list:
        raise _wrong(type_, value, path)
    item = type_.item
    decoder = _DECODERS[item.form]
    decoded = [
        decoder(item, _zero(item) if each is None else each, (path, f"[{index}]", None), report)
        for index, each in enumerate(value)
    ]
    return [_share(item, each) for each in decoded] if item.name in _ALIKE else decoded


def _share(type_: Type, value: dict[str, Any]) -> dict[str, Any]:
    """Return the one object of that content that all have; what has parts is left as it is."""
    try:
        return _shared.setdefault((type_.name, *value.items()), value)
    except TypeError:
        return value
    finally:
        if len(_shared) > _MOST_SHARED:
            _shared.clear()


def _map(type_: Type, value: Any, path: Path, report: Report) -> Any:
    if value.__class__ is not dict:
        raise _wrong(type_, value, path)
    item = type_.item
    decoder = _DECODERS[item.form]
    return {
        key: decoder(item, _zero(item) if each is None else each, (path, key, None), report)
        for key, each in value.items()
    }


def _zero(type_: Type) -> Any:
    zeros: dict[Form, Any] = {
        Form.STRING: "",
        Form.INTEGER: 0,
        Form.NUMBER: 0,
        Form.BOOLEAN: False,
        Form.LIST: [],
        Form.QUANTITY: "0",
        Form.INT_OR_STRING: 0,
    }
    return zeros.get(type_.form, {})


def _string(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is not str:
        raise _wrong(type_, value, path)
    if type_.format == "byte":
        fault = base64_text.find_fault(value)
        if fault is not None:
            raise Malformed(f"illegal base64 data at input byte {fault}")
    return value


def _integer(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is float and value.is_integer():
        value = int(value)
    if value.__class__ is not int:
        raise _wrong(type_, value, path)
    if type_.bounds is not None and not type_.bounds[0] <= value <= type_.bounds[1]:
        raise _wrong(type_, value, path, f"number {value}")
    return value


def _number(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is not int and value.__class__ is not float:
        raise _wrong(type_, value, path)
    return value


def _boolean(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is not bool:
        raise _wrong(type_, value, path)
    return value


def _time(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is not str:
        raise _wrong(type_, value, path)
    if _TIME.match(value) is None:
        layout = "2006-01-02T15:04:05Z07:00"
        raise Malformed(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    return value


def _quantity(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is int or value.__class__ is float:
        value = str(value)
    if value.__class__ is not str:
        raise _wrong(type_, value, path)
    try:
        return quantities.shorten(value)
    except ValueError as error:
        raise Malformed(f"quantities must match the regular expression '{_QUANTITY}'") from error


def _int_or_string(type_: Type, value: Any, path: Path, _report: Report) -> Any:
    if value.__class__ is not str and value.__class__ is not int:
        raise _wrong(type_, value, path)
    return value


def copy_json(value: Any) -> Any:
    """Return a copy of a JSON value that shares no list or object with it."""
    if value.__class__ is dict:
        return {key: copy_json(each) for key, each in value.items()}
    if value.__class__ is list:
        return [copy_json(each) for each in value]
    return value


def _any(_type: Type, value: Any, _path: Path, _report: Report) -> Any:
    return copy_json(value)


def _wrong(type_: Type, value: Any, path: Path, kind: str | None = None) -> Malformed:
    found = _go_kind(value) if kind is None else kind
    parts: list[str] = []
    at = path
    while at is not None:
        # Only fields are named: not the elements of lists, nor the entries of maps.
        parts += [] if at[2] is None else [at[1]]
        at = at[0]
    shown = ".".join(reversed(parts))
    return Malformed(
        f"json: cannot unmarshal {found} into Go struct field {_owner(path)}.{shown} of type {type_.go_name}"
    )


def _owner(path: Path) -> str:
    while path is not None and path[2] is None:
        path = path[0]
    return "" if path is None or path[2] is None else path[2].short_name


def _go_kind(value: Any) -> str:
    kinds: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}
    return "null" if value is None else kinds.get(type(value), "object")


_Decoder = Callable[[Type, Any, Path, Report], Any]
_DECODERS: dict[Form, _Decoder] = {
    Form.OBJECT: _object,
    Form.LIST: _list,
    Form.MAP: _map,
    Form.STRING: _string,
    Form.INTEGER: _integer,
    Form.NUMBER: _number,
    Form.BOOLEAN: _boolean,
    Form.TIME: _time,
    Form.QUANTITY: _quantity,
    Form.INT_OR_STRING: _int_or_string,
    Form.ANY: _any,
}
