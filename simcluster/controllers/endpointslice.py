"""The EndpointSlice controller: keeps the slices of each Service that has a selector.

The rule it keeps: what is written is decided in `slices`; here is when. A change of a pod is seen after the delay
that `lagging` gives it. Slices of others and Services without a selector are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simcluster.controllers import instants, pods, slices
from simcluster.controllers.lagging import LaggingPods
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    created_at,
    is_deleting,
    labels_of,
    name_of,
    uid_of,
)
from simcluster.controllers.selected import SelectedPods
from simcluster.errors import NotFound
from simcluster.store import Object

SLICES = "endpointslices.discovery.k8s.io"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one pod means to one Service."""

    pod: Object
    entry: slices.Entry | None
    ready_at: float | None


@dataclass(slots=True)
class _Memory:
    """What is known of a Service's pods since its last sync, so that only what changed is worked out again."""

    service: Object
    pods: dict[str, _Seen] = field(default_factory=dict)


class EndpointSlices:
    """Brings the slices of each Service to its pods; at most `most` endpoints in a slice."""

    def __init__(self, context: Context, *, most: int) -> None:
        if most < 1:
            raise ValueError(f"a slice of at most {most} endpoints can hold none\n  allowed: 1 and more")
        self._context = context
        self._most = most
        self._registry = context.registry
        self._services = context.informers.of("services")
        self._slices = context.informers.of(SLICES)
        self._memories: dict[Name, _Memory] = {}
        self.loop = ControlLoop("endpointslice", context, self.sync)
        self._lagging = LaggingPods(context, lambda old, new: self._selected.take(old, new))
        self._selected = SelectedPods(self._services, self._lagging, slices.selects, self._enqueue)
        self._slices.handle(self._on_slice)
        context.informers.of("pods").handle(self._lagging.take)

    def close(self) -> None:
        """Drop the changes that are still under way."""
        self._lagging.close()

    def sync(self, key: Name) -> None:
        """Write what the slices of one Service lack."""
        service = self._services.get(key)
        if service is None:
            self._remove_all(key)
            return
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName":
            return
        triggered_at = self._look(key, service)
        entries = [seen.entry for seen in self._memories[key].pods.values()]
        changes = slices.reconcile(
            service,
            [entry for entry in entries if entry is not None],
            [each for each in self._slices.list(key[0]) if _is_ours(each, key[1])],
            most=self._most,
            triggered=None if triggered_at is None else instants.format_nanoseconds(triggered_at),
        )
        for each in changes.create:
            self._registry.create(SLICES, key[0], each)
        for each in changes.update:
            self._registry.update(SLICES, *name_of(each), each)
        for each in changes.delete:
            self._delete(each)

    def _remove_all(self, key: Name) -> None:
        """The Service is gone; the garbage collector would do it too, a little later."""
        self._memories.pop(key, None)
        for each in self._slices.list(key[0]):
            if _is_ours(each, key[1]):
                self._delete(each)

    def _delete(self, each: Object) -> None:
        try:
            self._registry.delete(SLICES, *name_of(each), uid=uid_of(each))
        except NotFound:
            return

    def _look(self, key: Name, service: Object) -> float | None:
        """Bring the memory of a Service up to date.

        Returns the earliest instant at which something changed since the last look, in seconds since the epoch,
        as the API tells it: the Service was created, or a pod's readiness changed. None if nothing did.
        """
        before = self._memories.get(key)
        memory = self._memories[key] = _Memory(service)
        changed = (
            [] if before is not None and uid_of(before.service) == uid_of(service) else [created_at(service)]
        )
        for pod in self._selected.of(key):
            uid = uid_of(pod)
            old = None if before is None else before.pods.get(uid)
            if old is not None and old.pod is pod and before is not None and before.service is service:
                memory.pods[uid] = old
                continue
            seen = memory.pods[uid] = _Seen(pod, slices.entry_for(service, pod), pods.ready_since(pod))
            if seen.ready_at is not None and (old is None or seen.ready_at != old.ready_at):
                changed.append(seen.ready_at)
        return min(changed, default=None)

    # --- What leads to a sync

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        """Somebody may have touched a slice: look at its Service again; one of our own writes changes nothing."""
        for each in (old, new):
            if each is not None and labels_of(each).get(slices.MANAGED_BY) == slices.CONTROLLER:
                service = labels_of(each).get(slices.SERVICE_NAME, "")
                name = (name_of(each)[0], service)
                self.loop.queue.add_after(name, self._context.profile.slice_change_sync_s)

    def _enqueue(self, key: Name, count: int) -> None:
        # What the profile says of these changes, `lagging` has waited for already.
        self.loop.queue.add_after(key, self._context.batch_s(count))


def _is_ours(each: Object, service: str) -> bool:
    labels = labels_of(each)
    is_managed = labels.get(slices.MANAGED_BY) == slices.CONTROLLER
    return is_managed and labels.get(slices.SERVICE_NAME) == service and not is_deleting(each)
