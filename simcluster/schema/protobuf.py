"""Kubernetes' protobuf form of objects, both ways, for every kind there is a type of.

The rule it keeps: an object that was sent as protobuf reads exactly as the JSON that Go would have sent instead: what
Go leaves out of JSON because it is zero is left out here too. No bytes make it fail in any other way than by
`Malformed`.

The envelope is `k8s\\0` and a runtime.Unknown. Texts measured on v1.36.3.
Source: k8s.io/apimachinery pkg/runtime/serializer/protobuf/protobuf.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.schema.catalogue import Catalogue
from simcluster.schema.decoding import Malformed
from simcluster.schema.messages import Layouts
from simcluster.schema.types import Type
from simcluster.schema.wire import BYTES, WireError, fields, write_bytes

Json = dict[str, Any]
MAGIC = b"k8s\0"
_SHOWN = 1024


class UnwritableError(ValueError):
    """There is no protobuf form of this object here."""


class Protobuf:
    """Reads and writes the objects of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._layouts = Layouts(catalogue.numbers)

    def decode(self, body: bytes, wanted: str) -> Json:
        """Return the object in a body, which is to be a `wanted`; Malformed if there is none."""
        api_version, kind, raw = _open(body, wanted)
        type_ = self._find(api_version, kind)
        about = f'{kind} in version "{api_version}" cannot be handled as a {wanted}: '
        if type_ is None:
            missing = f'no kind "{kind}" is registered for version "{api_version}"'
            raise Malformed(f'{about}{missing} in scheme "pkg/runtime/scheme.go:111"')
        try:
            return {"kind": kind, "apiVersion": api_version} | self._layouts.read(type_, raw)
        except WireError as error:
            raise Malformed(f"{about}{error}") from error

    def encode(self, obj: Json) -> bytes:
        """Return an object in its envelope; UnwritableError if its kind has no protobuf form here."""
        head, raw = self._write(obj)
        return MAGIC + write_bytes(1, head) + write_bytes(2, raw) + write_bytes(3, b"") + write_bytes(4, b"")

    def encode_event(self, event_type: str, obj: Json) -> bytes:
        """Return one event of a watch, with the length that goes before it."""
        event = write_bytes(1, event_type.encode()) + write_bytes(2, write_bytes(1, self.encode(obj)))
        return len(event).to_bytes(4, "big") + event

    def _write(self, obj: Json) -> tuple[bytes, bytes]:
        api_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
        type_ = self._find(api_version, kind)
        if type_ is None:
            raise UnwritableError(f"{kind} in version {api_version} has no protobuf form")
        head = write_bytes(1, api_version.encode()) + write_bytes(2, kind.encode())
        return head, self._layouts.write(type_, obj)

    def _find(self, api_version: str, kind: str) -> Type | None:
        group, _, version = api_version.rpartition("/")
        found = self._catalogue.find_type(group, version, kind)
        return found if found is not None and found.name in self._catalogue.numbers else None


def _open(body: bytes, wanted: str) -> tuple[str, str, bytes]:
    """Return apiVersion, kind and message of an envelope."""
    shown = body[:_SHOWN].hex()
    about = f"the object provided is unrecognized (must be of type {wanted}): "
    if not body.startswith(MAGIC):
        text = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        raise Malformed(f"{about}{text} ({shown})")
    if len(body) == len(MAGIC):
        raise Malformed(f"{about}empty body ({shown})")
    try:
        unknown = _texts(body[len(MAGIC) :])
        head = _texts(unknown.get(1, b""))
    except WireError as error:
        raise Malformed(f"{about}{error} ({shown})") from error
    api_version, kind = (head.get(number, b"").decode(errors="replace") for number in (1, 2))
    return api_version, kind, unknown.get(2, b"")


def _texts(data: bytes) -> dict[int, bytes]:
    """Return the texts of a message by number; of one that comes twice, the last."""
    return {
        number: value for number, wire, value in fields(data) if wire == BYTES and isinstance(value, bytes)
    }
