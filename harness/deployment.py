"""Bringing a scenario's objects onto the cluster, in order.

Everything but the clients, then the clients, then warmth.

Rule: `prepare` reads and checks all that can be checked without a cluster; `deploy` returns when every
client has had its answers. A pod that is beyond hope ends the waiting at once, with its reason and its last
lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness import manifests, placement
from harness.errors import ApiError, ManifestError, StepError, located, suggest
from harness.history import BadLine
from harness.kube import NODES, Object
from harness.scenario import Apply, Scenario
from harness.scene import Scene, is_hopeless, trouble
from harness.stage import Stage, describe, describe_unsettled, read_events, read_logs

READY_S = 120.0
WARM_S = 60.0
NODES_S = 30.0
_POLL_S = 0.25
_TARGET = "a scenario names its own with `target: {deployment: …, service: …}`"


class Say(Protocol):
    """Tells a person what is being waited for; `detail` is asked for more each time that is shown."""

    def __call__(self, text: str, detail: Callable[[], str] | None = None) -> None:
        """Say it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The objects of a scenario, as they will be created."""

    others: tuple[Object, ...]
    clients: tuple[Object, ...]


def prepare(scenario: Scenario) -> Plan:
    """The objects of a scenario's manifests, with its load and its number of pods. Raises ManifestError."""
    objects = manifests.load(scenario.manifests)
    by_variant = {manifests.client_variant(found): found for found in objects}
    clients = tuple(_client(scenario, by_variant, variant.name, variant.env) for variant in scenario.variants)
    others = tuple(_sized(found, scenario) for found in objects if manifests.client_variant(found) is None)
    _check_target(scenario, objects)
    _check_files(scenario)
    return Plan(others, clients)


async def deploy(plan: Plan, stage: Stage, say: Say) -> None:
    """Create everything and wait until it is ready and each client is warm.

    Raises StepError with what is known.
    """
    try:
        hosts = await _hosts(stage)
        for part, what in ((plan.others, "objects"), (plan.clients, "clients")):
            say(f"deploying {len(part)} {what}")
            for found in part:
                await _create(stage, _placed(found, stage, hosts))
            names = [found["metadata"]["name"] for found in part if found["kind"] == "Deployment"]
            await _until_ready(stage, names, say)
        await _until_warm(stage, len(plan.clients), say)
    except StepError as error:
        lines = [*await read_events(stage), *await read_logs(stage)]
        raise StepError("\n".join([str(error), *(f"  {line}" for line in lines)])) from None


def _check_target(scenario: Scenario, objects: Sequence[Object]) -> None:
    for kind, wanted in (
        ("Deployment", scenario.target.deployment),
        ("Service", scenario.target.service),
    ):
        names = [found["metadata"].get("name", "") for found in objects if found["kind"] == kind]
        if wanted not in names:
            hints = [*suggest(wanted, names, what=f"{kind}s in {scenario.manifests}"), _TARGET]
            raise ManifestError(
                located(
                    str(scenario.path), None, f"the target {kind} {wanted} is not in the manifests", hints
                )
            )


def _check_files(scenario: Scenario) -> None:
    for step in scenario.steps:
        if isinstance(step.action, Apply):
            try:
                manifests.load_file(scenario.path.parent / step.action.file)
            except ManifestError as error:
                place = f"step {step.number}: {step.action}"
                raise ManifestError(located(str(scenario.path), step.line, f"{place}: {error}")) from None


def _client(
    scenario: Scenario, by_variant: dict[str | None, Object], variant: str, env: tuple[tuple[str, str], ...]
) -> Object:
    if variant not in by_variant:
        known = ", ".join(sorted(name for name in by_variant if name is not None)) or "none"
        raise ManifestError(
            f"{scenario.path}: no client measures the variant {variant}\n"
            f"  clients in {scenario.manifests}: {known}\n"
            f"  a client is a Deployment with the labels app: client and kube-grpc.dev/variant: {variant}"
        )
    load = scenario.load
    given = (("RATE", f"{load.rate:g}"), ("DEADLINE_S", f"{load.deadline_s:g}"), *env)
    return manifests.with_load(by_variant[variant], load.clients, given)


