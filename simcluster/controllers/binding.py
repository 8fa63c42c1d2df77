"""Which volume a claim gets, and how the two are tied together: pure.

The rules it keeps: of the volumes that fit, one that names the claim comes first, then the one with the fewest access
modes, then the smallest; a volume is tied to its claim before the claim is to it, so that two claims never have one
volume. A claim whose class waits for its first consumer is given only a volume that names it; the scheduler finds it
any other.

Source: kubernetes pkg/controller/volume/persistentvolume (index.go, pv_controller.go) and
k8s.io/component-helpers/storage/volume/pv_helpers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from simcluster.controllers.metadata import annotations_of, is_deleting, labels_of, name_of, uid_of
from simcluster.registry.volumes import class_of
from simcluster.schema.quantities import parse
from simcluster.selectors import matches_label_selector
from simcluster.store import Object

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
COMPLETED, BY_CONTROLLER = "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
NO_PROVISIONER = "kubernetes.io/no-provisioner"
Reaches = Callable[[Object], bool]


def phase_of(obj: Object) -> str:
    """The phase of a volume or a claim."""
    found: str = (obj.get("status") or {}).get("phase", "")
    return found


def volume_of(claim: Object) -> str:
    """The name of the volume that a claim has, or asks for; empty for none."""
    found: str = claim["spec"].get("volumeName", "")
    return found


def is_bound(claim: Object) -> bool:
    """Whether a claim is tied to its volume for good."""
    return bool(volume_of(claim)) and COMPLETED in annotations_of(claim)


def waits(of_class: Object | None) -> bool:
    """Whether claims of a class wait for their first consumer."""
    return of_class is not None and of_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def size_of(claim: Object) -> Fraction:
    """How much a claim asks for, in bytes."""
    return parse(claim["spec"]["resources"]["requests"]["storage"])


def capacity_of(volume: Object) -> Fraction:
    """How much a volume has, in bytes."""
    return parse(volume["spec"].get("capacity", {}).get("storage", "0"))


def names(volume: Object, claim: Object) -> bool:
    """Whether a volume is for that claim: by its name, and by its uid where it has one."""
    reference = volume["spec"].get("claimRef")
    return (
        reference is not None
        and (reference.get("namespace", ""), reference.get("name", "")) == name_of(claim)
        and reference.get("uid", "") in ("", uid_of(claim))
    )


def find_volume(
    claim: Object, volumes: Iterable[Object], *, waits: bool = False, reaches: Reaches | None = None
) -> Object | None:
    """The volume that a claim gets, None if there is none for it.

    `waits`: only one that names the claim. `reaches`: for a node, whether it reaches a volume.
    """
    # Most volumes are somebody else's: what shows that at once is asked first.
    open_to_it = [each for each in volumes if each["spec"].get("claimRef") is None or names(each, claim)]
    named = [each for each in open_to_it if names(each, claim) and _fits(each, claim)]
    if named:
        chosen = min(named, key=_order)
        return chosen if reaches is None or reaches(chosen) else None
    if waits and reaches is None:
        return None
    free = [
        each
        for each in open_to_it
        if _is_free(each, claim) and _fits(each, claim) and (reaches is None or reaches(each))
    ]
    return min(free, key=_order, default=None)


def _fits(volume: Object, claim: Object) -> bool:
    return (
        not is_deleting(volume)
        and capacity_of(volume) >= size_of(claim)
        and _same(volume, claim, "volumeMode")
        and _same(volume, claim, "volumeAttributesClassName")
        and _has_modes(volume, claim)
    )


def _is_free(volume: Object, claim: Object) -> bool:
    selector = claim["spec"].get("selector")
    return (
        volume["spec"].get("claimRef") is None
        and phase_of(volume) == "Available"
        and class_of(volume) == class_of(claim)
        and (not selector or matches_label_selector(selector, labels_of(volume)))
    )


def _order(volume: Object) -> tuple[int, Fraction, str]:
    return len(volume["spec"].get("accessModes", ())), capacity_of(volume), name_of(volume)[1]


def _same(volume: Object, claim: Object, key: str) -> bool:
    return bool((volume["spec"].get(key) or "") == (claim["spec"].get(key) or ""))


def _has_modes(volume: Object, claim: Object) -> bool:
    return set(claim["spec"].get("accessModes", ())) <= set(volume["spec"].get("accessModes", ()))


def complain(volume: Object, claim: Object) -> str | None:
    """Why a volume that a claim asks for by its name is not for it, in the controller's words."""
    if capacity_of(volume) < size_of(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if not _same(volume, claim, "volumeAttributesClassName"):
        return "volumeAttributesClassName does not match"
    if not _same(volume, claim, "volumeMode"):
        return "incompatible volumeMode"
    return None if _has_modes(volume, claim) else "incompatible accessMode"


# --- What is written


def refer_to(claim: Object) -> dict[str, Any]:
    """What a volume says of the claim that it is tied to."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": name_of(claim)[0],
        "name": name_of(claim)[1],
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }


def tie_volume(volume: Object, claim: Object) -> Object | None:
    """The volume, tied to the claim; None if it is so already."""
    reference: dict[str, Any] = volume["spec"].get("claimRef") or {}
    if reference.get("uid") == uid_of(claim) and names(volume, claim):
        return None
    spec = volume["spec"] | {"claimRef": refer_to(claim)}
    changed = {**volume, "spec": spec, "metadata": dict(volume["metadata"])}
    # A volume that named its claim before stays the user's.
    return changed if reference else annotate(changed, {BY_CONTROLLER: "yes"})


def tie_claim(claim: Object, volume: Object) -> Object | None:
    """The claim, tied to the volume; None if it is so already."""
    if is_bound(claim) and volume_of(claim) == name_of(volume)[1]:
        return None
    changed = {**claim, "spec": claim["spec"] | {"volumeName": name_of(volume)[1]}}
    found = {} if volume_of(claim) == name_of(volume)[1] else {BY_CONTROLLER: "yes"}
    return annotate(changed, found | {COMPLETED: "yes"})


def untie_volume(volume: Object) -> Object:
    """The volume without its claim; a user's own reference keeps the claim's name."""
    spec, metadata = dict(volume["spec"]), dict(volume["metadata"])
    annotations = annotations_of(volume)
    if BY_CONTROLLER in annotations:
        del spec["claimRef"]
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != BY_CONTROLLER}
    else:
        spec["claimRef"] = {key: spec["claimRef"].get(key, "") for key in ("namespace", "name")}
    return {**volume, "spec": spec, "metadata": metadata}


def annotate(obj: Object, annotations: dict[str, str]) -> Object:
    """A copy of an object with more annotations."""
    return {**obj, "metadata": obj["metadata"] | {"annotations": annotations_of(obj) | annotations}}


def got(volume: Object) -> Object:
    """The status of a claim that has a volume."""
    return {
        "phase": "Bound",
        "accessModes": list(volume["spec"].get("accessModes", ())),
        "capacity": dict(volume["spec"].get("capacity", {})),
    }


def unfinished(volume: Object, claim: Object | None) -> str:
    """What becomes of a volume that names a claim with a uid: `Bound`, `Released`, `wait` or `untie`.

    `claim` is the one of that name, None if there is none.
    """
    reference = volume["spec"]["claimRef"]
    if claim is None or uid_of(claim) != reference["uid"]:
        return "Released"
    if not volume_of(claim):
        return "wait"
    if volume_of(claim) == name_of(volume)[1]:
        return "Bound"
    was_made_for_it = PROVISIONED_BY in annotations_of(volume)
    deletes = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    return "Released" if was_made_for_it and deletes else "untie"
