"""Who owns which fields of an object: the entries of `managedFields`, and what a write does to them. Pure.

The rule it keeps: a field belongs to whoever set it last, and to everybody who applies the same value; a field that
is gone belongs to nobody. Sets are shared between objects of one shape, so that ten thousand like pods hold one.

Source: k8s.io/apimachinery pkg/util/managedfields/internal and sigs.k8s.io/structured-merge-diff merge/update.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import orjson

from simcluster.patches.comparison import Comparison
from simcluster.patches.fieldset import LEAF, MEMBER, Fields, read_fields, subtract, unite

Json = dict[str, Any]
Operation = Literal["Apply", "Update"]

MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"
_MOST_SHARED = 5_000
_shared: dict[bytes, Fields] = {}

# What nobody owns: the server's own, and what says which object it is.
_NOBODYS: Fields = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {
        MEMBER: LEAF,
        "f:name": LEAF,
        "f:namespace": LEAF,
        "f:creationTimestamp": LEAF,
        "f:selfLink": LEAF,
        "f:uid": LEAF,
        "f:clusterName": LEAF,
        "f:generation": LEAF,
        "f:managedFields": LEAF,
        "f:resourceVersion": LEAF,
    },
}


class Writer(NamedTuple):
    """Who writes: an entry belongs to one of these. Somebody who applies is one whatever version it applies in."""

    manager: str
    operation: Operation
    api_version: str
    subresource: str = ""


class Entry(NamedTuple):
    """The fields of one writer, and when it last changed one; None if it never did."""

    writer: Writer
    fields: Fields
    time: str | None


def ownable(fields: Fields) -> Fields:
    """Return a set without what nobody owns."""
    return subtract(fields, _NOBODYS)


def share(fields: Fields) -> Fields:
    """Return the one set of that content which all objects hold; what is in no other shares its parts."""
    if not fields:
        return LEAF
    # The digest is smaller than most sets are.
    key = blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
    known = _shared.get(key)
    if known is None:
        if len(_shared) >= _MOST_SHARED:
            _shared.clear()
        known = _shared[key] = {
            name: share(fields[name]) if fields[name] else LEAF for name in sorted(fields)
        }
    return known


def read_entries(listed: Iterable[Json], api_version: str) -> list[Entry]:
    """Return the entries of a `managedFields`; ValueError says what makes no sense.

    Those of another version are left out, as a server that no longer serves that version leaves them out.
    """
    entries = []
    for index, each in enumerate(listed):
        operation = each.get("operation")
        if operation not in ("Apply", "Update"):
            raise ValueError(f"entry {index}: operation {operation!r}, expected Apply or Update")
        if each.get("fieldsType") != "FieldsV1" or not each.get("apiVersion"):
            raise ValueError(f"entry {index} needs an apiVersion and the fieldsType FieldsV1")
        writer = Writer(each.get("manager", ""), operation, each["apiVersion"], each.get("subresource", ""))
        if writer.api_version == api_version:
            entries.append(Entry(writer, each.get("fieldsV1", LEAF), each.get("time")))
    return entries


def read_sent(listed: Iterable[Json], api_version: str) -> list[Entry]:
    """Return the entries that a client sent, their sets brought into the one form."""
    return [
        each._replace(fields=share(read_fields(each.fields))) for each in read_entries(listed, api_version)
    ]


def write_entries(entries: Iterable[Entry]) -> list[Json]:
    """Return entries as `managedFields` holds them, in its order."""
    return [_write(each) for each in sorted(entries, key=_rank)]


def _rank(entry: Entry) -> tuple[str, ...]:
    writer = entry.writer
    time = "" if entry.time is None else entry.time
    return writer.operation, time, writer.manager, writer.api_version, writer.subresource


def _write(entry: Entry) -> Json:
    writer = entry.writer
    written: Json = {
        "manager": writer.manager,
        "operation": writer.operation,
        "apiVersion": writer.api_version,
    }
    if entry.time is not None:
        written["time"] = entry.time
    written |= {"fieldsType": "FieldsV1", "fieldsV1": entry.fields}
    if writer.subresource:
        written["subresource"] = writer.subresource
    return written


def disown(entries: Iterable[Entry], comparison: Comparison) -> list[Entry]:
    """Return the entries after somebody else set and removed fields; who owns nothing any more has none."""
    left = []
    for each in entries:
        fields = subtract(subtract(each.fields, comparison.changed), comparison.removed)
        if fields is each.fields:
            left.append(each)
        elif fields:
            left.append(each._replace(fields=share(fields)))
    return left


def track(entries: list[Entry], comparison: Comparison, writer: Writer, now: str) -> list[Entry]:
    """Return the entries after a write that is no apply; the same list if nothing changed."""
    if not comparison.changed and not comparison.removed:
        return entries
    left = disown(entries, comparison)
    gained = ownable(comparison.changed)
    if not gained:
        return left
    held = [each.fields for each in left if each.writer == writer]
    others = [each for each in left if each.writer != writer]
    fields = unite(gained, held[0]) if held else gained
    return _cap([*others, Entry(writer, share(fields), now)])


def _cap(entries: list[Entry]) -> list[Entry]:
    """Fold the oldest of too many entries, but for those who apply, into one of nobody in particular."""
    updaters = [each for each in entries if each.writer.operation == "Update"]
    if len(updaters) <= MOST_UPDATERS:
        return entries
    oldest = sorted(updaters, key=lambda each: ("" if each.time is None else each.time, each.writer))
    folded = oldest[: len(updaters) - MOST_UPDATERS + 1]
    fields = LEAF
    for each in folded:
        fields = unite(fields, each.fields)
    bucket = Writer(_ANCIENT, "Update", folded[0].writer.api_version)
    ancient = Entry(bucket, share(fields), folded[-1].time)
    return [*(each for each in entries if each not in folded), ancient]
