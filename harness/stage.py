"""Where a scenario plays: a namespace of a cluster, what is seen there, and why something there is not ready.

Rule: words for people about a cluster's state are made here, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from harness.errors import ApiError
from harness.faults import Faults
from harness.kube import EVENTS, PODS, Kube
from harness.scenario import Scenario
from harness.scene import Scene, has_begun, is_ready, restarts, trouble

_LOG_LINES = 15
_EVENT_CHARACTERS = 300
_TOLD = ("BackOff", "Failed")  # in the pod's status, too


@dataclass(frozen=True, slots=True)
class Stage:
    """Where steps are carried out."""

    kube: Kube
    namespace: str
    scene: Scene
    scenario: Scenario
    faults: Faults

    def deployment(self, named: str | None) -> str:
        """The deployment that a step names, or the scenario's target."""
        return self.scenario.target.deployment if named is None else named


def describe(scene: Scene, deployment: str) -> str:
    """Why a deployment is not complete, in words, with a line for each pod that is not ready."""
    found = scene.deployments.get(deployment)
    if found is None:
        return (
            f"there is no deployment {deployment}; there are {', '.join(sorted(scene.deployments)) or 'none'}"
        )
    status = found.get("status") or {}
    counts = ", ".join(
        f"{status.get(key) or 0} {word}"
        for key, word in (
            ("replicas", "pods"),
            ("updatedReplicas", "updated"),
            ("availableReplicas", "available"),
        )
    )
    lines = [f"deployment {deployment} is not complete: {found['spec']['replicas']} wanted, {counts}"]
    return "\n  ".join([*lines, *trouble(scene.pods_of(deployment))])


def describe_unsettled(scene: Scene, deployment: str, service: str) -> str:
    """Why a deployment is not settled: it is not complete, pods are still going, or its Service has other endpoints."""
    if not scene.is_rolled_out(deployment):
        return describe(scene, deployment)
    pods = scene.pods_of(deployment)
    names = ", ".join(pod["metadata"]["name"] for pod in pods)
    going = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" in pod["metadata"]]
    if going:
        return f"deployment {deployment} is complete, but pods of it are still going: {', '.join(going)}"
    ready = ", ".join(sorted(scene.ready_endpoints(service))) or "none"
    return (
        f"deployment {deployment} is complete, but the ready endpoints of Service {service} are not its pods\n"
        f"  endpoints: {ready}; pods: {names}\n"
        "  does the Service's selector fit the labels of the pods?"
    )


async def read_events(stage: Stage) -> list[str]:
    """What the cluster says against pods that are not ready or can not be made: the last warning of each kind."""
    waiting = {name for name, pod in stage.scene.pods.items() if not is_ready(pod)}
    try:
        found = (await stage.kube.get(EVENTS.path(stage.namespace), fieldSelector="type=Warning"))["items"]
    except (ApiError, aiohttp.ClientError, OSError) as error:
        return [f"no events: {error}"]
    last: dict[tuple[str, str], str] = {}
    for event in sorted(found, key=lambda event: str(event.get("lastTimestamp"))):
        about, reason = event["involvedObject"], str(event.get("reason"))
        if (about.get("name") in waiting or about.get("kind") == "ReplicaSet") and reason not in _TOLD:
            last[about["name"], reason] = str(event.get("message")).strip()[:_EVENT_CHARACTERS]
    return [f"{name}: {reason}: {message}" for (name, reason), message in sorted(last.items())]


async def read_logs(stage: Stage) -> list[str]:
    """The last lines of the logs of containers that are not ready or have ended, each with its pod's name."""
    found = []
    for name, pod in sorted(stage.scene.pods.items()):
        if not has_begun(pod) or (is_ready(pod) and not restarts(pod)):
            continue
        query = {"tailLines": str(_LOG_LINES), **({"previous": "true"} if restarts(pod) else {})}
        try:
            async with stage.kube.lines(PODS.path(stage.namespace, name, "log"), **query) as lines:
                found += [f"{name}: {line}" async for line in lines]
        except (ApiError, aiohttp.ClientError) as error:
            found.append(f"{name}: no log: {error}")
    return found
