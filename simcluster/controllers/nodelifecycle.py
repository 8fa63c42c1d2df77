"""The node controller: says of silent nodes that they are not ready, keeps pods away from them, has pods leave them.

The rule it keeps: a node is heard of by its lease and by its Ready condition; nodes are only accused of a silence that
this process could have heard, so one that stood still itself accuses nobody. When all nodes are down at once, pods
stay where they are: it is more likely the observer who is cut off. What conditions and taints say is decided in
`node_health`; who has to leave a tainted node is `taint_eviction`'s part.

Source: pkg/controller/nodelifecycle/node_lifecycle_controller.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simcluster.controllers import node_health, pods
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, labels_of, name_of
from simcluster.controllers.pods_by_node import PodsByNode
from simcluster.controllers.workqueue import Timer
from simcluster.registry import format_time
from simcluster.store import Object

_LEASES = "leases.coordination.k8s.io"
_LEASE_NAMESPACE = "kube-node-lease"
_ZONE, _REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
# In a large zone that is partly down, pods are evicted at a tenth of the rate; in a small one not at all
# (large-cluster-size-threshold, secondary-node-eviction-rate).
_LARGE, _SLOWER = 50, 10.0


@dataclass(slots=True)
class _Health:
    heard_at: float
    was_ready: bool
    is_evicting: bool = False
    is_registered: bool = False


class NodeLifecycle:
    """Looks after nodes, one look for all each `node_monitor_s`."""

    def __init__(self, context: Context, pods_by_node: PodsByNode) -> None:
        self._context = context
        self._registry = context.registry
        self._pods = pods_by_node
        self._nodes = context.informers.of("nodes")
        self._recorder = context.recorder("node-controller")
        self._health: dict[str, _Health] = {}
        self._gone: dict[str, Object] = {}
        self._may_evict_at: dict[str, float] = {}
        self._is_all_down = False
        self._due_at = 0.0
        self._timer: Timer | None = None
        self.loop = ControlLoop("node-lifecycle", context, self.sync)
        self._nodes.handle(self._on_node)
        context.informers.of(_LEASES).handle(self._on_lease)
        self._wait()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def sync(self, key: Name) -> None:
        """Have one node's conditions, taints and pods say how it is."""
        name, now = key[1], self._context.clock()
        node, health = self._nodes.get(key), self._health.get(name)
        if node is None or health is None:
            self._forget(name, now)
            return
        if not health.is_registered:
            health.is_registered = True
            self._judge_all(now)
            self._tell(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        if health.heard_at + self._context.profile.node_monitor_grace_s <= now:
            status = node_health.silence(node, now)
            if status != node.get("status"):
                made = {**node, "metadata": dict(node["metadata"]), "status": status}
                node = self._registry.update("nodes", None, name, made, subresource="status")
        is_ready = node_health.ready_of(node) == "True"
        if health.was_ready and not is_ready:
            self._tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            self._mark_pods(name)
        if health.was_ready != is_ready:
            health.was_ready = is_ready
            self._judge_all(now)
        self._choose_eviction(node, health, now)
        self._taint(node, health, now)

    def _taint(self, node: Object, health: _Health, now: float) -> None:
        taints = node_health.choose_taints(node, now, is_evicting=health.is_evicting)
        if taints == (node["spec"].get("taints") or []):
            return
        spec = {**node["spec"], "taints": taints}
        if not taints:
            del spec["taints"]
        made = {**node, "metadata": dict(node["metadata"]), "spec": spec}
        self._registry.update("nodes", None, node["metadata"]["name"], made)

    # --- Eviction

    def _choose_eviction(self, node: Object, health: _Health, now: float) -> None:
        if health.was_ready or self._is_all_down:
            health.is_evicting = False
            return
        if health.is_evicting:
            return
        zone = _zone_of(node)
        wait_s = self._may_evict_at.get(zone, 0.0) - now
        interval_s = self._interval_s(zone)
        if math.isinf(interval_s):
            return
        if wait_s > 0:
            self.loop.queue.add_after(name_of(node), wait_s)
            return
        health.is_evicting = True
        self._may_evict_at[zone] = now + interval_s

    def _interval_s(self, zone: str) -> float:
        """Seconds between two nodes of a zone that pods have to leave."""
        interval_s = self._context.profile.node_eviction_s
        readiness = [self._is_ready(each) for each in self._nodes.list() if _zone_of(each) == zone]
        if node_health.judge_zone(readiness) != "partial":
            return interval_s
        return interval_s * _SLOWER if len(readiness) > _LARGE else math.inf

    def _is_ready(self, node: Object) -> bool:
        health = self._health.get(node["metadata"]["name"])
        return health is None or health.was_ready

    def _judge_all(self, now: float) -> None:
        """See whether all nodes are down, or one of them is back; then all are to be looked at again."""
        is_all_down = bool(self._health) and not any(each.was_ready for each in self._health.values())
        was_all_down, self._is_all_down = self._is_all_down, is_all_down
        if was_all_down and not is_all_down:
            for each in self._health.values():
                each.heard_at = now
        for name in self._health:
            self.loop.queue.add(("", name))

    def _mark_pods(self, node: str) -> None:
        """A node's pods are not ready when it is not; their endpoints leave with that."""
        now = format_time(self._context.clock())
        for pod in self._pods.on(node):
            conditions = (pod.get("status") or {}).get("conditions") or ()
            if not pods.is_ready(pod):
                continue
            changed = [
                {**each, "status": "False", "lastTransitionTime": now} if each["type"] == "Ready" else each
                for each in conditions
            ]
            status = {**pod["status"], "conditions": changed}
            made = {**pod, "metadata": dict(pod["metadata"]), "status": status}
            self._registry.update("pods", *name_of(pod), made, subresource="status")
            if not is_deleting(pod):
                self._recorder.record(pod, "Warning", "NodeNotReady", "Node is not ready")

    # --- What is heard

    def _wait(self) -> None:
        profile = self._context.profile
        if math.isfinite(profile.node_monitor_grace_s):
            self._due_at = self._context.clock() + profile.node_monitor_s
            self._timer = self._context.call_later(profile.node_monitor_s, self._look)

    def _look(self) -> None:
        now = self._context.clock()
        # Who was late himself could not hear anybody meanwhile.
        late_s = max(0.0, now - self._due_at)
        grace_s = self._context.profile.node_monitor_grace_s
        for name, health in self._health.items():
            health.heard_at += late_s
            if health.heard_at + grace_s <= now:
                self.loop.queue.add(("", name))
        self._wait()

    def _on_lease(self, old: Object | None, new: Object | None) -> None:
        if new is None or new["metadata"].get("namespace") != _LEASE_NAMESPACE:
            return
        health = self._health.get(new["metadata"]["name"])
        if health is not None and (old is None or _renewed_at(old) != _renewed_at(new)):
            health.heard_at = self._context.clock()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        node = new if new is not None else old
        if node is None:
            return
        name = node["metadata"]["name"]
        health = self._health.get(name)
        if new is None:
            del self._health[name]
            self._gone[name] = node
        elif health is None:
            # One that is not ready has never been, as far as is known.
            is_ready = node_health.ready_of(new) == "True"
            self._health[name] = _Health(self._context.clock(), is_ready)
        elif _heartbeat_of(old) != _heartbeat_of(new):
            health.heard_at = self._context.clock()
        self.loop.queue.add(("", name))

    def _forget(self, name: str, now: float) -> None:
        node = self._gone.pop(name, None)
        if node is not None:
            self._judge_all(now)
            self._tell(node, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")

    def _tell(self, node: Object, reason: str, message: str) -> None:
        self._recorder.record(node, "Normal", reason, message)


def _zone_of(node: Object) -> str:
    labels = labels_of(node)
    return f"{labels.get(_REGION, '')}/{labels.get(_ZONE, '')}"


def _renewed_at(lease: Object) -> object:
    return (lease.get("spec") or {}).get("renewTime")


def _heartbeat_of(node: Object | None) -> object:
    conditions = ((node or {}).get("status") or {}).get("conditions") or ()
    return next((each.get("lastHeartbeatTime") for each in conditions if each["type"] == "Ready"), None)
