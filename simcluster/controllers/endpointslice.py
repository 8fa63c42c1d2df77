"""The EndpointSlice controller: keeps the slices of each Service that has a selector.

The rule it keeps: what is written is decided in `slices`; here is when. A change of a pod is seen after the delay
that the profile names, of a deletion after one that chance draws: one side of the termination race, whose other
side is the kubelet's. Each pod's changes are seen in their order. Slices of others and Services without a
selector are left alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from simcluster.controllers import instants, pods, slices
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    created_at,
    is_deleting,
    labels_of,
    matches_labels,
    name_of,
    uid_of,
)
from simcluster.controllers.workqueue import Timer
from simcluster.errors import NotFound
from simcluster.store import Object

SLICES = "endpointslices.discovery.k8s.io"


class LaggingPods:
    """The pods as the controller has seen them so far: each change comes in after its delay, in order."""

    def __init__(self, context: Context, tell: Callable[[Object | None, Object | None], None]) -> None:
        self._context = context
        self._tell = tell
        self._seen: dict[str, dict[str, Object]] = {}
        # Per uid: the changes under way, oldest first, and when the last of them comes in.
        self._under_way: dict[str, deque[tuple[Object, Object | None]]] = {}
        self._due: dict[str, float] = {}
        self._timers: set[Timer] = set()

    def list(self, namespace: str) -> list[Object]:
        """The pods of a namespace as seen so far."""
        return list(self._seen.get(namespace, {}).values())

    def take(self, old: Object | None, new: Object | None) -> None:
        """Have a change come in after its delay."""
        pod = new if new is not None else old
        if pod is None:
            return
        uid, now = uid_of(pod), self._context.clock()
        due = max(now + self._delay_s(old, new), self._due.get(uid, now))
        if due <= now and uid not in self._under_way:
            self._come_in(pod, new)
            return
        self._due[uid] = due
        self._under_way.setdefault(uid, deque()).append((pod, new))
        self._set_timer(uid, due - now)

    def close(self) -> None:
        """See no more changes."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _set_timer(self, uid: str, delay_s: float) -> None:
        timers: list[Timer] = []

        def ring() -> None:
            self._timers.difference_update(timers)
            # Whichever timer rings first, the oldest change comes in.
            changes = self._under_way[uid]
            pod, new = changes.popleft()
            if not changes:
                del self._under_way[uid], self._due[uid]
            self._come_in(pod, new)

        timers.append(self._context.call_later(delay_s, ring))
        self._timers.update(timers)

    def _delay_s(self, old: Object | None, new: Object | None) -> float:
        profile = self._context.profile
        if old is not None and new is not None and is_deleting(new) and not is_deleting(old):
            jitter_s = profile.endpoint_not_ready_jitter_s * self._context.rng.random()
            return profile.endpoint_not_ready_s + jitter_s
        return profile.endpoint_ready_s

    def _come_in(self, pod: Object, new: Object | None) -> None:
        namespace, name = name_of(pod)
        names = self._seen.setdefault(namespace, {})
        before = names.get(name)
        if new is not None:
            names[name] = new
        elif before is not None and uid_of(before) == uid_of(pod):
            del names[name]
        self._tell(before, new)


@dataclass(slots=True)
class _Triggers:
    """When the changes happened that were seen at the last sync of a Service."""

    service_at: float | None = None
    pods_at: dict[str, float] = field(default_factory=dict)


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
        self._triggers: dict[Name, _Triggers] = {}
        self.loop = ControlLoop("endpointslice", context, self.sync)
        self._lagging = LaggingPods(context, self._on_pod)
        self._services.handle(self._on_service)
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
        selected = [pod for pod in self._lagging.list(key[0]) if matches_labels(selector, labels_of(pod))]
        existing = [each for each in self._slices.list(key[0]) if _is_ours(each, key[1])]
        triggered_at = self._trigger(key, service, selected)
        changes = slices.reconcile(
            service,
            selected,
            existing,
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
        self._triggers.pop(key, None)
        for each in self._slices.list(key[0]):
            if _is_ours(each, key[1]):
                self._delete(each)

    def _delete(self, each: Object) -> None:
        try:
            self._registry.delete(SLICES, *name_of(each), uid=uid_of(each))
        except NotFound:
            return

    def _trigger(self, key: Name, service: Object, selected: list[Object]) -> float | None:
        """The earliest of the changes since the last sync, in seconds since the epoch; None if unknown."""
        triggers = self._triggers.setdefault(key, _Triggers())
        changed = []
        service_at = created_at(service)
        if triggers.service_at != service_at:
            changed.append(service_at)
        ready_at = {uid_of(pod): pods.ready_since(pod) for pod in selected}
        known = {uid: at for uid, at in ready_at.items() if at is not None}
        changed += [at for uid, at in known.items() if triggers.pods_at.get(uid) != at]
        triggers.service_at, triggers.pods_at = service_at, known
        return min(changed, default=None)

    # --- What leads to a sync

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None:
            self.loop.queue.add(name_of(changed))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        """Somebody may have touched a slice: look at its Service again; one of our own writes changes nothing."""
        for each in (old, new):
            if each is not None and labels_of(each).get(slices.MANAGED_BY) == slices.CONTROLLER:
                service = labels_of(each).get(slices.SERVICE_NAME, "")
                name = (name_of(each)[0], service)
                self.loop.queue.add_after(name, self._context.profile.slice_change_sync_s)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            for service in self._services.list(name_of(pod)[0]):
                selector = service["spec"].get("selector")
                if selector and matches_labels(selector, labels_of(pod)):
                    self.loop.queue.add(name_of(service))


def _is_ours(each: Object, service: str) -> bool:
    labels = labels_of(each)
    is_managed = labels.get(slices.MANAGED_BY) == slices.CONTROLLER
    return is_managed and labels.get(slices.SERVICE_NAME) == service and not is_deleting(each)
