"""The scheduler: binds each pending pod to a node.

The rule it keeps: it writes `spec.nodeName` through the registry's binding and nothing else of the pod's spec;
which node is decided in `scheduling`. A pod that fits nowhere says so in its condition and an event, and is
looked at again when a node or another pod changes.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

from simcluster.controllers import pods, scheduling
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of
from simcluster.registry import format_time
from simcluster.store import Object

_NAME = "default-scheduler"


class Scheduler:
    """Gives pods their nodes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry.acting_as("kube-scheduler")
        self._pods = context.informers.of("pods")
        self._nodes = context.informers.of("nodes")
        self._load: Counter[str] = Counter()
        self._unschedulable: set[Name] = set()
        self._recorder = context.recorder(_NAME)
        self.loop = ControlLoop("scheduler", context, self.sync)
        self._pods.handle(self._on_pod)
        self._nodes.handle(self._on_node)

    def sync(self, key: Name) -> None:
        """Bind one pod, or say why it cannot be."""
        pod = self._pods.get(key)
        self._unschedulable.discard(key)
        if pod is None or not _is_waiting(pod):
            return
        choice = scheduling.choose(pod, list(self._nodes.list()), self._load, self._context.rng)
        if choice.node is None:
            self._refuse(pod, choice.message)
            return
        self._registry.bind(*key, choice.node)
        self._recorder.record(pod, "Normal", "Scheduled", choice.message)

    def _refuse(self, pod: Object, message: str) -> None:
        self._unschedulable.add(name_of(pod))
        before = pods.condition_of(pod, "PodScheduled") or {}
        if before.get("status") == "False" and before.get("message") == message:
            return
        self._recorder.record(pod, "Warning", "FailedScheduling", message)
        changed = format_time(self._context.clock())
        if before.get("status") == "False":
            changed = before["lastTransitionTime"]
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": changed,
            "observedGeneration": pod["metadata"].get("generation", 1),
        }
        copy = deepcopy(pod)
        status = copy.setdefault("status", {})
        others = [each for each in status.get("conditions") or () if each["type"] != "PodScheduled"]
        status["conditions"] = [*others, condition]
        self._registry.update("pods", *name_of(pod), copy, subresource="status")

    # --- What leads to a sync

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        self._count(old, -1)
        self._count(new, 1)
        if new is not None and _is_waiting(new) and (old is None or not _is_waiting(old)):
            self.loop.queue.add_after(name_of(new), self._context.profile.schedule_s)
        if new is None:
            self._look_again()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _offer(old) != _offer(new):
            self._look_again()

    def _look_again(self) -> None:
        for name in self._unschedulable:
            self.loop.queue.add_after(name, self._context.profile.schedule_s)

    def _count(self, pod: Object | None, number: int) -> None:
        if pod is not None and pods.node_of(pod) and not pods.is_terminal(pod):
            self._load[pods.node_of(pod)] += number


def _is_waiting(pod: Object) -> bool:
    """Whether a pod is to be bound by this scheduler."""
    is_mine = (pod["spec"].get("schedulerName") or _NAME) == _NAME
    return is_mine and not pods.node_of(pod) and not is_deleting(pod) and not pods.is_terminal(pod)


def _offer(node: Object) -> object:
    """What of a node decides whether it takes a pod; its heartbeats do not."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    labels = node["metadata"].get("labels")
    return is_ready, node["spec"].get("unschedulable"), node["spec"].get("taints"), labels
