"""The ReplicaSet controller: as many active pods as are asked for. ReplicationControllers are of its kind.

The rule it keeps: a pod that is being deleted is replaced at once, not when it has ended; victims are chosen in
`victims`, pods are written by `pod_control`. Source:
pkg/controller/replicaset/replica_set.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.controllers import ownership, pods, victims
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    is_deleting,
    labels_of,
    matches_labels,
    name_of,
    uid_of,
    with_status,
)
from simcluster.controllers.owned import OwnedPods
from simcluster.controllers.pod_control import BURST, PodControl, pod_for
from simcluster.errors import StatusError
from simcluster.registry import format_time
from simcluster.store import Object

REPLICA_SETS = "replicasets.apps"
CONTROLLERS = "replicationcontrollers"
_NAMES = {
    REPLICA_SETS: ("replicaset-controller", "ReplicaSet"),
    CONTROLLERS: ("replication-controller", "ReplicationController"),
}
_FAILURE = "ReplicaFailure"


class ReplicaSets:
    """Brings each ReplicaSet's pods and status to what its spec asks for; or each ReplicationController's."""

    def __init__(self, context: Context, resource: str = REPLICA_SETS) -> None:
        self._context = context
        self._registry = context.registry
        self._resource = resource
        self._sets = context.informers.of(resource)
        self._pods = context.informers.of("pods")
        component, kind = _NAMES[resource]
        self._control = PodControl(context.registry, context.recorder(component))
        self._facts: dict[Name, tuple[Mapping[str, str], dict[str, PodFacts]]] = {}
        self.loop = ControlLoop(component, context, self.sync)
        self._owned = OwnedPods(context, self._sets, kind, self._enqueue, concerns=_concerns)

    def sync(self, key: Name) -> None:
        """Create or delete what one ReplicaSet lacks or has too many of, and write its status."""
        replica_set = self._sets.get(key)
        if replica_set is None:
            self._facts.pop(key, None)
            return
        active = [pod for pod in self._owned.claim(replica_set) if pods.is_active(pod)]
        error: StatusError | None = None
        if not is_deleting(replica_set):
            error = self._manage(replica_set, active)
        now = self._context.clock()
        facts = self._look(replica_set)
        # What could not be managed is told by the difference that was there before.
        status = status_for(replica_set, facts, now, error=error, lacking=_lacking(replica_set, active))
        self._write_status(replica_set, status)
        if error is not None:
            raise error
        self._wait_for_availability(replica_set, facts, now)

    # --- What leads to a sync

    def _enqueue(self, name: Name, count: int = 0) -> None:
        delay_s = max(self._context.profile.workload_sync_s, self._context.batch_s(count))
        self.loop.queue.add_after(name, delay_s)

    # --- Pods

    def _manage(self, replica_set: Object, active: Sequence[Object]) -> StatusError | None:
        lacking = _lacking(replica_set, active)
        if lacking > 0:
            wanted = [pod_for(replica_set, replica_set["spec"]["template"])] * min(lacking, BURST)
            return self._control.create(replica_set, wanted)
        if lacking < 0:
            related = self._related(replica_set)
            chosen = victims.choose(active, related, min(-lacking, BURST), self._context.clock())
            return self._control.delete(replica_set, chosen)
        return None

    def _related(self, replica_set: Object) -> list[Object]:
        """The pods of all ReplicaSets with the same controller: during a rollout they share the nodes."""
        controller = ownership.controller_of(replica_set)
        family = [replica_set] if controller is None else self._sets.owned(controller["uid"])
        return [pod for each in family for pod in self._pods.owned(uid_of(each))]

    # --- Status

    def _look(self, replica_set: Object) -> list[PodFacts]:
        """Return what counts of each pod; only of those that changed it is worked out again."""
        template = (replica_set["spec"]["template"].get("metadata") or {}).get("labels") or {}
        labels, known = self._facts.get(name_of(replica_set), (template, {}))
        if labels != template:
            known = {}
        facts = {}
        for pod in self._pods.owned(uid_of(replica_set)):
            before = known.get(uid_of(pod))
            is_known = before is not None and before.pod is pod
            facts[uid_of(pod)] = before if before is not None and is_known else facts_of(pod, template)
        self._facts[name_of(replica_set)] = (template, facts)
        return list(facts.values())

    def _write_status(self, replica_set: Object, status: Object) -> None:
        if status == (replica_set.get("status") or {}):
            return
        written = with_status(replica_set, status)
        self._registry.update(self._resource, *name_of(replica_set), written, subresource="status")

    def _wait_for_availability(self, replica_set: Object, facts: Sequence[PodFacts], now: float) -> None:
        min_ready_s = replica_set["spec"].get("minReadySeconds", 0)
        if min_ready_s == 0:
            return
        waits = (pods.available_in(each.pod, min_ready_s, now) for each in facts if each.is_active)
        soonest = min((wait for wait in waits if wait is not None), default=None)
        if soonest is not None:
            self.loop.queue.add_after(name_of(replica_set), soonest)


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What counts of one state of one pod."""

    pod: Object
    is_active: bool
    is_terminating: bool
    is_ready: bool
    is_labelled: bool


def facts_of(pod: Object, template: Mapping[str, str]) -> PodFacts:
    """Return what counts of a pod; `template` are the labels that a complete replica has."""
    return PodFacts(
        pod,
        is_active=pods.is_active(pod),
        is_terminating=pods.is_terminating(pod),
        is_ready=pods.is_ready(pod),
        is_labelled=matches_labels(template, labels_of(pod)),
    )


def _concerns(_replica_set: Object, pod: Object) -> bool:
    return pods.is_active(pod)


def _lacking(replica_set: Object, active: Sequence[Object]) -> int:
    replicas: int = replica_set["spec"].get("replicas", 1)
    return replicas - len(active)


def status_for(
    replica_set: Object, facts: Sequence[PodFacts], now: float, *, error: StatusError | None, lacking: int
) -> Object:
    """Return the status by the pods that there are; `lacking` is how many were missing when `error` came."""
    min_ready_s = replica_set["spec"].get("minReadySeconds", 0)
    active = [each for each in facts if each.is_active]
    ready = [each.pod for each in active if each.is_ready]
    available = len(ready)
    if min_ready_s > 0:
        available = sum(pods.is_available(pod, min_ready_s, now) for pod in ready)
    counts = {
        "fullyLabeledReplicas": sum(each.is_labelled for each in active),
        "readyReplicas": len(ready),
        "availableReplicas": available,
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    status: dict[str, Any] = {key: value for key, value in counts.items() if value}
    status["replicas"] = len(active)
    if replica_set["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = sum(each.is_terminating for each in facts)
    conditions = _conditions(replica_set, now, error, lacking)
    return status | ({"conditions": conditions} if conditions else {})


def _conditions(
    replica_set: Object, now: float, error: StatusError | None, lacking: int
) -> list[dict[str, Any]]:
    before = (replica_set.get("status") or {}).get("conditions") or []
    others = [each for each in before if each["type"] != _FAILURE]
    if error is None:
        return others
    if len(others) < len(before):
        return list(before)
    failure = {
        "type": _FAILURE,
        "status": "True",
        "reason": "FailedCreate" if lacking > 0 else "FailedDelete",
        "message": error.message,
        "lastTransitionTime": format_time(now),
    }
    return [*others, failure]
