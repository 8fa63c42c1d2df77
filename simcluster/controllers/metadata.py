"""Reading `metadata` and label selectors: what every controller asks of every kind.

The rule it keeps: pure, and an absent field reads as the API's zero value. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcluster.registry import parse_time
from simcluster.selectors import matches_label_selector
from simcluster.store import Object

Name = tuple[str, str]  # namespace (empty for cluster-scoped kinds) and name


def name_of(obj: Object) -> Name:
    """Namespace and name."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def uid_of(obj: Object) -> str:
    """The uid."""
    uid: str = obj["metadata"]["uid"]
    return uid


def labels_of(obj: Object) -> dict[str, str]:
    """The labels; empty where there are none."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """The annotations; empty where there are none."""
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Object) -> bool:
    """Whether the object has a deletionTimestamp."""
    return obj["metadata"].get("deletionTimestamp") is not None


def created_at(obj: Object) -> float:
    """The creationTimestamp, in seconds since the epoch."""
    return parse_time(obj["metadata"]["creationTimestamp"])


def matches_labels(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether `labels` has all of `wanted`."""
    return all(labels.get(key) == value for key, value in wanted.items())


def matches_selector(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a `metav1.LabelSelector` selects these labels: None selects nothing, an empty one everything."""
    return selector is not None and matches_label_selector(selector, labels)


def with_status(obj: Object, status: Object) -> Object:
    """The object with another status, to be written; the registry takes what it shares with `obj` as read."""
    return {**obj, "metadata": dict(obj["metadata"]), "status": status}
