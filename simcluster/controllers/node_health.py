"""What becomes of a node whose kubelet is silent: its conditions and its taints. Pure.

The rule it keeps: a condition that says the same already keeps its time, and so does a taint; taints of others stay.

Source: pkg/controller/nodelifecycle/node_lifecycle_controller.go, pkg/util/taints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from simcluster.controllers.scheduling.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE
from simcluster.registry import format_time

Object = dict[str, Any]
Disruption = Literal["none", "partial", "full"]

_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_SILENT = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
_NEVER_HEARD = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
# Condition, status -> the taint that keeps pods away.
_BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS = {(key, "NoSchedule") for key in (*_BY_CONDITION.values(), UNSCHEDULABLE)}
_OURS |= {(NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute")}
# A zone is partly disrupted with more than two nodes down that are this share of it (unhealthy-zone-threshold).
_FEW, _SHARE = 2, 0.55


def ready_of(node: Mapping[str, Any]) -> str:
    """The status of the Ready condition; Unknown if there is none."""
    return _status_of(node, "Ready")


def _status_of(node: Mapping[str, Any], kind: str) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "Unknown")


def silence(node: Mapping[str, Any], now: float) -> Object:
    """The node's status when nothing was heard of it for too long."""
    status = dict(node.get("status") or {})
    before = {each["type"]: each for each in status.get("conditions") or ()}
    at = format_time(now)
    for kind in _WATCHED:
        known = before.get(kind)
        if known is None:
            before[kind] = _unknown(
                kind, _NEVER_HEARD, {"lastHeartbeatTime": node["metadata"].get("creationTimestamp")}, at
            )
        elif known["status"] != "Unknown":
            before[kind] = _unknown(kind, _SILENT, known, at)
    status["conditions"] = list(before.values())
    return status


def _unknown(kind: str, why: tuple[str, str], before: Mapping[str, Any], at: str) -> Object:
    reason, message = why
    return {
        "type": kind, "status": "Unknown", "reason": reason, "message": message,
        "lastHeartbeatTime": before.get("lastHeartbeatTime"), "lastTransitionTime": at,
    }  # fmt: skip


def choose_taints(node: Mapping[str, Any], now: float, *, is_evicting: bool) -> list[Object]:
    """All taints that the node is to have; `is_evicting`: pods are to leave it if it is not ready."""
    spec = node["spec"]
    wanted = {
        (taint, "NoSchedule")
        for (kind, status), taint in _BY_CONDITION.items()
        if any(
            each["type"] == kind and each["status"] == status
            for each in (node.get("status") or {}).get("conditions") or ()
        )
    }
    ready = ready_of(node)
    if spec.get("unschedulable"):
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    if is_evicting and ready != "True":
        wanted.add((NOT_READY if ready == "False" else UNREACHABLE, "NoExecute"))
    present = spec.get("taints") or []
    kept = [each for each in present if _key(each) not in _OURS or _key(each) in wanted]
    known = {_key(each) for each in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": format_time(now)}
        for key, effect in sorted(wanted - known, key=lambda each: (each[1], each[0]), reverse=True)
    ]
    return [*kept, *added]


def _key(taint: Mapping[str, Any]) -> tuple[str, str]:
    return taint["key"], taint["effect"]


def judge_zone(readiness: Sequence[bool]) -> Disruption:
    """How much of a zone is down."""
    down = readiness.count(False)
    if down and down == len(readiness):
        return "full"
    return "partial" if down > _FEW and down / len(readiness) >= _SHARE else "none"
