"""The StatefulSet controller, over the real registry, and the steps that it decides on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import BEGIN, Cluster, provide_storage, simulate, template

from simcluster.controllers import history, ordinals
from simcluster.store import Object

S = "statefulsets.apps"
PVC = "persistentvolumeclaims"


def stateful_set(name: str = "web", *, replicas: int = 3, image: str = "greeter:dev", **spec: Any) -> Object:
    """A StatefulSet of pods labelled app=greeter."""
    wanted = {
        "serviceName": "web",
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "greeter"}},
        "template": template(image),
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": wanted | spec}


def status(cluster: Cluster) -> Object:
    """The status of the StatefulSet."""
    found: Object = cluster.get(S, "web")["status"]
    return found


def images(cluster: Cluster) -> dict[str, str]:
    """Name -> image of the pods that stay."""
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in cluster.pods()}


def order_of(cluster: Cluster, kind: str, since: int = 0) -> list[str]:
    """The names of the pods that were created (ADDED) or gone (DELETED), in that order."""
    return [
        event.object["metadata"]["name"]
        for event in cluster.log[since:]
        if event.record.key.resource == "pods" and event.type == kind
    ]


def watch_ready(cluster: Cluster) -> list[tuple[str, ...]]:
    """From now on, the names of the pods that were ready when each new one was made."""
    seen: list[tuple[str, ...]] = []

    def look(event: Any) -> None:
        if event.type == "ADDED":
            ready = [
                pod["metadata"]["name"]
                for pod in cluster.pods()
                if any(
                    each["type"] == "Ready" and each["status"] == "True"
                    for each in pod["status"].get("conditions", ())
                )
            ]
            seen.append(tuple(sorted(ready)))

    cluster.registry.listen("pods", look)
    return seen


async def deploy(cluster: Cluster, **spec: Any) -> None:
    """Create the StatefulSet and let it settle."""
    cluster.apply(S, stateful_set(**spec))
    await cluster.settle()


def test_pods_are_made_one_after_the_other_with_names_that_last() -> None:
    """Each is made when all before it are ready; name, hostname, subdomain, labels and status as on a real cluster."""

    async def story(cluster: Cluster) -> None:
        ready = watch_ready(cluster)
        await deploy(cluster)
        assert order_of(cluster, "ADDED") == ["web-0", "web-1", "web-2"]
        assert ready == [(), ("web-0",), ("web-0", "web-1")]
        [revision] = cluster.list(history.REVISIONS)
        pod = cluster.get("pods", "web-1")
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-1", "web")
        assert pod["metadata"]["generateName"] == "web-"
        assert pod["metadata"]["labels"] == {
            "app": "greeter",
            "apps.kubernetes.io/pod-index": "1",
            "statefulset.kubernetes.io/pod-name": "web-1",
            "controller-revision-hash": revision["metadata"]["name"],
        }
        assert status(cluster) == {
            "observedGeneration": 1,
            "replicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "currentReplicas": 3,
            "updatedReplicas": 3,
            "currentRevision": revision["metadata"]["name"],
            "updateRevision": revision["metadata"]["name"],
            "collisionCount": 0,
        }
        assert cluster.events("SuccessfulCreate")[0] == "Create Pod web-0 in StatefulSet web successful"

    simulate(story)


def test_a_revision_has_the_name_that_a_real_cluster_gives_it() -> None:
    """Bit for bit: the hash of the same template was taken from a real v1.36.3."""
    container = {
        "image": "registry.k8s.io/pause:3.10",
        "imagePullPolicy": "IfNotPresent",
        "name": "c",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    spec = {
        "containers": [container],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 0,
    }
    obj = stateful_set()
    obj["metadata"] |= {"namespace": "default", "uid": "u"}
    obj["spec"]["template"] = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    assert history.revision_for(obj, 1)["metadata"]["name"] == "web-7f645f9d47"


def test_a_parallel_set_makes_and_ends_all_at_once() -> None:
    """No pod waits for another, up or down."""

    async def story(cluster: Cluster) -> None:
        ready = watch_ready(cluster)
        await deploy(cluster, podManagementPolicy="Parallel")
        assert ready == [(), (), ()]
        cluster.edit(S, "web", {"spec": {"replicas": 0}})
        await cluster.settle(0.01)
        assert cluster.pods() == []
        assert len(cluster.list("pods")) == 3

    simulate(story)


def test_scaling_down_ends_the_highest_first_and_waits_for_its_end() -> None:
    """One pod is on its way out at a time."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, replicas=4)
        most = 0

        def look(_event: object) -> None:
            nonlocal most
            most = max(most, len(cluster.list("pods")) - len(cluster.pods()))

        cluster.registry.listen("pods", look)
        cluster.edit(S, "web", {"spec": {"replicas": 1}})
        await cluster.settle()
        assert order_of(cluster, "DELETED") == ["web-3", "web-2", "web-1"]
        assert most == 1

    simulate(story)


