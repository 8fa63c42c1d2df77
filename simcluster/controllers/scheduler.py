"""The scheduler: binds each pending pod to a node.

The rule it keeps: it writes `spec.nodeName` through the registry's binding, a pod's PodScheduled condition and its
nominated node, and deletes the pods that have to make room; what it decides is `scheduling`'s part. A pod that fits
nowhere says so in its condition and an event, and is looked at again when something happened that may help it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from simcluster.controllers import pods
from simcluster.controllers.claim_users import ClaimUsers, claims_of
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, labels_of, matches_selector, name_of, uid_of
from simcluster.controllers.nominations import Nominations
from simcluster.controllers.ownership import controller_of
from simcluster.controllers.scheduling.accounts import Accounts, Held, NodeAccount
from simcluster.controllers.scheduling.asks import Ask, AskReader, Requirements
from simcluster.controllers.scheduling.choice import NO_NODES, Choice, Chooser
from simcluster.controllers.scheduling.preemption import Preemption, find_victims
from simcluster.controllers.scheduling_queue import SchedulingQueue
from simcluster.controllers.scheduling_status import nominate, nominated_of, refuse, show_disruption
from simcluster.errors import StatusError
from simcluster.selectors import Requirement, from_label_selector
from simcluster.store import Object

if TYPE_CHECKING:
    from simcluster.controllers.scheduling.volumes import VolumeAsk
    from simcluster.controllers.volume_scheduling import VolumeScheduling

_log = logging.getLogger(__name__)
_NAME = "default-scheduler"
# The key that stands for "somebody waits".
_NEXT: Name = ("", "")
# The kinds of owners whose pods belong together.
_OWNERS = {
    "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}


class Scheduler:
    """Gives pods their nodes."""

    def __init__(self, context: Context, users: ClaimUsers) -> None:
        self._context = context
        self._registry = context.registry.acting_as("kube-scheduler")
        self._users = users
        self._volumes: VolumeScheduling | None = None
        self._pods = context.informers.of("pods")
        self._recorder = context.recorder(_NAME)
        self._reader = AskReader()
        self._accounts = Accounts()
        self._chooser = Chooser(self._accounts)
        self._nominations = Nominations(self._accounts)
        profile = context.profile
        self._waiting = SchedulingQueue(
            profile.schedule_backoff_s, profile.schedule_backoff_max_s, profile.unschedulable_flush_s
        )
        self.loop = ControlLoop("scheduler", context, self.sync)
        context.informers.of("namespaces").handle(self._on_namespace)
        context.informers.of("nodes").handle(self._on_node)
        self._pods.handle(self._on_pod)
        context.informers.of("persistentvolumeclaims").handle(self._on_claim)
        context.informers.of("persistentvolumes").handle(self._on_volume)

    def sync(self, key: Name) -> None:
        """Schedule the pod whose turn it is; a pod's own key says that it waits from now on."""
        now = self._context.clock()
        if key != _NEXT:
            self._wait(key)
        flush_at = self._waiting.flush(now)
        name = self._waiting.take(now)
        if name is not None:
            self._schedule(name, now)
            self.loop.queue.add(_NEXT)
        elif flush_at is not None:
            self.loop.queue.add_after(_NEXT, flush_at - now)

    def _schedule(self, name: Name, now: float) -> None:
        pod = self._pods.get(name)
        if pod is None or not _is_waiting(pod):
            self._waiting.drop(name)
            return
        try:
            self._place(pod, self._reader.read(pod))
        except StatusError as error:
            _log.debug("pod %s/%s: %s", *name, error.message)
            self._waiting.fail(name, now)
            self._waiting.retry(name, now)

    def _place(self, pod: Object, ask: Ask) -> None:
        """Bind one pod, or say why it cannot be."""
        volumes = self._read_volumes(pod)
        if isinstance(volumes, str):
            self._refuse_claims(pod, volumes)
            return
        with self._nominations.without(uid_of(pod), ask.priority):
            check = None if volumes is None else volumes.refuse
            choice = self._chooser.choose(ask, self._context.rng, self._select_alike(pod), check)
            if choice.node is None:
                self._refuse(pod, ask, choice)
                return
        if volumes is not None and volumes.waiting:
            self._wait_for_volumes(pod, ask, volumes, choice.node)
            return
        namespace, name = name_of(pod)
        self._registry.bind(namespace, name, choice.node)
        message = f"Successfully assigned {namespace}/{name} to {choice.node}"
        self._recorder.record(pod, "Normal", "Scheduled", message)

    def _select_alike(self, pod: Object) -> Requirements:
        """What selects the pods that belong with this one: its Services' selectors and its owner's."""
        namespace, labels = pod["metadata"]["namespace"], labels_of(pod)
        wanted: dict[str, str] = {}
        for service in self._context.informers.of("services").list(namespace):
            selector = service["spec"].get("selector")
            if selector and all(labels.get(key) == value for key, value in selector.items()):
                wanted |= selector
        found = tuple(Requirement(key, "in", frozenset({wanted[key]})) for key in sorted(wanted))
        owner = controller_of(pod)
        if owner is None or owner["kind"] not in _OWNERS:
            return found
        owned_by = self._context.informers.of(_OWNERS[owner["kind"]]).get((namespace, owner["name"]))
        if owned_by is None or not owned_by["spec"].get("selector"):
            return found
        selector = owned_by["spec"]["selector"]
        if owner["kind"] == "ReplicationController":
            selector = {"matchLabels": selector}
        return found + from_label_selector(selector)

    # --- Volumes

    def _read_volumes(self, pod: Object) -> VolumeAsk | str | None:
        """What the pod's claims ask for, or why they keep it waiting; None if it has none."""
        if not pod["spec"].get("volumes") or next(claims_of(pod), None) is None:
            return None
        return self._load_volumes().read(pod)

    def _load_volumes(self) -> VolumeScheduling:
        if self._volumes is None:
            # Most clusters never see a claim.
            from simcluster.controllers.volume_scheduling import VolumeScheduling

            self._volumes = VolumeScheduling(self._registry, self._context.informers, self._users)
        return self._volumes

    def _wait_for_volumes(self, pod: Object, ask: Ask, volumes: VolumeAsk, node: str) -> None:
        """Keep the pod's place on its node until its claims are bound; a change of them has it looked at again."""
        self._nominations.put(Held(uid_of(pod), name_of(pod), ask), node)
        self._waiting.park(name_of(pod), self._context.clock())
        nominate(self._registry, pod, node)
        self._load_volumes().prepare(volumes, self._accounts.node(node))

    def _refuse_claims(self, pod: Object, why: str) -> None:
        """Say what is the matter with a pod's claims, which no node can help."""
        number = len(self._accounts.nodes)
        message = f"0/{number} nodes are available: {why}. not found" if number else NO_NODES
        now = self._context.clock()
        self._waiting.fail(name_of(pod), now)
        self._recorder.record(pod, "Warning", "FailedScheduling", message)
        refuse(self._registry, pod, message, self._nominations.node_of(uid_of(pod)), now)

    def _on_claim(self, old: Object | None, new: Object | None) -> None:
        claim = new if new is not None else old
        if claim is not None:
            self._retry(name_of(pod) for pod in self._users.of(name_of(claim)))

    def _on_volume(self, old: Object | None, new: Object | None) -> None:
        before, after = ((each or {}).get("status", {}).get("phase") for each in (old, new))
        if new is not None and after == "Available" and before != "Available":
            self._retry(self._users.every())

    def _retry(self, names: Iterable[Name]) -> None:
        for name in names:
            self._waiting.retry(name, self._context.clock())
            self.loop.queue.add(_NEXT)

    # --- A pod that fits nowhere

    def _refuse(self, pod: Object, ask: Ask, choice: Choice) -> None:
        message, nominated = choice.explain(), None
        if choice.refusals:
            found = find_victims(
                ask,
                self._accounts,
                choice.refusals,
                nominated=nominated_of(pod),
                is_protected=self._is_protected,
            )
            nominated = found.node if found.node is not None else self._nominations.node_of(uid_of(pod))
            if found.node is None:
                message += f" no new claims to deallocate, preemption: {found.message}"
        self._waiting.fail(name_of(pod), self._context.clock())
        self._recorder.record(pod, "Warning", "FailedScheduling", message)
        refuse(self._registry, pod, message, nominated, self._context.clock())
        if choice.refusals and found.node is not None:
            self._make_room(pod, ask, found.node, found)

    def _make_room(self, pod: Object, ask: Ask, node: str, preemption: Preemption) -> None:
        self._nominations.put(Held(uid_of(pod), name_of(pod), ask), node)
        for held in preemption.victims:
            victim = self._pods.get(held.name)
            if victim is None or uid_of(victim) != held.uid:
                continue
            message = f"{_NAME}: preempting to accommodate a higher priority pod"
            show_disruption(self._registry, victim, self._context.clock(), "PreemptionByScheduler", message)
            self._registry.delete("pods", *held.name, uid=held.uid)
            message = f"Preempted by pod {uid_of(pod)} on node {node}"
            self._recorder.record(victim, "Normal", "Preempted", message)

    def _is_protected(self, held: Held) -> bool:
        return any(
            (budget.get("status") or {}).get("disruptionsAllowed", 0) <= 0
            and matches_selector(budget["spec"].get("selector"), held.ask.group.labels)
            for budget in self._context.informers.of("poddisruptionbudgets.policy").list(held.name[0])
        )

    # --- What leads to a sync

    def _wait(self, name: Name) -> None:
        pod = self._pods.get(name)
        if pod is not None and _is_waiting(pod):
            self._waiting.add(name, pod["spec"].get("priority") or 0)

    def _on_namespace(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._accounts.namespaces[new["metadata"]["name"]] = labels_of(new)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None or (old is not None and new is not None and _is_same(old, new)):
            return
        name, waits = name_of(pod), new is not None and _is_waiting(new)
        if waits and (old is None or not _is_waiting(old)):
            self._come(name)
        elif waits:
            self._waiting.retry(name, self._context.clock())
            self.loop.queue.add(_NEXT)
        else:
            self._waiting.drop(name)
            self._nominations.drop(uid_of(pod))
        self._count(pod, is_there=new is not None)

    def _come(self, name: Name) -> None:
        delay_s = self._context.profile.schedule_s
        if delay_s > 0:
            self.loop.queue.add_after(name, delay_s)
        else:
            self._wait(name)
            self.loop.queue.add(_NEXT)

    def _count(self, pod: Object, *, is_there: bool) -> None:
        """Have a pod counted on its node, or no more; and look again at those that this may help."""
        uid, before = uid_of(pod), self._accounts.place_of(uid_of(pod))
        if is_there and pods.node_of(pod) and not pods.is_terminal(pod):
            created = pod["metadata"].get("creationTimestamp", "")
            held = Held(uid, name_of(pod), self._reader.read(pod), is_deleting(pod), created)
            self._accounts.add_pod(pods.node_of(pod), held)
            self._look_again(lambda ask: bool(ask.near or ask.spreads))
        elif before is not None:
            self._accounts.remove_pod(uid)
            self._look_again(
                lambda ask: _minds_others(ask, self._accounts) or self._chooser.may_fit(ask, before)
            )

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _offer(old) == _offer(new):
            return
        node = new if new is not None else old
        if node is None:
            return
        name = node["metadata"]["name"]
        self._accounts.put_node(name, new)
        account: NodeAccount = self._accounts.node(name)
        self._look_again(lambda ask: bool(ask.spreads) or self._chooser.may_fit(ask, account))

    def _look_again(self, may_help: Callable[[Ask], bool]) -> None:
        """Retry the stuck pods that something may have helped; those that ask the same are judged once."""
        stuck = self._waiting.stuck()
        if not stuck:
            return
        verdicts: dict[bytes, bool] = {}
        now = self._context.clock()
        for name in stuck:
            pod = self._pods.get(name)
            if pod is None:
                continue
            ask = self._reader.read(pod)
            if ask.key not in verdicts:
                verdicts[ask.key] = may_help(ask)
            # To others, the room that it was promised is taken.
            if verdicts[ask.key] or self._nominations.node_of(uid_of(pod)) is not None:
                self._waiting.retry(name, now)
        self.loop.queue.add(_NEXT)


def _is_waiting(pod: Object) -> bool:
    """Whether a pod is to be bound by this scheduler."""
    spec = pod["spec"]
    is_mine = (spec.get("schedulerName") or _NAME) == _NAME and not spec.get("schedulingGates")
    return is_mine and not pods.node_of(pod) and not is_deleting(pod) and not pods.is_terminal(pod)


def _is_same(old: Object, new: Object) -> bool:
    """Whether a change of a pod is none to the scheduler: its status or annotations only."""
    return (
        (old["spec"] is new["spec"] or old["spec"] == new["spec"])
        and uid_of(old) == uid_of(new)
        and labels_of(old) == labels_of(new)
        and is_deleting(old) == is_deleting(new)
        and pods.is_terminal(old) == pods.is_terminal(new)
    )


def _minds_others(ask: Ask, accounts: Accounts) -> bool:
    """Whether it matters to a pod what is on nodes that it does not go to."""
    return bool(ask.spreads or ask.apart or ask.near or accounts.affine)


def _offer(node: Object) -> object:
    """What of a node decides whether it takes a pod; its heartbeats do not."""
    status, spec = node.get("status") or {}, node["spec"]
    return (
        status.get("allocatable"),
        spec.get("unschedulable"),
        spec.get("taints"),
        labels_of(node),
        status.get("images"),
    )
