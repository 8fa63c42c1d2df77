"""The ReplicaSet controller, over the real registry."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from instant_cluster import Cluster, deployment, service, simulate, template

from simcluster.errors import Forbidden
from simcluster.store import Object

RS = "replicasets.apps"


def replica_set(replicas: int = 3, **spec: Any) -> Object:
    """A ReplicaSet of its own."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "greeter"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "greeter"}},
            "template": template(),
        }
        | spec,
    }


def status(cluster: Cluster) -> Object:
    """Its status."""
    found: Object = cluster.get(RS, "greeter")["status"]
    return found


async def deploy(cluster: Cluster, replicas: int = 3, **spec: Any) -> None:
    """Create it and wait until its pods are available."""
    cluster.apply(RS, replica_set(replicas, **spec))
    await cluster.until(lambda: status(cluster).get("availableReplicas", 0) == replicas)


def test_pods_carry_the_template_and_their_owner() -> None:
    """Name, labels, owner reference; a status with every count; one event a pod."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        owner = cluster.get(RS, "greeter")
        for pod in cluster.pods():
            prefix, _, suffix = pod["metadata"]["name"].rpartition("-")
            assert (prefix, len(suffix)) == ("greeter", 5)
            assert pod["metadata"]["ownerReferences"] == [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "greeter",
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ]
        assert status(cluster) == {
            "replicas": 3,
            "fullyLabeledReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "observedGeneration": 1,
            "terminatingReplicas": 0,
        }
        names = sorted(f"Created pod: {name}" for name in cluster.names("pods"))
        assert sorted(cluster.events("SuccessfulCreate")) == names

    simulate(story)


def test_a_pod_that_is_being_deleted_is_replaced_at_once() -> None:
    """Not when it has ended: for a while there are four, three of them active."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.stop_s = 20.0
        victim = cluster.names("pods")[0]
        cluster.registry.delete("pods", "default", victim)
        took_s = await cluster.until(lambda: len(cluster.pods()) == 3)
        assert took_s < 0.1
        await cluster.settle(1)
        assert len(cluster.list("pods")) == 4
        assert (status(cluster)["replicas"], status(cluster)["terminatingReplicas"]) == (3, 1)
        await cluster.settle(30)
        assert status(cluster)["terminatingReplicas"] == 0

    simulate(story)


def test_a_pod_that_failed_is_replaced_and_kept() -> None:
    """A terminal pod counts neither as active nor as terminating."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        pod = cluster.pods()[0]
        ended = pod | {"status": pod["status"] | {"phase": "Failed"}}
        cluster.registry.update("pods", "default", pod["metadata"]["name"], ended, subresource="status")
        await cluster.settle(1)
        assert len(cluster.list("pods")) == 4
        assert (status(cluster)["replicas"], status(cluster)["terminatingReplicas"]) == (3, 0)

    simulate(story)


def test_scaling_down_takes_unready_pods_first() -> None:
    """The order of `victims`, with the events that tell of it."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.is_healthy = lambda _pod: False
        sick = cluster.pods()[1]
        cluster.node.probe(sick)
        cluster.edit(RS, "greeter", {"spec": {"replicas": 2}})
        await cluster.settle(1)
        assert sick["metadata"]["name"] not in cluster.names("pods")
        assert cluster.events("SuccessfulDelete") == [f"Deleted pod: {sick['metadata']['name']}"]

    simulate(story)


def test_a_matching_orphan_is_adopted_and_one_that_no_longer_matches_is_released() -> None:
    """The selector decides both ways; the number of active pods stays."""

    async def story(cluster: Cluster) -> None:
        orphan = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan"}} | template()
        orphan["metadata"] = {"name": "orphan", "labels": {"app": "greeter"}}
        cluster.apply("pods", orphan)
        await deploy(cluster)
        assert len(cluster.pods()) == 3
        uid = cluster.get(RS, "greeter")["metadata"]["uid"]
        assert cluster.get("pods", "orphan")["metadata"]["ownerReferences"][0]["uid"] == uid
        cluster.edit("pods", "orphan", {"metadata": {"labels": {"app": "other"}}})
        await cluster.settle(1)
        assert "ownerReferences" not in cluster.get("pods", "orphan")["metadata"]
        assert status(cluster)["replicas"] == 3
        assert len(cluster.pods()) == 4

    simulate(story)


