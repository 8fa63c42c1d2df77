"""The /scale subresource: one view of everything that has replicas. Pure.

Source: kubernetes pkg/registry/apps/deployment/storage/storage.go (scaleFromDeployment, ScaleREST).
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import BadRequest, Invalid, invalid

Object = dict[str, Any]


def show_scale(obj: Object) -> Object:
    """Return the autoscaling/v1 Scale of a workload."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": obj.get("status", {}).get("replicas", 0)}
    selector = show_selector(obj["spec"].get("selector"))
    if selector:
        status["selector"] = selector
    replicas = obj["spec"].get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def rescale(obj: Object, scale: Object) -> Object:
    """Return a workload with the replicas of a Scale; its resourceVersion, if given, is to be checked."""
    if scale.get("kind", "Scale") != "Scale":
        raise BadRequest(f"wrong object passed to Scale update: {scale.get('kind')}, expected Scale")
    replicas = scale.get("spec", {}).get("replicas", 0)
    if replicas < 0:
        fault = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise Invalid("Scale.autoscaling", obj["metadata"]["name"], [fault])
    metadata = dict(obj["metadata"])
    given = scale.get("metadata", {}).get("resourceVersion")
    if given:
        metadata["resourceVersion"] = given
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}


def show_selector(selector: Object | None) -> str:
    """Return a selector as text, as `kubectl` and Scale show it."""
    if selector is None:
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        # A ReplicationController's selector is the labels themselves.
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    terms = [(key, f"{key}={value}") for key, value in selector.get("matchLabels", {}).items()]
    for each in selector.get("matchExpressions", ()):
        listed = ",".join(sorted(each.get("values", ())))
        shown = {
            "In": f"{each['key']} in ({listed})",
            "NotIn": f"{each['key']} notin ({listed})",
            "Exists": each["key"],
            "DoesNotExist": f"!{each['key']}",
        }
        terms.append((each["key"], shown[each["operator"]]))
    return ",".join(text for _, text in sorted(terms))
