"""Owner references: who controls an object, and taking over or letting go of those that a selector decides on.

The rule it keeps: the uid decides, never the name; an object has at most one controller; nothing is adopted by
or for an object that is being deleted. Source: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from simcluster.controllers.metadata import is_deleting, labels_of, name_of, uid_of
from simcluster.selectors import from_label_selector
from simcluster.store import Object


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The owner reference with `controller: true`, or None."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: dict[str, Any] = reference
            return found
    return None


def reference_to(owner: Object) -> dict[str, Any]:
    """A controller reference to `owner`, which must carry its apiVersion and kind."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selector_of(owner: Object) -> dict[str, Any] | None:
    """The label selector of an owner; a ReplicationController's is the labels themselves."""
    selector: dict[str, Any] | None = owner["spec"].get("selector")
    return {"matchLabels": selector} if owner["kind"] == "ReplicationController" and selector else selector


@dataclass(frozen=True, slots=True)
class Claim:
    """What a controller's selector says of candidates: those it has, and what to write to get there."""

    kept: tuple[Object, ...]
    adopt: tuple[Object, ...]
    release: tuple[Object, ...]


def claim(owner: Object, candidates: Iterable[Object]) -> Claim:
    """Sort candidates, by `owner`'s spec.selector, into kept, to be adopted and to be released."""
    kept, adopt, release = [], [], []
    selector = selector_of(owner)
    requirements = () if selector is None else from_label_selector(selector)
    for obj in candidates:
        controller, labels = controller_of(obj), labels_of(obj)
        matching = selector is not None and all(each.matches(labels) for each in requirements)
        if controller is not None and controller["uid"] != uid_of(owner):
            continue
        if controller is not None and matching:
            kept.append(obj)
        elif controller is not None and not is_deleting(owner):
            release.append(obj)
        elif controller is None and matching and _may_adopt(owner, obj):
            adopt.append(obj)
    return Claim(tuple(kept), tuple(adopt), tuple(release))


def _may_adopt(owner: Object, obj: Object) -> bool:
    return not is_deleting(owner) and not is_deleting(obj) and name_of(obj)[0] == name_of(owner)[0]


def adopted(owner: Object, obj: Object) -> Object:
    """A copy of `obj` with `owner` as its controller."""
    copy = deepcopy(obj)
    copy["metadata"].setdefault("ownerReferences", []).append(reference_to(owner))
    return copy


def released(owner: Object, obj: Object) -> Object:
    """A copy of `obj` without any reference to `owner`."""
    copy = deepcopy(obj)
    rest = [each for each in copy["metadata"]["ownerReferences"] if each["uid"] != uid_of(owner)]
    copy["metadata"]["ownerReferences"] = rest
    return copy
