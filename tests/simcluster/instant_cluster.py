"""A cluster for tests of controllers: the real registry, a clock that nobody waits for, and a node that is not one.

The rule it keeps: time stands still while anything can be done and then jumps to the next timer, so that tests of
minutes take milliseconds and come out the same each time. The node does what a kubelet does to pods' status and
no more; every write goes through the real registry.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import selectors
from collections.abc import Callable, Coroutine
from copy import deepcopy
from dataclasses import replace
from typing import Any

from simcluster import schema
from simcluster.apiserver.bootstrap import create_default_class
from simcluster.controllers.controllers import Controllers, start
from simcluster.profile import FAST, Profile
from simcluster.registry import Registry, format_time
from simcluster.store import Event, Key, Object

BEGIN = 1_800_000_000.0
CA = "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n"
CATALOGUE = schema.load()


class _Jump(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the loop's clock to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the test waits for something that will never happen")
        self.now += timeout
        return super().select(0)


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop in which timers cost no time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


class FakeNode:
    """Starts the pods that are bound to it, makes them ready, and ends those that are deleted.

    `start_s`, `ready_s` and `stop_s` are what that takes; `is_healthy(pod)` False keeps a pod from becoming ready.
    """

    def __init__(self, registry: Registry, name: str, *, labels: dict[str, str] | None = None) -> None:
        self.registry = registry
        self.name = name
        self.start_s = 0.01
        self.ready_s = 0.05
        self.stop_s = 0.1
        self.is_healthy: Callable[[Object], bool] = lambda _pod: True
        self._addresses = 0
        self._seen: set[tuple[str, str]] = set()
        registry.create("nodes", None, node(name, labels=labels))
        self._stop = registry.listen("pods", self._notice)

    def close(self) -> None:
        """Touch no pod any more."""
        self._stop()

    def _notice(self, event: Event) -> None:
        pod = event.object
        if event.type == "DELETED" or pod["spec"].get("nodeName") != self.name:
            return
        loop = asyncio.get_running_loop()
        uid = pod["metadata"]["uid"]
        if (uid, "started") not in self._seen:
            self._seen.add((uid, "started"))
            loop.call_later(self.start_s, self._run, pod)
        if "deletionTimestamp" in pod["metadata"] and (uid, "stopped") not in self._seen:
            self._seen.add((uid, "stopped"))
            loop.call_later(self.stop_s, self._end, pod)

    def _run(self, pod: Object) -> None:
        self._addresses += 1
        address = f"10.244.{self._addresses // 250}.{self._addresses % 250 + 1}"
        if self._write(pod, phase="Running", ready=False, podIP=address):
            asyncio.get_running_loop().call_later(self.ready_s, self.probe, pod)

    def probe(self, pod: Object) -> None:
        """Write whether a pod is ready now."""
        self._write(pod, phase="Running", ready=self.is_healthy(pod))

    def _end(self, pod: Object) -> None:
        if self._write(pod, phase="Succeeded", ready=False):
            name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            self.registry.delete("pods", *name, grace_s=0, uid=pod["metadata"]["uid"])

    def _write(self, pod: Object, *, phase: str, ready: bool, **more: Any) -> bool:
        """Write a status; False if that pod is there no more."""
        name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        current = self.registry.store.get(Key("pods", *name))
        if current is None or current.object["metadata"]["uid"] != pod["metadata"]["uid"]:
            return False
        copy = deepcopy(current.object)
        status = copy["status"]
        before = {each["type"]: each for each in status.get("conditions", [])}
        said = "True" if ready else "False"
        if before.get("Ready", {}).get("status") != said:
            now = format_time(self.registry.clock())
            before["Ready"] = {"type": "Ready", "status": said, "lastTransitionTime": now}
        status |= {"phase": phase, "conditions": list(before.values())} | more
        self.registry.update("pods", *name, copy, subresource="status")
        return True


class Cluster:
    """A registry with all controllers and one node, in the running loop.

    The nodes have no heart, so nobody is told of their silence unless `grace_s` is given.
    """

    def __init__(
        self, *, profile: Profile = FAST, seed: int = 1, slice_size: int = 2, grace_s: float = math.inf
    ) -> None:
        loop = asyncio.get_running_loop()
        rng = random.Random(seed)
        self.registry = Registry(CATALOGUE, clock=lambda: BEGIN + loop.time(), chance=rng)
        self.log: list[Event] = []
        self._written = asyncio.Event()
        for resource in CATALOGUE.resources:
            self.registry.listen(resource, self._note)
        self.namespace("default")
        self.node = FakeNode(self.registry, "node-1")
        self.controllers: Controllers = start(
            self.registry,
            replace(profile, node_monitor_grace_s=grace_s),
            rng=rng,
            clock=self.registry.clock,
            ca_certificate=CA,
            slice_size=slice_size,
        )

    def _note(self, event: Event) -> None:
        self.log.append(event)
        self._written.set()

    async def close(self) -> None:
        """Stop everything."""
        self.node.close()
        await self.controllers.close()

    def namespace(self, name: str) -> None:
        """Create a namespace."""
        self.registry.create(
            "namespaces", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )

    def apply(self, resource: str, obj: Object, namespace: str = "default") -> Object:
        """Create an object."""
        return self.registry.create(resource, namespace, obj)

    def edit(self, resource: str, name: str, patch: Object, namespace: str = "default") -> Object:
        """Change an object by a merge patch."""
        return self.registry.patch(resource, namespace, name, patch, "merge")

    def get(self, resource: str, name: str, namespace: str = "default") -> Object:
        """One object."""
        return self.registry.get(resource, namespace, name)

    def list(self, resource: str, namespace: str | None = "default") -> list[Object]:
        """All objects of a resource in a namespace."""
        return self.registry.list(resource, namespace)[0]

    def names(self, resource: str, namespace: str | None = "default") -> list[str]:
        """Their names."""
        return [each["metadata"]["name"] for each in self.list(resource, namespace)]

    def pods(self, namespace: str = "default") -> list[Object]:
        """The pods that are not being deleted."""
        return [pod for pod in self.list("pods", namespace) if "deletionTimestamp" not in pod["metadata"]]

    async def settle(self, within_s: float = 30.0) -> None:
        """Let `within_s` pass."""
        await asyncio.sleep(within_s)

    async def until(self, holds: Callable[[], bool], within_s: float = 60.0) -> float:
        """Wait for writes until something holds; return how long that took. AssertionError if it does not come."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not holds():
            assert loop.time() < begin + within_s, "it did not happen"
            self._written.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._written.wait(), begin + within_s - loop.time())
        return loop.time() - begin

    def events(self, reason: str) -> list[str]:
        """The messages of the Events with a reason, in the order of their writing, once per count."""
        written = (
            entry.object
            for entry in self.log
            if entry.record.key.resource == "events" and entry.type != "DELETED"
        )
        return [event["message"] for event in written if event["reason"] == reason]


