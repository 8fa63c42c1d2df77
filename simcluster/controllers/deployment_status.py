"""The status of a Deployment: counts, and the conditions Available, Progressing and ReplicaFailure.

The rule it keeps: pure; sync.go and progress.go of pkg/controller/deployment, with their reasons and texts. A
missed deadline is only said, never acted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from simcluster.controllers.rollout import Bounds
from simcluster.registry import format_time, parse_time
from simcluster.store import Object

AVAILABLE = "Available"
PROGRESSING = "Progressing"
REPLICA_FAILURE = "ReplicaFailure"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"

Condition = dict[str, Any]


def condition(kind: str, status: str, reason: str, message: str, now: float) -> Condition:
    """A condition that changed at `now`."""
    text = format_time(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": text,
        "lastTransitionTime": text,
        "reason": reason,
        "message": message,
    }


def find(status: Object, kind: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((each for each in status.get("conditions") or () if each["type"] == kind), None)


def put(status: Object, new: Condition, *, is_beat: bool = False) -> None:
    """Set a condition in `status`, in place, unless it says the same already.

    `is_beat` writes it even then, to move its lastUpdateTime.
    """
    old = find(status, new["type"])
    if old is not None and old["status"] == new["status"]:
        if old["reason"] == new["reason"] and not is_beat:
            return
        new = new | {"lastTransitionTime": old["lastTransitionTime"]}
    drop(status, new["type"])
    status["conditions"].append(new)


def drop(status: Object, kind: str) -> None:
    """Remove a condition from `status`, in place."""
    status["conditions"] = [each for each in status.get("conditions") or () if each["type"] != kind]


def deadline_of(deployment: Object) -> int | None:
    """progressDeadlineSeconds; None where there is none."""
    deadline: int | None = deployment["spec"].get("progressDeadlineSeconds")
    return None if deadline == 2**31 - 1 else deadline


def count(
    deployment: Object, bounds: Bounds, newest: Object | None, olds: Sequence[Object], now: float
) -> Object:
    """Return the status by the ReplicaSets' own: all counts, and the condition Available."""
    before = deployment.get("status") or {}
    sets = [*olds] if newest is None else [*olds, newest]
    available = _sum(sets, "availableReplicas")
    asked = sum(each["spec"].get("replicas", 1) for each in sets)
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum([] if newest is None else [newest], "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, asked - available),
    }
    # Zeros are left out, but for the one count that may be unknown.
    status: Object = {key: value for key, value in counts.items() if value}
    status["terminatingReplicas"] = _sum(sets, "terminatingReplicas")
    if before.get("collisionCount") is not None:
        status["collisionCount"] = before["collisionCount"]
    status["conditions"] = deepcopy(before.get("conditions") or [])
    if available >= bounds.least_available:
        said = "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
    else:
        said = "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    put(status, condition(AVAILABLE, *said, now))
    return status


def _sum(sets: Sequence[Object], field: str) -> int:
    return sum((each.get("status") or {}).get(field) or 0 for each in sets)


def estimate_progress(
    deployment: Object, status: Object, newest: Object | None, olds: Sequence[Object], now: float
) -> None:
    """Set the conditions Progressing and ReplicaFailure in `status`, in place."""
    if deadline_of(deployment) is None:
        drop(status, PROGRESSING)
    else:
        _put_progress(deployment, status, newest, now)
    failure = _failure(newest, olds)
    if failure is None:
        drop(status, REPLICA_FAILURE)
    else:
        put(status, failure)


def _put_progress(deployment: Object, status: Object, newest: Object | None, now: float) -> None:
    before = deployment.get("status") or {}
    current = find(before, PROGRESSING)
    is_settled = current is not None and current["reason"] == COMPLETE
    if is_settled and status.get("replicas", 0) == status.get("updatedReplicas", 0):
        return
    subject = f'Deployment "{deployment["metadata"]["name"]}"'
    if newest is not None:
        subject = f'ReplicaSet "{newest["metadata"]["name"]}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        put(status, condition(PROGRESSING, "True", COMPLETE, message, now))
    elif has_progressed(before, status):
        message = f"{subject} is progressing."
        put(status, condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now), is_beat=True)
    elif has_timed_out(deployment, status, now):
        message = f"{subject} has timed out progressing."
        put(status, condition(PROGRESSING, "False", TIMED_OUT, message, now))


def _failure(newest: Object | None, olds: Sequence[Object]) -> Condition | None:
    for each in [*([] if newest is None else [newest]), *olds]:
        found = find(each.get("status") or {}, REPLICA_FAILURE)
        if found is not None:
            return found | {"lastUpdateTime": found["lastTransitionTime"]}
    return None


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether all pods asked for are updated and available, and there are no others."""
    desired = deployment["spec"].get("replicas", 1)
    counts = (status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    observed = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return observed and all(number == desired for number in counts)


def has_progressed(before: Object, after: Object) -> bool:
    """Whether there are more updated, ready or available pods than before, or fewer old ones."""

    def old_pods(status: Object) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    more = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_pods(after) < old_pods(before) or any(after.get(key, 0) > before.get(key, 0) for key in more)


def has_timed_out(deployment: Object, status: Object, now: float) -> bool:
    """Whether the last progress is longer ago than progressDeadlineSeconds."""
    current, deadline_s = find(status, PROGRESSING), deadline_of(deployment)
    if current is None or deadline_s is None or current["reason"] == COMPLETE:
        return False
    if current["reason"] == TIMED_OUT:
        return True
    return parse_time(current["lastUpdateTime"]) + deadline_s < now


def times_out_in(deployment: Object, status: Object, now: float) -> float | None:
    """Seconds after which to look at the deadline again; None if there is nothing to wait for."""
    current, deadline_s = find(status, PROGRESSING), deadline_of(deployment)
    if current is None or deadline_s is None or current["reason"] == TIMED_OUT:
        return None
    if is_complete(deployment, status):
        return None
    # One second more than is left, because the condition's instant is cut to seconds.
    return max(0.0, parse_time(current["lastUpdateTime"]) + deadline_s - now) + 1
