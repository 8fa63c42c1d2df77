"""Ending a container: the preStop hook, the stop signal, the grace, the kill.

The rules it keeps (killContainer in pkg/kubelet/kuberuntime): the hook runs within the grace; what is left of
that, but at least two seconds, is for the process; a grace that is shortened meanwhile counts from then.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simcluster.kubelet import launch, probes
from simcluster.kubelet.instance import Instance, signal_number

if TYPE_CHECKING:
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
_LEAST_S = 2.0
_USUAL_S = 30


@dataclass(slots=True)
class Stop:
    """The grace of a pod that is being deleted, which may become shorter."""

    grace_s: float | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def shorten(self, grace_s: float) -> None:
        """Make the grace this long from now on, if that is shorter."""
        if self.grace_s is None or grace_s < self.grace_s:
            self.grace_s = grace_s
            self._changed.set()
            self._changed = asyncio.Event()

    async def wait_until_shorter(self) -> None:
        """Wait until the grace is shortened."""
        await self._changed.wait()


async def stop_instance(worker: PodWorker, name: str, grace_s: float | None, message: str) -> None:
    """Stop one container; `grace_s` is one of its own (a failed probe's), None takes the pod's; `message` says why."""
    instance, spec = worker.instances[name], worker.spec(name)
    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    worker.tell("Normal", "Killing", message, name)
    chosen_s = _choose_grace(worker, grace_s)
    await _run_hook(worker, name, instance, chosen_s)
    await worker.host.frost.wait()
    await _wait_for_turn(worker, name, chosen_s - (loop.time() - begun_at))
    left_s = max(_LEAST_S, chosen_s - (loop.time() - begun_at))
    lifecycle = spec.get("lifecycle") or {}
    stop_signal = lifecycle.get("stopSignal")
    instance.terminate(
        signal_number(stop_signal if stop_signal else "SIGTERM"),
        is_shared=bool(worker.pod["spec"].get("shareProcessNamespace"))
        or bool(worker.pod["spec"].get("hostPID")),
    )
    await _wait_for_exit(worker, instance, loop.time() + left_s)
    await worker.host.frost.wait()
    instance.kill()


async def _wait_for_turn(worker: PodWorker, name: str, left_s: float) -> None:
    """Let what uses a sidecar end before it: the main containers, and the sidecars that came after it
    (kuberuntime_termination_order.go). One that ends alone waits for nobody.
    """
    names = list(worker.containers)
    if worker.containers[name].kind != "sidecar":
        return
    first = [
        each
        for each in worker.containers.values()
        if each.name in worker.instances
        and (each.kind == "main" or names.index(each.name) > names.index(name))
    ]
    if left_s > 0 and first and all(each.is_stopping for each in first):
        waits = [asyncio.ensure_future(worker.instances[each.name].child.wait()) for each in first]
        await asyncio.wait(waits, timeout=left_s)
        for each in waits:
            each.cancel()


def _choose_grace(worker: PodWorker, grace_s: float | None) -> float:
    if worker.stop.grace_s is not None:
        return worker.stop.grace_s
    if grace_s is not None:
        return grace_s
    spec_s = worker.pod["spec"].get("terminationGracePeriodSeconds")
    return float(_USUAL_S if spec_s is None else spec_s)


async def _run_hook(worker: PodWorker, name: str, instance: Instance, grace_s: float) -> None:
    hook = (worker.spec(name).get("lifecycle") or {}).get("preStop")
    if not hook or grace_s <= 0:
        return
    target = launch.make_target(worker, name, instance)
    outcome = await probes.run(hook, target, grace_s)
    if not outcome.is_success:
        worker.tell("Warning", "FailedPreStopHook", "PreStopHook failed", name)


async def _wait_for_exit(worker: PodWorker, instance: Instance, deadline_at: float) -> None:
    """Wait until the process has ended or its time is over, which may come sooner than was said."""
    loop = asyncio.get_running_loop()
    exited = asyncio.ensure_future(instance.child.wait())
    try:
        while not exited.done() and loop.time() < deadline_at:
            shorter = asyncio.ensure_future(worker.stop.wait_until_shorter())
            await asyncio.wait(
                {exited, shorter}, timeout=deadline_at - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
            if shorter.done() and worker.stop.grace_s is not None:
                deadline_at = min(deadline_at, loop.time() + max(_LEAST_S, worker.stop.grace_s))
            shorter.cancel()
    finally:
        exited.cancel()
