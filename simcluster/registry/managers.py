"""Keeps `managedFields` with every write: who wrote, through which subresource, and what it may own of that.

The rule it keeps: what a write can not change it does not own; a client that says nothing of `managedFields` keeps
them, one that sends an empty list resets them. Pure.

Source: k8s.io/apimachinery pkg/util/managedfields/internal/fieldmanager.go; GetResetFields of the strategies in
kubernetes pkg/registry.
"""

from __future__ import annotations

from typing import Any

import orjson

from simcluster.errors import BadRequest, StatusError
from simcluster.patches.application import LAST_APPLIED, apply
from simcluster.patches.comparison import Comparison, begin, compare
from simcluster.patches.fieldset import LEAF, Fields, intersect, subtract, without
from simcluster.patches.ownership import (
    Entry,
    Operation,
    Writer,
    read_entries,
    read_sent,
    track,
    write_entries,
)
from simcluster.patches.structured import find_misfits, show_misfits
from simcluster.registry.options import WriteOptions
from simcluster.registry.scale import rescale, show_scale
from simcluster.schema import Resource, Type

Object = dict[str, Any]

# What owns an object that was written before anybody's writes were tracked.
_BEFORE = "before-first-apply"
_STATUS: Fields = {"f:status": LEAF}
_SPEC: Fields = {"f:spec": LEAF}
_REPLICAS: Fields = {"f:spec": {"f:replicas": LEAF}}
# What a write to /status does not reach beside the spec.
_PODS: Fields = {"f:deletionTimestamp": LEAF, "f:ownerReferences": LEAF}
_BESIDE_STATUS: dict[str, Fields] = {
    "deployments.apps": {"f:metadata": {"f:labels": LEAF}},
    "pods": {"f:metadata": _PODS},
    "flowschemas.flowcontrol.apiserver.k8s.io": {"f:metadata": LEAF},
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {"f:metadata": LEAF},
    "volumeattachments.storage.k8s.io": {"f:metadata": LEAF},
}


def track_write(
    kind: Resource,
    old: Object | None,
    new: Object,
    *,
    subresource: str | None,
    options: WriteOptions,
    now: str,
) -> None:
    """Give `new`, as its writer sent it and before anything is filled in, the managedFields after the write.

    What it says of them itself is taken for what the writer says.
    """
    metadata = new["metadata"]
    sent = metadata.get("managedFields")
    live = None if old is None else old["metadata"].get("managedFields")
    entries = _choose(kind, live, None if sent is live or subresource else sent)
    if old is not None and not entries:
        # Nobody's writes were tracked, or the writer wants them forgotten: that stays so.
        metadata.pop("managedFields", None)
        return
    try:
        comparison = _compare(kind, begin(kind.type) if old is None else old, new, subresource)
    except ValueError:
        # Lists whose elements can not be told apart: a real server tracks nothing of such an object.
        metadata.pop("managedFields", None)
        return
    tracked = track(entries, comparison, _writer(kind, "Update", subresource, options), now)
    if subresource == "scale":
        tracked = [_timeless(each) for each in tracked]
    if tracked is entries and live is not None and (sent is None or sent is live):
        metadata["managedFields"] = live
    elif tracked:
        metadata["managedFields"] = write_entries(tracked)
    else:
        metadata.pop("managedFields", None)


def apply_write(
    kind: Resource,
    old: Object | None,
    applied: Any,
    *,
    subresource: str | None,
    options: WriteOptions,
    now: str,
) -> Object:
    """Return the object that an applied one makes of `old`, with its managedFields; ApplyConflict, BadRequest."""
    _check_applied(kind.api_version, kind.kind, kind.type, applied)
    blank = {"kind": kind.kind, "apiVersion": kind.api_version, **begin(kind.type)}
    live = blank if old is None else {**old, "metadata": _unmanaged(old["metadata"])}
    entries = [] if old is None else _choose(kind, old["metadata"].get("managedFields"), None)
    if old is not None and not entries:
        try:
            comparison = _compare(kind, blank, live, subresource)
        except ValueError as error:
            # Nothing can be applied to what was stored without being understood.
            raise StatusError(f"failed to create typed live object: {error}", reason="") from error
        before = Writer(_BEFORE, "Update", kind.api_version, subresource or "")
        entries = track([], comparison, before, now)
    new, entries = apply(
        kind.type,
        live,
        applied,
        entries,
        _writer(kind, "Apply", subresource, options),
        ignored=_unreached(kind, subresource),
        force=options.force,
        now=now,
    )
    metadata = dict(new.get("metadata") or {})
    if entries:
        metadata["managedFields"] = write_entries(entries)
    if options.field_manager == "kubectl" and metadata.get("annotations", {}).get(LAST_APPLIED):
        metadata["annotations"] = metadata["annotations"] | {LAST_APPLIED: _last_applied(applied)}
    return {**new, "metadata": metadata}


