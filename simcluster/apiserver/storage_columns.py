"""The columns of volumes, claims and storage drivers. Pure.

Source: kubernetes pkg/printers/internalversion/printers.go, pkg/apis/core/v1/helper/helpers.go.
"""

from __future__ import annotations

from simcluster.apiserver.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Column,
    Object,
    at,
    boolean,
    wide,
)
from simcluster.registry.default_classes import is_marked
from simcluster.registry.volumes import ARE_DEFAULT, class_of

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _show_modes(modes: list[str]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def _phase(obj: Object, _now: float) -> str:
    return (
        "Terminating"
        if "deletionTimestamp" in obj["metadata"]
        else str(obj.get("status", {}).get("phase", ""))
    )


def _class(obj: Object, _now: float) -> str:
    return class_of(obj)


def _claim(volume: Object, _now: float) -> str:
    reference = volume["spec"].get("claimRef")
    return "" if reference is None else f"{reference.get('namespace', '')}/{reference.get('name', '')}"


def _claimed(show: str) -> Column:
    """Return a column of what a claim has got, empty until it is bound."""

    def cell(claim: Object, _now: float) -> str:
        status = claim.get("status", {})
        if not claim["spec"].get("volumeName"):
            return ""
        if show == "Capacity":
            return str(status.get("capacity", {}).get("storage", "0"))
        return _show_modes(status.get("accessModes", []))

    return Column(show, cell)


def _class_name(obj: Object, _now: float) -> str:
    return str(obj["metadata"]["name"]) + (" (default)" if is_marked(obj, ARE_DEFAULT) else "")


def _audiences(driver: Object, _now: float) -> str:
    requests = driver["spec"].get("tokenRequests")
    return UNSET if requests is None else ",".join(each.get("audience", "") for each in requests)


def _lifecycles(driver: Object, _now: float) -> str:
    modes = driver["spec"].get("volumeLifecycleModes")
    return ",".join(modes) if modes else NONE


_ATTRIBUTES = Column("VolumeAttributesClass", at("spec.volumeAttributesClassName", UNSET))
_MODE = wide("VolumeMode", at("spec.volumeMode", UNSET))

COLUMNS: dict[str, tuple[Column, ...]] = {
    "persistentvolumes": (
        NAME,
        Column("Capacity", at("spec.capacity.storage", "0")),
        Column("Access Modes", lambda obj, _: _show_modes(obj["spec"].get("accessModes", []))),
        Column("Reclaim Policy", at("spec.persistentVolumeReclaimPolicy")),
        Column("Status", _phase),
        Column("Claim", _claim),
        Column("StorageClass", _class),
        _ATTRIBUTES,
        Column("Reason", at("status.reason")),
        AGE,
        _MODE,
    ),
    "persistentvolumeclaims": (
        NAME,
        Column("Status", _phase),
        Column("Volume", at("spec.volumeName")),
        _claimed("Capacity"),
        _claimed("Access Modes"),
        Column("StorageClass", _class),
        _ATTRIBUTES,
        AGE,
        _MODE,
    ),
    "storageclasses.storage.k8s.io": (
        Column("Name", _class_name, format="name"),
        Column("Provisioner", at("provisioner")),
        Column("ReclaimPolicy", at("reclaimPolicy", "Delete")),
        Column("VolumeBindingMode", at("volumeBindingMode", "Immediate")),
        Column("AllowVolumeExpansion", at("allowVolumeExpansion", empty=False)),
        AGE,
    ),
    "volumeattributesclasses.storage.k8s.io": (NAME, Column("DriverName", at("driverName")), AGE),
    "volumeattachments.storage.k8s.io": (
        NAME,
        Column("Attacher", at("spec.attacher"), format="name"),
        Column("PV", at("spec.source.persistentVolumeName")),
        Column("Node", at("spec.nodeName")),
        boolean("Attached", "status.attached"),
        AGE,
    ),
    "csidrivers.storage.k8s.io": (
        NAME,
        boolean("AttachRequired", "spec.attachRequired", empty=True),
        boolean("PodInfoOnMount", "spec.podInfoOnMount"),
        boolean("StorageCapacity", "spec.storageCapacity"),
        Column("TokenRequests", _audiences),
        boolean("RequiresRepublish", "spec.requiresRepublish"),
        Column("Modes", _lifecycles),
        AGE,
    ),
    "csinodes.storage.k8s.io": (
        NAME,
        Column("Drivers", lambda obj, _: len(obj["spec"].get("drivers") or ()), type="integer"),
        AGE,
    ),
}