def _sized(found: Object, scenario: Scenario) -> Object:
    target = scenario.target
    is_target = found["kind"] == "Deployment" and found["metadata"]["name"] == target.deployment
    if not is_target or target.replicas is None:
        return found
    return {**found, "spec": {**found["spec"], "replicas": target.replicas}}


async def _hosts(stage: Stage) -> list[str]:
    """The nodes to place pods on; none where one was asked for, which is left to the scheduler."""
    wanted = stage.scenario.cluster.nodes
    if wanted == 1:
        return []
    found: list[str] = []
    try:
        async with asyncio.timeout(NODES_S):  # a young cluster's nodes are not ready yet
            while len(found) < wanted:
                found = placement.hosts((await stage.kube.get(NODES.path(None)))["items"])
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StepError(f"{wanted} nodes that take pods are needed; this cluster has {len(found)}") from None
    return found[:wanted]


def _placed(found: Object, stage: Stage, hosts: list[str]) -> Object:
    return placement.place(found, stage.scenario.target.deployment, hosts) if hosts else found


async def _create(stage: Stage, found: Object) -> None:
    resource = await stage.kube.resource(found["apiVersion"], found["kind"])
    try:
        await stage.kube.create(resource.path(stage.namespace), found)
    except ApiError as error:
        if error.status != 409 or resource.is_namespaced:
            raise
        # Something of the whole cluster, an IngressClass say, that an earlier scenario or its owner has made.


async def _until_ready(stage: Stage, names: list[str], say: Say) -> None:
    scene, target = stage.scene, stage.scenario.target
    for name in names:
        await _until(scene, name, lambda name=name: scene.is_rolled_out(name), say)  # type: ignore[misc]  # bound now
    if target.deployment in names:
        name, service = target.deployment, target.service
        await _until(scene, name, lambda: scene.is_settled(name, service), say, service=service)


async def _until(
    scene: Scene, deployment: str, is_met: Callable[[], bool], say: Say, *, service: str | None = None
) -> None:
    """Wait until a condition holds, and no longer than a pod of the deployment leaves hope for it."""

    def tell() -> str:
        return (
            describe(scene, deployment) if service is None else describe_unsettled(scene, deployment, service)
        )

    what = f"deployment {deployment}" if service is None else f"the endpoints of Service {service}"
    say(f"waiting for {what}", lambda: next(iter(trouble(scene.pods_of(deployment))), ""))

    def is_over() -> bool:
        return is_met() or any(is_hopeless(pod) for pod in scene.pods_of(deployment))

    await scene.until(is_over, READY_S, tell, of_calls=False)
    if not is_met():
        raise StepError(tell())


async def _until_warm(stage: Stage, deployments: int, say: Say) -> None:
    scene, load = stage.scene, stage.scenario.load
    wanted = load.clients * deployments

    def warm() -> int:
        return sum(client.answered >= load.warm_up for client in scene.clients.values())

    def is_over() -> bool:
        return warm() >= wanted or any(is_hopeless(pod) for pod in scene.pods.values())

    say(f"warming up: {load.warm_up} answers for each client", lambda: f"{warm()} of {wanted} are warm")
    await scene.until(is_over, WARM_S, lambda: _cold(scene, load.warm_up, wanted))
    if warm() < wanted:
        raise StepError(_cold(scene, load.warm_up, wanted))


def _cold(scene: Scene, needed: int, wanted: int) -> str:
    lines = [f"not every client is warm: {wanted} clients need {needed} answers each"]
    for client in sorted(scene.clients.values(), key=lambda client: client.name):
        if client.answered < needed:
            last = "" if client.last_error is None else f", the last failure: {client.last_error}"
            lines.append(f"{client.name}: {client.answered} of {len(client.calls)} calls were answered{last}")
    silent = [
        name for name, pod in scene.pods.items() if manifests.is_client_pod(pod) and name not in scene.clients
    ]
    broken = {record.client: record.reason for record in scene.records if isinstance(record, BadLine)}
    lines += [
        f"{name}: printed no sample" + (f", but a broken one: {broken[name]}" if name in broken else "")
        for name in sorted(silent)
    ]
    return "\n  ".join([*lines, *trouble(scene.pods.values())])