def test_an_orphan_beyond_the_number_is_adopted_and_one_pod_too_many_deleted() -> None:
    """What matches counts."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        orphan = {"apiVersion": "v1", "kind": "Pod"} | template()
        orphan["metadata"] = {"name": "orphan", "labels": {"app": "greeter"}}
        cluster.apply("pods", orphan)
        await cluster.settle(5)
        assert len(cluster.pods()) == 3
        assert "orphan" not in cluster.names("pods")

    simulate(story)


def _refuse_pods(cluster: Cluster, after: int) -> list[str]:
    """Refuse pods after so many; return where each try is noted."""
    original, tries = cluster.registry.create, []

    def create(resource: str, namespace: str | None, obj: Any, **options: Any) -> Object:
        if resource == "pods":
            tries.append("try")
            if len(tries) > after:
                raise Forbidden("pods", "", "exceeded quota")
        return original(resource, namespace, obj, **options)

    cluster.registry.create = create  # type: ignore[method-assign]
    return tries


@pytest.mark.parametrize(("after", "first_round"), [(0, 1), (1, 3), (2, 3), (3, 7)])
def test_creation_starts_slowly(after: int, first_round: int) -> None:
    """Batches of 1, 2, 4: a refusal ends the round with its batch, and is told in a condition."""

    async def story(cluster: Cluster) -> None:
        tries = _refuse_pods(cluster, after)
        rounds: list[int] = []
        cluster.registry.listen(RS, lambda _event: rounds.append(len(tries)))
        cluster.apply(RS, replica_set(100))
        await cluster.until(lambda: bool(status(cluster).get("conditions")))
        # The first write is the creation, the second tells of the first round.
        assert rounds[:2] == [0, first_round]
        [condition] = status(cluster)["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "ReplicaFailure",
            "True",
            "FailedCreate",
        )
        assert condition["message"] == "pods is forbidden: exceeded quota"

    simulate(story)


def test_a_refused_creation_is_tried_again_with_back_off() -> None:
    """Twenty seconds see a handful of rounds and not thousands."""

    async def story(cluster: Cluster) -> None:
        tries = _refuse_pods(cluster, 0)
        cluster.apply(RS, replica_set())
        await cluster.settle(20)
        assert 10 <= len(tries) <= 60

    simulate(story)


def test_min_ready_seconds_count_from_ready() -> None:
    """Available that many seconds later, without any event in between."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(RS, replica_set(2, minReadySeconds=20))
        await cluster.until(lambda: status(cluster).get("readyReplicas", 0) == 2)
        took_s = await cluster.until(lambda: status(cluster).get("availableReplicas", 0) == 2)
        assert 19 <= took_s <= 21

    simulate(story)


def test_a_replica_set_that_is_being_deleted_makes_no_pods() -> None:
    """In a foreground deletion it stays for a while, and does not put back what the collector takes."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.registry.delete(RS, "default", "greeter", propagation="Foreground")
        await cluster.until(lambda: cluster.list(RS) == [])
        assert cluster.list("pods") == []
        assert len(cluster.events("SuccessfulCreate")) == 3

    simulate(story)


def test_hundreds_of_pods_come_in_one_go() -> None:
    """300 pods, all available, and no write that changes nothing."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, 300)
        writes = cluster.registry.revision
        await cluster.settle(100)
        assert cluster.registry.revision == writes

    simulate(story)


def test_a_replication_controller_keeps_its_pods_as_a_replica_set_does() -> None:
    """Its selector is the labels themselves; it is scaled, adopts, and its pods go with it."""

    async def story(cluster: Cluster) -> None:
        spec = {"replicas": 2, "selector": {"app": "greeter"}, "template": template()}
        rc = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"}, "spec": spec}
        stray = template() | {"apiVersion": "v1", "kind": "Pod"}
        stray["metadata"] |= {"name": "stray"}
        cluster.apply("pods", stray)
        cluster.apply("replicationcontrollers", rc)
        await cluster.settle()
        assert len(cluster.pods()) == 2
        assert (
            cluster.get("pods", "stray")["metadata"]["ownerReferences"][0]["kind"] == "ReplicationController"
        )
        assert cluster.get("replicationcontrollers", "old")["status"] == {
            "replicas": 2,
            "fullyLabeledReplicas": 2,
            "readyReplicas": 2,
            "availableReplicas": 2,
            "observedGeneration": 1,
        }
        cluster.edit("replicationcontrollers", "old", {"spec": {"replicas": 1}})
        await cluster.settle()
        assert len(cluster.pods()) == 1
        cluster.registry.delete("replicationcontrollers", "default", "old", propagation="Background")
        await cluster.settle()
        assert cluster.list("pods") == []

    simulate(story)


@pytest.mark.parametrize(("replicas", "most"), [(10, 30), (400, 30)])
def test_many_pods_are_looked_through_together(replicas: int, most: int) -> None:
    """So the work for each does not grow with their number: few writes of status, endpoints and budget."""

    async def story(cluster: Cluster) -> None:
        budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "greeter"}}}
        cluster.apply("poddisruptionbudgets.policy", {"metadata": {"name": "b"}, "spec": budget})
        cluster.apply("services", service())

        def space_out(_event: object) -> None:
            cluster.node.start_s += 0.00002

        # Each write of a pod has later ones start later: no two become ready at one instant.
        cluster.registry.listen("pods", space_out)
        cluster.apply("deployments.apps", deployment(replicas=replicas))
        await cluster.settle()
        assert cluster.list(RS)[0]["status"]["readyReplicas"] == replicas
        written: Counter[str] = Counter(event.record.key.resource for event in cluster.log)
        assert written["pods"] == 4 * replicas
        for resource in (RS, "poddisruptionbudgets.policy", "endpoints"):
            assert written[resource] <= most, resource

    simulate(story, slice_size=1000)
