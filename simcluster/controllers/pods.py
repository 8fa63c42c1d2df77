"""What a pod's status says: active, terminal, ready, available.

The rule it keeps: the words of pkg/api/v1/pod/util.go and pkg/controller/controller_utils.go, as pure
functions of one pod and an instant. It changes nothing.
"""

from __future__ import annotations

from typing import Any

from simcluster.controllers.metadata import is_deleting
from simcluster.registry import parse_time
from simcluster.store import Object


def phase_of(pod: Object) -> str:
    """The phase; Pending where none is written yet."""
    phase: str = (pod.get("status") or {}).get("phase") or "Pending"
    return phase


def node_of(pod: Object) -> str:
    """The node's name; empty while unassigned."""
    return pod["spec"].get("nodeName") or ""


def claim_in(pod: Object, volume: Object) -> tuple[str, bool] | None:
    """The claim that a volume of a pod is of: its name, and whether it is made for this pod; None if it is of none."""
    if "persistentVolumeClaim" in volume:
        return volume["persistentVolumeClaim"]["claimName"], False
    return (f"{pod['metadata']['name']}-{volume['name']}", True) if "ephemeral" in volume else None


def is_terminal(pod: Object) -> bool:
    """Whether all its containers have ended for good."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it counts as a replica: neither terminal nor being deleted."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_terminating(pod: Object) -> bool:
    """Whether it is being deleted and still runs."""
    return not is_terminal(pod) and is_deleting(pod)


def condition_of(pod: Object, kind: str) -> dict[str, Any] | None:
    """The condition of that type, or None."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == kind:
            found: dict[str, Any] = condition
            return found
    return None


def is_ready(pod: Object) -> bool:
    """Whether its Ready condition is True (a terminating pod may still be ready)."""
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"


def ready_since(pod: Object) -> float | None:
    """When its Ready condition last changed, in seconds since the epoch; None if it never did."""
    condition = condition_of(pod, "Ready")
    changed = None if condition is None else condition.get("lastTransitionTime")
    return None if changed is None else parse_time(changed)


def is_available(pod: Object, min_ready_s: float, now: float) -> bool:
    """Whether it has been ready for `min_ready_s`."""
    if min_ready_s == 0 or not is_ready(pod):
        return is_ready(pod)
    since = ready_since(pod)
    return since is not None and since + min_ready_s <= now


def available_in(pod: Object, min_ready_s: float, now: float) -> float | None:
    """Seconds until a ready pod becomes available; None if it is not ready or is available already."""
    if not is_ready(pod) or is_available(pod, min_ready_s, now):
        return None
    since = ready_since(pod)
    return None if since is None else since + min_ready_s - now
