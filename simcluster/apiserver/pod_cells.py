"""The cells of a pod: ready, status and restarts, as `kubectl get pods` words them. Pure.

Source: kubernetes pkg/printers/internalversion/printers.go printPod.
"""

from __future__ import annotations

from typing import Any

from simcluster.apiserver.ages import show_age

Object = dict[str, Any]
_NODE_LOST = "NodeLost"


def _statuses(pod: Object, key: str = "containerStatuses") -> list[Object]:
    found: list[Object] = pod.get("status", {}).get(key, [])
    return found


def _sidecars(pod: Object) -> set[str]:
    return {
        each["name"]
        for each in pod["spec"].get("initContainers", ())
        if each.get("restartPolicy") == "Always"
    }


def show_ready(pod: Object) -> str:
    """Return `ready/all` containers; sidecars count."""
    sidecars = _sidecars(pod)
    total = len(pod["spec"].get("containers", ())) + len(sidecars)
    ready = sum(1 for each in _statuses(pod) if each.get("ready") and "running" in each.get("state", {}))
    init = _statuses(pod, "initContainerStatuses")
    ready += sum(1 for each in init if each["name"] in sidecars and each.get("ready"))
    return f"{ready}/{total}"


def show_status(pod: Object) -> str:
    """Return the one word that says how a pod is doing."""
    status = pod.get("status", {})
    reason = str(status.get("reason", status.get("phase", "")))
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    initializing, init_reason = _describe_init(pod)
    reason = init_reason if initializing else _describe_containers(pod, reason)
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == _NODE_LOST:
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _describe_init(pod: Object) -> tuple[bool, str]:
    """Return whether init containers still hold the pod, and the word for that."""
    sidecars = _sidecars(pod)
    total = len(pod["spec"].get("initContainers", ()))
    for index, each in enumerate(_statuses(pod, "initContainerStatuses")):
        state = each.get("state", {})
        ended = state.get("terminated")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if each["name"] in sidecars and each.get("started"):
            continue
        if ended is not None:
            return True, f"Init:{_describe_end(ended)}"
        waiting = state.get("waiting", {}).get("reason", "")
        if waiting and waiting != "PodInitializing":
            return True, f"Init:{waiting}"
        return True, f"Init:{index}/{total}"
    return False, ""


def _describe_end(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _describe_containers(pod: Object, reason: str) -> str:
    running = False
    for each in reversed(_statuses(pod)):
        state = each.get("state", {})
        waiting, ended = state.get("waiting", {}).get("reason"), state.get("terminated")
        if waiting:
            reason = str(waiting)
        elif ended is not None:
            reason = _describe_end(ended)
        elif each.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        conditions = pod.get("status", {}).get("conditions", ())
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return "Running" if ready else "NotReady"
    return reason


def show_restarts(pod: Object, now: float) -> str:
    """Return how often containers were restarted, and when last."""
    sidecars = _sidecars(pod)
    counted = _statuses(pod)
    counted = counted + [each for each in _statuses(pod, "initContainerStatuses") if each["name"] in sidecars]
    restarts = sum(each.get("restartCount", 0) for each in counted)
    ends = [each.get("lastState", {}).get("terminated", {}).get("finishedAt") for each in counted]
    known = [each for each in ends if each is not None]
    return f"{restarts} ({show_age(max(known), now)} ago)" if restarts and known else str(restarts)


def show_gates(pod: Object) -> str:
    """Return `fulfilled/all` readiness gates."""
    gates = pod["spec"].get("readinessGates", ())
    if not gates:
        return "<none>"
    states = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", ())}
    return f"{sum(1 for gate in gates if states.get(gate['conditionType']) == 'True')}/{len(gates)}"
