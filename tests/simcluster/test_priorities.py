"""What the API server fills in about when a pod is scheduled, and about nodes that are new."""

from __future__ import annotations

from typing import Any

import pytest
from instant_cluster import Cluster, simulate, template

from simcluster.errors import Forbidden, Invalid

Object = dict[str, Any]


def create(cluster: Cluster, name: str = "p", **spec: Any) -> Object:
    """A pod."""
    made = template()["spec"] | spec
    return cluster.apply(
        "pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": made}
    )


def rank(cluster: Cluster, name: str, value: int, **more: Any) -> None:
    """A priority class."""
    made = {"metadata": {"name": name}, "value": value} | more
    cluster.registry.create("priorityclasses.scheduling.k8s.io", None, made)


def test_pods_have_the_priority_of_their_class() -> None:
    """Zero without one; the default class's where there is one; a class may keep its pods from preempting."""

    async def story(cluster: Cluster) -> None:
        assert create(cluster, "none")["spec"]["priority"] == 0
        rank(cluster, "meek", 7, preemptionPolicy="Never")
        meek = create(cluster, "meek", priorityClassName="meek")["spec"]
        assert (meek["priority"], meek["preemptionPolicy"]) == (7, "Never")
        rank(cluster, "usual", 3, globalDefault=True)
        usual = create(cluster, "usual")["spec"]
        assert (usual["priority"], usual["priorityClassName"]) == (3, "usual")

    simulate(story)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"priorityClassName": "zzz"}, 'pods "p" is forbidden: no PriorityClass with name zzz was found'),
        (
            {"priority": 5},
            'pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority '
            "admission controller computed 0 from the given PriorityClass name",
        ),
    ],
)
def test_priority_is_not_the_pods_to_choose(spec: Object, said: str) -> None:
    """In the words of a real server."""

    async def story(cluster: Cluster) -> None:
        with pytest.raises(Forbidden) as refused:
            create(cluster, **spec)
        assert refused.value.message == said

    simulate(story)


def test_gates_can_be_opened_and_not_added() -> None:
    """A closed gate is said in the status; another one is refused."""

    async def story(cluster: Cluster) -> None:
        gate = {"name": "example.com/one"}
        made = create(cluster, schedulingGates=[gate])
        [condition] = made["status"]["conditions"]
        assert (condition["reason"], condition["message"]) == (
            "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates",
        )  # fmt: skip
        with pytest.raises(Invalid, match="only deletion is allowed, but found new scheduling gates"):
            cluster.edit("pods", "p", {"spec": {"schedulingGates": [gate, {"name": "example.com/two"}]}})
        assert "schedulingGates" not in cluster.edit("pods", "p", {"spec": {"schedulingGates": None}})["spec"]

    simulate(story)


def test_new_node_is_shunned_until_it_was_seen_ready() -> None:
    """It is created with a taint, which goes as soon as the node controller has looked."""

    async def story(cluster: Cluster) -> None:
        made = {"metadata": {"name": "new"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        created = cluster.registry.create("nodes", None, made)
        assert created["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
        await cluster.until(lambda: "taints" not in cluster.registry.get("nodes", None, "new")["spec"])

    simulate(story)