def apply_scale(
    type_: Type, kind: Resource, old: Object, applied: Any, options: WriteOptions, now: str
) -> Object:
    """Return a workload after a Scale, of `type_`, was applied to it, with its managedFields."""
    _check_applied("autoscaling/v1", "Scale", type_, applied)
    entries = [
        each._replace(writer=each.writer._replace(api_version="autoscaling/v1"), fields=_REPLICAS)
        for each in read_entries(old["metadata"].get("managedFields") or (), kind.api_version)
        if intersect(each.fields, _REPLICAS)
    ]
    writer = Writer(options.field_manager, "Apply", "autoscaling/v1", "scale")
    scale, entries = apply(
        type_, show_scale(old), applied, entries, writer, ignored=_STATUS, force=options.force, now=now
    )
    new = rescale(old, scale)
    new["metadata"]["managedFields"] = write_entries(_own_replicas(kind, old, entries))
    return new


def _own_replicas(kind: Resource, old: Object, of_scale: list[Entry]) -> list[Entry]:
    """Return the entries of a workload whose replicas belong to those who own them in its Scale."""
    owners = {each.writer._replace(api_version=kind.api_version) for each in of_scale}
    entries = []
    for each in read_entries(old["metadata"].get("managedFields") or (), kind.api_version):
        fields = each.fields if each.writer in owners else subtract(each.fields, _REPLICAS)
        owners.discard(each.writer)
        if fields:
            entries.append(_timeless(each._replace(fields=fields)))
    return entries + [Entry(writer, _REPLICAS, None) for writer in owners]


def _timeless(entry: Entry) -> Entry:
    """Return an entry as a write to /scale leaves it: those of /scale lose their time on a real server."""
    return entry._replace(time=None) if entry.writer.subresource == "scale" else entry


def keep_times(old: Object, new: Object) -> Object:
    """Return `old` in place of an object that differs from it only in when its managers last wrote."""
    before, after = old["metadata"].get("managedFields"), new["metadata"].get("managedFields")
    if before is after or before is None or after is None or len(before) != len(after):
        return new
    if any({**one, "time": ""} != {**other, "time": ""} for one, other in zip(before, after, strict=True)):
        return new
    unchanged = {**new, "metadata": {**new["metadata"], "managedFields": before}}
    return unchanged if unchanged == old else new


def _choose(kind: Resource, live: Any, sent: Any) -> list[Entry]:
    """Return the entries that a write begins with: what the client sent if it makes sense, else the present ones."""
    if sent is not None:
        if sent in ([], [{}]):
            return []
        try:
            chosen = read_sent(sent, kind.api_version)
        except ValueError:
            chosen = []
        if chosen:
            return chosen
    return read_entries(live or (), kind.api_version)


def _compare(kind: Resource, old: Object, new: Object, subresource: str | None) -> Comparison:
    found = compare(kind.type, old, new)
    unreached = _unreached(kind, subresource)
    return Comparison(without(found.changed, unreached), without(found.removed, unreached))


def _unreached(kind: Resource, subresource: str | None) -> Fields:
    if subresource == "status":
        return _SPEC | _BESIDE_STATUS.get(kind.name, LEAF)
    return _STATUS if "status" in kind.subresources else LEAF


def _writer(kind: Resource, operation: Operation, subresource: str | None, options: WriteOptions) -> Writer:
    manager = options.field_manager
    return Writer(manager if manager else "unknown", operation, kind.api_version, subresource or "")


def _unmanaged(metadata: Object) -> Object:
    return {key: value for key, value in metadata.items() if key != "managedFields"}


def _check_applied(api_version: str, kind: str, type_: Type, applied: Any) -> None:
    """Refuse an applied object of another kind, with managedFields, or that does not fit its type."""
    version, said = str(applied.get("apiVersion", "")), str(applied.get("kind", ""))
    shown = f"{version if '/' in version else f'/{version}'}, Kind={said}"
    if (version, said) != (api_version, kind):
        raise BadRequest(f"invalid object type: {shown}")
    metadata = applied.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    if named.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    misfits = find_misfits(type_, applied)
    if misfits:
        about = f"{named.get('namespace', '')}/{named.get('name', '')}; {shown}"
        raise StatusError(
            f"failed to create typed patch object ({about}): {show_misfits(misfits)}", reason=""
        )


def _last_applied(applied: Object) -> str:
    metadata = dict(applied["metadata"])
    annotations = {
        key: value for key, value in metadata.get("annotations", {}).items() if key != LAST_APPLIED
    }
    if "annotations" in metadata:
        metadata["annotations"] = annotations
    return orjson.dumps({**applied, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
