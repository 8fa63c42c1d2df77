"""Does an object fit the OpenAPI schema of its kind? Written apart from the server's own reading of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")
_QUANTITY = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[EPTGMk]i?|Ki|[munp])?$")
_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_BOUNDS = {"int32": 2**31, "int64": 2**63}


def find_faults(value: Any, schema: dict[str, Any], schemas: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield what does not fit, with its path."""
    name = schema.get("$ref", "")
    if name:
        schema = schemas[name]
    if name.endswith(".Quantity"):
        if not isinstance(value, str) or not _QUANTITY.match(value):
            yield f"{path}: {value!r} is no quantity"
    elif schema.get("format") == "int-or-string":
        if not isinstance(value, str | int) or isinstance(value, bool):
            yield f"{path}: {value!r} is neither integer nor string"
    elif "properties" in schema:
        yield from _object(value, schema, schemas, path)
    elif "additionalProperties" in schema or schema.get("type") == "array":
        yield from _collection(value, schema, schemas, path)
    else:
        yield from _scalar(value, schema, path)


def _collection(value: Any, schema: dict[str, Any], schemas: dict[str, Any], path: str) -> Iterator[str]:
    is_list = schema.get("type") == "array"
    if not isinstance(value, list if is_list else dict):
        yield f"{path}: {value!r} is no {'list' if is_list else 'map'}"
        return
    item = schema["items" if is_list else "additionalProperties"]
    for key, each in enumerate(value) if is_list else value.items():
        yield from find_faults(each, item, schemas, f"{path}[{key}]" if is_list else f"{path}.{key}")


def _object(value: Any, schema: dict[str, Any], schemas: dict[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    fields = schema["properties"]
    for key, each in value.items():
        if key not in fields:
            yield f"{path}.{key}: there is no such field"
        elif each is not None or not _is_nullable(key, fields[key]):
            yield from find_faults(each, fields[key], schemas, f"{path}.{key}")
    for key in schema.get("required", ()):
        if key not in value and fields[key].get("type") != "array":
            yield f"{path}.{key}: required, and not there"


def _is_nullable(name: str, schema: dict[str, Any]) -> bool:
    """Where Go writes null for what is not there: lists, times, and the one pointer that is written in any case."""
    return (
        schema.get("type") == "array"
        or schema.get("format") == "date-time"
        or "Time" in schema.get("$ref", "")
        or name == "apiGroup"
    )


def _scalar(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    allowed = _SCALARS.get(schema.get("type", ""))
    if allowed is None:
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        yield f"{path}: {value!r} is no {schema['type']}"
        return
    bound = _BOUNDS.get(schema.get("format", ""))
    if bound is not None and not -bound <= value < bound:
        yield f"{path}: {value!r} is no {schema['format']}"
    if schema.get("format") == "date-time" and not _TIME.match(value):
        yield f"{path}: {value!r} is no time"
    if schema.get("enum") and value not in schema["enum"]:
        yield f"{path}: {value!r} is not among the values"
