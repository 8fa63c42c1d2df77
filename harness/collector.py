"""Bringing facts into the scene: watches of a namespace, and the logs of its client pods.

Rule: everything is read through the Kubernetes API, and nothing is lost or counted twice: a log that breaks
off is opened again a little before the break, and what had arrived already is known by its number. It
decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import aiohttp

from harness import samples
from harness.errors import ApiError, SampleError
from harness.history import Note, Said
from harness.kube import DEPLOYMENTS, ENDPOINT_SLICES, PODS, Kube, Object, Resource
from harness.manifests import CLIENT_CONTAINER, VARIANT_LABEL, is_client_pod
from harness.scene import Scene

_OVERLAP_S = 10.0  # the log is read from so long before its last line: clocks may differ
_RETRY_S = 1.0


@contextlib.asynccontextmanager
async def collect(kube: Kube, namespace: str, scene: Scene) -> AsyncIterator[None]:
    """While the block runs, the scene is kept up to date. An error of a watch ends the block with it."""
    async with asyncio.TaskGroup() as group:
        collector = _Collector(kube, namespace, scene, group)
        tasks = [
            group.create_task(_watch(kube, PODS, namespace, scene.pods, collector.take_pod)),
            group.create_task(_watch(kube, ENDPOINT_SLICES, namespace, scene.slices, scene.take_slice)),
            group.create_task(_watch(kube, DEPLOYMENTS, namespace, scene.deployments, scene.take_deployment)),
        ]
        try:
            yield
        finally:
            for task in [*tasks, *collector.tasks]:
                task.cancel()


async def _watch(
    kube: Kube, resource: Resource, namespace: str, known: dict[str, Object], take: Callable[..., None]
) -> None:
    async for kind, found in kube.watch(resource.path(namespace)):
        if kind == "LIST":
            listed = {entry["metadata"]["name"]: entry for entry in found}
            for name in known.keys() - listed.keys():
                take(known[name], is_deleted=True)
            for entry in listed.values():
                take(entry)
        else:
            take(found, is_deleted=kind == "DELETED")


class _Collector:
    """Follows the log of each client pod from when it is first seen."""

    def __init__(self, kube: Kube, namespace: str, scene: Scene, group: asyncio.TaskGroup) -> None:
        self._kube, self._namespace, self._scene, self._group = kube, namespace, scene, group
        self._followed: set[str] = set()
        self._variants: dict[str, str | None] = {}
        self._last_line_at: dict[str, float] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def take_pod(self, found: Object, *, is_deleted: bool = False) -> None:
        """A pod as the watch shows it: into the scene, and a client's log is followed."""
        self._scene.take_pod(found, is_deleted=is_deleted)
        name = found["metadata"]["name"]
        if is_client_pod(found) and not is_deleted and name not in self._followed:
            self._followed.add(name)
            self._variants[name] = found["metadata"]["labels"].get(VARIANT_LABEL)
            self._start(self._follow(name))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(self._group.create_task(work))

    async def _follow(self, pod: str) -> None:
        """The log of one pod, over breaks and restarts of its container, until the pod is gone."""
        is_broken = False
        while pod in self._scene.pods:
            restart = self._running(pod)
            if restart is None:
                await self._next_change(pod, None)
                continue
            client = pod if restart == 0 else f"{pod}#{restart}"
            try:
                await self._read(pod, client)
                is_broken = False
            except (ApiError, aiohttp.ClientError, ConnectionError) as error:
                if not is_broken:  # said once, however often it is then tried in vain
                    self._scene.record(Note(self._scene.now(), f"the log of {client} broke off: {error}"))
                is_broken = True
            # A log ends when its container does. If that is not seen at once, the log alone broke off: open it again.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S):
                    await self._next_change(pod, restart)

    async def _read(self, pod: str, client: str) -> None:
        query = {"container": CLIENT_CONTAINER, "follow": "true"}
        last_at = self._last_line_at.get(client)
        if last_at is not None:
            since = datetime.fromtimestamp(last_at - _OVERLAP_S, UTC)
            query["sinceTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        async with self._kube.lines(PODS.path(self._namespace, pod, "log"), **query) as lines:
            async for line in lines:
                self._take_line(client, line)

    def _take_line(self, client: str, line: str) -> None:
        at = self._last_line_at[client] = self._scene.now()
        if not line.lstrip().startswith("{"):
            self._scene.record(Said(at, client, line[:500]))
            return
        try:
            sample = samples.parse(line)
            labelled = self._variants[client.partition("#")[0]]
            if labelled not in (None, sample.variant):
                raise SampleError(f'variant "{sample.variant}", where the pod is labelled "{labelled}"')  # noqa: TRY301
            self._scene.take_sample(client, sample, at)
        except SampleError as error:
            self._scene.take_bad_line(client, str(error), line, at)

    def _running(self, pod: str) -> int | None:
        """How often the pod's client container was started again, if it runs now."""
        statuses = (self._scene.pods[pod].get("status") or {}).get("containerStatuses") or []
        for status in statuses:
            if status["name"] == CLIENT_CONTAINER and "running" in (status.get("state") or {}):
                return int(status.get("restartCount", 0))
        return None

    async def _next_change(self, pod: str, restart: int | None) -> None:
        """"""
        changed = asyncio.Event()
        with self._scene.listening(changed, of_calls=False):
            while pod in self._scene.pods and self._running(pod) == restart:
                changed.clear()
                await changed.wait()
