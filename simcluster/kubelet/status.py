"""The status of a pod, from what the kubelet knows of its containers: pure.

The rules it keeps (pkg/kubelet/kubelet_pods.go, status/generate.go): a pod is Running as soon as one
container runs or restarts, Succeeded or Failed when all have ended for good; it is Ready when every container
is; conditions that others wrote (PodScheduled) stay, and a condition keeps its time while its status stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.kubelet.containers import (
    CREATING,
    INITIALIZING,
    Container,
    Running,
    Starting,
    Terminated,
    Waiting,
    specs_of,
)
from simcluster.registry import format_time

Object = dict[str, Any]
# Reason and words of a pod that reached its `activeDeadlineSeconds` (pkg/kubelet/active_deadline.go).
OVERDUE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a pod's status is not about containers."""

    started_at: float
    host_ip: str
    pod_ip: str | None
    is_over: bool  # nothing lives and nothing will start
    is_ending: bool  # it is being deleted
    is_overdue: bool = False  # it has been active for longer than it may


def make_status(pod: Object, containers: Sequence[Container], facts: Facts, now: float) -> Object:
    """The whole status of a pod."""
    before = pod.get("status") or {}
    init = [each for each in containers if each.kind in ("init", "sidecar")]
    main = [each for each in containers if each.kind == "main"]
    phase = choose_phase(containers, facts)
    status: Object = {
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": phase,
        "conditions": _make_conditions(pod, init, main, phase, facts, now),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": format_time(facts.started_at),
        "qosClass": before.get("qosClass") or choose_qos(pod),
    }
    if facts.is_overdue and phase == "Failed":
        status |= dict(zip(("reason", "message"), OVERDUE, strict=True))
    if facts.pod_ip is not None:
        status |= {"podIP": facts.pod_ip, "podIPs": [{"ip": facts.pod_ip}]}
    specs = specs_of(pod)
    is_initialized = all(_is_initialized(each) for each in init)
    if init:
        status["initContainerStatuses"] = [_show(pod, each, specs[each.name], CREATING) for each in init]
    idle = CREATING if is_initialized else INITIALIZING
    status["containerStatuses"] = [_show(pod, each, specs[each.name], idle) for each in main]
    ephemeral = sorted((each for each in containers if each.kind == "ephemeral"), key=lambda each: each.name)
    if ephemeral:
        status["ephemeralContainerStatuses"] = [
            _show_ephemeral(pod, each, specs[each.name]) for each in ephemeral
        ]
    return status


def choose_phase(containers: Sequence[Container], facts: Facts) -> str:
    """The phase."""
    main = [each for each in containers if each.kind == "main"]
    if facts.is_over and facts.is_overdue:
        return "Failed"
    if facts.is_over and any(each.starts for each in containers):
        ended = [each for each in containers if each.kind in ("init", "main")]
        codes = [_exit_code(each) for each in ended]
        return "Succeeded" if all(code == 0 for code in codes) else "Failed"
    if facts.is_over and facts.is_ending:
        return "Failed"
    if any(each.kind == "init" and not _is_initialized(each) for each in containers):
        return "Pending"
    return "Running" if any(each.starts for each in main) else "Pending"


def _exit_code(each: Container) -> int | None:
    exited = each.state if isinstance(each.state, Terminated) else each.last
    return None if exited is None else exited.exit_code


def _is_initialized(each: Container) -> bool:
    if each.kind == "sidecar":
        return each.is_started or each.starts > 1
    return isinstance(each.state, Terminated) and each.state.exit_code == 0


def choose_qos(pod: Object) -> str:
    """The quality-of-service class (pkg/apis/core/v1/helper/qos)."""
    resources = [each.get("resources") or {} for each in specs_of(pod).values()]
    names = ("cpu", "memory")
    if not any(
        (each.get(kind) or {}).get(name)
        for each in resources
        for kind in ("requests", "limits")
        for name in names
    ):
        return "BestEffort"
    for each in resources:
        limits = each.get("limits") or {}
        requests = limits | (each.get("requests") or {})
        if any(limits.get(name) is None or requests[name] != limits[name] for name in names):
            return "Burstable"
    return "Guaranteed"


