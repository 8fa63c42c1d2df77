"""The ReplicaSet controller: as many active pods as are asked for.

The rule it keeps: a pod that is being deleted is replaced at once, not when it has ended; creation starts slowly,
so that what cannot be created is not tried 500 times; victims are chosen in `victims`. Source:
pkg/controller/replicaset/replica_set.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from simcluster.controllers import ownership, pods, victims
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    is_deleting,
    labels_of,
    matches_labels,
    matches_selector,
    name_of,
    uid_of,
)
from simcluster.errors import NotFound, StatusError
from simcluster.registry import format_time
from simcluster.store import Object

REPLICA_SETS = "replicasets.apps"
_BURST = 500
_FAILURE = "ReplicaFailure"


class ReplicaSets:
    """Brings each ReplicaSet's pods and status to what its spec asks for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._sets = context.informers.of(REPLICA_SETS)
        self._pods = context.informers.of("pods")
        self._recorder = context.recorder("replicaset-controller")
        # ReplicaSets whose pods must be looked through by selector: their own writes never make that needed.
        self._unclaimed: set[Name] = set()
        self._facts: dict[Name, tuple[Mapping[str, str], dict[str, PodFacts]]] = {}
        self.loop = ControlLoop("replicaset", context, self.sync)
        self._sets.handle(self._on_set)
        self._pods.handle(self._on_pod)

    def sync(self, key: Name) -> None:
        """Create or delete what one ReplicaSet lacks or has too many of, and write its status."""
        replica_set = self._sets.get(key)
        if replica_set is None:
            self._unclaimed.discard(key)
            self._facts.pop(key, None)
            return
        active = self._claim(replica_set)
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

    def _on_set(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is None:
            return
        if old is None:
            self._unclaimed.add(name_of(changed))
        self._enqueue(name_of(changed))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            controller = None if pod is None else ownership.controller_of(pod)
            if pod is not None and controller is not None and controller["kind"] == "ReplicaSet":
                name = (name_of(pod)[0], controller["name"])
                if old is None or new is None or labels_of(old) != labels_of(new):
                    self._unclaimed.add(name)
                self._enqueue(name)
        if new is not None and ownership.controller_of(new) is None:
            for replica_set in self._sets.list(name_of(new)[0]):
                if matches_selector(replica_set["spec"]["selector"], labels_of(new)):
                    self._unclaimed.add(name_of(replica_set))
                    self._enqueue(name_of(replica_set))

    def _enqueue(self, name: Name) -> None:
        self.loop.queue.add_after(name, self._context.profile.workload_sync_s)

    # --- Pods

    def _claim(self, replica_set: Object) -> list[Object]:
        """Return the active pods; adopt and release where anything happened that may ask for it."""
        namespace = name_of(replica_set)[0]
        if name_of(replica_set) not in self._unclaimed:
            return [pod for pod in self._pods.owned(uid_of(replica_set)) if pods.is_active(pod)]
        candidates = [*self._pods.owned(uid_of(replica_set)), *self._pods.orphans(namespace)]
        claimed = ownership.claim(replica_set, filter(pods.is_active, candidates))
        for pod in claimed.release:
            self._registry.update("pods", *name_of(pod), ownership.released(replica_set, pod))
        adopted = [
            self._registry.update("pods", *name_of(pod), ownership.adopted(replica_set, pod))
            for pod in claimed.adopt
        ]
        self._unclaimed.discard(name_of(replica_set))
        return [*claimed.kept, *adopted]

    def _manage(self, replica_set: Object, active: Sequence[Object]) -> StatusError | None:
        lacking = _lacking(replica_set, active)
        if lacking > 0:
            return self._create(replica_set, min(lacking, _BURST))
        if lacking < 0:
            related = self._related(replica_set)
            chosen = victims.choose(active, related, min(-lacking, _BURST), self._context.clock())
            return self._delete(replica_set, chosen)
        return None

    def _create(self, replica_set: Object, count: int) -> StatusError | None:
        """Create in batches of 1, 2, 4 and so on; the first batch with a failure is the last."""
        template = pod_for(replica_set)
        batch, left = 1, count
        while left > 0:
            error: StatusError | None = None
            for _ in range(min(batch, left)):
                failed = self._create_one(replica_set, template)
                error = failed if error is None else error
            if error is not None:
                return error
            left -= min(batch, left)
            batch *= 2
        return None

    def _create_one(self, replica_set: Object, template: Object) -> StatusError | None:
        try:
            pod = self._registry.create("pods", name_of(replica_set)[0], deepcopy(template))
        except StatusError as error:
            if is_namespace_terminating(error):
                return None
            self._recorder.record(replica_set, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        message = f"Created pod: {pod['metadata']['name']}"
        self._recorder.record(replica_set, "Normal", "SuccessfulCreate", message)
        return None

    def _delete(self, replica_set: Object, chosen: Sequence[Object]) -> StatusError | None:
        first: StatusError | None = None
        for pod in chosen:
            try:
                self._registry.delete("pods", *name_of(pod), uid=uid_of(pod))
            except NotFound:
                continue
            except StatusError as error:
                message = f"Error deleting: {error.message}"
                self._recorder.record(replica_set, "Warning", "FailedDelete", message)
                first = error if first is None else first
            else:
                message = f"Deleted pod: {pod['metadata']['name']}"
                self._recorder.record(replica_set, "Normal", "SuccessfulDelete", message)
        return first

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
        copy = deepcopy(replica_set)
        copy["status"] = status
        self._registry.update(REPLICA_SETS, *name_of(replica_set), copy, subresource="status")

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


def is_namespace_terminating(error: StatusError) -> bool:
    """Whether something could not be created because its namespace is being deleted: no use in trying again."""
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def pod_for(replica_set: Object) -> Object:
    """A pod by the template, to be named `<replica set>-<5 characters>`."""
    template = deepcopy(replica_set["spec"]["template"])
    metadata = template.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": kept
        | {
            "generateName": f"{replica_set['metadata']['name']}-",
            "namespace": name_of(replica_set)[0],
            "ownerReferences": [ownership.reference_to(replica_set)],
        },
        "spec": template["spec"],
    }


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
