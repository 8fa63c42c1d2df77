"""Reading what a writer sent as the kind that it was sent to. Pure.

The rule it keeps: what can not be read is refused as a whole; what is unknown is refused, told or dropped, as the
writer asked (`fieldValidation`).
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from simcluster.errors import BadRequest, Unreadable
from simcluster.registry.options import WriteOptions
from simcluster.schema import Report, Resource, Type, decode
from simcluster.schema.decoding import copy_json

Object = dict[str, Any]
_OWN = ("kind", "apiVersion", "metadata")
# The status that new objects of a type begin with.
_BEGUN: WeakKeyDictionary[Type, Object | None] = WeakKeyDictionary()


def read(kind: Resource, obj: Any, options: WriteOptions, *, beside: Object | None = None) -> Object:
    """Return the object read as its kind, sharing nothing with `obj`; BadRequest if it can not be.

    Of a write to a subresource: what lies beside that in `beside`, the stored object, and was handed back untouched is
    taken as it is. A controller that writes a status does not have the spec read again.
    """
    if not isinstance(obj, dict):
        why = ": couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        shown = why if obj is None else ""
        raise BadRequest(f"the object provided is unrecognized (must be of type {kind.kind}){shown}")
    _check_identity(kind, obj)
    sent = _managed_by(obj)
    if sent is not None:
        # They are read for what they are by `managers`; a store full of them is not copied with every write.
        obj = {
            **obj,
            "metadata": {key: obj["metadata"][key] for key in obj["metadata"] if key != "managedFields"},
        }
    kept: Object = {}
    if beside is not None:
        kept = {key: value for key, value in obj.items() if key not in _OWN and value is beside.get(key)}
        obj = {key: value for key, value in obj.items() if key not in kept} if kept else obj
    prefix = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
    decoded = _decode(kind.type, obj, prefix, options)
    decoded.pop("kind", None)
    decoded.pop("apiVersion", None)
    decoded.setdefault("metadata", {})
    if sent is not None:
        decoded["metadata"]["managedFields"] = sent
    return {"kind": kind.kind, "apiVersion": kind.api_version, **decoded, **kept}


def _managed_by(obj: Object) -> list[Object] | None:
    """Return the `managedFields` of an object if they have the form of such; what has not is left to be refused."""
    metadata = obj.get("metadata")
    sent = metadata.get("managedFields") if isinstance(metadata, dict) else None
    if not isinstance(sent, list) or not all(isinstance(each, dict) for each in sent):
        return None
    return sent


def drop_status(kind: Resource, obj: Object) -> Object:
    """Return a new object with the status that it begins with, whatever its creator sent."""
    # A node comes with its status: the kubelet that creates it knows it.
    if "status" not in kind.subresources or "status" not in obj or kind.name == "nodes":
        return obj
    # Decoding it costs a tenth of a creation, and most kinds begin with an empty one.
    if kind.type not in _BEGUN:
        _BEGUN[kind.type] = decode(kind.type, {}, Report()).get("status")
    begin = _BEGUN[kind.type]
    kept = {key: value for key, value in obj.items() if key != "status"}
    return kept if begin is None else kept | {"status": copy_json(begin)}


def read_scale(type_: Type, obj: Any, options: WriteOptions) -> Object:
    """Return a Scale, as sent to /scale."""
    return _decode(type_, obj, 'Scale in version "v1" cannot be handled as a Scale: ', options)


def _decode(type_: Type, obj: Any, prefix: str, options: WriteOptions) -> Object:
    report = Report()
    try:
        decoded = decode(type_, obj, report)
    except BadRequest as error:
        raise Unreadable(prefix, error.message) from error
    texts = [f'unknown field "{path}"' for path in report.unknown]
    if options.complaints:
        # A field that is unknown is that, however often it is there.
        known = {f'duplicate field "{path}"' for path in report.unknown}
        texts = [*(text for text in options.complaints if text not in known), *texts]
    if texts and options.field_validation == "Strict":
        raise Unreadable(prefix, f"strict decoding error: {', '.join(texts)}")
    if options.field_validation == "Warn":
        for text in texts:
            options.warn(text)
    return decoded


def _check_identity(kind: Resource, obj: Object) -> None:
    """Refuse an object that says it is of another kind or version."""
    said, version = obj.get("kind", ""), obj.get("apiVersion", "")
    if said in ("", kind.kind) and version in ("", kind.api_version):
        return
    prefix = f'{said} in version "{version}" cannot be handled as a {kind.kind}: '
    if said != kind.kind and version == kind.api_version:
        shown = version.rpartition("/")[2]
        inner = "core" if not kind.group else kind.group.partition(".")[0]
        raise BadRequest(f"{prefix}converting ({shown}.{said}) to ({inner}.{kind.kind}): unknown conversion")
    raise BadRequest(
        f'{prefix}no kind "{said}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
    )
