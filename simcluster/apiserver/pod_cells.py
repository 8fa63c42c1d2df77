"""The cells of a pod: ready, status and restarts, as `kubectl get pods` words them. Pure.

Source: kubernetes pkg/printers/internalversion/printers.go printPod.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simcluster.apiserver.ages import show_age

Object = dict[str, Any]
_NODE_LOST = "NodeLost"
# What a Table says of the row of a pod that has ended, by its phase.
_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(frozen=True, slots=True)
class _Init:
    """What the init containers tell: `reason` is empty once none of them holds the pod."""

    reason: str
    ready: int
    restarts: int
    ended_at: str


def _statuses(pod: Object, key: str = "containerStatuses") -> list[Object]:
    found: list[Object] = pod.get("status", {}).get(key, [])
    return found


def _sidecars(pod: Object) -> set[str]:
    return {
        each["name"]
        for each in pod["spec"].get("initContainers", ())
        if each.get("restartPolicy") == "Always"
    }


def _condition(pod: Object, kind: str) -> Object:
    conditions = pod.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), {})


def _initializes(pod: Object) -> _Init:
    """Return what holds the pod up: its init containers, or nothing once the containers are told of instead."""
    init = _read_init(pod)
    if not init.reason or _condition(pod, "Initialized").get("status") == "True":
        return _Init("", init.ready, *_count_restarts(pod, _sidecars(pod)))
    return init


def _read_init(pod: Object) -> _Init:
    sidecars, statuses = _sidecars(pod), _statuses(pod, "initContainerStatuses")
    total, ready, seen = len(pod["spec"].get("initContainers", ())), 0, set()
    for index, each in enumerate(statuses):
        seen.add(each["name"])
        state = each.get("state", {})
        ended, waiting = state.get("terminated"), state.get("waiting", {}).get("reason", "")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if each["name"] in sidecars and each.get("started"):
            ready += bool(each.get("ready"))
            continue
        if ended is not None:
            reason = f"Init:{_describe_end(ended)}"
        elif waiting and waiting != "PodInitializing":
            reason = f"Init:{waiting}"
        else:
            reason = f"Init:{index}/{total}"
        return _Init(reason, ready, *_count_restarts(pod, seen))
    return _Init("", ready, 0, "")


def _count_restarts(pod: Object, names: set[str]) -> tuple[int, str]:
    """Return how often these init containers were restarted, and when one ended last."""
    return _add_up([each for each in _statuses(pod, "initContainerStatuses") if each["name"] in names])


def _add_up(statuses: list[Object]) -> tuple[int, str]:
    ends = [each.get("lastState", {}).get("terminated", {}).get("finishedAt") or "" for each in statuses]
    return sum(each.get("restartCount", 0) for each in statuses), max(ends, default="")


def show_ready(pod: Object) -> str:
    """Return `ready/all` containers; sidecars count."""
    total = len(pod["spec"].get("containers", ())) + len(_sidecars(pod))
    init = _initializes(pod)
    ready = init.ready
    if not init.reason:
        ready += sum(_is_running(each) for each in _statuses(pod))
    return f"{ready}/{total}"


def _is_running(status: Object) -> bool:
    state = status.get("state", {})
    is_over = state.get("waiting", {}).get("reason") or "terminated" in state
    return bool(status.get("ready")) and "running" in state and not is_over


def show_status(pod: Object) -> str:
    """Return the one word that says how a pod is doing."""
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == _NODE_LOST:
            return "Unknown"
        if status.get("phase") not in _ENDED:
            return "Terminating"
    reason = status["reason"] if status.get("reason") else status.get("phase", "")
    if _condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    init = _initializes(pod)
    return init.reason if init.reason else _describe_containers(pod, str(reason))


def _describe_end(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _describe_containers(pod: Object, reason: str) -> str:
    failed = ""
    for each in reversed(_statuses(pod)):
        state = each.get("state", {})
        waiting, ended = state.get("waiting", {}).get("reason"), state.get("terminated")
        if waiting:
            reason = str(waiting)
        elif ended is not None:
            reason = _describe_end(ended)
            failed = reason if ended.get("exitCode", 0) else failed
    if reason != "Completed":
        return reason
    running = any(_is_running(each) for each in _statuses(pod))
    if running and _condition(pod, "Ready").get("status") == "True":
        return "Running"
    if failed:
        return failed
    return "NotReady" if running else reason


def show_restarts(pod: Object, now: float) -> str:
    """Return how often containers were restarted, and when last."""
    init = _initializes(pod)
    restarts, ended_at = init.restarts, init.ended_at
    if not init.reason:
        more, last_at = _add_up(_statuses(pod))
        restarts, ended_at = restarts + more, max(ended_at, last_at)
    return f"{restarts} ({show_age(ended_at, now)} ago)" if restarts and ended_at else str(restarts)


def show_gates(pod: Object) -> str:
    """Return `fulfilled/all` readiness gates."""
    gates = pod["spec"].get("readinessGates", ())
    if not gates:
        return "<none>"
    held = sum(_condition(pod, gate["conditionType"]).get("status") == "True" for gate in gates)
    return f"{held}/{len(gates)}"


def list_conditions(pod: Object) -> list[Object]:
    """Return what a Table says beside the cells: that the pod has ended, and how."""
    phase = pod.get("status", {}).get("phase", "")
    if phase not in _ENDED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}]
