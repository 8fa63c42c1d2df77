"""The scheduler at work: what it writes, and when it looks again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from instant_cluster import Cluster, deployment, node, service, simulate, template

Object = dict[str, Any]


def places(cluster: Cluster) -> Counter[str]:
    """How many pods each node has; "" for those without."""
    return Counter(each["spec"].get("nodeName", "") for each in cluster.pods())


def scheduled(cluster: Cluster, name: str) -> Object:
    """The PodScheduled condition of a pod."""
    conditions = cluster.get("pods", name)["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "PodScheduled")


def pod(name: str, cpu: str = "", **spec: Any) -> Object:
    """A pod that asks for processors."""
    made = template()
    if cpu:
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    made["metadata"]["name"] = name
    return {"apiVersion": "v1", "kind": "Pod", **made, "spec": made["spec"] | spec}


def rank(cluster: Cluster, name: str, value: int) -> Object:
    """Have a priority class; returns what a pod of it says."""
    made = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
    }
    cluster.registry.create("priorityclasses.scheduling.k8s.io", None, made)
    return {"priorityClassName": name}


def offer(cluster: Cluster, cpu: str, name: str = "node-1") -> None:
    """Have a node offer so many processors."""
    status = {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}
    cluster.registry.patch("nodes", None, name, {"status": status}, "merge", subresource="status")


def test_pods_spread_over_nodes_and_say_so() -> None:
    """Evenly, each with a PodScheduled condition and a Scheduled event."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.create("nodes", None, node("node-2"))
        cluster.apply("services", service())
        cluster.apply("deployments.apps", deployment(replicas=4))
        await cluster.settle()
        assert places(cluster) == {"node-1": 2, "node-2": 2}
        for each in cluster.pods():
            assert scheduled(cluster, each["metadata"]["name"])["status"] == "True"
        assert len(cluster.events("Scheduled")) == 4

    simulate(story)


def test_a_pod_without_a_node_waits_for_one() -> None:
    """It says why in condition and event, and is bound as soon as the node fits."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("pods", pod("picky", nodeSelector={"disk": "ssd"}))
        await cluster.settle()
        condition = scheduled(cluster, "picky")
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        message = (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to "
            "deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        assert condition["message"] == message
        assert cluster.events("FailedScheduling") == [message]
        # A change that does not help leads to no second try.
        cluster.registry.patch("nodes", None, "node-1", {"metadata": {"labels": {"disk": "hdd"}}}, "merge")
        await cluster.settle()
        assert len(cluster.events("FailedScheduling")) == 1
        cluster.registry.patch("nodes", None, "node-1", {"metadata": {"labels": {"disk": "ssd"}}}, "merge")
        await cluster.until(lambda: places(cluster) == {"node-1": 1})

    simulate(story)


def test_resources_are_taken_and_given_back() -> None:
    """The third of three pods waits until one of the others ends."""

    async def story(cluster: Cluster) -> None:
        offer(cluster, "2")
        for name in ("one", "two", "three"):
            cluster.apply("pods", pod(name, "1"))
        await cluster.settle()
        assert places(cluster) == {"node-1": 2, "": 1}
        assert scheduled(cluster, "three")["message"].startswith(
            "0/1 nodes are available: 1 Insufficient cpu. "
        )
        cluster.registry.delete("pods", "default", "one")
        await cluster.until(lambda: places(cluster) == {"node-1": 2})

    simulate(story)


def test_higher_priority_goes_first() -> None:
    """Of pods that wait for room, the one of the highest priority gets it, whoever came first."""

    async def story(cluster: Cluster) -> None:
        offer(cluster, "0")
        urgent = rank(cluster, "urgent", 7)
        for name, spec in (("early", {}), ("late", {}), ("high", urgent)):
            cluster.apply("pods", pod(name, "1", **spec))
        await cluster.settle()
        offer(cluster, "1")
        await cluster.until(lambda: places(cluster) == {"node-1": 1, "": 2})
        assert cluster.get("pods", "high")["spec"]["nodeName"] == "node-1"

    simulate(story)


def test_pod_of_lower_priority_is_preempted() -> None:
    """It is deleted and says why; the room is the other's, even if one of lower priority asks for it meanwhile."""

    async def story(cluster: Cluster) -> None:
        offer(cluster, "1")
        cluster.node.stop_s = 5.0
        cluster.apply("pods", pod("low", "1"))
        await cluster.until(lambda: cluster.get("pods", "low")["status"]["phase"] == "Running")
        cluster.apply("pods", pod("high", "1", **rank(cluster, "urgent", 7)))
        await cluster.settle(1.0)
        conditions = {each["type"]: each for each in cluster.get("pods", "low")["status"]["conditions"]}
        assert conditions["DisruptionTarget"]["reason"] == "PreemptionByScheduler"
        assert cluster.get("pods", "high")["status"]["nominatedNodeName"] == "node-1"
        [message] = cluster.events("Preempted")
        assert message == f"Preempted by pod {cluster.get('pods', 'high')['metadata']['uid']} on node node-1"
        cluster.apply("pods", pod("second", "1"))
        await cluster.until(lambda: "nodeName" in cluster.get("pods", "high")["spec"])
        assert "nominatedNodeName" not in cluster.get("pods", "high")["status"]
        assert "nodeName" not in cluster.get("pods", "second")["spec"]

    simulate(story)


@pytest.mark.parametrize(
    "spec", [{"schedulerName": "mine"}, {"schedulingGates": [{"name": "example.com/wait"}]}]
)
def test_pods_of_others_and_gated_pods_are_left_alone(spec: Object) -> None:
    """Another scheduler's pod, and one whose gates are closed, get no node and no complaint."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("pods", pod("own", **spec))
        await cluster.settle()
        assert places(cluster) == {"": 1}
        assert cluster.events("FailedScheduling") == []
        if "schedulingGates" in spec:
            assert scheduled(cluster, "own")["reason"] == "SchedulingGated"
            cluster.edit("pods", "own", {"spec": {"schedulingGates": None}})
            await cluster.until(lambda: places(cluster) == {"node-1": 1})

    simulate(story)


def test_a_pod_that_names_its_node_is_left_to_it() -> None:
    """The scheduler does not touch it, even if the node is cordoned."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.patch("nodes", None, "node-1", {"spec": {"unschedulable": True}}, "merge")
        cluster.apply("pods", pod("own", nodeName="node-1"))
        await cluster.until(lambda: cluster.get("pods", "own")["status"]["phase"] == "Running")
        assert cluster.events("Scheduled") == []

    simulate(story)


def test_pods_that_want_to_be_apart_wait_for_another_node() -> None:
    """One to a node; the next is bound when a node comes."""

    async def story(cluster: Cluster) -> None:
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "greeter"}}}
        apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        labels = {"metadata": {"labels": {"kubernetes.io/hostname": "node-1"}}}
        cluster.registry.patch("nodes", None, "node-1", labels, "merge")
        for name in ("one", "two"):
            cluster.apply("pods", pod(name, affinity=apart))
        await cluster.settle()
        assert places(cluster) == {"node-1": 1, "": 1}
        assert cluster.events("FailedScheduling")[0].startswith(
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
        )
        cluster.registry.create("nodes", None, node("node-2", labels={"kubernetes.io/hostname": "node-2"}))
        await cluster.until(lambda: places(cluster) == {"node-1": 1, "node-2": 1})

    simulate(story)
