"""The kubelet: runs the pods that are bound to its node, and serves their logs and commands.

The rules it keeps: one worker a pod, by uid; a pod that is bound again under its old name waits for nobody,
since it has an address and a folder of its own. What a pod does is `worker`'s part; which pods are its own and
when its node's heart beats, it is told by the `fleet`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
from collections.abc import AsyncIterator
from typing import Any

from simcluster.controllers.metadata import name_of, uid_of
from simcluster.errors import BadRequest, NotFound, PlainError, StatusError
from simcluster.kubelet.attachment import Attachment
from simcluster.kubelet.containers import CREATING, PULL_BACKOFF, PULL_FAILED, Running, Starting, Waiting
from simcluster.kubelet.execution import Execution
from simcluster.kubelet.host import Host
from simcluster.kubelet.instance import Instance
from simcluster.kubelet.launch import find_spec
from simcluster.kubelet.logs import ContainerLog, Selection
from simcluster.kubelet.node import NodeStatus
from simcluster.kubelet.spawner import StartFailed
from simcluster.kubelet.status_only import StatusOnlyPods
from simcluster.kubelet.worker import NODE, PodWorker

_log = logging.getLogger(__name__)
Object = dict[str, Any]
# How a request for the log of a container that waits is told why, where not by the reason itself.
_WAITS = {PULL_FAILED: "image can't be pulled", PULL_BACKOFF: "trying and failing to pull image"}


class Kubelet:
    """One node's kubelet, from `start` to `stop`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._node = NodeStatus(host)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._missed: dict[str, tuple[Object, bool]] = {}
        self._idle = StatusOnlyPods(host)
        self._is_stopping = False

    @property
    def node(self) -> str:
        """The name of its node."""
        return self._host.node

    def start(self) -> None:
        """Register the node."""
        self._node.start()

    def beat(self) -> None:
        """Tell the API that the node is alive."""
        self._node.beat()

    async def stop(self) -> None:
        """Kill every pod at once; nothing is written to the API any more."""
        self._is_stopping = True
        self._idle.close()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def notice(self, pod: Object, *, is_gone: bool) -> None:
        """A pod of this node was bound, has changed, or (`pod` is its last state) is gone."""
        if self._is_stopping:
            return
        uid = uid_of(pod)
        if self._host.frost.is_frozen:
            self._missed[uid] = (pod, is_gone)
            return
        if uid in self._idle:
            (self._idle.forget if is_gone else self._idle.notice)(pod)
            return
        worker = self._workers.get(uid)
        if is_gone:
            if worker is not None:
                worker.forget()
        elif worker is not None:
            worker.notice(pod)
        elif (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            self._take_on(pod)

    def _take_on(self, pod: Object) -> None:
        uid = uid_of(pod)
        if self._host.is_status_only or self._host.images.are_status_only(pod):
            self._idle.take_on(pod)
            return
        worker = self._workers[uid] = PodWorker(self._host, pod)
        task = self._tasks[uid] = asyncio.create_task(worker.run(), name=f"pod {'/'.join(name_of(pod))}")
        task.add_done_callback(lambda done: self._let_go(uid, done))

    def _let_go(self, uid: str, task: asyncio.Task[None]) -> None:
        del self._workers[uid], self._tasks[uid]
        if not task.cancelled() and task.exception() is not None:
            _log.error("%s is not looked after any more", task.get_name(), exc_info=task.exception())

    def retry(self, namespace: str) -> None:
        """Something that containers of a namespace may wait for is there: look again."""
        if self._is_stopping or self._host.frost.is_frozen:
            return
        for worker in self._workers.values():
            if worker.pod["metadata"]["namespace"] == namespace:
                worker.retry()

    # --- Standing still

    def freeze(self) -> None:
        """Have the whole node stand still until `thaw`: its processes, its probes, its lease, its answers."""
        self._host.frost.freeze()
        for worker in self._workers.values():
            worker.halt(NODE)

    def thaw(self) -> None:
        """Go on where `freeze` stopped; what was asked of the node meanwhile is done now."""
        self._host.frost.thaw()
        self._idle.resume()
        for worker in self._workers.values():
            worker.resume(NODE)
            worker.retry()
            worker.publish()
        missed, self._missed = self._missed, {}
        for pod, is_gone in missed.values():
            self.notice(pod, is_gone=is_gone)
        self.beat()

    def freeze_pod(self, uid: str, reason: str) -> None:
        """Stop the processes of a pod where they are. The node goes on: it probes and restarts as ever.

        NotFound if the pod does not run here.
        """
        worker = self._workers.get(uid)
        if worker is None or not worker.instances:
            raise NotFound("pods", uid)
        worker.halt(reason)

    def thaw_pod(self, uid: str, reason: str) -> None:
        """Let the processes of a pod go on; nothing happens if it is gone."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.resume(reason)

    # --- What the API server asks

    def _find(self, namespace: str, pod: str, container: str) -> PodWorker:
        """The worker of a pod that has such a container; NotFound or BadRequest if there is none."""
        uid = uid_of(self._host.registry.get("pods", namespace, pod))
        if uid in self._idle:
            raise BadRequest(f'container "{container}" in pod "{pod}" has no process: the pod is status only')
        worker = self._workers.get(uid)
        if worker is None:
            raise NotFound("pods", pod)
        if container not in worker.containers:
            raise BadRequest(f"container {container} is not valid for pod {pod}")
        return worker

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool,
        previous: bool,
        since_s: int | None,
        since_at: float | None,
        tail_lines: int | None,
        timestamps: bool,
        limit_bytes: int | None,
    ) -> AsyncIterator[bytes]:
        """A container's log, piece by piece. BadRequest, before the first piece, if there is none."""
        await self._host.frost.wait()
        log = self._find_log(namespace, pod, container, previous=previous)
        if since_s is not None:
            since_at = self._host.clock() - since_s
        selection = Selection(since_at, tail_lines, limit_bytes, timestamps, follow and not previous)
        return log.read(selection)

    def _find_log(self, namespace: str, pod: str, container: str, *, previous: bool) -> ContainerLog:
        worker = self._find(namespace, pod, container)
        state = worker.containers[container].state
        state = state.before if isinstance(state, Starting) else state
        waits = isinstance(state, Waiting)
        # While it waits for a restart, the instance that ended is both the current and the previous one.
        log = worker.files.find_log(container, previous=previous and not waits)
        if log is not None and (previous or not waits or worker.containers[container].starts):
            return log
        if previous:
            raise BadRequest(f'previous terminated container "{container}" in pod "{pod}" not found')
        reason = state.reason if isinstance(state, Waiting) else CREATING
        reason = _WAITS.get(reason, reason)
        raise BadRequest(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')

    async def execute(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> Execution:
        """Start a command in a running container. PlainError: it does not run; StatusError: the command can not be
        started.
        """
        instance = await self.find_running("exec", namespace, pod, container)
        if not command:
            raise _refuse_start("args must not be empty")
        try:
            return await Execution.start(instance, command, stdin=stdin, tty=tty)
        except StartFailed as failure:
            raise _refuse_start(f"unable to start container process: {failure}") from failure

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> Attachment:
        """Listen and talk to a running container; PlainError if it does not run."""
        instance = await self.find_running("attach", namespace, pod, container)
        spec = find_spec(self._find(namespace, pod, container).pod, container)
        takes = stdin and spec.get("stdin", False)
        return Attachment(instance, stdin=takes, once=spec.get("stdinOnce", False))

    async def connect(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port at the pod's own address; OSError if nobody listens there."""
        await self._host.frost.wait()
        worker = self._workers.get(uid_of(self._host.registry.get("pods", namespace, pod)))
        if worker is None or worker.address is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return await asyncio.open_connection(worker.address, port)

    async def attend(self) -> None:
        """Wait while the node stands still."""
        await self._host.frost.wait()

    async def find_running(self, verb: str, namespace: str, pod: str, container: str) -> Instance:
        """What runs of a container; PlainError, in the words for the verb, if nothing does."""
        await self.attend()
        worker = self._find(namespace, pod, container)
        is_running = isinstance(worker.containers[container].state, Running)
        instance = worker.instances.get(container) if is_running else None
        if instance is not None:
            return instance
        if verb == "exec":
            raise PlainError(f'container not found ("{container}")', 500)
        raise PlainError(f"container {container} not found in pod {pod}_{namespace}", 500)


def _refuse_start(why: str) -> StatusError:
    where = f'failed to exec in container: failed to start exec "{secrets.token_hex(32)}"'
    return StatusError(
        f"error executing command in container: {where}: OCI runtime exec failed: exec failed: {why}: unknown"
    )
