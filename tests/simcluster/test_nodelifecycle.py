"""Nodes that fall silent and come back, taints that pods have to leave, pods of nodes that are gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import BEGIN, Cluster, FakeNode, deployment, node, service, simulate, template

from simcluster.controllers.node_health import choose_taints, judge_zone, ready_of, silence
from simcluster.profile import FAITHFUL

Object = dict[str, Any]
UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"


class Heart:
    """Beats for nodes that have no kubelet: each `every_s` a lease is renewed, until it is stopped."""

    def __init__(self, cluster: Cluster, *names: str, every_s: float = 10.0) -> None:
        self._cluster = cluster
        self._every_s = every_s
        self.beating = set(names)
        self._beat()

    def _beat(self) -> None:
        registry = self._cluster.registry
        for name in sorted(self.beating):
            spec = {"renewTime": f"2027-01-15T08:00:00.{int(registry.clock() - BEGIN):06d}Z"}
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name},
                "spec": spec,
            }
            resource, namespace = "leases.coordination.k8s.io", "kube-node-lease"
            if any(each["metadata"]["name"] == name for each in registry.list(resource, namespace)[0]):
                registry.patch(resource, namespace, name, {"spec": spec}, "merge")
            else:
                registry.create(resource, namespace, lease)
        asyncio.get_running_loop().call_later(self._every_s, self._beat)


def say_ready(cluster: Cluster, name: str) -> None:
    """What a kubelet that is back writes."""
    at = f"2027-01-15T09:00:00.{int(cluster.registry.clock() - BEGIN):06d}Z"
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": at[:19] + "Z"}]
    cluster.registry.patch(
        "nodes", None, name, {"status": {"conditions": conditions}}, "merge", subresource="status"
    )


def taints(cluster: Cluster, name: str) -> set[tuple[str, str]]:
    """The taints of a node."""
    found = cluster.registry.get("nodes", None, name)["spec"].get("taints", [])
    return {(each["key"].rpartition("/")[2], each["effect"]) for each in found}


def taint(cluster: Cluster, effect: str = "NoExecute", name: str = "node-1") -> None:
    """Taint a node."""
    cluster.registry.patch(
        "nodes", None, name, {"spec": {"taints": [{"key": "k", "effect": effect}]}}, "merge"
    )


def prepare(cluster: Cluster) -> Heart:
    """Two nodes that are alive."""
    cluster.namespace("kube-node-lease")
    FakeNode(cluster.registry, "node-2")
    return Heart(cluster, "node-1", "node-2")


def ready(cluster: Cluster, name: str) -> str:
    return ready_of(cluster.registry.get("nodes", None, name))


def test_silent_node_is_unknown_after_its_grace_and_its_endpoints_leave() -> None:
    """On the schedule of a real cluster: 50 s of silence, a look each 5 s; then taints, unready pods, no endpoints."""

    async def story(cluster: Cluster) -> None:
        heart = prepare(cluster)
        cluster.apply("services", service())
        cluster.apply("deployments.apps", deployment(replicas=1))
        await cluster.until(
            lambda: bool(cluster.pods()) and cluster.pods()[0]["status"]["phase"] == "Running"
        )
        [running] = cluster.pods()
        name = running["spec"]["nodeName"]
        await cluster.settle(31)
        heart.beating.discard(name)
        waited_s = await cluster.until(lambda: ready(cluster, name) == "Unknown", 70)
        assert 39 <= waited_s <= 56
        await cluster.settle(0.5)
        conditions = {
            each["type"]: each for each in cluster.registry.get("nodes", None, name)["status"]["conditions"]
        }
        assert conditions["Ready"]["reason"] == "NodeStatusUnknown"
        assert conditions["Ready"]["message"] == "Kubelet stopped posting node status."
        assert conditions["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"
        assert taints(cluster, name) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        assert cluster.events("NodeNotReady") == [
            f"Node {name} status is now: NodeNotReady",
            "Node is not ready",
        ]
        [piece] = cluster.list("endpointslices.discovery.k8s.io")
        assert [each["conditions"]["ready"] for each in piece["endpoints"]] == [False]
        # 300 s later the pod is deleted, and replaced on the other node.
        waited_s = await cluster.until(
            lambda: (
                "deletionTimestamp"
                in cluster.registry.get("pods", "default", running["metadata"]["name"])["metadata"]
            ),
            400,
        )
        assert 299 <= waited_s <= 301
        old = cluster.registry.get("pods", "default", running["metadata"]["name"])
        gone = {each["type"]: each for each in old["status"]["conditions"]}["DisruptionTarget"]
        assert (gone["reason"], gone["message"]) == (
            "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint",
        )  # fmt: skip
        await cluster.until(
            lambda: (
                [each["spec"].get("nodeName") for each in cluster.pods()]
                == ["node-2" if name == "node-1" else "node-1"]
            )
        )

    simulate(story, profile=FAITHFUL, grace_s=50.0)


def test_node_that_comes_back_in_time_keeps_its_pods() -> None:
    """Ready again, both taints gone, the deletion called off."""

    async def story(cluster: Cluster) -> None:
        heart = prepare(cluster)
        spec = template()["spec"] | {"nodeName": "node-1"}
        cluster.apply("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"}, "spec": spec})
        heart.beating.discard("node-1")
        await cluster.until(lambda: ("unreachable", "NoExecute") in taints(cluster, "node-1"), 70)
        await cluster.settle(100)
        heart.beating.add("node-1")
        say_ready(cluster, "node-1")
        await cluster.until(lambda: taints(cluster, "node-1") == set())
        await cluster.settle(400)
        assert ready(cluster, "node-1") == "True"
        assert cluster.names("pods") == ["own"]
        assert cluster.events("TaintManagerEviction") == ["Cancelling deletion of Pod default/own"]

    simulate(story, profile=FAITHFUL, grace_s=50.0)


def test_when_all_nodes_are_silent_nobody_is_evicted() -> None:
    """They are unreachable for new pods, but pods stay: it is more likely the observer who is cut off."""

    async def story(cluster: Cluster) -> None:
        heart = prepare(cluster)
        heart.beating.clear()
        await cluster.until(lambda: ready(cluster, "node-1") == ready(cluster, "node-2") == "Unknown", 70)
        await cluster.settle(30)
        assert taints(cluster, "node-1") == taints(cluster, "node-2") == {("unreachable", "NoSchedule")}
        heart.beating.add("node-2")
        say_ready(cluster, "node-2")
        await cluster.until(lambda: ("unreachable", "NoExecute") in taints(cluster, "node-1"), 70)

    simulate(story, profile=FAITHFUL, grace_s=50.0)


def test_process_that_stood_still_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute in which nothing here ran is no silence of the nodes."""

    async def story(cluster: Cluster) -> None:
        prepare(cluster)
        await cluster.settle(20)
        clock = cluster.registry.clock
        for each in cluster.controllers._loops:
            if each.name == "node-lifecycle":
                context = each._sync.__self__._context  # type: ignore[attr-defined]
        object.__setattr__(context, "clock", lambda: clock() + 60)
        await cluster.settle(4.9)
        assert ready(cluster, "node-1") == "True"
        await cluster.settle(60)
        assert ready(cluster, "node-1") == "True"

    simulate(story, profile=FAITHFUL, grace_s=50.0)


