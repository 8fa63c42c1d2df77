"""The StatefulSet controller: pods with numbers, names and claims that last.

The rule it keeps: what is done next is decided in `ordinals`, by which template in `history`, with which claims in
`claims`; here it is written. It makes claims and binds none. Source: pkg/controller/statefulset.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from simcluster.controllers import claims, ordinals, pods
from simcluster.controllers.history import POD_REVISION, History, template_in
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, labels_of, name_of, uid_of, with_status
from simcluster.controllers.ordinals import Wish, ordinal_of
from simcluster.controllers.owned import OwnedPods
from simcluster.controllers.pod_control import is_namespace_terminating, pod_for
from simcluster.errors import AlreadyExists, NotFound, StatusError
from simcluster.store import Object

STATEFUL_SETS = "statefulsets.apps"
_CLAIMS = "persistentvolumeclaims"
_POD_NAME = "statefulset.kubernetes.io/pod-name"
_POD_INDEX = "apps.kubernetes.io/pod-index"


class StatefulSets:
    """Brings each StatefulSet's pods, claims, revisions and status to what its spec asks for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._sets = context.informers.of(STATEFUL_SETS)
        self._claims = context.informers.of(_CLAIMS)
        self._recorder = context.recorder("statefulset-controller")
        self._history = History(context)
        self.loop = ControlLoop("statefulset", context, self.sync)
        self._owned = OwnedPods(context, self._sets, "StatefulSet", self._enqueue, concerns=_is_member)

    def sync(self, key: Name) -> None:
        """Take one StatefulSet one step further."""
        stateful_set = self._sets.get(key)
        if stateful_set is None:
            return
        present = self._owned.claim(stateful_set)
        revisions = self._history.of(stateful_set)
        try:
            newest, revisions = self._history.ensure_newest(stateful_set, revisions)
        except AlreadyExists:
            self._count_collision(stateful_set)
            raise
        by_name = {name_of(each)[1]: each for each in revisions}
        current = by_name.get((stateful_set.get("status") or {}).get("currentRevision", ""), newest)
        wish = wish_of(stateful_set, name_of(current)[1], name_of(newest)[1])
        now = self._context.clock()
        try:
            if not is_deleting(stateful_set):
                steps = ordinals.plan(wish, present, now)
                self._act(
                    stateful_set, wish, steps, {name: template_in(each) for name, each in by_name.items()}
                )
        finally:
            # As far as it went, the status tells it.
            present = self._members(stateful_set)
            self._write_status(stateful_set, wish, present, now)
        live = {wish.current, wish.update, *(ordinals.revision_of(pod) for pod in present)}
        self._history.truncate(revisions, live, stateful_set["spec"].get("revisionHistoryLimit", 10))
        self._wait_for_availability(stateful_set, wish, present, now)

    def _enqueue(self, key: Name, count: int = 0) -> None:
        delay_s = max(self._context.profile.workload_sync_s, self._context.batch_s(count))
        self.loop.queue.add_after(key, delay_s)

    def _members(self, stateful_set: Object) -> list[Object]:
        return [pod for pod in self._owned.of(stateful_set) if _is_member(stateful_set, pod)]

    # --- Pods

    def _act(
        self, stateful_set: Object, wish: Wish, steps: ordinals.Steps, templates: dict[str, Object]
    ) -> None:
        for ordinal in steps.create:
            name = wish.revision_of_new(ordinal)
            if any(
                self._is_stale(each, stateful_set, ordinal)
                for each in claims.claims_for(stateful_set, ordinal)
            ):
                return
            self._create(stateful_set, ordinal, name, templates[name])
        for pod in steps.keep:
            self._put_right(stateful_set, pod)
        for pod in self._members(stateful_set):
            if not wish.holds(ordinal_of(pod)):
                self._own_claims(stateful_set, pod)
        for pod in steps.delete:
            self._delete(stateful_set, pod)

    def _create(self, stateful_set: Object, ordinal: int, revision: str, template: Object) -> None:
        wanted = numbered_pod(stateful_set, ordinal, revision, template)
        try:
            self._make_claims(stateful_set, ordinal)
            pod = self._registry.create("pods", name_of(stateful_set)[0], wanted)
        except AlreadyExists:
            raise
        except StatusError as error:
            if is_namespace_terminating(error):
                return
            self._tell(stateful_set, "Create", name_of(wanted)[1], error)
            raise
        self._own_claims(stateful_set, pod)
        self._tell(stateful_set, "Create", name_of(pod)[1])

    def _delete(self, stateful_set: Object, pod: Object) -> None:
        try:
            self._registry.delete("pods", *name_of(pod), uid=uid_of(pod))
        except NotFound:
            pass
        except StatusError as error:
            self._tell(stateful_set, "Delete", name_of(pod)[1], error)
            raise
        self._tell(stateful_set, "Delete", name_of(pod)[1])

    def _put_right(self, stateful_set: Object, pod: Object) -> None:
        """Have a pod carry its number and its claims, whoever changed that."""
        ordinal = ordinal_of(pod)
        self._make_claims(stateful_set, ordinal)
        self._own_claims(stateful_set, pod)
        if labels_of(pod).get(_POD_NAME) == name_of(pod)[1]:
            return
        copy = deepcopy(pod)
        copy["metadata"]["labels"] = labels_of(pod) | _identity(name_of(pod)[1], ordinal)
        self._registry.update("pods", *name_of(pod), copy)
        self._tell(stateful_set, "Update", name_of(pod)[1])

    def _tell(self, stateful_set: Object, verb: str, pod: str, error: StatusError | None = None) -> None:
        about = f"{verb} Pod {pod} in StatefulSet {name_of(stateful_set)[1]}"
        if error is None:
            self._recorder.record(stateful_set, "Normal", f"Successful{verb}", f"{about} successful")
        else:
            message = f"{about} failed error: {error.message}"
            self._recorder.record(stateful_set, "Warning", f"Failed{verb}", message)

    # --- Claims

    def _make_claims(self, stateful_set: Object, ordinal: int) -> None:
        for claim in claims.claims_for(stateful_set, ordinal):
            if self._claims.get(name_of(claim)) is None:
                self._registry.create(_CLAIMS, name_of(claim)[0], claim)
                pod = f"{name_of(stateful_set)[1]}-{ordinal}"
                about = (
                    f"Create Claim {name_of(claim)[1]} Pod {pod} in StatefulSet {name_of(stateful_set)[1]}"
                )
                self._recorder.record(stateful_set, "Normal", "SuccessfulCreate", f"{about} success")

    def _own_claims(self, stateful_set: Object, pod: Object) -> None:
        for wanted in claims.claims_for(stateful_set, ordinal_of(pod)):
            claim = self._claims.get(name_of(wanted))
            owners = None if claim is None else claims.owners_for(claim, stateful_set, pod)
            if claim is not None and owners is not None:
                copy = deepcopy(claim)
                copy["metadata"]["ownerReferences"] = owners
                self._registry.update(_CLAIMS, *name_of(claim), copy)

    def _is_stale(self, wanted: Object, stateful_set: Object, ordinal: int) -> bool:
        claim = self._claims.get(name_of(wanted))
        return claim is not None and (
            is_deleting(claim) or claims.is_stale(claim, stateful_set, None, ordinal)
        )

    # --- Status

    def _count_collision(self, stateful_set: Object) -> None:
        """Another template has this hash: the next try hashes a higher count with it."""
        status = stateful_set.get("status") or {}
        counted = {**status, "collisionCount": (status.get("collisionCount") or 0) + 1}
        self._put_status(stateful_set, counted)

    def _write_status(self, stateful_set: Object, wish: Wish, present: Sequence[Object], now: float) -> None:
        status = status_for(stateful_set, wish, present, now)
        if status == (stateful_set.get("status") or {}):
            return
        self._put_status(stateful_set, status)

    def _put_status(self, stateful_set: Object, status: Object) -> None:
        written = with_status(stateful_set, status)
        self._registry.update(STATEFUL_SETS, *name_of(stateful_set), written, subresource="status")

    def _wait_for_availability(
        self, stateful_set: Object, wish: Wish, present: Sequence[Object], now: float
    ) -> None:
        waits = (pods.available_in(pod, wish.min_ready_s, now) for pod in present)
        soonest = min((wait for wait in waits if wait is not None), default=None)
        if soonest is not None:
            self.loop.queue.add_after(name_of(stateful_set), soonest)


