"""The pod garbage collector: removes the pods of nodes that are no more, and old ones that have ended.

The rule it keeps: a pod is only removed when its node has been missing for `orphan_quarantine_s`, since a node may be
late; it is shown as failed first. Pods that have ended stay until there are too many.

Source: pkg/controller/podgc/gc_controller.go.
"""

from __future__ import annotations

from simcluster.controllers import pods
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, created_at, is_deleting, name_of, uid_of
from simcluster.controllers.pods_by_node import PodsByNode
from simcluster.controllers.scheduling_status import show_disruption
from simcluster.store import Object

# terminated-pod-gc-threshold
_MOST_ENDED = 12_500


class PodCollector:
    """Its keys are nodes' names; the empty one stands for the pods that have ended."""

    def __init__(self, context: Context, pods_by_node: PodsByNode) -> None:
        self._context = context
        self._registry = context.registry
        self._nodes = context.informers.of("nodes")
        self._on_which = pods_by_node
        self._missing_since: dict[str, float] = {}
        self._ended: set[Name] = set()
        self.loop = ControlLoop("pod-garbage-collector", context, self.sync)
        self._nodes.handle(self._on_node)
        pods_by_node.handle(self._on_pod)
        context.informers.of("pods").handle(self._count_ended)

    def sync(self, key: Name) -> None:
        """Remove what one missing node has left, or the oldest pods that have ended."""
        if not key[1]:
            self._remove_ended()
            return
        if self._nodes.get(key) is not None:
            self._missing_since.pop(key[1], None)
            return
        left_by = self._on_which.on(key[1])
        if not left_by:
            self._missing_since.pop(key[1], None)
            return
        now = self._context.clock()
        since = self._missing_since.setdefault(key[1], now)
        left_s = since + self._context.profile.orphan_quarantine_s - now
        if left_s > 0:
            self.loop.queue.add_after(key, left_s)
            return
        for pod in left_by:
            self._remove(pod, now)

    def _remove(self, pod: Object, now: float) -> None:
        if not pods.is_terminal(pod):
            message = "PodGC: node no longer exists"
            show_disruption(self._registry, pod, now, "DeletionByPodGC", message, phase="Failed")
        self._registry.delete("pods", *name_of(pod), uid=uid_of(pod), grace_s=0)

    def _remove_ended(self) -> None:
        excess = len(self._ended) - _MOST_ENDED
        if excess > 0:
            every = self._context.informers.of("pods")
            found = [
                pod for name in self._ended if (pod := every.get(name)) is not None and not is_deleting(pod)
            ]
            for pod in sorted(found, key=created_at)[:excess]:
                self._registry.delete("pods", *name_of(pod), uid=uid_of(pod), grace_s=0)

    def _on_node(self, _old: Object | None, new: Object | None) -> None:
        if new is None and _old is not None:
            self.loop.queue.add(("", _old["metadata"]["name"]))

    def _on_pod(self, node: str, _old: Object | None, new: Object | None) -> None:
        if new is not None and self._nodes.get(("", node)) is None:
            self.loop.queue.add(("", node))

    def _count_ended(self, old: Object | None, new: Object | None) -> None:
        if new is not None and pods.is_terminal(new):
            self._ended.add(name_of(new))
            if len(self._ended) > _MOST_ENDED:
                self.loop.queue.add(("", ""))
        elif old is not None:
            self._ended.discard(name_of(old))
