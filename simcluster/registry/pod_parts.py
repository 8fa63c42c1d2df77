"""The parts of a pod that subresources of their own change: its ephemeral containers, and what its containers ask for.

The rule it keeps: whatever else a writer sends there is not taken. Pure, but for a look at the pod's node.

Source: kubernetes pkg/registry/core/pod/strategy.go (podResizeStrategy, podEphemeralContainersStrategy) and
pkg/apis/core/validation/validation.go (ValidatePodResize, ValidatePodEphemeralContainersUpdate).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

from simcluster.errors import Cause, Forbidden, forbidden, invalid
from simcluster.registry import limits, pods
from simcluster.registry.pod_specs import find_spec_faults
from simcluster.schema import quantities
from simcluster.store import Key, Store

Object = dict[str, Any]

PARTS = ("ephemeralcontainers", "resize")
# The subresources, or None, whose writers change the spec of an object.
COUNTED = (None, *PARTS)
_KINDS = ("containers", "initContainers")
_RESIZED = ("resources", "resizePolicy")
_MUTABLE = ("cpu", "memory")
_ONLY = "only cpu and memory resources are mutable"


def reach(old: Object, given: Object, subresource: str | None) -> Object:
    """Return what a writer of a subresource sent, but of a pod's part what that is: the rest from `old`."""
    if subresource not in PARTS:
        return given
    metadata = {**old["metadata"], "resourceVersion": given["metadata"].get("resourceVersion", "")}
    if given["metadata"].get("uid"):
        metadata["uid"] = given["metadata"]["uid"]
    spec = (_debugged if subresource == "ephemeralcontainers" else _resized)(
        old["spec"], given.get("spec", {})
    )
    managed = given["metadata"].get("managedFields")
    if managed is None:
        metadata.pop("managedFields", None)
    else:
        metadata["managedFields"] = managed
    return {**old, "metadata": metadata, "spec": spec}


def _debugged(old: Object, given: Object) -> Object:
    kept = {key: value for key, value in old.items() if key != "ephemeralContainers"}
    return kept | {key: given[key] for key in ("ephemeralContainers",) if key in given}


def _resized(old: Object, given: Object) -> Object:
    for kind in _KINDS:
        if _names(old, kind) != _names(given, kind):
            # It is refused as it is.
            return given
    spec = {key: value for key, value in old.items() if key != "resources"}
    spec |= {key: given[key] for key in ("resources",) if key in given}
    for kind in _KINDS:
        if kind in old:
            spec[kind] = [
                {key: value for key, value in before.items() if key not in _RESIZED}
                | {key: after[key] for key in _RESIZED if key in after}
                for before, after in zip(old[kind], given[kind], strict=True)
            ]
    return spec


def _names(spec: Object, kind: str) -> list[str]:
    return [each.get("name", "") for each in spec.get(kind, ())]


def find_faults(new: Object, old: Object, subresource: str) -> list[Cause]:
    """Return what is wrong with what a writer of a subresource wants of a pod."""
    if subresource not in PARTS:
        return []
    if subresource == "ephemeralcontainers":
        return find_spec_faults(new["spec"], "spec") + _find_debug_faults(new["spec"], old["spec"])
    misplaced = _find_order_faults(new["spec"], old["spec"])
    if misplaced:
        return misplaced
    return find_spec_faults(new["spec"], "spec") + _find_resize_faults(new["spec"], old["spec"])


def _find_debug_faults(new: Object, old: Object) -> list[Cause]:
    wanted = {each["name"]: each for each in new.get("ephemeralContainers", ()) if "name" in each}
    found = []
    for each in old.get("ephemeralContainers", ()):
        after = wanted.get(each["name"])
        if after != each:
            done = "removed" if after is None else "changed"
            text = f'existing ephemeral containers "{each["name"]}" may not be {done}\n'
            found.append(forbidden("spec.ephemeralContainers", text))
    return found


def _find_order_faults(new: Object, old: Object) -> list[Cause]:
    found = []
    for kind in _KINDS:
        before, after = _names(old, kind), _names(new, kind)
        if len(before) != len(after):
            found.append(forbidden(f"spec.{kind}", f"{kind} may not be added or removed on resize"))
            continue
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                text = f"{kind} may not be renamed or reordered on resize"
                found.append(forbidden(f"spec.{kind}[{index}].name", text))
    return found


def _find_resize_faults(new: Object, old: Object) -> list[Cause]:
    found: list[Cause] = []
    before = pods.classify(old)
    if pods.classify(new) != before:
        found.append(invalid("spec", before, "Pod QOS Class may not change as a result of resizing"))
    only = False
    for kind in _KINDS:
        for index, (one, other) in enumerate(zip(old.get(kind, ()), new.get(kind, ()), strict=True)):
            found += _find_removals(one, other, f"spec.{kind}[{index}].resources")
            only = only or _others(one) != _others(other)
    return [*found, forbidden("spec", _ONLY)] if only else found


def _find_removals(old: Object, new: Object, at: str) -> list[Cause]:
    before, after = old.get("resources", {}), new.get("resources", {})
    return [
        forbidden(f"{at}.{kind}", f"resource {kind} cannot be removed")
        for kind in ("requests", "limits")
        if any(name in before.get(kind, {}) and name not in after.get(kind, {}) for name in _MUTABLE)
    ]


def _others(container: Object) -> list[Any]:
    """Return what of a container no resize may change."""
    resources = container.get("resources", {})
    amounts = [
        {name: amount for name, amount in resources.get(kind, {}).items() if name not in _MUTABLE}
        for kind in ("requests", "limits")
    ]
    return [*amounts, resources.get("claims"), container.get("resizePolicy")]


class _Around(Protocol):
    @property
    def store(self) -> Store: ...


def prepare(pod: Object, subresource: str, around: _Around) -> None:
    """Fill in what admission fills in when a part of a pod is written."""
    if subresource == "resize" and "deletionTimestamp" not in pod["metadata"]:
        # The metadata stays as it is: nobody is told by an annotation.
        filled = {"metadata": {}, "spec": pod["spec"]}
        limits.fill(filled, limits.find_ranges(around.store, pod["metadata"]["namespace"]))


def permit(pod: Object, old: Object | None, subresource: str | None, around: _Around) -> None:
    """Refuse a new pod, or one that is resized, for what it asks for."""
    if old is not None and subresource != "resize":
        return
    if "deletionTimestamp" not in pod["metadata"]:
        limits.check_pod(pod, limits.find_ranges(around.store, pod["metadata"]["namespace"]))
    if old is not None:
        _require_room(pod, around.store)


def _require_room(new: Object, store: Store) -> None:
    """Refuse a pod that is resized to more than its whole node has."""
    node = store.get(Key("nodes", "", new["spec"].get("nodeName", "")))
    if node is None:
        return
    offered = node.object.get("status", {}).get("allocatable", {})
    short = []
    for name, unit in (("cpu", Fraction(1, 1000)), ("memory", Fraction(1))):
        asked = sum(_asked(each, name) for each in new["spec"]["containers"])
        if name in offered and asked > quantities.parse(offered[name]):
            at_most = quantities.parse(offered[name])
            short.append(f"{name}, requested: {int(asked / unit)}, allocatable: {int(at_most / unit)}")
    if short:
        text = f"node didn't have enough allocatable resources: {'; '.join(short)}"
        raise Forbidden("pods", new["metadata"]["name"], text, [Cause("NodeCapacity", "")])


def _asked(container: Object, name: str) -> Fraction:
    amount = container.get("resources", {}).get("requests", {}).get(name)
    return Fraction(0) if amount is None else quantities.parse(amount)
