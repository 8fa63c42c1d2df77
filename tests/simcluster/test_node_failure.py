"""A node of three fails under real Greeter pods, and comes back."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from simcluster.assembly import Settings, start
from simcluster.controllers.node_health import ready_of
from simcluster.kubelet.images import Images
from simcluster.kubelet.kubelet import Kubelet
from simcluster.profile import FAST
from simcluster.registry import Registry

Object = dict[str, Any]
POD = Path(__file__).with_name("greeter_pod.py")
SLICES = "endpointslices.discovery.k8s.io"


class World:
    """A running cluster of three nodes."""

    def __init__(self, registry: Registry, kubelet_of: Callable[[str], Kubelet | None]) -> None:
        self.registry = registry
        self._kubelet_of = kubelet_of

    def kubelet(self, node: str) -> Kubelet:
        """A node's kubelet."""
        found = self._kubelet_of(node)
        assert found is not None
        return found

    async def until(self, resource: str, holds: Callable[[list[Object]], Any]) -> None:
        """Wait for writes of a resource until something holds of all its objects."""
        subscription = self.registry.watch(resource, None)
        try:
            async with asyncio.timeout(40):
                async for _ in subscription:
                    if holds(self.registry.list(resource)[0]):
                        return
        except TimeoutError:
            raise AssertionError(f"it did not happen: {self.registry.list(resource)[0]}") from None
        finally:
            subscription.close()


@asynccontextmanager
async def three_nodes(directory: Path) -> AsyncIterator[World]:
    """The cluster; nothing of it is left running."""
    images = Images.bind([("greeter:test", (sys.executable, str(POD)))])
    settings = Settings(
        directory=directory,
        kubeconfig=directory / "kubeconfig",
        version="v1.36",
        profile=FAST,
        images=images,
        nodes=3,
    )
    cluster = await start(settings)
    try:
        cluster.prepare()
        workings = await cluster.workings()
        yield World(cluster.server.registry, workings.fleet.of_node)
    finally:
        await cluster.stop()


def greeters() -> Object:
    """Three Greeters that give a node that is down one second."""
    env = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in (("POD_IP", "status.podIP"), ("POD_NAME", "metadata.name"))
    ]
    probe = {"grpc": {"port": 50051}, "periodSeconds": 1}
    toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    spec = {
        "containers": [{"name": "server", "image": "greeter:test", "env": env, "readinessProbe": probe}],
        "tolerations": [toleration | {"tolerationSeconds": 1}],
    }
    template = {"metadata": {"labels": {"app": "g"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "g"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "g"}}, "template": template},
    }  # fmt: skip


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready and not on its way out."""
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def ready_addresses(slices: list[Object]) -> set[str]:
    """The addresses of the ready endpoints of the Service."""
    own = [
        each for each in slices if each["metadata"].get("labels", {}).get("kubernetes.io/service-name") == "g"
    ]
    return {one["addresses"][0] for each in own for one in each["endpoints"] if one["conditions"]["ready"]}


def test_node_fails_is_left_and_returns(tmp_path: Path) -> None:
    """NotReady, its endpoints leave, its pods are replaced elsewhere; back again, it is Ready and rid of old pods."""

    async def scenario() -> None:
        async with three_nodes(tmp_path) as world:
            registry = world.registry
            service = {
                "metadata": {"name": "g"},
                "spec": {"selector": {"app": "g"}, "ports": [{"port": 50051}]},
            }
            registry.create("services", "default", service)
            registry.create("deployments.apps", "default", greeters())
            await world.until("pods", lambda pods: len(pods) == 3 and all(map(is_ready, pods)))
            pods, _ = registry.list("pods")
            assert len({each["spec"]["nodeName"] for each in pods}) == 3
            lost = pods[0]
            node, address = lost["spec"]["nodeName"], lost["status"]["podIP"]
            await world.until(SLICES, lambda slices: len(ready_addresses(slices)) == 3)

            world.kubelet(node).freeze()
            await world.until(SLICES, lambda slices: address not in ready_addresses(slices))
            assert ready_of(registry.get("nodes", None, node)) == "Unknown"
            await world.until("pods", lambda pods: len(pods) == 4 and len(list(filter(is_ready, pods))) == 3)
            pods, _ = registry.list("pods")
            assert node not in {each["spec"]["nodeName"] for each in pods if is_ready(each)}
            # Nobody can tell whether it still runs: its object stays.
            stays = registry.get("pods", "default", lost["metadata"]["name"])
            assert "deletionTimestamp" in stays["metadata"]

            world.kubelet(node).thaw()
            await world.until("pods", lambda pods: len(pods) == 3 and all(map(is_ready, pods)))
            await world.until("nodes", lambda nodes: not any("taints" in each["spec"] for each in nodes))
            assert ready_of(registry.get("nodes", None, node)) == "True"
            await world.until(SLICES, lambda slices: len(ready_addresses(slices)) == 3)

    asyncio.run(asyncio.wait_for(scenario(), 120))