def test_a_lost_pod_comes_back_under_its_name() -> None:
    """Only when the old one has ended: two pods never share a name."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        before = cluster.get("pods", "web-1")["metadata"]["uid"]
        cluster.registry.delete("pods", "default", "web-1")
        await cluster.settle()
        assert cluster.get("pods", "web-1")["metadata"]["uid"] != before
        assert status(cluster)["readyReplicas"] == 3

    simulate(story)


def test_ordinals_can_start_elsewhere() -> None:
    """web-5 to web-7; the names before are not asked for."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, ordinals={"start": 5})
        assert cluster.names("pods") == ["web-5", "web-6", "web-7"]
        cluster.edit(S, "web", {"spec": {"ordinals": {"start": 6}}})
        await cluster.settle()
        assert cluster.names("pods") == ["web-6", "web-7", "web-8"]

    simulate(story)


def test_a_new_template_replaces_the_highest_first() -> None:
    """One at a time, each ready before the next goes; the status tells both revisions while it lasts."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        since = len(cluster.log)
        first = status(cluster)["currentRevision"]
        cluster.edit(S, "web", {"spec": {"template": template("greeter:2")}})
        await cluster.settle(0.05)
        seen = status(cluster)
        assert seen["currentRevision"] == first != seen["updateRevision"]
        assert seen["currentReplicas"] == 2
        await cluster.settle()
        assert order_of(cluster, "DELETED", since) == ["web-2", "web-1", "web-0"]
        assert set(images(cluster).values()) == {"greeter:2"}
        seen = status(cluster)
        assert seen["currentRevision"] == seen["updateRevision"] != first
        assert seen["currentReplicas"] == seen["updatedReplicas"] == 3

    simulate(story)


def test_a_partition_keeps_lower_pods_as_they_are() -> None:
    """Even a pod below it that is lost comes back by the old template."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        cluster.edit(S, "web", {"spec": {"template": template("greeter:2"), "updateStrategy": strategy}})
        await cluster.settle()
        cluster.registry.delete("pods", "default", "web-0")
        await cluster.settle()
        assert images(cluster) == {"web-0": "greeter:dev", "web-1": "greeter:dev", "web-2": "greeter:2"}
        assert (status(cluster)["currentReplicas"], status(cluster)["updatedReplicas"]) == (2, 1)

    simulate(story)


def test_on_delete_replaces_what_somebody_deletes() -> None:
    """And nothing else."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, updateStrategy={"type": "OnDelete"})
        cluster.edit(S, "web", {"spec": {"template": template("greeter:2")}})
        await cluster.settle()
        assert set(images(cluster).values()) == {"greeter:dev"}
        cluster.registry.delete("pods", "default", "web-1")
        await cluster.settle()
        assert images(cluster)["web-1"] == "greeter:2"
        assert images(cluster)["web-0"] == "greeter:dev"

    simulate(story)


def test_a_sick_pod_stops_an_ordered_update() -> None:
    """The next one is not touched before the first is ready."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.is_healthy = lambda pod: pod["spec"]["containers"][0]["image"] != "bad:1"
        cluster.edit(S, "web", {"spec": {"template": template("bad:1")}})
        await cluster.settle()
        assert images(cluster) == {"web-0": "greeter:dev", "web-1": "greeter:dev", "web-2": "bad:1"}

    simulate(story)


