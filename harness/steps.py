"""The verbs of a scenario: one small async function each, through the Kubernetes API.

Rule: a step returns when what it promises is true (docs/scenarios.md says what that is), and raises
StepError when it does not become true in time; a fault is not believed until its effect was seen. Victims
are chosen by the scenario's seed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from harness.errors import ApiError, ClusterError, StepError
from harness.kube import DEPLOYMENTS, MERGE_PATCH, PODS, Kube
from harness.manifests import load_file
from harness.scenario import Apply, Break, Delete, Freeze, Kill, Roll, Scale, Step, Undo, Wait
from harness.scene import Object, Scene, is_ready, restarts
from harness.stage import Stage, describe, describe_unsettled, read_events

_SEEN_S = 30.0
_KILLED = 137
_NOT_FOUND = 404
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_ENDING = ("KILL", "TERM", "INT", "QUIT")


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did: the pods it was aimed at, and when a signal had reached its process."""

    pods: tuple[str, ...] = ()
    struck_at: float | None = None


async def perform(step: Step, stage: Stage) -> Done:
    """Carry out a step. Raises StepError, with the step's place in the file."""
    try:
        return await _VERBS[type(step.action)](step, stage)
    except (StepError, ClusterError) as error:
        place = f"{stage.scenario.path}:{step.line}: step {step.number}"
        told = [f"{place}: {step.action}: {error}", *(f"  {line}" for line in await read_events(stage))]
        raise StepError("\n".join(told)) from None


async def _wait(step: Step, stage: Stage) -> Done:
    action = cast(Wait, step.action)
    if action.for_s is not None:
        await asyncio.sleep(action.for_s)
        return Done()
    deployment, service = stage.deployment(action.deployment), stage.scenario.target.service
    conditions: dict[str | None, Callable[[], bool]] = {
        "rollout": lambda: stage.scene.is_rolled_out(deployment),
        "settled": lambda: stage.scene.is_settled(deployment, service),
    }
    await stage.scene.until(
        conditions[action.condition],
        action.timeout_s,
        lambda: (
            describe_unsettled(stage.scene, deployment, service)
            if action.condition == "settled"
            else describe(stage.scene, deployment)
        ),
        of_calls=False,
    )
    return Done()


async def _scale(step: Step, stage: Stage) -> Done:
    action = cast(Scale, step.action)
    deployment = stage.deployment(action.deployment)
    path = DEPLOYMENTS.path(stage.namespace, deployment, "scale")
    await stage.kube.patch(path, {"spec": {"replicas": action.replicas}}, kind=MERGE_PATCH)

    def is_seen() -> bool:  # so that a wait that follows does not look at what was before
        found = stage.scene.deployments.get(deployment)
        return found is not None and found["spec"]["replicas"] == action.replicas

    await stage.scene.until(
        is_seen, _SEEN_S, lambda: f"deployment {deployment} was not seen with its new size"
    )
    return Done()


async def _kill(step: Step, stage: Stage) -> Done:
    action = cast(Kill, step.action)
    victims = choose(stage, action, step.number)
    names = tuple(victim["metadata"]["name"] for victim in victims)
    if action.signal is None:
        for name in names:
            await stage.kube.delete(PODS.path(stage.namespace, name), grace_s=action.grace_s)
        await stage.scene.until(
            lambda: all(_is_going(stage.scene, name) for name in names),
            action.timeout_s,
            lambda: f"not every pod of {', '.join(names)} was seen to go",
        )
        return Done(names)
    for victim in victims:
        await _strike(stage, action, victim)
    struck_at = stage.scene.now()
    if action.signal in _ENDING:
        before = {victim["metadata"]["name"]: restarts(victim) for victim in victims}
        await stage.scene.until(
            lambda: all(_has_ended(stage.scene, name, count) for name, count in before.items()),
            action.timeout_s,
            lambda: (
                f"SIG{action.signal} was sent, but not every process of {', '.join(names)} was seen to end"
            ),
        )
    return Done(names, struck_at)


async def _roll(step: Step, stage: Stage) -> Done:
    action = cast(Roll, step.action)
    deployment = stage.deployment(action.deployment)
    annotations = {_RESTARTED_AT: datetime.now(UTC).isoformat(timespec="milliseconds")}
    body: Object = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    changed = await stage.kube.patch(DEPLOYMENTS.path(stage.namespace, deployment), body, kind=MERGE_PATCH)
    generation = changed["metadata"]["generation"]
    is_over = stage.scene.is_rolled_out if action.is_complete else stage.scene.is_taken_up
    await stage.scene.until(
        lambda: is_over(deployment, generation),
        action.timeout_s,
        lambda: describe(stage.scene, deployment),
        of_calls=False,
    )
    return Done()


async def _delete(step: Step, stage: Stage) -> Done:
    action = cast(Delete, step.action)
    resource = await stage.kube.kind(action.kind)
    await stage.kube.delete(resource.path(stage.namespace, action.name))
    return Done()


