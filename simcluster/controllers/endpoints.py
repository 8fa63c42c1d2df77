"""The Endpoints controller: the older form of a Service's endpoints, which some clients still read.

The rule it keeps: what stands in one is decided in `subsets`; here is when. It sees changes of pods with a delay of
its own, as against EndpointSlices, so that the two forms may differ for a moment. Services without a selector are
left alone. Source: pkg/controller/endpoint/endpoints_controller.go.
"""

from __future__ import annotations

from copy import deepcopy

from simcluster.controllers import instants, pods, slices, subsets
from simcluster.controllers.lagging import LaggingPods
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    annotations_of,
    created_at,
    labels_of,
    name_of,
    uid_of,
)
from simcluster.controllers.pod_control import is_namespace_terminating
from simcluster.controllers.selected import SelectedPods
from simcluster.errors import NotFound, StatusError
from simcluster.store import Object

ENDPOINTS = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_CONTROLLER = "endpoint-controller"


class LegacyEndpoints:
    """Brings the Endpoints of each Service to its pods."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._services = context.informers.of("services")
        self._endpoints = context.informers.of(ENDPOINTS)
        # Service -> its uid and, by uid, the instants at which the readiness of its pods last changed.
        self._seen: dict[Name, tuple[str, dict[str, float | None]]] = {}
        self.loop: ControlLoop[Name] = ControlLoop("endpoints", context, self.sync)
        self._lagging = LaggingPods(context, lambda old, new: self._selected.take(old, new))
        self._selected = SelectedPods(self._services, self._lagging, slices.selects, self._enqueue)
        self._endpoints.handle(self._on_endpoints)
        context.informers.of("pods").handle(self._lagging.take)

    def close(self) -> None:
        """Drop the changes that are still under way."""
        self._lagging.close()

    def sync(self, key: Name) -> None:
        """Write the Endpoints of one Service if they are not what they should be."""
        service, current = self._services.get(key), self._endpoints.get(key)
        if service is None:
            self._seen.pop(key, None)
            if current is not None:
                self._remove(current)
            return
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            return
        triggered_at = self._look(key, service)
        packed, is_cut = subsets.truncate(subsets.pack(service, self._selected.of(key)))
        wanted = endpoints_for(service, current, packed, is_cut=is_cut, triggered_at=triggered_at)
        if current is None:
            self._create(wanted)
        elif not _is_same(current, wanted):
            self._registry.update(ENDPOINTS, *key, wanted)

    def _create(self, wanted: Object) -> None:
        try:
            self._registry.create(ENDPOINTS, name_of(wanted)[0], wanted)
        except StatusError as error:
            if not is_namespace_terminating(error):
                raise

    def _remove(self, current: Object) -> None:
        try:
            self._registry.delete(ENDPOINTS, *name_of(current), uid=uid_of(current))
        except NotFound:
            return

    def _look(self, key: Name, service: Object) -> float | None:
        """The earliest instant at which something changed since the last look; None if nothing did."""
        uid, before = self._seen.get(key, ("", {}))
        changed = [created_at(service)] if uid != uid_of(service) else []
        now = {uid_of(pod): pods.ready_since(pod) for pod in self._selected.of(key)}
        changed += [at for pod, at in now.items() if at is not None and before.get(pod) != at]
        self._seen[key] = uid_of(service), now
        return min(changed, default=None)

    # --- What leads to a sync

    def _enqueue(self, key: Name, count: int) -> None:
        # What the profile says of these changes, `lagging` has waited for already.
        self.loop.queue.add_after(key, self._context.batch_s(count))

    def _on_endpoints(self, old: Object | None, new: Object | None) -> None:
        """Somebody deleted what a Service needs."""
        if new is None and old is not None:
            self.loop.queue.add(name_of(old))


def endpoints_for(
    service: Object,
    current: Object | None,
    packed: list[subsets.Subset],
    *,
    is_cut: bool,
    triggered_at: float | None,
) -> Object:
    """The Endpoints of a Service; `current` are those that there are."""
    wanted: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {}}
    if current is not None:
        wanted = deepcopy(current)
    metadata = wanted["metadata"]
    metadata |= dict(zip(("namespace", "name"), name_of(service), strict=True))
    headless = {slices.HEADLESS: ""} if slices.is_headless(service) else {}
    copied = {key: value for key, value in labels_of(service).items() if key != slices.HEADLESS}
    metadata["labels"] = copied | headless | {MANAGED_BY: _CONTROLLER}
    told = {
        key: value
        for key, value in annotations_of(wanted).items()
        if key not in (slices.TRIGGERED, OVER_CAPACITY)
    }
    if triggered_at is not None:
        told[slices.TRIGGERED] = instants.format_nanoseconds(triggered_at)
    if is_cut:
        told[OVER_CAPACITY] = "truncated"
    metadata["annotations"] = told
    wanted["subsets"] = packed
    return wanted


def _is_same(current: Object, wanted: Object) -> bool:
    """Whether nothing but the instant of the change differs."""

    def shown(obj: Object) -> tuple[object, ...]:
        return obj.get("subsets") or [], labels_of(obj), annotations_of(obj).get(OVER_CAPACITY)

    return shown(current) == shown(wanted)
