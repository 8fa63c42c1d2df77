"""The Namespace controller: empties a namespace that is being deleted, and lets it go.

The rule it keeps: pods go first, and end as gracefully as they were made to; then everything else; the finalizer
`kubernetes` is taken off when nothing is left. Nothing is waited for but events. Source:
pkg/controller/namespace/deletion/namespaced_resources_deleter.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of, uid_of, with_status
from simcluster.errors import NotFound
from simcluster.registry import format_time, parse_time
from simcluster.store import Object

_FINALIZER = "kubernetes"
_SETTLED = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


class Namespaces:
    """Finishes the deletion of namespaces; `resources` are all namespaced ones, `plural[.group]`."""

    def __init__(self, context: Context, *, resources: Sequence[str]) -> None:
        self._context = context
        self._registry = context.registry
        self._namespaces = context.informers.of("namespaces")
        self._content = {resource: context.informers.of(resource) for resource in resources}
        self.loop: ControlLoop[Name] = ControlLoop("namespace", context, self.sync)
        self._namespaces.handle(self._on_namespace)
        for resource in resources:
            self._content[resource].handle(self._on_content)

    def sync(self, key: Name) -> None:
        """Delete what one namespace still holds, or let it go."""
        namespace = self._namespaces.get(key)
        if namespace is None or not is_deleting(namespace):
            return
        if _FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return
        started_at = parse_time(namespace["metadata"]["deletionTimestamp"])
        wait_s = started_at + self._context.profile.namespace_grace_s - self._context.clock()
        if wait_s > 0:
            self.loop.queue.add_after(key, wait_s)
            return
        if self._empty("pods", key[1]):
            # Everything else stays until the last pod has ended; the conditions do not tell of the pods.
            self._write_conditions(namespace, {})
            return
        left = {resource: self._empty(resource, key[1]) for resource in self._content}
        remaining = {resource: objects for resource, objects in left.items() if objects}
        namespace = self._write_conditions(namespace, remaining)
        if not remaining:
            self._finalize(namespace)

    def _empty(self, resource: str, namespace: str) -> list[Object]:
        """Delete all of a resource that is not being deleted yet; return what is there after that."""
        for obj in self._content[resource].list(namespace):
            if not is_deleting(obj):
                try:
                    self._registry.delete(resource, *name_of(obj), uid=uid_of(obj), propagation="Background")
                except NotFound:
                    # The deletion of an earlier one of the list took it along.
                    continue
        return list(self._content[resource].list(namespace))

    def _finalize(self, namespace: Object) -> None:
        copy = deepcopy(namespace)
        copy["spec"]["finalizers"] = [each for each in copy["spec"]["finalizers"] if each != _FINALIZER]
        self._registry.update("namespaces", *name_of(namespace), copy, subresource="finalize")

    def _write_conditions(self, namespace: Object, remaining: dict[str, list[Object]]) -> Object:
        status = namespace.get("status") or {}
        before = status.get("conditions") or []
        wanted = conditions_for(remaining, before, self._context.clock())
        if wanted == before:
            return namespace
        changed = with_status(namespace, {**status, "conditions": wanted})
        written: Object = self._registry.update(
            "namespaces", *name_of(namespace), changed, subresource="status"
        )
        return written

    # --- What leads to a sync

    def _on_namespace(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and is_deleting(new):
            self.loop.queue.add(name_of(new))

    def _on_content(self, old: Object | None, new: Object | None) -> None:
        if new is not None or old is None:
            return
        key = ("", name_of(old)[0])
        namespace = self._namespaces.get(key)
        if namespace is not None and is_deleting(namespace):
            self.loop.queue.add_after(key, self._context.profile.namespace_retry_s)


def conditions_for(
    remaining: dict[str, list[Object]], before: Sequence[dict[str, Any]], now: float
) -> list[dict[str, Any]]:
    """Return the conditions of a namespace that still holds `remaining`, by resource."""
    told = dict.fromkeys(_SETTLED, "False"), dict(_SETTLED)
    status, said = told
    if remaining:
        counted = sorted(
            f"{_dotted(name)} has {len(objects)} resource instances" for name, objects in remaining.items()
        )
        status["NamespaceContentRemaining"] = "True"
        said["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(counted)}",
        )
    finalizers = Counter(
        finalizer
        for objects in remaining.values()
        for obj in objects
        for finalizer in obj["metadata"].get("finalizers") or ()
    )
    if finalizers:
        counted = sorted(f"{name} in {number} resource instances" for name, number in finalizers.items())
        status["NamespaceFinalizersRemaining"] = "True"
        said["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(counted)}",
        )
    known = {each["type"]: each for each in before}
    return [_condition(kind, status[kind], *said[kind], known.get(kind), now) for kind in _SETTLED]


def _condition(
    kind: str, status: str, reason: str, message: str, before: dict[str, Any] | None, now: float
) -> dict[str, Any]:
    changed = format_time(now)
    if before is not None and before["status"] == status:
        changed = before["lastTransitionTime"]
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": changed,
        "reason": reason,
        "message": message,
    }


def _dotted(resource: str) -> str:
    """`plural.group`; the core group is the empty text after the dot."""
    return resource if "." in resource else f"{resource}."
