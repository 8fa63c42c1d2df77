"""Server-side apply: what an applied object makes of the present one, and of who owns its fields. Pure.

The rule it keeps: whoever applies owns exactly what it stated. A value that somebody else owns is not changed, but
by force; what its owner stops stating goes, if nobody else owns it.

Source: sigs.k8s.io/structured-merge-diff merge/update.go and k8s.io/apimachinery
pkg/util/managedfields/internal (conflict.go, lastappliedmanager.go).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from simcluster.errors import Cause, StatusError
from simcluster.patches.comparison import Comparison, collect_fields, compare
from simcluster.patches.fieldset import LEAF, Fields, intersect, list_paths, subtract, unite, without
from simcluster.patches.ownership import Entry, Writer, disown, ownable, share
from simcluster.patches.structured import merge, own_structs, remove
from simcluster.schema import Type

Json = dict[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Whose conflicts with what `kubectl apply` wrote before are none.
_KUBECTL = "kubectl"


class ApplyConflict(StatusError):  # noqa: N818 - named as its fellows in `errors`
    """409: somebody else owns fields that are applied with another value."""

    code, reason = 409, "Conflict"

    def __init__(self, conflicts: list[tuple[str, str]]) -> None:
        """Tell of conflicts: (who owns it, path of the field)."""
        causes = [Cause("FieldManagerConflict", f"conflict with {owner}", path) for owner, path in conflicts]
        if len(conflicts) == 1:
            owner, path = conflicts[0]
            text = f"1 conflict: conflict with {owner}: {path}"
        else:
            lines = []
            for owner in sorted({owner for owner, _ in conflicts}):
                lines.append(f"conflicts with {owner}:")
                lines += [f"- {path}" for found, path in conflicts if found == owner]
            text = f"{len(conflicts)} conflicts: " + "\n".join(lines)
        details = {"causes": [each.as_object() for each in causes]}
        super().__init__(f"Apply failed with {text}", details=details)


def apply(
    type_: Type,
    live: Json,
    applied: Json,
    entries: list[Entry],
    writer: Writer,
    *,
    ignored: Fields,
    force: bool,
    now: str,
) -> tuple[Json, list[Entry]]:
    """Return the object and its entries after `applied` was applied to `live`; ApplyConflict.

    `ignored` are the fields that this way of writing does not reach.
    """
    last = next((each.fields for each in entries if _is_same(each.writer, writer)), LEAF)
    time = next((each.time for each in entries if _is_same(each.writer, writer)), None)
    others = [each for each in entries if not _is_same(each.writer, writer)]
    stated = without(collect_fields(type_, applied), ignored)
    new = merge(type_, live, applied)
    if last:
        new = _prune(type_, new, [stated, *(each.fields for each in others)], last)
    found = compare(type_, live, new)
    comparison = Comparison(without(found.changed, ignored), without(found.removed, ignored))
    if not force:
        _refuse_conflicts(type_, live, others, comparison, writer)
    left = disown(others, comparison)
    owned = ownable(stated)
    if owned:
        changed = found.changed or found.removed
        left.append(Entry(writer, share(owned), now if changed else time))
    return new, left


def _is_same(one: Writer, other: Writer) -> bool:
    return one._replace(api_version="") == other._replace(api_version="")


def _prune(type_: Type, merged: Json, owned: Iterable[Fields], last: Fields) -> Json:
    """Take out what the writer stated before, and nobody states or owns now."""
    had = own_structs(type_, last)
    pruned = remove(type_, merged, had)
    everything = own_structs(type_, collect_fields(type_, merged))
    left = own_structs(type_, collect_fields(type_, pruned))
    for fields in owned:
        left = unite(left, own_structs(type_, fields))
    pruned = remove(type_, merged, subtract(everything, left))
    # What is left of something that is gone goes only if the writer had stated it.
    left = own_structs(type_, collect_fields(type_, pruned))
    rest: Json = remove(type_, merged, intersect(subtract(everything, left), had))
    return rest


def _refuse_conflicts(
    type_: Type, live: Json, others: list[Entry], comparison: Comparison, writer: Writer
) -> None:
    allowed = _find_client_side(type_, live) if writer.manager == _KUBECTL else LEAF
    conflicts = [
        (_show(each.writer), path)
        for each in sorted(others, key=lambda each: each.writer)
        for path in list_paths(subtract(intersect(each.fields, comparison.changed), allowed))
    ]
    if conflicts:
        raise ApplyConflict(conflicts)


def _find_client_side(type_: Type, live: Json) -> Fields:
    """Return the fields that the last client-side apply set and that are still so: they pass to `kubectl`."""
    text = live["metadata"].get("annotations", {}).get(LAST_APPLIED)
    try:
        applied = json.loads(text) if text else None
    except ValueError:
        return LEAF
    if not isinstance(applied, dict) or applied.get("apiVersion") != live.get("apiVersion"):
        return LEAF
    found = compare(type_, applied, live)
    return subtract(subtract(collect_fields(type_, applied), found.changed), found.removed)


def _show(writer: Writer) -> str:
    shown = json.dumps(writer.manager)
    if writer.subresource:
        shown += f" with subresource {json.dumps(writer.subresource)}"
    return f"{shown} using {writer.api_version}" if writer.operation == "Update" else shown