def test_min_ready_seconds_are_waited_for() -> None:
    """A pod counts as available, and the next is made, only after them."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(S, stateful_set(replicas=2, minReadySeconds=10))
        await cluster.settle(8)
        assert (cluster.names("pods"), status(cluster)["availableReplicas"]) == (["web-0"], 0)
        await cluster.settle()
        assert cluster.names("pods") == ["web-0", "web-1"]
        assert status(cluster)["availableReplicas"] == 2

    simulate(story)


def test_an_old_template_takes_up_its_revision_again_and_history_is_kept_short() -> None:
    """The revision is renumbered, not made again; those beyond the limit go, the live one stays."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, revisionHistoryLimit=1)
        first = status(cluster)["updateRevision"]
        for image in ("greeter:2", "greeter:3", "greeter:dev"):
            cluster.edit(S, "web", {"spec": {"template": template(image)}})
            await cluster.settle()
        numbers = {each["metadata"]["name"]: each["revision"] for each in cluster.list(history.REVISIONS)}
        assert len(numbers) == 2
        assert status(cluster)["updateRevision"] in numbers
        cluster.edit(S, "web", {"spec": {"revisionHistoryLimit": 10, "template": template("greeter:3")}})
        await cluster.settle()
        assert sorted(each["revision"] for each in cluster.list(history.REVISIONS)) in ([4, 5], [1, 5])
        assert first

    simulate(story)


