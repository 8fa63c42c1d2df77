"""What each subresource lets a writer change of an object. Pure."""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, Conflict
from simcluster.registry import pod_parts
from simcluster.registry.instants import format_time
from simcluster.registry.kinds import rules_of

Object = dict[str, Any]


def find_faults(resource: str, new: Object, old: Object | None, subresource: str | None) -> list[Cause]:
    """Return what is wrong with what a writer, of a subresource or of all, makes of an object."""
    if subresource is None or old is None:
        return rules_of(resource).find_faults(new, old)
    if subresource == "status":
        find = rules_of(resource).find_status_faults
        return [] if find is None else find(new)
    return pod_parts.find_faults(new, old, subresource)


def combine(resource: str, old: Object, given: Object, subresource: str | None) -> Object:
    """Return the new state of an object: what the subresource may write from `given`, the rest from `old`.

    The main resource writes all but the status of kinds that have one; /status little more than the status.
    """
    if subresource == "status":
        return {
            **old,
            "metadata": _metadata_by_status(resource, old, given),
            "status": given.get("status", {}),
        }
    if subresource in pod_parts.PARTS:
        return {**old, "spec": given["spec"], "metadata": dict(old["metadata"])}
    if subresource == "finalize":
        return {**old, "spec": given.get("spec", {}), "metadata": dict(old["metadata"])}
    if resource in _STATUS_IS_PLAIN or ("status" not in old and "status" not in given):
        return given
    kept = {key: value for key, value in given.items() if key != "status"}
    return kept | {"status": old["status"]} if "status" in old else kept


# Kinds without a status subresource whose objects have a field of that name all the same.
_STATUS_IS_PLAIN: frozenset[str] = frozenset()


def _metadata_by_status(resource: str, old: Object, given: Object) -> Object:
    metadata = dict(old["metadata"])
    for key in rules_of(resource).metadata_from_status:
        if key in given["metadata"]:
            metadata[key] = given["metadata"][key]
        else:
            metadata.pop(key, None)
    return metadata


def bound(pod: Object, node: str, now: float) -> Object:
    """Return a pod given to a node, with the condition that says so; Conflict if it has one or is going.

    That others were to make room for it somewhere is forgotten (ClearingNominatedNodeNameAfterBinding).
    """
    name = pod["metadata"]["name"]
    if "deletionTimestamp" in pod["metadata"]:
        raise Conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise Conflict(
            "pods/binding", name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        )
    conditions = [each for each in pod["status"].get("conditions", ()) if each["type"] != "PodScheduled"]
    conditions.append(
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": format_time(now),
        }
    )
    return {
        **pod,
        "metadata": dict(pod["metadata"]),
        "spec": {**pod["spec"], "nodeName": node},
        "status": {
            **{key: value for key, value in pod["status"].items() if key != "nominatedNodeName"},
            "conditions": conditions,
        },
    }


def spec_of(obj: Object) -> Object:
    """Return what counts as the spec: all but metadata and status."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
