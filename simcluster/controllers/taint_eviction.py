"""The taint eviction controller: pods that do not tolerate a NoExecute taint leave its node.

The rule it keeps: a pod without a fitting toleration goes at once, one with `tolerationSeconds` when they are over,
counted from when its node was first seen tainted; a taint that goes away in time saves it. It deletes pods and no
more: what ends them is their kubelet.

Source: pkg/controller/tainteviction/taint_eviction.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from simcluster.controllers import pods
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of, uid_of
from simcluster.controllers.pods_by_node import PodsByNode
from simcluster.controllers.scheduling.taints import tolerated_for
from simcluster.controllers.scheduling_status import show_disruption
from simcluster.store import Object

_MESSAGE = "Taint manager: deleting due to NoExecute taint"


class TaintEviction:
    """Has pods leave tainted nodes; its keys are pods' names."""

    def __init__(self, context: Context, pods_by_node: PodsByNode) -> None:
        self._context = context
        self._registry = context.registry
        self._pods = context.informers.of("pods")
        self._nodes = context.informers.of("nodes")
        self._on_which = pods_by_node
        self._recorder = context.recorder("taint-eviction-controller")
        # Per uid: since when its node has been tainted.
        self._since: dict[str, float] = {}
        self.loop = ControlLoop("taint-eviction", context, self.sync)
        self._nodes.handle(self._on_node)
        pods_by_node.handle(self._on_pod)

    def sync(self, key: Name) -> None:
        """Delete one pod if its time on its node is over."""
        pod = self._pods.get(key)
        if pod is None or is_deleting(pod) or pods.is_terminal(pod):
            return
        node = self._nodes.get(("", pods.node_of(pod)))
        taints = [] if node is None else _executing(node)
        now = self._context.clock()
        tolerated_s = tolerated_for(taints, pod["spec"].get("tolerations") or ())
        if tolerated_s is None or math.isinf(tolerated_s):
            # What was to be done later is done now, or never.
            if self._since.pop(uid_of(pod), None) is not None:
                self._tell(pod, f"Cancelling deletion of Pod {'/'.join(key)}")
            if tolerated_s is not None:
                return
        else:
            left_s = self._since.setdefault(uid_of(pod), now) + tolerated_s - now
            if left_s > 0:
                self.loop.queue.add_after(key, left_s)
                return
            del self._since[uid_of(pod)]
        self._tell(pod, f"Marking for deletion Pod {'/'.join(key)}")
        show_disruption(self._registry, pod, now, "DeletionByTaintManager", _MESSAGE)
        self._registry.delete("pods", *key, uid=uid_of(pod))

    def _tell(self, pod: Object, message: str) -> None:
        self._recorder.record(pod, "Normal", "TaintManagerEviction", message)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        before, after = (_executing(each) if each is not None else [] for each in (old, new))
        if before == after or new is None:
            return
        for pod in self._on_which.on(new["metadata"]["name"]):
            self.loop.queue.add(name_of(pod))

    def _on_pod(self, node: str, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._since.pop(uid_of(old), None)
            return
        is_news = (
            old is None
            or pods.node_of(old) != node
            or old["spec"].get("tolerations") != new["spec"].get("tolerations")
        )
        if is_news and (found := self._nodes.get(("", node))) is not None and _executing(found):
            self.loop.queue.add(name_of(new))


def _executing(node: Object) -> Sequence[Object]:
    """The taints that pods have to leave for."""
    return [each for each in node["spec"].get("taints") or () if each["effect"] == "NoExecute"]
