"""What the API server does to volumes and claims on them: their protection, a claim's class, its growth. Pure.

Source: kubernetes pkg/registry/core/{persistentvolume,persistentvolumeclaim}/strategy.go and the admission plug-ins
storageobjectinuseprotection, setdefault and resize of plugin/pkg/admission/storage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from simcluster.errors import Forbidden
from simcluster.registry import limits
from simcluster.registry.default_classes import choose_default
from simcluster.registry.instants import format_time
from simcluster.schema import quantities
from simcluster.store import Key, Store

Object = dict[str, Any]
CLASSES = "storageclasses.storage.k8s.io"
CLAIM_PROTECTION, VOLUME_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
ARE_DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_CAN_NOT_GROW = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
    "resize"
)


class _Around(Protocol):
    @property
    def clock(self) -> Callable[[], float]: ...

    @property
    def store(self) -> Store: ...


def prepare(volume: Object, old: Object | None, around: _Around) -> None:
    """Protect a new volume, and say since when it is pending."""
    if old is None:
        _protect(volume, VOLUME_PROTECTION)
        volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": format_time(around.clock())}


def prepare_claim(claim: Object, old: Object | None, around: _Around) -> None:
    """Protect a new claim, give it the default class, and let both fields that name a source of data say the same."""
    spec = claim["spec"]
    if old is not None:
        return
    _protect(claim, CLAIM_PROTECTION)
    default = find_default_class([each.object for each in around.store.list(CLASSES)])
    if default is not None and not has_class(claim):
        spec["storageClassName"] = default["metadata"]["name"]
    if "dataSource" in spec:
        spec.setdefault("dataSourceRef", dict(spec["dataSource"]))
    elif "dataSourceRef" in spec and not spec["dataSourceRef"].get("namespace"):
        spec.setdefault("dataSource", dict(spec["dataSourceRef"]))


def permit_claim(claim: Object, old: Object | None, subresource: str | None, around: _Around) -> None:
    """Refuse a claim of a size that its namespace does not allow, or one that is to grow and whose class does not."""
    if subresource is not None:
        return
    if "deletionTimestamp" not in claim["metadata"]:
        limits.check_claim(claim, limits.find_ranges(around.store, claim["metadata"]["namespace"]))
    if old is not None:
        _check_growth(claim, old, around.store)


def class_of(obj: Object) -> str:
    """The name of the class of a volume or a claim; empty for none."""
    annotated = (obj["metadata"].get("annotations") or {}).get(OLD_CLASS)
    found: str = obj["spec"].get("storageClassName", "") if annotated is None else annotated
    return found


def has_class(claim: Object) -> bool:
    """Whether a claim says which class it wants; the empty one is an answer."""
    return "storageClassName" in claim["spec"] or OLD_CLASS in (claim["metadata"].get("annotations") or {})


def find_default_class(classes: list[Object]) -> Object | None:
    """The class for claims that name none."""
    return choose_default(classes, *ARE_DEFAULT)


def _protect(obj: Object, finalizer: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _check_growth(claim: Object, old: Object, store: Store) -> None:
    before, after = (_size_of(each) for each in (old, claim))
    if before is None or after is None or quantities.parse(after) <= quantities.parse(before):
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        return  # the rules of a claim say what else may change, and when
    record = store.get(Key(CLASSES, "", old["spec"].get("storageClassName", "")))
    if record is None or not record.object.get("allowVolumeExpansion"):
        raise Forbidden("persistentvolumeclaims", claim["metadata"]["name"], _CAN_NOT_GROW)


def _size_of(claim: Object) -> str | None:
    found: str | None = claim["spec"].get("resources", {}).get("requests", {}).get("storage")
    return found