async def _apply(step: Step, stage: Stage) -> Done:
    action = cast(Apply, step.action)
    for found in load_file(stage.scenario.path.parent / action.file):
        applied = await apply(stage.kube, stage.namespace, found)
        if applied["kind"] == "Deployment":
            await _until_seen(stage.scene, applied["metadata"]["name"], applied["metadata"]["generation"])
    return Done()


async def _until_seen(scene: Scene, deployment: str, generation: int) -> None:
    """Wait for a change of a deployment, so that a wait that follows does not look at what was before."""

    def is_seen() -> bool:
        found = scene.deployments.get(deployment)
        return found is not None and found["metadata"]["generation"] >= generation

    await scene.until(is_seen, _SEEN_S, lambda: f"deployment {deployment} was not seen with its change")


async def apply(kube: Kube, namespace: str, found: Object) -> Object:
    """Merge an object of a namespace into the one that is there, or create it.

    In this order, because what is to be merged need not be whole, and a server checks what is to be created first.
    """
    resource = await kube.resource(found["apiVersion"], found["kind"])
    try:
        return await kube.patch(resource.path(namespace, found["metadata"]["name"]), found, kind=MERGE_PATCH)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
    return await kube.create(resource.path(namespace), found)


async def _freeze(step: Step, stage: Stage) -> Done:
    action = cast(Freeze, step.action)
    if action.is_of_node:
        node = busiest(stage, str(action.node_of)) if action.node is None else action.node
        there = [pod["metadata"]["name"] for pod in stage.scene.pods.values() if _node(pod) == node]
        fields = {"node": node}
        await stage.faults.begin(step.verb, "freeze_node", fields, action.for_s, f"freeze node {node}")
        return Done(tuple(sorted(there)))
    names = tuple(victim["metadata"]["name"] for victim in choose(stage, action, step.number))
    for name in names:
        fields = {"namespace": stage.namespace, "pod": name}
        await stage.faults.begin(step.verb, "freeze_pod", fields, action.for_s, f"freeze pod {name}")
    return Done(names)


async def _break(step: Step, stage: Stage) -> Done:
    action = cast(Break, step.action)
    fields = dict(action.fields)
    if action.kind == "reshuffle_slices":
        service = stage.scenario.target.service if action.service is None else action.service
        fields |= {"namespace": stage.namespace, "service": service}
    elif action.service is not None:
        fields["services"] = (f"{action.service}.{stage.namespace}",)
    await stage.faults.begin(step.verb, action.kind, fields, action.for_s, str(action))
    return Done()


async def _undo(step: Step, stage: Stage) -> Done:
    await stage.faults.undo(cast(Undo, step.action).verb)
    return Done()


def busiest(stage: Stage, deployment: str) -> str:
    """The node where most ready pods of a deployment are; of several, the first by name."""
    nodes = Counter(_node(pod) for pod in stage.scene.pods_of(deployment) if is_ready(pod))
    if not nodes:
        raise StepError(f"no pod of {deployment} is ready, so none of its nodes can be named")
    return min(nodes, key=lambda node: (-nodes[node], node))


def choose(stage: Stage, action: Kill | Freeze, number: int) -> list[Object]:
    """The pods that a step is aimed at.

    Ready ones, drawn by the seed and the step's number from oldest to youngest.

    Names are random, so the same seed gives the same place in the order of age, not the same name.
    """
    deployment = stage.deployment(action.deployment)
    ready = [
        pod
        for pod in stage.scene.pods_of(deployment)
        if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]
    ]
    if len(ready) < action.pods:
        raise StepError(f"{action.pods} ready pod(s) of {deployment} are needed, there are {len(ready)}")
    draw = random.Random(f"{stage.scenario.seed}:{number}")  # noqa: S311  # repeatable on purpose
    return draw.sample(ready, action.pods)


async def _strike(stage: Stage, action: Kill, victim: Object) -> None:
    name = victim["metadata"]["name"]
    container = victim["spec"]["containers"][0]["name"] if action.container is None else action.container
    script = 'kill -s "$1" "$(cat "$2")"'
    command = ["sh", "-c", script, "sh", str(action.signal), str(action.pid_file)]
    code, printed = await stage.kube.execute(stage.namespace, name, container, command)
    # A container that ends takes the command that ended it along, with SIGKILL: that its process ended is seen later.
    if code not in (0, _KILLED):
        raise StepError(f"the signal did not reach {name}: exit code {code}: {printed.strip()[:300]}")


def _node(pod: Object) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _is_going(scene: Scene, name: str) -> bool:
    return name not in scene.pods or "deletionTimestamp" in scene.pods[name]["metadata"]


def _has_ended(scene: Scene, name: str, restarts_before: int) -> bool:
    return name not in scene.pods or restarts(scene.pods[name]) > restarts_before


_VERBS: dict[type[Any], Callable[[Step, Stage], Awaitable[Done]]] = {
    Apply: _apply,
    Break: _break,
    Delete: _delete,
    Freeze: _freeze,
    Kill: _kill,
    Roll: _roll,
    Scale: _scale,
    Undo: _undo,
    Wait: _wait,
}
