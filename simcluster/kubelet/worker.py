"""One pod on its node, from the binding to the removal of its object.

The rules it keeps (pkg/kubelet/pod_workers.go and kuberuntime_container.go): what to do is decided in
`containers` from all that is known, and decided again whenever that changes; a pod that is deleted is asked
to end, killed when its grace is over, shown as terminal, and then removed from the API; one whose object is
gone is given two seconds.

It does not know the API server or other pods.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from simcluster.controllers.metadata import is_deleting, uid_of, with_status
from simcluster.errors import StatusError
from simcluster.kubelet import containers, launch
from simcluster.kubelet.containers import (
    Container,
    Decision,
    Policy,
    Running,
    Situation,
    Terminated,
    Waiting,
)
from simcluster.kubelet.host import Host
from simcluster.kubelet.instance import Instance
from simcluster.kubelet.pod_files import PodFiles
from simcluster.kubelet.pod_volumes import PodVolumes
from simcluster.kubelet.resizing import resize
from simcluster.kubelet.spawner import SpawnerEnded, StartFailed
from simcluster.kubelet.status import OVERDUE, Facts, make_status
from simcluster.kubelet.stopping import Stop, stop_instance
from simcluster.kubelet.supervision import supervise
from simcluster.kubelet.volumes import VolumeProblem

_log = logging.getLogger(__name__)
Object = dict[str, Any]
# Why the processes of a pod stand still: their node does.
NODE = "node"


class PodWorker:
    """Runs one pod; `notice` and `forget` tell it what becomes of the pod's object."""

    def __init__(self, host: Host, pod: Object) -> None:
        self.host = host
        self.pod = pod
        self.files = PodFiles(host.directory, pod)
        self.address: str | None = None
        self.network: int | None = None  # a descriptor of its network namespace
        self.containers: dict[str, Container] = {each.name: each for each in launch.list_containers(pod)}
        self.instances: dict[str, Instance] = {}
        self.volumes = PodVolumes(self)
        self.stop = Stop()
        self._started_at = host.clock()
        self._is_ending = False
        self._is_gone = False
        self._is_over = False
        self._is_overdue = False
        self._changed = asyncio.Event()
        self._is_write_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervisors: dict[str, asyncio.Task[None]] = {}
        self.pulls: dict[str, int] = {}
        if is_deleting(pod):
            self._end_soon()

    @property
    def policy(self) -> Policy:
        """The pod's restart policy."""
        policy: Policy = self.pod["spec"].get("restartPolicy", "Always")
        return policy

    def spec(self, name: str) -> Object:
        """The specification of one container."""
        return launch.find_spec(self.pod, name)

    # --- What others tell it

    def notice(self, pod: Object) -> None:
        """The pod's object has changed."""
        was_deleting, before = is_deleting(self.pod), self.pod
        self.pod = pod
        if pod["spec"] is not before["spec"]:
            for each in launch.list_containers(pod):
                self.containers.setdefault(each.name, each)
            resize(self, before)
        self.volumes.refresh_soon()
        if is_deleting(pod):
            self.stop.shorten(pod["metadata"].get("deletionGracePeriodSeconds", 30))
            if not was_deleting:
                self._end_soon()
        self._changed.set()

    def forget(self) -> None:
        """The pod's object is gone: end now."""
        self._is_gone = self._is_ending = True
        self.stop.shorten(0)
        self._changed.set()

    def retry(self) -> None:
        """Something that a container may have lacked is there: look again."""
        self.volumes.refresh_soon()
        self._changed.set()
        for each in self.containers.values():
            if isinstance(each.state, Waiting) and each.state.is_blocked:
                self.put(replace(each, state=replace(each.state, is_blocked=False)))

    def _end_soon(self) -> None:
        host = self.host
        host.call_later(host.race.sigterm_delay_s(host.profile, host.rng), self._end)

    def _end(self) -> None:
        self._is_ending = True
        self._changed.set()

    def halt(self, reason: str) -> None:
        """Stop all processes of the pod where they are; a container that starts later is not stopped."""
        for instance in self.instances.values():
            instance.halt(reason)

    def resume(self, reason: str) -> None:
        """Let the processes that were stopped for this reason go on."""
        for instance in self.instances.values():
            instance.resume(reason)

    # --- Its life

    async def run(self) -> None:
        """From the start to the removal; whatever happens, nothing of it is left running."""
        try:
            await self._set_up()
            await self._live()
            if not self._is_gone:
                await self._take_leave()
        finally:
            await self._clean_up()

    async def _set_up(self) -> None:
        self.files.create()
        await self._set_up_volumes()
        self.address = self.host.place.pod_addresses.allocate(None)
        self.network = self.host.network.attach(self.address)
        if self.host.profile.pod_start_s > 0:
            await asyncio.sleep(self.host.profile.pod_start_s)

    async def _set_up_volumes(self) -> None:
        """Wait until all volumes can be had, or the pod is to end."""
        host, wait_s = self.host, self.host.profile.mount_backoff_s
        while not self._is_ending:
            self._changed.clear()
            try:
                self.volumes.set_up()
            except VolumeProblem as problem:
                host.recorder.record(self.pod, "Warning", "FailedMount", str(problem))
            else:
                return
            self.publish()
            # Files of the node come without anybody being told.
            await self._look_again(host.clock() + wait_s)
            wait_s = min(host.profile.mount_backoff_max_s, 2 * wait_s)

    async def _live(self) -> None:
        while True:
            self._changed.clear()
            decision = self._decide()
            self._is_over = decision.is_over
            if decision.is_over and self._is_ending:
                return
            self._follow(decision)
            self.publish()
            await self._look_again(decision.wake_at)
            await self.host.frost.wait()

    def _decide(self) -> Decision:
        metadata = self.pod["metadata"]
        whose = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        now, every = self.host.clock(), tuple(self.containers.values())
        if not self._is_overdue and self._deadline_at is not None and now >= self._deadline_at:
            self._is_overdue = True
            self.host.recorder.record(self.pod, "Normal", *OVERDUE)
        situation = Situation(every, self.policy, self._is_ending or self._is_overdue, now)
        return containers.decide(situation, self.host.profile, whose)

    def _follow(self, decision: Decision) -> None:
        for name, waiting in decision.waiting:
            self.containers[name] = containers.wait(self.containers[name], waiting)
            if waiting.reason == containers.PULL_BACKOFF:
                self.tell("Normal", "BackOff", f'Back-off pulling image "{waiting.image}"', name)
                self.tell("Warning", "Failed", f"Error: {containers.PULL_BACKOFF}", name)
            if waiting.reason == "CrashLoopBackOff":
                metadata = self.pod["metadata"]
                whose = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
                self.tell(
                    "Warning", "BackOff", f"Back-off restarting failed container {name} in pod {whose}", name
                )
        for name in decision.start:
            self.containers[name] = containers.prepare(self.containers[name])
            self.spawn_task(self._start(name))
        for name in decision.stop:
            self.stop_container(name)

    @property
    def _deadline_at(self) -> float | None:
        """When the pod has been active for as long as it may; None without a limit."""
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        return None if seconds is None else self._started_at + seconds

    async def _look_again(self, wake_at: float | None) -> None:
        if self._deadline_at is not None and not self._is_overdue:
            wake_at = self._deadline_at if wake_at is None else min(wake_at, self._deadline_at)
        if wake_at is None:
            await self._changed.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, wake_at - self.host.clock())):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _take_leave(self) -> None:
        """Show the terminal status, then remove the object."""
        await asyncio.sleep(self.host.profile.status_update_s)
        await self.host.frost.wait()
        self._write()
        if self.host.profile.pod_removed_s > 0:
            await asyncio.sleep(self.host.profile.pod_removed_s)
        await self.host.frost.wait()
        metadata = self.pod["metadata"]
        try:
            self.host.registry.delete(
                "pods", metadata["namespace"], metadata["name"], grace_s=0, uid=uid_of(self.pod)
            )
        except StatusError as error:
            _log.debug("pod %s/%s: %s", metadata["namespace"], metadata["name"], error.message)

    async def _clean_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        for instance in self.instances.values():
            instance.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.address is not None:
            if self.network is not None:
                self.host.network.detach(self.address)
            self.host.place.pod_addresses.release(self.address)
        self.volumes.close()
        self.files.remove()

    # --- One container

    async def _start(self, name: str) -> None:
        await self.host.frost.wait()
        try:
            instance = await launch.launch(self, name)
        except launch.NotYet as obstacle:
            self.put(containers.wait(self.containers[name], obstacle.waiting))
            return
        except SpawnerEnded:
            return  # the cluster is ending
        except StartFailed as failure:
            now = self.host.clock()
            self.tell("Warning", "Failed", f"Error: {launch.START_ERROR}: {failure}", name)
            exited = Terminated(128, "StartError", 0.0, now, f"{launch.START_ERROR}: {failure}")
            self.put(containers.fail(self.containers[name], exited))
            return
        self.instances[name] = instance
        if self.host.frost.is_frozen:  # since its start was asked for
            instance.halt(NODE)
            await self.host.frost.wait()
        spec, now = self.spec(name), self.host.clock()
        has_startup, has_readiness = bool(spec.get("startupProbe")), bool(spec.get("readinessProbe"))
        begun = containers.begin(
            self.containers[name], now, has_startup=has_startup, has_readiness=has_readiness
        )
        self.put(begun)
        self.tell("Normal", "Started", "Container started", name)
        self._supervisors[name] = self.spawn_task(supervise(self, name))
        self.spawn_task(self._await_exit(name, instance))

    async def _await_exit(self, name: str, instance: Instance) -> None:
        code = await instance.wait()
        await self.host.frost.wait()
        finished_at, profile = self.host.clock(), self.host.profile
        seen_s = profile.exit_seen_s
        if not self.containers[name].is_stopping:
            seen_s = self.host.rng.uniform(0, profile.crash_seen_s)
        if seen_s > 0:
            await asyncio.sleep(seen_s)
        self._supervisors[name].cancel()
        each = self.containers[name]
        started_at = each.state.started_at if isinstance(each.state, Running) else finished_at
        wants_log = self.spec(name).get("terminationMessagePolicy") == "FallbackToLogsOnError" and code != 0
        message = self.files.read_message(name, fall_back=wants_log)
        reason = "Completed" if code == 0 else "Error"
        exited = Terminated(code, reason, started_at, finished_at, message)
        del self.instances[name]
        self.put(containers.end(each, exited, profile))

    def stop_container(self, name: str, *, grace_s: float | None = None, message: str | None = None) -> None:
        """Stop a running container: because the pod ends, or (with a grace of its own) because a probe
        failed.
        """
        each = self.containers[name]
        if isinstance(each.state, Running) and not each.is_stopping:
            self.containers[name] = replace(each, is_stopping=True)
            said = f"Stopping container {name}" if message is None else message
            self.spawn_task(stop_instance(self, name, grace_s, said))

    def put(self, each: Container) -> None:
        """What is known of a container has changed: show it, and decide again."""
        self.containers[each.name] = each
        self.publish()
        self._changed.set()

    def spawn_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside; a failure is logged, and all of it ends with the pod."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish_task)
        return task

    def _finish_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("pod %s: %s", self.pod["metadata"]["name"], task.get_name(), exc_info=task.exception())

    def tell(self, kind: Any, reason: str, message: str, container: str) -> None:
        """Record an event about one container."""
        group = launch.GROUPS[self.containers[container].kind]
        self.host.recorder.record(self.pod, kind, reason, message, field_path=f"spec.{group}{{{container}}}")

    # --- Its status

    def publish(self) -> None:
        """Write the status soon."""
        if self._is_write_due:
            return
        if self.host.profile.status_update_s <= 0:
            self._write()
            return
        self._is_write_due = True
        self.host.call_later(self.host.profile.status_update_s, self._write)

    def _write(self) -> None:
        """Write the status, unless the object is gone or is another pod's by now."""
        self._is_write_due = False
        metadata = self.pod["metadata"]
        if self._is_gone or self.host.frost.is_frozen:
            return
        try:
            pod = self.host.registry.get("pods", metadata["namespace"], metadata["name"])
            if uid_of(pod) != uid_of(self.pod):
                return
            facts = Facts(
                self._started_at, self.host.place.address, self.address, self._is_over, self._is_ending,
                self._is_overdue,
            )  # fmt: skip
            every = tuple(self.containers.values())
            status = make_status(pod, every, facts, self.host.clock())
            if status != pod.get("status"):
                self.host.registry.update(
                    "pods",
                    metadata["namespace"],
                    metadata["name"],
                    with_status(pod, status),
                    subresource="status",
                )
        except StatusError as error:
            _log.warning("status of pod %s/%s: %s", metadata["namespace"], metadata["name"], error.message)