VOLUME = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def test_each_pod_has_its_claim_and_the_claim_outlives_it() -> None:
    """data-web-N, mounted under the template's name; scaled down and deleted, the claims stay."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        await deploy(cluster, replicas=2, volumeClaimTemplates=[VOLUME])
        assert cluster.names(PVC) == ["data-web-0", "data-web-1"]
        [volume] = cluster.get("pods", "web-1")["spec"]["volumes"]
        assert volume == {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}
        assert cluster.get(PVC, "data-web-0")["metadata"]["labels"] == {"app": "greeter"}
        cluster.edit(S, "web", {"spec": {"replicas": 0}})
        await cluster.settle()
        cluster.registry.delete(S, "default", "web")
        await cluster.settle()
        assert cluster.names(PVC) == ["data-web-0", "data-web-1"]

    simulate(story)


@pytest.mark.parametrize(
    ("policy", "scaled", "deleted"),
    [
        ({"whenScaled": "Delete", "whenDeleted": "Retain"}, ["data-web-0"], ["data-web-0"]),
        ({"whenScaled": "Retain", "whenDeleted": "Delete"}, ["data-web-0", "data-web-1"], []),
        ({"whenScaled": "Delete", "whenDeleted": "Delete"}, ["data-web-0"], []),
    ],
)
def test_claims_go_when_the_retention_policy_says_so(
    policy: dict[str, str], scaled: list[str], deleted: list[str]
) -> None:
    """With the pod that is scaled away, or with the set."""

    async def story(cluster: Cluster) -> None:
        spec = {"volumeClaimTemplates": [VOLUME], "persistentVolumeClaimRetentionPolicy": policy}
        provide_storage(cluster)
        await deploy(cluster, replicas=2, **spec)
        assert cluster.names(PVC) == ["data-web-0", "data-web-1"]
        cluster.edit(S, "web", {"spec": {"replicas": 1}})
        await cluster.settle()
        assert cluster.names(PVC) == scaled
        cluster.registry.delete(S, "default", "web", propagation="Background")
        await cluster.settle()
        assert (cluster.names("pods"), cluster.names(PVC)) == ([], deleted)

    simulate(story)


def test_pods_of_its_name_are_adopted_and_others_are_left_alone() -> None:
    """Labels alone make no pod a member."""

    async def story(cluster: Cluster) -> None:
        for name in ("web-1", "stray"):
            pod = template() | {"apiVersion": "v1", "kind": "Pod"}
            pod["metadata"] |= {"name": name}
            cluster.apply("pods", pod)
        await deploy(cluster, replicas=2, podManagementPolicy="Parallel")
        assert cluster.get("pods", "web-1")["metadata"]["ownerReferences"][0]["name"] == "web"
        assert "ownerReferences" not in cluster.get("pods", "stray")["metadata"]

    simulate(story)


def pod_of(ordinal: int, revision: str, state: str) -> Object:
    """A pod in one of the states that the steps tell apart."""
    name = f"web-{ordinal}"
    metadata: Object = {
        "name": name,
        "namespace": "default",
        "labels": {"controller-revision-hash": revision},
    }
    if state == "terminating":
        metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    ready = "True" if state in ("ready", "terminating") else "False"
    since = "2027-01-15T07:00:00Z"
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": since}]
    phase = {"pending": "Pending", "failed": "Failed"}.get(state, "Running")
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "conditions": conditions}}


STATES = st.sampled_from(["ready", "unready", "pending", "terminating", "failed"])
PODS = st.dictionaries(st.integers(0, 7), st.tuples(st.sampled_from(["old", "new"]), STATES))


@given(present=PODS, replicas=st.integers(0, 6), partition=st.integers(0, 6), start=st.integers(0, 2))
def test_an_ordered_set_takes_one_step_at_a_time(
    present: dict[int, tuple[str, str]], replicas: int, partition: int, start: int
) -> None:
    """At most one pod is made or ended; a new one only when all before it are ready, and only where none is."""
    pods = [pod_of(ordinal, *how) for ordinal, how in present.items()]
    wish = ordinals.Wish("web", replicas, "old", "new", start=start, partition=partition)
    steps = ordinals.plan(wish, pods, BEGIN)
    assert len(steps.create) + len(steps.delete) <= 1
    for ordinal in steps.create:
        assert ordinal not in present
        assert wish.holds(ordinal)
        assert all(present[each][1] == "ready" for each in range(start, ordinal))
    for pod in steps.delete:
        ordinal = ordinals.ordinal_of(pod)
        revision, state = present[ordinal]
        assert state != "terminating"
        if wish.holds(ordinal) and state != "failed":
            assert revision == "old"
            assert ordinal >= start + partition
            assert all(present[each] == ("new", "ready") for each in range(ordinal + 1, start + replicas))


@given(
    replicas=st.integers(0, 5),
    partition=st.integers(0, 5),
    present=PODS,
    parallel=st.booleans(),
    on_delete=st.booleans(),
)
def test_however_it_begins_the_steps_lead_to_what_is_asked_for(
    replicas: int, partition: int, present: dict[int, tuple[str, str]], *, parallel: bool, on_delete: bool
) -> None:
    """With a node that makes every pod ready and ends those that are to go, it comes to rest at the wish."""
    # As on a real cluster, two failed pods that are to be scaled away wait for each other for ever.
    pods = {each: (how[0], "unready") if each >= replicas else how for each, how in present.items()}
    wish = ordinals.Wish(
        "web", replicas, "old", "new", partition=partition, parallel=parallel, on_delete=on_delete
    )
    for _ in range(60):
        steps = ordinals.plan(wish, [pod_of(each, *how) for each, how in pods.items()], BEGIN)
        gone = [ordinals.ordinal_of(pod) for pod in steps.delete]
        gone += [each for each, how in pods.items() if how[1] == "terminating"]
        for ordinal in steps.create:
            pods[ordinal] = (wish.revision_of_new(ordinal), "pending")
        pods = {
            each: how if how[1] == "failed" else (how[0], "ready")
            for each, how in pods.items()
            if each not in gone
        }
    assert sorted(pods) == list(range(replicas))
    if not on_delete:
        assert all(pods[each][0] == "new" for each in range(partition, replicas))
