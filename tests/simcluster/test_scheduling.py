"""The choice of a node, and the scheduler that makes it so."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from instant_cluster import Cluster, deployment, node, simulate, template

from simcluster.controllers import scheduling


def pod(**spec: Any) -> dict[str, Any]:
    """A pod that waits for a node."""
    return {"metadata": {"name": "greeter-1", "namespace": "default"}, "spec": spec}


def choose(waiting: dict[str, Any], *nodes: dict[str, Any], seed: int = 1, **load: int) -> scheduling.Choice:
    """Choose for a pod among nodes."""
    return scheduling.choose(waiting, nodes, load, random.Random(seed))


def test_the_emptiest_node_that_fits_wins() -> None:
    """And the message says where the pod went."""
    choice = choose(pod(), node("a"), node("b"), a=3, b=2)
    assert choice == scheduling.Choice("b", "Successfully assigned default/greeter-1 to b")


def test_between_equals_chance_decides_and_its_seed_decides_that() -> None:
    """Both come up, and the same seed gives the same node."""
    nodes = [node("a"), node("b")]
    picked = {choose(pod(), *nodes, seed=seed).node for seed in range(20)}
    assert picked == {"a", "b"}
    assert len({choose(pod(), *nodes, seed=7).node for _ in range(5)}) == 1


_TAIL = (
    " no new claims to deallocate, preemption: 0/{n} nodes are available: "
    "{n} Preemption is not helpful for scheduling."
)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        pytest.param([], "no nodes available to schedule pods", id="none"),
        pytest.param(
            [node("a")],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
            + _TAIL.format(n=1),
            id="selector",
        ),
        pytest.param(
            [node("a") | {"spec": {"unschedulable": True}}, node("b", ready=False), node("c", ready=False)],
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) had untolerated taint(s)."
            + _TAIL.format(n=3),
            id="cordoned and not ready",
        ),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_why(nodes: list[dict[str, Any]], message: str) -> None:
    """The texts are those of kube-scheduler v1.36."""
    assert choose(pod(nodeSelector={"disk": "ssd"}), *nodes) == scheduling.Choice(None, message)


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "cpu", "operator": "Exists"}, False),
    ],
)
def test_tolerations_cover_taints(toleration: dict[str, Any], *, expected: bool) -> None:
    """By key, value and effect; an absent effect covers all, `Exists` without a key everything."""
    tainted = node("a") | {"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}}
    assert (choose(pod(tolerations=[toleration]), tainted).node == "a") is expected


def test_a_taint_that_only_prefers_keeps_nobody_away() -> None:
    """PreferNoSchedule is not weighed."""
    tainted = node("a") | {"spec": {"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}}
    assert choose(pod(), tainted).node == "a"


def _on_nodes(cluster: Cluster) -> Counter[str]:
    return Counter(each["spec"].get("nodeName", "") for each in cluster.pods())


def test_pods_spread_over_nodes_and_say_so() -> None:
    """Least pods first, each with a PodScheduled condition and a Scheduled event."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.create("nodes", None, node("node-2"))
        cluster.apply("deployments.apps", deployment(replicas=4))
        await cluster.settle()
        assert _on_nodes(cluster) == {"node-1": 2, "node-2": 2}
        for each in cluster.pods():
            [condition] = [one for one in each["status"]["conditions"] if one["type"] == "PodScheduled"]
            assert condition["status"] == "True"
        assert len(cluster.events("Scheduled")) == 4

    simulate(story)


def test_a_pod_without_a_node_waits_for_one() -> None:
    """It says why in condition and event, once, and is bound as soon as the node fits."""

    async def story(cluster: Cluster) -> None:
        picky = template()
        picky["spec"]["nodeSelector"] = {"disk": "ssd"}
        cluster.apply("deployments.apps", deployment(replicas=1, template=picky))
        await cluster.settle()
        [waiting] = cluster.pods()
        [condition] = waiting["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
        assert condition["reason"] == "Unschedulable"
        assert condition["message"].startswith("0/1 nodes are available: 1 node(s) didn't match Pod's node")
        assert cluster.events("FailedScheduling") == [condition["message"]]
        cluster.registry.patch("nodes", None, "node-1", {"metadata": {"labels": {"disk": "ssd"}}}, "merge")
        await cluster.until(lambda: _on_nodes(cluster) == {"node-1": 1})

    simulate(story)


def test_a_pod_that_names_its_node_is_left_to_it() -> None:
    """The scheduler does not touch it, even if the node is cordoned."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.patch("nodes", None, "node-1", {"spec": {"unschedulable": True}}, "merge")
        spec = template()["spec"] | {"nodeName": "node-1"}
        cluster.apply("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"}, "spec": spec})
        await cluster.until(lambda: cluster.get("pods", "own")["status"]["phase"] == "Running")
        assert cluster.events("Scheduled") == []

    simulate(story)