def provide_storage(cluster: Cluster) -> None:
    """Give the cluster its default class, and its node the label that volumes know it by."""
    create_default_class(cluster.registry)
    labels = {"kubernetes.io/hostname": cluster.node.name}
    cluster.registry.patch("nodes", None, cluster.node.name, {"metadata": {"labels": labels}}, "merge")


def simulate(story: Callable[[Cluster], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a story on a cluster of its own."""

    async def run() -> None:
        cluster = Cluster(**options)
        try:
            await story(cluster)
        finally:
            await cluster.close()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(run())


def node(name: str, *, labels: dict[str, str] | None = None, ready: bool = True) -> Object:
    """A node with room for everything."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {},
        "status": {"allocatable": room, "conditions": conditions},
    }


def template(image: str = "greeter:dev", **labels: str) -> Object:
    """A pod template with one container."""
    container = {"name": "server", "image": image, "ports": [{"name": "grpc", "containerPort": 50051}]}
    return {"metadata": {"labels": {"app": "greeter"} | labels}, "spec": {"containers": [container]}}


def deployment(
    name: str = "greeter", *, replicas: int = 3, image: str = "greeter:dev", **spec: Any
) -> Object:
    """A Deployment of pods labelled app=greeter."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "greeter"}},
            "template": template(image),
        }
        | spec,
    }


def service(name: str = "greeter", **spec: Any) -> Object:
    """A Service in front of them."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "greeter"}, "ports": [{"name": "grpc", "port": 50051}]} | spec,
    }