def _make_conditions(
    pod: Object, init: Sequence[Container], main: Sequence[Container], phase: str, facts: Facts, now: float
) -> list[Object]:
    has_sandbox = facts.pod_ip is not None and not (facts.is_over and facts.is_ending)
    values: dict[str, tuple[bool, str, str]] = {"PodReadyToStartContainers": (has_sandbox, "", "")}
    unready_init = [each.name for each in init if not _is_initialized(each)]
    is_done = phase == "Succeeded"
    values["Initialized"] = (
        (True, "PodCompleted" if is_done else "", "")
        if is_done or not unready_init
        else (False, "ContainersNotInitialized", _list("incomplete", unready_init))
    )
    ready = _judge_containers(init, main, phase)
    values["Ready"] = values["ContainersReady"] = ready
    closed = list(_explain_gates(pod))
    if ready[0] and closed:
        values["Ready"] = (False, "ReadinessGatesNotReady", ", ".join(closed))
    before = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
    generation = pod["metadata"].get("generation", 1)
    made = [_show_condition(kind, value, before.get(kind), generation, now) for kind, value in values.items()]
    return made + [each for kind, each in before.items() if kind not in values]


def _judge_containers(
    init: Sequence[Container], main: Sequence[Container], phase: str
) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    sidecars = [each for each in init if each.kind == "sidecar"]
    unready = [each.name for each in [*sidecars, *main] if not each.is_ready]
    if unready:
        return False, "ContainersNotReady", _list("unready", unready)
    return True, "", ""


def _explain_gates(pod: Object) -> Iterator[str]:
    """Why the pod is not ready by its gates, a text for each that is not open."""
    conditions = {each["type"]: each["status"] for each in (pod.get("status") or {}).get("conditions") or ()}
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        if name not in conditions:
            yield f'corresponding condition of pod readiness gate "{name}" does not exist.'
        elif conditions[name] != "True":
            yield f'the status of pod readiness gate "{name}" is not "True", but {conditions[name]}'


def _list(word: str, names: Sequence[str]) -> str:
    return f"containers with {word} status: [{' '.join(names)}]"


def _show_condition(
    kind: str, value: tuple[bool, str, str], before: Mapping[str, Any] | None, generation: int, now: float
) -> Object:
    holds, reason, message = value
    status = "True" if holds else "False"
    changed = format_time(now)
    if before is not None and before["status"] == status and before.get("lastTransitionTime"):
        changed = before["lastTransitionTime"]
    shown = {
        "type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": changed,
        "observedGeneration": generation,
    }  # fmt: skip
    return shown | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def _show(pod: Object, each: Container, spec: Object, idle: str) -> Object:
    """One container's status; `idle` is the reason shown while it has not had its turn."""
    state = each.state.before if isinstance(each.state, Starting) else each.state
    # Instances are counted from zero; one that waits for its next start has `starts` of them behind it.
    last_instance = each.starts - 1 if isinstance(state, Waiting) else each.starts - 2
    shown: Object = {
        "name": each.name,
        "state": _show_state(pod, each, state, idle),
        "lastState": {}
        if each.last is None
        else {"terminated": _show_exit(pod, each, each.last, last_instance)},
        "ready": each.is_ready or (each.kind == "init" and _is_initialized(each)),
        "restartCount": each.restarts,
        "image": spec["image"],
        "imageID": f"simcluster://{spec['image']}" if each.starts else "",
        "started": each.is_started,
        "resources": spec.get("resources") or {},
    }
    if each.starts:
        shown["containerID"] = _identify(pod, each, each.restarts)
    if shown["resources"].get("requests"):
        shown["allocatedResources"] = shown["resources"]["requests"]
    return shown


def _show_ephemeral(pod: Object, each: Container, spec: Object) -> Object:
    """An ephemeral container's status: nobody asks whether it is ready."""
    shown = _show(pod, each, spec, CREATING)
    absent = ("started",) if each.starts else ("started", "resources")
    return {key: value for key, value in shown.items() if key not in absent} | {"ready": False}


def _show_state(pod: Object, each: Container, state: Waiting | Running | Terminated, idle: str) -> Object:
    match state:
        case Running(started_at=started_at):
            return {"running": {"startedAt": format_time(started_at)}}
        case Terminated():
            return {"terminated": _show_exit(pod, each, state, each.restarts)}
        case Waiting(reason=reason, message=message):
            shown = {"reason": idle if reason == CREATING else reason}
            return {"waiting": shown | ({"message": message} if message else {})}


def _show_exit(pod: Object, each: Container, exited: Terminated, instance: int) -> Object:
    shown = {
        "exitCode": exited.exit_code,
        "reason": exited.reason,
        "startedAt": format_time(exited.started_at),
        "finishedAt": format_time(exited.finished_at),
        "containerID": _identify(pod, each, instance),
    }
    return shown | ({"message": exited.message} if exited.message else {})


def _identify(pod: Object, each: Container, instance: int) -> str:
    text = f"{pod['metadata']['uid']}/{each.name}/{instance}"
    return f"simcluster://{hashlib.sha256(text.encode()).hexdigest()}"
