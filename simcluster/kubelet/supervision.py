"""The probes and the postStart hook of one running container, and what their results do to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simcluster.kubelet import launch, probes
from simcluster.kubelet.containers import Container
from simcluster.kubelet.prober import Kind, Schedule, probe

if TYPE_CHECKING:
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
_HOOK_S = 24 * 3600.0  # a postStart hook has no time-out of its own


async def supervise(worker: PodWorker, name: str) -> None:
    """Run the hook and the probes until the container ends (the task is cancelled then)."""
    spec = worker.spec(name)
    async with asyncio.TaskGroup() as group:
        hook = (spec.get("lifecycle") or {}).get("postStart")
        if hook:
            group.create_task(_run_hook(worker, name, hook))
        if spec.get("startupProbe"):
            await _probe(worker, name, "startup")
            if not worker.containers[name].is_started:
                return
        if spec.get("livenessProbe"):
            group.create_task(_probe(worker, name, "liveness"))
        if spec.get("readinessProbe"):
            group.create_task(_probe(worker, name, "readiness"))


async def _run_hook(worker: PodWorker, name: str, hook: Object) -> None:
    target = launch.make_target(worker, name, worker.instances[name])
    outcome = await probes.run(hook, target, _HOOK_S)
    if not outcome.is_success:
        worker.tell("Warning", "FailedPostStartHook", "PostStartHook failed", name)
        worker.stop_container(name, message="FailedPostStartHook")


async def _probe(worker: PodWorker, name: str, kind: Kind) -> None:
    spec = worker.spec(name)[f"{kind}Probe"]
    target = launch.make_target(worker, name, worker.instances[name])

    async def check(timeout_s: float) -> probes.Outcome:
        frost = worker.host.frost
        await frost.wait()
        outcome = await probes.run(spec, target, timeout_s)
        await frost.wait()
        return outcome

    def change(is_well: bool) -> None:  # noqa: FBT001 -- a result, not an option
        _take_result(worker, name, kind, spec, is_well=is_well)

    def complain(message: str) -> None:
        worker.tell("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {message}", name)

    delays = worker.host.profile
    await probe(
        kind, Schedule.of(spec), check, change, complain,
        first_s=delays.first_probe_s, again_s=delays.probe_again_s,
    )  # fmt: skip


def _take_result(worker: PodWorker, name: str, kind: Kind, probe_spec: Object, *, is_well: bool) -> None:
    each: Container = worker.containers[name]
    if kind == "readiness":
        worker.put(replace(each, is_ready=is_well))
    elif is_well:
        if kind == "startup":
            has_readiness = bool(worker.spec(name).get("readinessProbe"))
            worker.put(replace(each, is_started=True, is_ready=not has_readiness))
    elif not each.is_stopping:
        message = f"Container {name} failed {kind} probe, will be restarted"
        worker.stop_container(name, grace_s=probe_spec.get("terminationGracePeriodSeconds"), message=message)
