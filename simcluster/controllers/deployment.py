"""The Deployment controller: ReplicaSets by revision, rolled over one step a sync.

The rule it keeps: it writes ReplicaSets and the Deployment's status, never pods; how many pods each ReplicaSet
is to have is decided in `rollout`, which one is the newest in `revisions`, what the status says in
`deployment_status`. Source: deployment_controller.go, sync.go, rolling.go, recreate.go of
pkg/controller/deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from simcluster.controllers import deployment_status as status_of
from simcluster.controllers import ownership, pods, revisions, rollout
from simcluster.controllers.deployment_sets import (
    REPLICA_SETS,
    DeploymentSets,
    bounds_of,
    generation_of,
    is_rolling,
)
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    annotations_of,
    is_deleting,
    labels_of,
    matches_selector,
    name_of,
    uid_of,
    with_status,
)
from simcluster.controllers.pod_control import is_namespace_terminating
from simcluster.errors import AlreadyExists, StatusError
from simcluster.store import Object

DEPLOYMENTS = "deployments.apps"


class Deployments:
    """Brings each Deployment's ReplicaSets and status to what its spec asks for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._deployments = context.informers.of(DEPLOYMENTS)
        self._sets = context.informers.of(REPLICA_SETS)
        self._pods = context.informers.of("pods")
        self._recorder = context.recorder("deployment-controller")
        self._sets_of = DeploymentSets(context, self._recorder)
        self.loop = ControlLoop("deployment", context, self.sync)
        self._deployments.handle(self._on_deployment)
        self._sets.handle(self._on_set)
        self._pods.handle(self._on_pod)

    def sync(self, key: Name) -> None:
        """Take one Deployment one step further."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return
        sets = self._sets_of.claim(deployment)
        if is_deleting(deployment):
            newest, olds = revisions.split(deployment, sets)
            self._write_status(deployment, newest, olds, with_progress=False)
            return
        deployment = self._note_pause(deployment)
        bounds = bounds_of(deployment)
        generations = [generation_of(each) for each in sets]
        if deployment["spec"].get("paused") or rollout.is_scaling(bounds, generations):
            self._rescale(deployment, bounds, sets)
        elif is_rolling(deployment):
            self._roll(deployment, bounds, sets)
        else:
            self._recreate(deployment, bounds, sets)

    # --- What leads to a sync

    def _on_deployment(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._enqueue(new)

    def _on_set(self, old: Object | None, new: Object | None) -> None:
        for each in (old, new):
            controller = None if each is None else ownership.controller_of(each)
            if each is not None and controller is not None:
                self._enqueue_name((name_of(each)[0], controller["name"]))
        if new is not None and ownership.controller_of(new) is None:
            for deployment in self._deployments.list(name_of(new)[0]):
                if matches_selector(deployment["spec"]["selector"], labels_of(new)):
                    self._enqueue(deployment)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        """Recreate waits for pods to end, which no ReplicaSet's status tells."""
        gone = old if new is None or pods.is_terminal(new) else None
        controller = None if gone is None else ownership.controller_of(gone)
        if gone is None or controller is None:
            return
        replica_set = self._sets.get((name_of(gone)[0], controller["name"]))
        owner = None if replica_set is None else ownership.controller_of(replica_set)
        deployment = None if owner is None else self._deployments.get((name_of(gone)[0], owner["name"]))
        if deployment is not None and not is_rolling(deployment):
            self._enqueue(deployment)

    def _enqueue(self, deployment: Object) -> None:
        self._enqueue_name(name_of(deployment))

    def _enqueue_name(self, name: Name) -> None:
        self.loop.queue.add_after(name, self._context.profile.workload_sync_s)

    # --- The ways to go on

    def _rescale(self, deployment: Object, bounds: rollout.Bounds, sets: Sequence[Object]) -> None:
        deployment, newest, olds = self._find_newest(deployment, sets)
        sizes = rollout.rescale(
            bounds,
            None if newest is None else generation_of(newest),
            [generation_of(old) for old in olds],
            is_rolling=is_rolling(deployment),
            status_replicas=(deployment.get("status") or {}).get("replicas", 0),
        )
        olds = self._sets_of.resize(deployment, bounds, olds, sizes)
        if newest is not None:
            newest = self._sets_of.resize(deployment, bounds, [newest], sizes)[0]
        if deployment["spec"].get("paused"):
            self._sets_of.clean_up(deployment, olds)
        self._write_status(deployment, newest, olds, with_progress=False)

    def _roll(self, deployment: Object, bounds: rollout.Bounds, sets: Sequence[Object]) -> None:
        deployment, newest, olds = self._have_newest(deployment, sets)
        sizes = rollout.advance(bounds, generation_of(newest), [generation_of(old) for old in olds])
        newest, *olds = self._sets_of.resize(deployment, bounds, [newest, *olds], sizes)
        if not sizes and status_of.is_complete(deployment, deployment.get("status") or {}):
            self._sets_of.clean_up(deployment, olds)
        self._write_status(deployment, newest, olds, with_progress=True)

    def _recreate(self, deployment: Object, bounds: rollout.Bounds, sets: Sequence[Object]) -> None:
        deployment, newest, olds = self._find_newest(deployment, sets)
        sizes = {name_of(old)[1]: 0 for old in olds if old["spec"].get("replicas", 1) > 0}
        if sizes or self._has_old_pods(olds):
            olds = self._sets_of.resize(deployment, bounds, olds, sizes)
            self._write_status(deployment, newest, olds, with_progress=True)
            return
        deployment, current, olds = self._have_newest(deployment, sets)
        sizes = {name_of(current)[1]: bounds.desired}
        if current["spec"].get("replicas", 1) != bounds.desired:
            [current] = self._sets_of.resize(deployment, bounds, [current], sizes)
        if status_of.is_complete(deployment, deployment.get("status") or {}):
            self._sets_of.clean_up(deployment, olds)
        self._write_status(deployment, current, olds, with_progress=True)

    def _has_old_pods(self, olds: Sequence[Object]) -> bool:
        """Terminating pods count: they still hold what the new ones may need."""
        return any(not pods.is_terminal(pod) for old in olds for pod in self._pods.owned(uid_of(old)))

    # --- The newest ReplicaSet

    def _find_newest(
        self, deployment: Object, sets: Sequence[Object]
    ) -> tuple[Object, Object | None, list[Object]]:
        """Have the newest ReplicaSet, if there is one, carry its revision, and the Deployment too."""
        newest, olds = revisions.split(deployment, sets)
        if newest is None:
            return deployment, None, olds
        newest = self._sets_of.annotate(deployment, newest, olds)
        said = None
        if status_of.find(deployment.get("status") or {}, status_of.PROGRESSING) is None:
            said = "FoundNewReplicaSet", f'Found new replica set "{newest["metadata"]["name"]}"'
        return self._write_revision(deployment, newest, said), newest, olds

    def _have_newest(self, deployment: Object, sets: Sequence[Object]) -> tuple[Object, Object, list[Object]]:
        """The same, creating it if there is none yet."""
        deployment, newest, olds = self._find_newest(deployment, sets)
        if newest is not None:
            return deployment, newest, olds
        newest = self._create(deployment, olds)
        said = "NewReplicaSetCreated", f'Created new replica set "{newest["metadata"]["name"]}"'
        return self._write_revision(deployment, newest, said), newest, olds

    def _write_revision(self, deployment: Object, newest: Object, said: tuple[str, str] | None) -> Object:
        status = deepcopy(deployment.get("status") or {})
        if said is not None and status_of.deadline_of(deployment) is not None:
            now = self._context.clock()
            status_of.put(status, status_of.condition(status_of.PROGRESSING, "True", *said, now))
        revision = annotations_of(newest).get(revisions.REVISION)
        annotations = {} if revision is None else {revisions.REVISION: revision}
        return self._write(deployment, status, annotations=annotations)

    def _create(self, deployment: Object, olds: Sequence[Object]) -> Object:
        try:
            return self._sets_of.create(deployment, olds)
        except AlreadyExists:
            self._count_collision(deployment)
            raise
        except StatusError as error:
            if not is_namespace_terminating(error):
                self._note_failure(deployment, error)
            raise

    def _count_collision(self, deployment: Object) -> None:
        """Another template has this hash: the next try hashes a higher count with it."""
        status = deepcopy(deployment.get("status") or {})
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        self._write(deployment, status)

    def _note_failure(self, deployment: Object, error: StatusError) -> None:
        name = revisions.replica_set_for(deployment)["metadata"]["name"]
        message = f'Failed to create new replica set "{name}": {error.message}'
        if status_of.deadline_of(deployment) is not None:
            status = deepcopy(deployment.get("status") or {})
            said = status_of.PROGRESSING, "False", "ReplicaSetCreateError", message
            status_of.put(status, status_of.condition(*said, self._context.clock()))
            self._write(deployment, status)
        self._recorder.record(deployment, "Warning", "ReplicaSetCreateError", message)

    # --- Status

    def _note_pause(self, deployment: Object) -> Object:
        """Say in the condition Progressing that the deadline does not count while paused, and that it does again."""
        status = deepcopy(deployment.get("status") or {})
        current = status_of.find(status, status_of.PROGRESSING)
        if status_of.deadline_of(deployment) is None:
            return deployment
        if current is not None and current["reason"] == status_of.TIMED_OUT:
            return deployment
        was_paused = current is not None and current["reason"] == status_of.PAUSED
        is_paused = bool(deployment["spec"].get("paused"))
        if is_paused == was_paused:
            return deployment
        said = (status_of.PAUSED, "Deployment is paused")
        if not is_paused:
            said = ("DeploymentResumed", "Deployment is resumed")
        now = self._context.clock()
        status_of.put(status, status_of.condition(status_of.PROGRESSING, "Unknown", *said, now))
        return self._write(deployment, status)

    def _write_status(
        self, deployment: Object, newest: Object | None, olds: Sequence[Object], *, with_progress: bool
    ) -> None:
        now = self._context.clock()
        status = status_of.count(deployment, bounds_of(deployment), newest, olds, now)
        if with_progress:
            status_of.estimate_progress(deployment, status, newest, olds, now)
        self._write(deployment, status)
        again_in_s = status_of.times_out_in(deployment, status, now) if with_progress else None
        if again_in_s is not None:
            self.loop.queue.add_after(name_of(deployment), again_in_s)

    def _write(
        self, deployment: Object, status: Object, *, annotations: dict[str, str] | None = None
    ) -> Object:
        """Write status and annotations where they differ; return the Deployment as it is then."""
        copy = with_status(deployment, status)
        if annotations is not None:
            copy["metadata"]["annotations"] = annotations_of(deployment) | annotations
        if copy == deployment or (not status and copy["metadata"] == deployment["metadata"]):
            return deployment
        written: Object = self._registry.update(DEPLOYMENTS, *name_of(deployment), copy, subresource="status")
        return written
