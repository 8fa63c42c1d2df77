"""What is written into the status of pods that are to be moved: that they fit nowhere, that they have to go.

The rule it keeps: a condition that says the same already is not written again, and keeps its time.
"""

from __future__ import annotations

from typing import Any

from simcluster.controllers import pods
from simcluster.controllers.metadata import name_of
from simcluster.registry import Registry, format_time
from simcluster.store import Object


def nominated_of(pod: Object) -> str | None:
    """The node that others are making room on for this pod."""
    found: str | None = (pod.get("status") or {}).get("nominatedNodeName")
    return found


def refuse(registry: Registry, pod: Object, message: str, nominated: str | None, now: float) -> None:
    """Write that a pod could not be scheduled, and the node that is being emptied for it."""
    said = {"status": "False", "reason": "Unschedulable", "message": message}
    before = pods.condition_of(pod, "PodScheduled") or {}
    if before.items() >= said.items() and nominated_of(pod) == nominated:
        return
    status = _with_condition(pod, "PodScheduled", said, now)
    if nominated is None:
        status.pop("nominatedNodeName", None)
    else:
        status["nominatedNodeName"] = nominated
    _write(registry, pod, status)


def nominate(registry: Registry, pod: Object, node: str) -> None:
    """Write the node that a pod goes to once what it needs is there."""
    if nominated_of(pod) != node:
        _write(registry, pod, (pod.get("status") or {}) | {"nominatedNodeName": node})


def show_disruption(
    registry: Registry, pod: Object, now: float, reason: str, message: str, *, phase: str | None = None
) -> None:
    """Write that a pod has to go, and why; with a phase, that it has ended so."""
    said = {"status": "True", "reason": reason, "message": message}
    status = _with_condition(pod, "DisruptionTarget", said, now)
    _write(registry, pod, status if phase is None else status | {"phase": phase})


def _with_condition(pod: Object, kind: str, said: dict[str, str], now: float) -> dict[str, Any]:
    """The pod's status with this condition in it."""
    status = dict(pod.get("status") or {})
    before = pods.condition_of(pod, kind) or {}
    is_new = before.get("status") != said["status"]
    condition = {
        "type": kind,
        **said,
        "lastProbeTime": None,
        "lastTransitionTime": format_time(now) if is_new else before["lastTransitionTime"],
        "observedGeneration": pod["metadata"].get("generation", 1),
    }
    others = [each for each in status.get("conditions") or () if each["type"] != kind]
    status["conditions"] = [*others, condition]
    return status


def _write(registry: Registry, pod: Object, status: dict[str, Any]) -> None:
    changed = {**pod, "metadata": dict(pod["metadata"]), "status": status}
    registry.update("pods", *name_of(pod), changed, subresource="status")
