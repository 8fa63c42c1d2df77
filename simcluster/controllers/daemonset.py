"""The DaemonSet controller: one pod on each node that is eligible.

The rule it keeps: which nodes are is decided in `eligibility`, what is done on them in `daemons`, by which template in
`history`; the scheduler binds the pods, each of which fits its node alone. Source: pkg/controller/daemon.
"""

from __future__ import annotations

from collections.abc import Sequence

from simcluster.controllers import daemons, eligibility, pods
from simcluster.controllers.daemons import NodeView
from simcluster.controllers.history import POD_REVISION, History
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    annotations_of,
    is_deleting,
    labels_of,
    name_of,
    uid_of,
    with_status,
)
from simcluster.controllers.owned import OwnedPods
from simcluster.controllers.pod_control import BURST, PodControl, pod_for
from simcluster.errors import AlreadyExists, StatusError
from simcluster.registry.workloads import TEMPLATE_GENERATION
from simcluster.store import Object

DAEMON_SETS = "daemonsets.apps"


class DaemonSets:
    """Brings each DaemonSet's pods, revisions and status to what its spec and the nodes ask for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._sets = context.informers.of(DAEMON_SETS)
        self._nodes = context.informers.of("nodes")
        self._recorder = context.recorder("daemonset-controller")
        self._control = PodControl(context.registry, self._recorder)
        self._history = History(context)
        # DaemonSet's uid and node -> when the last failed pod went, and the wait that holds from then.
        self._failures: dict[tuple[str, str], tuple[float, float]] = {}
        self.loop = ControlLoop("daemonset", context, self.sync)
        self._owned = OwnedPods(context, self._sets, "DaemonSet", self._enqueue)
        self._nodes.handle(self._on_node)

    def sync(self, key: Name) -> None:
        """Take one DaemonSet one step further."""
        daemon_set = self._sets.get(key)
        if daemon_set is None or is_deleting(daemon_set):
            return
        revisions = self._history.of(daemon_set)
        try:
            newest, revisions = self._history.ensure_newest(daemon_set, revisions)
        except AlreadyExists:
            self._count_collision(daemon_set)
            raise
        self._owned.claim(daemon_set)
        nodes = self._look(daemon_set)
        wish = daemons.wish_for(
            daemon_set["spec"].get("updateStrategy") or {},
            labels_of(newest)[POD_REVISION],
            desired=sum(node.should_run for node in nodes),
            min_ready_s=daemon_set["spec"].get("minReadySeconds", 0),
        )
        try:
            self._advance(daemon_set, wish, nodes)
            self._truncate(daemon_set, revisions, wish.hash)
        finally:
            # As far as it went, the status tells it.
            self._write_status(daemon_set, wish, self._look(daemon_set))
        self._wait_for_availability(daemon_set, wish)

    def _truncate(self, daemon_set: Object, revisions: Sequence[Object], mark: str) -> None:
        marks = {labels_of(pod).get(POD_REVISION, "") for pod in self._owned.of(daemon_set)} | {mark}
        live = {name_of(each)[1] for each in revisions if labels_of(each).get(POD_REVISION) in marks}
        # Unlike StatefulSets, old revisions that still have pods count towards the limit.
        old = len(live) - 1
        self._history.truncate(revisions, live, daemon_set["spec"].get("revisionHistoryLimit", 10) - old)

    # --- What leads to a sync

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _eligible_by(old) == _eligible_by(new):
            return
        for daemon_set in self._sets.list():
            self._enqueue(name_of(daemon_set))

    def _enqueue(self, key: Name, count: int = 0) -> None:
        delay_s = max(self._context.profile.workload_sync_s, self._context.batch_s(count))
        self.loop.queue.add_after(key, delay_s)

    # --- Pods

    def _look(self, daemon_set: Object) -> list[NodeView]:
        """The nodes, and those that are gone but have pods meant for them."""
        on: dict[str, list[Object]] = {}
        for pod in self._owned.of(daemon_set):
            name = eligibility.node_of(pod)
            if name is not None and not (pods.is_terminal(pod) and is_deleting(pod)):
                on.setdefault(name, []).append(pod)
        views = []
        for node in sorted(self._nodes.list(), key=name_of):
            should_run, may_stay = eligibility.judge(daemon_set, node)
            name = name_of(node)[1]
            views.append(NodeView(name, should_run, may_stay, tuple(on.pop(name, ()))))
        # Pods that have reached a node go with it; those that have not would wait for ever.
        left = [[pod for pod in each if not pods.node_of(pod)] for each in on.values()]
        waiting = tuple(pod for each in left for pod in each)
        return [*views, NodeView("", should_run=False, may_stay=False, pods=waiting)] if waiting else views

    def _advance(self, daemon_set: Object, wish: daemons.Wish, nodes: Sequence[NodeView]) -> None:
        now = self._context.clock()
        steps = daemons.manage(wish, nodes, lambda node: self._is_backing_off(daemon_set, node, now), now)
        for pod, node in steps.failed:
            self._back_off(daemon_set, node, now)
            about = f"Found failed daemon pod {'/'.join(name_of(pod))} on node {node}, will try to kill it"
            self._recorder.record(daemon_set, "Warning", "FailedDaemonPod", about)
        for pod, node in steps.ended:
            about = (
                f"Found succeeded daemon pod {'/'.join(name_of(pod))} on node {node}, will try to delete it"
            )
            self._recorder.record(daemon_set, "Normal", "SucceededDaemonPod", about)
        is_rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
        if not steps.create and not steps.delete and is_rolling:
            steps = daemons.roll(wish, nodes, now)
        self._act(daemon_set, wish, steps)

    def _act(self, daemon_set: Object, wish: daemons.Wish, steps: daemons.Steps) -> None:
        wanted = [pod_on(daemon_set, node, wish.hash) for node in steps.create[:BURST]]
        errors: list[StatusError | None] = [
            self._control.create(daemon_set, wanted),
            self._control.delete(daemon_set, steps.delete[:BURST]),
        ]
        for error in errors:
            if error is not None:
                raise error

    def _is_backing_off(self, daemon_set: Object, node: str, now: float) -> bool:
        at, wait_s = self._failures.get((uid_of(daemon_set), node), (0.0, 0.0))
        left_s = at + wait_s - now
        if left_s > 0:
            self.loop.queue.add_after(name_of(daemon_set), left_s)
        return left_s > 0

    def _back_off(self, daemon_set: Object, node: str, now: float) -> None:
        profile, key = self._context.profile, (uid_of(daemon_set), node)
        at, wait_s = self._failures.get(key, (0.0, 0.0))
        # As client-go's Backoff: after twice the longest wait it begins anew.
        is_old = wait_s == 0 or now - at > 2 * profile.daemon_backoff_max_s
        longer_s = min(2 * wait_s, profile.daemon_backoff_max_s)
        self._failures[key] = (now, profile.daemon_backoff_s if is_old else longer_s)

    # --- Status

    def _count_collision(self, daemon_set: Object) -> None:
        """Another template has this hash: the next try hashes a higher count with it."""
        status = daemon_set.get("status") or {}
        counted = {**status, "collisionCount": (status.get("collisionCount") or 0) + 1}
        self._put_status(daemon_set, counted)

    def _write_status(self, daemon_set: Object, wish: daemons.Wish, nodes: Sequence[NodeView]) -> None:
        before = daemon_set.get("status") or {}
        counts = daemons.count(wish, nodes, self._context.clock())
        kept = {key: before[key] for key in ("collisionCount", "conditions") if key in before}
        optional = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable")
        shown = {key: value for key, value in counts.items() if value or key not in optional}
        status = kept | shown | {"observedGeneration": daemon_set["metadata"].get("generation", 0)}
        if status == before:
            return
        self._put_status(daemon_set, status)

    def _put_status(self, daemon_set: Object, status: Object) -> None:
        written = with_status(daemon_set, status)
        self._registry.update(DAEMON_SETS, *name_of(daemon_set), written, subresource="status")

    def _wait_for_availability(self, daemon_set: Object, wish: daemons.Wish) -> None:
        now = self._context.clock()
        waits = (pods.available_in(pod, wish.min_ready_s, now) for pod in self._owned.of(daemon_set))
        soonest = min((wait for wait in waits if wait is not None), default=None)
        if soonest is not None:
            self.loop.queue.add_after(name_of(daemon_set), soonest)


def _eligible_by(node: Object) -> tuple[object, object]:
    """What of a node a DaemonSet asks for."""
    return labels_of(node), node["spec"].get("taints") or []


def pod_on(daemon_set: Object, node: str, mark: str) -> Object:
    """The pod for a node, by the newest template, whose hash is `mark`."""
    pod = pod_for(daemon_set, daemon_set["spec"]["template"])
    pod["spec"] = eligibility.bind_to(pod["spec"], node)
    labels = labels_of(pod) | {POD_REVISION: mark}
    generation = annotations_of(daemon_set).get(TEMPLATE_GENERATION)
    pod["metadata"]["labels"] = labels | ({"pod-template-generation": generation} if generation else {})
    return pod