def test_cordon_is_a_taint() -> None:
    """It comes and goes with spec.unschedulable."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.patch("nodes", None, "node-1", {"spec": {"unschedulable": True}}, "merge")
        await cluster.until(lambda: taints(cluster, "node-1") == {("unschedulable", "NoSchedule")})
        cluster.registry.patch("nodes", None, "node-1", {"spec": {"unschedulable": None}}, "merge")
        await cluster.until(lambda: taints(cluster, "node-1") == set())

    simulate(story)


@pytest.mark.parametrize(("seconds", "expected_s"), [(None, 0.0), (7, 7.0)])
def test_taint_makes_pods_leave(seconds: int | None, expected_s: float) -> None:
    """At once without a toleration, with one after its seconds; one that tolerates for ever stays."""

    async def story(cluster: Cluster) -> None:
        toleration = {"key": "k", "operator": "Exists", "effect": "NoExecute"}
        own = [] if seconds is None else [toleration | {"tolerationSeconds": seconds}]
        for name, tolerations in (("leaves", own), ("stays", [toleration])):
            spec = template()["spec"] | {"nodeName": "node-1", "tolerations": tolerations}
            cluster.apply(
                "pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
            )
        await cluster.settle()
        taint(cluster)
        waited_s = await cluster.until(
            lambda: "deletionTimestamp" in cluster.get("pods", "leaves")["metadata"]
        )
        assert waited_s == pytest.approx(expected_s, abs=0.01)
        await cluster.settle()
        assert cluster.names("pods") == ["stays"]

    simulate(story)


def test_pod_that_comes_to_a_tainted_node_leaves_too() -> None:
    """A node that is named in a pod's spec takes it, and the taint sends it away."""

    async def story(cluster: Cluster) -> None:
        taint(cluster)
        await cluster.settle()
        spec = template()["spec"] | {"nodeName": "node-1"}
        cluster.apply("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "late"}, "spec": spec})
        await cluster.settle()
        assert cluster.names("pods") == []

    simulate(story)


def test_pods_of_a_deleted_node_are_removed_and_replaced() -> None:
    """After the quarantine they are shown as failed and removed, though nobody ends them."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("deployments.apps", deployment(replicas=2))
        await cluster.settle()
        before = {each["metadata"]["uid"] for each in cluster.pods()}
        cluster.node.close()
        cluster.registry.create("nodes", None, node("node-2"))
        cluster.registry.delete("nodes", None, "node-1")
        waited_s = await cluster.until(
            lambda: all(each["metadata"]["uid"] not in before for each in cluster.pods())
        )
        assert 40 <= waited_s < 41
        removed = [
            each.object for each in cluster.log if each.type == "DELETED" and each.object["kind"] == "Pod"
        ]
        assert {each["status"]["phase"] for each in removed} == {"Failed"}
        await cluster.until(
            lambda: [each["spec"].get("nodeName") for each in cluster.pods()] == ["node-2"] * 2
        )
        assert cluster.events("RemovingNode") == ["Node node-1 event: Removing Node node-1 from Controller"]

    simulate(story, profile=FAITHFUL)


# --- What is decided

STATUSES = st.sampled_from(["True", "False", "Unknown"])


@given(ready=STATUSES, disk=STATUSES, cordoned=st.booleans(), is_evicting=st.booleans())
def test_taints_follow_conditions_and_settle(
    ready: str, disk: str, *, cordoned: bool, is_evicting: bool
) -> None:
    """Others' taints stay; what was chosen is not changed by choosing again, later; pods are kept off what is down."""
    other = {"key": "gpu", "effect": "NoExecute"}
    conditions = [{"type": "Ready", "status": ready}, {"type": "DiskPressure", "status": disk}]
    stale = {"key": UNREACHABLE if ready != "Unknown" else NOT_READY, "effect": "NoExecute"}
    spec = {"taints": [other, stale]} | ({"unschedulable": True} if cordoned else {})
    subject = {"spec": spec, "status": {"conditions": conditions}}
    chosen = choose_taints(subject, 1.0, is_evicting=is_evicting)
    assert other in chosen
    assert stale not in chosen
    settled = {"spec": spec | {"taints": chosen}, "status": {"conditions": conditions}}
    assert choose_taints(settled, 2.0, is_evicting=is_evicting) == chosen
    keys = {(each["key"], each["effect"]) for each in chosen}
    assert ((NOT_READY, "NoSchedule") in keys) is (ready == "False")
    assert ((UNREACHABLE, "NoSchedule") in keys) is (ready == "Unknown")
    assert ((UNREACHABLE, "NoExecute") in keys) is (ready == "Unknown" and is_evicting)
    assert len(keys) == len(chosen)


def test_silence_said_twice_changes_nothing() -> None:
    """The conditions keep the time at which they became unknown."""
    subject = node("a") | {"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    once = silence(subject, 100.0)
    assert silence(subject | {"status": once}, 200.0) == once
    assert {each["status"] for each in once["conditions"]} == {"Unknown"}


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [(3, 0, "none"), (0, 1, "full"), (1, 2, "none"), (1, 3, "partial"), (3, 3, "none"), (0, 0, "none")],
)
def test_zone_is_judged_by_how_many_nodes_are_down(up: int, down: int, expected: str) -> None:
    """Partly from more than two nodes that are 55 % of it; wholly with all of them."""
    assert judge_zone([True] * up + [False] * down) == expected
