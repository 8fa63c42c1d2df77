"""What deleting does: grace, finalizers, propagation. Pure: it decides, the registry carries out.

The rule it keeps: an object goes only when nothing holds it: no finalizer, no grace period left. A second deletion
can shorten the grace period, never lengthen it.

Source: k8s.io/apiserver pkg/registry/rest/delete.go and pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Conflict
from simcluster.registry import pods
from simcluster.registry.instants import format_time, parse_time
from simcluster.registry.namespaces import is_finished
from simcluster.registry.options import DeleteOptions

Object = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
# Kinds whose dependents stay where a deletion does not say what becomes of them.
LEFT = frozenset({"jobs.batch", "replicationcontrollers"})


def check_preconditions(kind: str, obj: Object, options: DeleteOptions) -> None:
    """Raise Conflict if the object, of `Kind[.group]`, is not the one that the caller means."""
    metadata = obj["metadata"]
    held = (
        ("UID", options.uid, metadata["uid"], "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"], "modified"),
    )
    for shown, wanted, found, happened in held:
        if wanted is not None and wanted != found:
            why = f"the {shown} in the precondition ({wanted}) does not match the {shown} in record ({found})"
            raise Conflict(kind, metadata["name"], f"{why}. The object might have been {happened}")


def is_removed(resource: str, obj: Object) -> bool:
    """Return whether an object that was just written has nothing left that holds it."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        return False
    if resource == "namespaces":
        return is_finished(obj)
    return not metadata.get("finalizers") and metadata.get("deletionGracePeriodSeconds", 0) == 0


def mark(resource: str, obj: Object, options: DeleteOptions, now: float) -> Object | None:
    """Return the object as it stands after the deletion was asked for, or None if nothing changes.

    Whether it is to be removed then is for `is_removed` to say. `obj` is left as it is.
    """
    metadata = dict(obj["metadata"])
    metadata["finalizers"] = _choose_finalizers(resource, metadata.get("finalizers", []), options.propagation)
    if not metadata["finalizers"]:
        del metadata["finalizers"]
    grace_s = pods.choose_grace(obj, options.grace_s) if resource == "pods" else 0
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = format_time(now + grace_s)
        metadata["deletionGracePeriodSeconds"] = grace_s
        if metadata.get("generation", 0) > 0:
            metadata["generation"] += 1
    elif not _shorten(metadata, grace_s, asked=options.grace_s is not None) and metadata == obj["metadata"]:
        return None
    marked = {**obj, "metadata": metadata}
    if resource == "namespaces":
        marked["status"] = {**obj.get("status", {}), "phase": "Terminating"}
        metadata.pop("deletionGracePeriodSeconds", None)
    return marked


def _shorten(metadata: Object, grace_s: int, *, asked: bool) -> bool:
    """Shorten the grace period of an object that is being deleted; return whether that was done."""
    before_s = metadata.get("deletionGracePeriodSeconds", 0)
    if grace_s >= before_s or not (asked or grace_s == 0):
        return False
    asked_at = parse_time(metadata["deletionTimestamp"]) - before_s
    metadata["deletionTimestamp"] = format_time(asked_at + grace_s)
    metadata["deletionGracePeriodSeconds"] = grace_s
    return True


def _choose_finalizers(resource: str, present: list[str], propagation: str | None) -> list[str]:
    kept = [each for each in present if each not in (FOREGROUND, ORPHAN)]
    if propagation is None:
        return [*kept, ORPHAN] if resource in LEFT and kept == present else present
    added = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(propagation, [])
    return kept + added
