"""The ReplicaSets of a Deployment: claiming, creating, annotating, resizing and clearing them away.

The rule it keeps: here is what is written, each write with its event; what is to be written is decided in
`revisions` and `rollout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from simcluster.controllers import ownership, revisions, rollout
from simcluster.controllers.events import Recorder
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import annotations_of, created_at, name_of, uid_of
from simcluster.store import Object

REPLICA_SETS = "replicasets.apps"


class DeploymentSets:
    """Writes ReplicaSets on behalf of Deployments."""

    def __init__(self, context: Context, recorder: Recorder) -> None:
        self._registry = context.registry
        self._sets = context.informers.of(REPLICA_SETS)
        self._recorder = recorder

    def claim(self, deployment: Object) -> list[Object]:
        """Return the ReplicaSets that the selector and the owner references make this Deployment's."""
        namespace = name_of(deployment)[0]
        candidates = [*self._sets.owned(uid_of(deployment)), *self._sets.orphans(namespace)]
        claimed = ownership.claim(deployment, candidates)
        for each in claimed.release:
            released = ownership.released(deployment, each)
            self._registry.update(REPLICA_SETS, *name_of(each), released)
        adopted = [
            self._registry.update(REPLICA_SETS, *name_of(each), ownership.adopted(deployment, each))
            for each in claimed.adopt
        ]
        return [*claimed.kept, *adopted]

    def create(self, deployment: Object, olds: Sequence[Object]) -> Object:
        """Create the ReplicaSet of the newest template, as large as is allowed at once.

        AlreadyExists if its name is taken; any other StatusError if it is refused.
        """
        bounds = bounds_of(deployment)
        new = revisions.replica_set_for(deployment)
        name = new["metadata"]["name"]
        size = bounds.desired
        if is_rolling(deployment):
            size = rollout.grow(bounds, rollout.Generation(name, 0), [generation_of(old) for old in olds])
        new["spec"]["replicas"] = size
        annotations = revisions.annotate(deployment, new, olds) | _size_annotations(bounds)
        new["metadata"]["annotations"] = annotations
        created: Object = self._registry.create(REPLICA_SETS, name_of(deployment)[0], new)
        if size > 0:
            message = f"Scaled up replica set {name} from 0 to {size}"
            self._recorder.record(deployment, "Normal", "ScalingReplicaSet", message)
        return created

    def annotate(self, deployment: Object, newest: Object, olds: Sequence[Object]) -> Object:
        """Have the newest ReplicaSet carry what the Deployment says of it; return it as it is then."""
        annotations = revisions.annotate(deployment, newest, olds)
        min_ready_s = deployment["spec"].get("minReadySeconds", 0)
        if annotations == annotations_of(newest) and newest["spec"].get("minReadySeconds", 0) == min_ready_s:
            return newest
        copy = deepcopy(newest)
        copy["metadata"]["annotations"] = annotations
        if copy["spec"].get("minReadySeconds", 0) != min_ready_s:
            copy["spec"]["minReadySeconds"] = min_ready_s
        written: Object = self._registry.update(REPLICA_SETS, *name_of(newest), copy)
        return written

    def resize(
        self, deployment: Object, bounds: rollout.Bounds, sets: Sequence[Object], sizes: rollout.Sizes
    ) -> list[Object]:
        """Write the sizes, each with the annotations of the scaling; return the ReplicaSets as they are then."""
        wanted = [sizes.get(name_of(each)[1]) for each in sets]
        return [
            each if size is None else self._resize_one(deployment, bounds, each, size)
            for each, size in zip(sets, wanted, strict=True)
        ]

    def clean_up(self, deployment: Object, olds: Sequence[Object]) -> None:
        """Delete what is beyond the history that the Deployment keeps."""
        for old in revisions.superfluous(deployment, olds):
            self._registry.delete(REPLICA_SETS, *name_of(old), uid=uid_of(old))

    def _resize_one(self, deployment: Object, bounds: rollout.Bounds, each: Object, size: int) -> Object:
        before = each["spec"].get("replicas", 1)
        copy = deepcopy(each)
        copy["spec"]["replicas"] = size
        copy["metadata"]["annotations"] = annotations_of(each) | _size_annotations(bounds)
        if copy == each:
            return each
        written: Object = self._registry.update(REPLICA_SETS, *name_of(each), copy)
        if size != before:
            direction = "up" if size > before else "down"
            message = f"Scaled {direction} replica set {name_of(each)[1]} from {before} to {size}"
            self._recorder.record(deployment, "Normal", "ScalingReplicaSet", message)
        return written


def bounds_of(deployment: Object) -> rollout.Bounds:
    """What a Deployment asks for; nothing beside the desired pods unless it is a rolling one."""
    desired = deployment["spec"].get("replicas", 1)
    if not is_rolling(deployment):
        return rollout.Bounds(desired, 0, 0)
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    return rollout.resolve(desired, rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"))


def is_rolling(deployment: Object) -> bool:
    """Whether the strategy is RollingUpdate, as against Recreate."""
    return bool(deployment["spec"].get("strategy", {}).get("type", "RollingUpdate") == "RollingUpdate")


def _size_annotations(bounds: rollout.Bounds) -> dict[str, str]:
    return {revisions.DESIRED: str(bounds.desired), revisions.MOST: str(bounds.most)}


def generation_of(replica_set: Object) -> rollout.Generation:
    """A ReplicaSet as the arithmetic sees it."""
    return rollout.Generation(
        name=name_of(replica_set)[1],
        replicas=replica_set["spec"].get("replicas", 1),
        available=(replica_set.get("status") or {}).get("availableReplicas", 0),
        created_at=created_at(replica_set),
        desired_then=revisions.number_in(replica_set, revisions.DESIRED),
        most_then=revisions.number_in(replica_set, revisions.MOST),
    )