def _is_member(stateful_set: Object, pod: Object) -> bool:
    """Whether a pod's name makes it one of the set's."""
    return ordinals.parse_name(name_of(pod)[1])[0] == name_of(stateful_set)[1]


def _identity(name: str, ordinal: int) -> dict[str, str]:
    return {_POD_NAME: name, _POD_INDEX: str(ordinal)}


def wish_of(stateful_set: Object, current: str, update: str) -> Wish:
    """What a StatefulSet asks for, between two revisions."""
    spec = stateful_set["spec"]
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate")
    return Wish(
        name=name_of(stateful_set)[1],
        replicas=spec.get("replicas", 1),
        current=current,
        update=update,
        start=(spec.get("ordinals") or {}).get("start", 0),
        min_ready_s=spec.get("minReadySeconds", 0),
        parallel=spec.get("podManagementPolicy") == "Parallel",
        partition=None if rolling is None else rolling.get("partition", 0),
        on_delete=strategy.get("type") == "OnDelete",
        current_replicas=(stateful_set.get("status") or {}).get("currentReplicas", 0),
    )


def numbered_pod(stateful_set: Object, ordinal: int, revision: str, template: Object) -> Object:
    """The pod of that number, by the template of a revision."""
    name = f"{name_of(stateful_set)[1]}-{ordinal}"
    pod = pod_for(stateful_set, template, name=name)
    identity = _identity(name, ordinal) | {POD_REVISION: revision}
    pod["metadata"]["labels"] = labels_of(pod) | identity
    pod["spec"] |= {"hostname": name}
    if stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = stateful_set["spec"]["serviceName"]
    volumes = claims.volumes_for(stateful_set, ordinal, pod["spec"].get("volumes") or [])
    if volumes:
        pod["spec"]["volumes"] = volumes
    return pod


def status_for(stateful_set: Object, wish: Wish, present: Sequence[Object], now: float) -> Object:
    """Return the status by the pods that there are."""
    before = stateful_set.get("status") or {}
    counts = ordinals.count(wish, present, now)
    current = wish.current
    finished = ("updatedReplicas", "readyReplicas", "replicas")
    if not wish.on_delete and all(counts[each] == wish.replicas for each in finished):
        current, counts["currentReplicas"] = wish.update, counts["updatedReplicas"]
    status: Object = {key: value for key, value in counts.items() if value}
    status |= {"replicas": counts["replicas"], "availableReplicas": counts["availableReplicas"]}
    status |= {
        "observedGeneration": stateful_set["metadata"].get("generation", 0),
        "currentRevision": current,
        "updateRevision": wish.update,
        "collisionCount": before.get("collisionCount") or 0,
    }
    if before.get("conditions"):
        status["conditions"] = before["conditions"]
    return status
