"""The revisions of a Deployment: which ReplicaSet is the newest, what it is called, what it remembers.

The rule it keeps: a ReplicaSet whose template equals the Deployment's is its newest one, however old it is, so
that an undo takes up the old ReplicaSet and gives it the next revision number. Pure. Source:
pkg/controller/deployment/util/deployment_util.go. The hash has the form of the real one, not its bits, which
come from Go's way of printing structs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from simcluster.controllers.metadata import annotations_of, created_at
from simcluster.controllers.ownership import reference_to
from simcluster.store import Object

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"

_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
}
_HISTORY_MOST = 2000  # characters
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_PLAIN: dict[int, tuple[Object, Any]] = {}
_MOST_PLAIN = 256
_MAPS = {"annotations", "labels", "limits", "matchLabels", "nodeSelector", "requests"}


def hash_of(template: Object, collisions: int | None) -> str:
    """The pod-template-hash: FNV-1a of the template and the collision count, in the API's safe letters."""
    text = json.dumps(_plain(template), sort_keys=True, separators=(",", ":")).encode()
    if collisions is not None:
        text += collisions.to_bytes(8, "little")
    value = 2166136261
    for byte in text:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return encode_safely(value)


def encode_safely(number: int) -> str:
    """A number in the API's safe letters, which make no words (SafeEncodeString of apimachinery's rand)."""
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(number))


def is_same_template(first: Object, second: Object) -> bool:
    """Whether two stored pod templates are equal but for their hash; absent and empty are the same."""
    return bool(_keep_plain(first) == _keep_plain(second))


def _keep_plain(template: Object) -> Any:
    """The plain form of a template of the store, kept: it is never changed, and asked for with every pod of it."""
    known = _PLAIN.pop(id(template), None)
    plain = _plain(template) if known is None else known[1]
    # With the template itself, so that no other can have its id; the longest unused goes first.
    _PLAIN[id(template)] = (template, plain)
    if len(_PLAIN) > _MOST_PLAIN:
        del _PLAIN[next(iter(_PLAIN))]
    return plain


def _plain(template: Object) -> Any:
    copy = _prune(template)
    labels = copy.get("metadata", {}).get("labels", {})
    labels.pop(HASH, None)
    return _prune(copy)


def _prune(value: Any) -> Any:
    """Without what Go's semantic equality sees no difference in: nulls, empty lists and empty maps."""
    if isinstance(value, list):
        return [_prune(each) for each in value]
    if not isinstance(value, dict):
        return value
    pruned = {key: _prune(each) for key, each in value.items()}
    return {
        key: each
        for key, each in pruned.items()
        if each is not None and each != [] and not (each == {} and (key in _MAPS or key == "metadata"))
    }


def split(deployment: Object, sets: Iterable[Object]) -> tuple[Object | None, list[Object]]:
    """Return the newest ReplicaSet (None if there is none yet) and all the others, oldest first."""
    by_age = sorted(sets, key=lambda each: (created_at(each), each["metadata"]["name"]))
    template = deployment["spec"]["template"]
    newest = next((each for each in by_age if is_same_template(each["spec"]["template"], template)), None)
    return newest, [each for each in by_age if each is not newest]


def number_of(obj: Object) -> int:
    """The revision of a ReplicaSet or Deployment; 0 where it has none that can be read."""
    return number_in(obj, REVISION) or 0


def number_in(obj: Object, annotation: str) -> int | None:
    """The whole number in an annotation; None where it is absent or cannot be read."""
    text = annotations_of(obj).get(annotation, "")
    return int(text) if text.isascii() and text.isdecimal() else None


def annotate(deployment: Object, replica_set: Object, olds: Sequence[Object]) -> dict[str, str]:
    """Return the annotations that the newest ReplicaSet is to have: the Deployment's, and its revision."""
    copied = {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    annotations = annotations_of(replica_set) | copied
    revision = 1 + max((number_of(old) for old in olds), default=0)
    before = number_of(replica_set)
    if before < revision:
        annotations[REVISION] = str(revision)
        if REVISION in annotations_of(replica_set):
            annotations[HISTORY] = _lengthen(annotations.get(HISTORY, ""), str(before))
    return annotations


def _lengthen(history: str, revision: str) -> str:
    numbers = [*(each for each in history.split(",") if each), revision]
    while len(numbers) > 1 and len(",".join(numbers)) > _HISTORY_MOST:
        del numbers[0]
    return ",".join(numbers)


def replica_set_for(deployment: Object) -> Object:
    """A ReplicaSet, with no replicas and no annotations yet, for the template that the Deployment has now."""
    spec = deployment["spec"]
    mark = {HASH: hash_of(spec["template"], (deployment.get("status") or {}).get("collisionCount"))}
    template = deepcopy(spec["template"])
    labels = (template.setdefault("metadata", {}).get("labels") or {}) | mark
    template["metadata"]["labels"] = labels
    selector = deepcopy(spec["selector"])
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | mark
    # A name has at most 253 characters.
    prefix = deployment["metadata"]["name"][: 253 - 1 - len(mark[HASH])]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{prefix}-{mark[HASH]}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": dict(labels),
            "ownerReferences": [reference_to(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "template": template,
            "minReadySeconds": spec.get("minReadySeconds", 0),
        },
    }


def superfluous(deployment: Object, olds: Sequence[Object]) -> list[Object]:
    """Return the old ReplicaSets beyond revisionHistoryLimit, lowest revision first; only those with no pods."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = [old for old in olds if old["metadata"].get("deletionTimestamp") is None]
    by_revision = sorted(alive, key=lambda old: (number_of(old), created_at(old), old["metadata"]["name"]))
    return [old for old in by_revision[: max(0, len(alive) - limit)] if _is_idle(old)]


def _is_idle(replica_set: Object) -> bool:
    status = replica_set.get("status") or {}
    has_none = status.get("replicas", 0) == 0 and replica_set["spec"].get("replicas", 1) == 0
    is_observed = replica_set["metadata"].get("generation", 0) <= status.get("observedGeneration", 0)
    return bool(has_none and is_observed)
