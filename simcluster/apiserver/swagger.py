"""OpenAPI v2 as protobuf, as `kubectl` asks for it before it validates a List. Pure.

The rule it keeps: the same document as in JSON; only those fields of a schema are known that the document has.

Source: github.com/google/gnostic-models openapiv2/OpenAPIv2.proto, for the numbers.
"""

from __future__ import annotations

from typing import Any

import orjson

from simcluster.schema.wire import write_bytes

Json = dict[str, Any]
# Of a Document, of its Info, of a Schema.
_SWAGGER, _INFO, _PATHS, _DEFINITIONS = 1, 2, 8, 9
_TITLE, _VERSION = 1, 2
_TEXTS = {"$ref": 1, "format": 2}
_DEFAULT, _REQUIRED, _ENUM, _VALUES, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = 5, 19, 20, 21, 22, 23, 25, 31


def write_document(document: Json) -> bytes:
    """Return an OpenAPI v2 document as a message."""
    info = _text(_TITLE, document["info"]["title"]) + _text(_VERSION, document["info"]["version"])
    return (
        _text(_SWAGGER, document["swagger"])
        + write_bytes(_INFO, info)
        + write_bytes(_PATHS, b"")
        + write_bytes(_DEFINITIONS, _named(document["definitions"]))
    )


def _text(number: int, text: str) -> bytes:
    return write_bytes(number, text.encode())


def _named(schemas: Json) -> bytes:
    return b"".join(
        write_bytes(1, _text(1, name) + write_bytes(2, _schema(schema))) for name, schema in schemas.items()
    )


def _schema(schema: Json) -> bytes:
    pieces = [_text(number, schema[key]) for key, number in _TEXTS.items() if key in schema]
    if "default" in schema:
        pieces.append(write_bytes(_DEFAULT, _any(schema["default"])))
    pieces += [_text(_REQUIRED, each) for each in schema.get("required", ())]
    pieces += [write_bytes(_ENUM, _any(each)) for each in schema.get("enum", ())]
    if "additionalProperties" in schema:
        pieces.append(write_bytes(_VALUES, write_bytes(1, _schema(schema["additionalProperties"]))))
    if "type" in schema:
        pieces.append(write_bytes(_TYPE, _text(1, schema["type"])))
    if "items" in schema:
        pieces.append(write_bytes(_ITEMS, write_bytes(1, _schema(schema["items"]))))
    if "properties" in schema:
        pieces.append(write_bytes(_PROPERTIES, _named(schema["properties"])))
    for key, value in schema.items():
        if key.startswith("x-"):
            pieces.append(write_bytes(_EXTENSION, _text(1, key) + write_bytes(2, _any(value))))
    return b"".join(pieces)


def _any(value: Any) -> bytes:
    """Return any value: YAML text, of which JSON is a part."""
    return write_bytes(2, orjson.dumps(value))
