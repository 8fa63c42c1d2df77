"""The Deployment controller, over the real registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from instant_cluster import Cluster, deployment, simulate, template

from simcluster.controllers import revisions
from simcluster.registry import format_time
from simcluster.store import Object

D = "deployments.apps"
RS = "replicasets.apps"


def status(cluster: Cluster, name: str = "greeter") -> Object:
    """The status of a Deployment."""
    found: Object = cluster.get(D, name)["status"]
    return found


def condition(cluster: Cluster, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    [found] = [each for each in status(cluster)["conditions"] if each["type"] == kind]
    return found["status"], found["reason"], found["message"]


def is_complete(cluster: Cluster) -> bool:
    """What `kubectl rollout status` waits for."""
    obj = cluster.get(D, "greeter")
    seen, desired = obj.get("status", {}), obj["spec"]["replicas"]
    counts = [seen.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return seen.get("observedGeneration") == obj["metadata"]["generation"] and counts == [desired] * 3


def images(cluster: Cluster) -> list[str]:
    """The images of the active pods."""
    return sorted(pod["spec"]["containers"][0]["image"] for pod in cluster.pods())


def set_image(cluster: Cluster, image: str) -> None:
    """Roll out another image."""
    cluster.edit(D, "greeter", {"spec": {"template": template(image)}})


def sets(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Image -> revision and replicas of each ReplicaSet."""
    return {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: (
            each["metadata"]["annotations"][revisions.REVISION],
            each["spec"]["replicas"],
        )
        for each in cluster.list(RS)
    }


async def deploy(cluster: Cluster, **spec: Any) -> None:
    """Create the Deployment and wait until it is complete."""
    cluster.apply(D, deployment(**spec))
    await cluster.until(lambda: is_complete(cluster))


def test_a_new_deployment_becomes_available_and_says_so() -> None:
    """ReplicaSet, pods, annotations, conditions and counts as on a real cluster."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        await cluster.settle()
        [replica_set] = cluster.list(RS)
        mark = replica_set["metadata"]["labels"]["pod-template-hash"]
        assert replica_set["metadata"]["name"] == f"greeter-{mark}"
        assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "greeter", "pod-template-hash": mark}
        assert replica_set["metadata"]["annotations"] == {
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
            "deployment.kubernetes.io/revision": "1",
        }
        for pod in cluster.pods():
            assert pod["metadata"]["name"].startswith(f"greeter-{mark}-")
            assert pod["metadata"]["labels"]["pod-template-hash"] == mark
        seen = status(cluster)
        assert {key: seen[key] for key in seen if key != "conditions"} == {
            "observedGeneration": 1,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "terminatingReplicas": 0,
        }
        assert condition(cluster, "Available") == (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
        said = f'ReplicaSet "greeter-{mark}" has successfully progressed.'
        assert condition(cluster, "Progressing") == ("True", "NewReplicaSetAvailable", said)
        assert cluster.events("ScalingReplicaSet") == [f"Scaled up replica set greeter-{mark} from 0 to 3"]
        assert cluster.get(D, "greeter")["metadata"]["annotations"] == {revisions.REVISION: "1"}

    simulate(story)


def watch_bounds(cluster: Cluster, most: int, least_available: int) -> list[str]:
    """Check each write of a pod from now on; return where the faults are put."""
    faults: list[str] = []

    def look(_event: object) -> None:
        active = cluster.pods()
        ready = sum(
            each["type"] == "Ready" and each["status"] == "True"
            for pod in active
            for each in pod["status"].get("conditions", ())
        )
        if len(active) > most:
            faults.append(f"{len(active)} pods, {most} allowed")
        if ready < least_available:
            faults.append(f"{ready} ready, {least_available} needed")

    cluster.registry.listen("pods", look)
    return faults


@pytest.mark.parametrize(
    ("surge", "unavailable", "most", "least"),
    [("25%", "25%", 7, 4), (1, 0, 6, 5), (0, 1, 5, 4), (5, 0, 10, 5), (2, 3, 7, 2)],
)
def test_a_rollout_stays_within_surge_and_unavailable(
    surge: int | str, unavailable: int | str, most: int, least: int
) -> None:
    """At each write of a pod there are no more pods and no fewer ready ones than the Deployment allows."""

    async def story(cluster: Cluster) -> None:
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        await deploy(cluster, replicas=5, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
        faults = watch_bounds(cluster, most, least)
        set_image(cluster, "greeter:v2")
        await cluster.until(lambda: is_complete(cluster))
        assert faults == []
        assert images(cluster) == ["greeter:v2"] * 5
        assert sets(cluster) == {"greeter:dev": ("1", 0), "greeter:v2": ("2", 5)}

    simulate(story)


def test_the_watch_of_the_bounds_sees_a_pod_too_few() -> None:
    """Negative control: deleting a pod behind the Deployment's back is found."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        faults = watch_bounds(cluster, 3, 3)
        cluster.registry.delete("pods", "default", cluster.names("pods")[0])
        assert faults == ["2 ready, 3 needed"]

    simulate(story)


def test_a_rollout_of_pods_that_never_get_ready_stops_and_times_out() -> None:
    """The old pods stay, the deadline is said in the condition and nothing is rolled back."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, progressDeadlineSeconds=60)
        cluster.node.is_healthy = lambda pod: pod["spec"]["containers"][0]["image"] == "greeter:dev"
        set_image(cluster, "greeter:broken")
        await cluster.settle(30)
        assert images(cluster) == ["greeter:broken", *["greeter:dev"] * 3]
        assert condition(cluster, "Progressing")[:2] == ("True", "ReplicaSetUpdated")
        await cluster.settle(60)
        name = next(each["metadata"]["name"] for each in cluster.list(RS) if each["spec"]["replicas"] == 1)
        said = f'ReplicaSet "{name}" has timed out progressing.'
        assert condition(cluster, "Progressing") == ("False", "ProgressDeadlineExceeded", said)
        assert condition(cluster, "Available")[0] == "True"
        assert images(cluster) == ["greeter:broken", *["greeter:dev"] * 3]

    simulate(story)


def test_a_rollover_drops_the_rollout_that_it_overtakes() -> None:
    """A third image in the middle of the second: the unready second goes before the available first."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.is_healthy = lambda pod: pod["spec"]["containers"][0]["image"] != "greeter:v2"
        set_image(cluster, "greeter:v2")
        await cluster.settle(5)
        faults = watch_bounds(cluster, 4, 3)
        set_image(cluster, "greeter:v3")
        await cluster.until(lambda: is_complete(cluster))
        assert faults == []
        assert sets(cluster) == {"greeter:dev": ("1", 0), "greeter:v2": ("2", 0), "greeter:v3": ("3", 3)}

    simulate(story)


def test_an_undo_takes_up_the_old_replica_set() -> None:
    """The template of revision 1 again: its ReplicaSet becomes revision 3 and remembers 1."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        [first] = cluster.names(RS)
        set_image(cluster, "greeter:v2")
        await cluster.until(lambda: is_complete(cluster))
        set_image(cluster, "greeter:dev")
        await cluster.until(lambda: is_complete(cluster))
        assert sets(cluster) == {"greeter:dev": ("3", 3), "greeter:v2": ("2", 0)}
        annotations = cluster.get(RS, first)["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert cluster.get(D, "greeter")["metadata"]["annotations"][revisions.REVISION] == "3"

    simulate(story)


def test_a_restart_replaces_every_pod() -> None:
    """An annotation on the template is a new template."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        before = set(cluster.names("pods"))
        stamp = {"kubectl.kubernetes.io/restartedAt": format_time(cluster.registry.clock())}
        cluster.edit(D, "greeter", {"spec": {"template": {"metadata": {"annotations": stamp}}}})
        await cluster.until(lambda: is_complete(cluster))
        assert before.isdisjoint(pod["metadata"]["name"] for pod in cluster.pods())

    simulate(story)


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    """No new pod is created while an old one still runs."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, strategy={"type": "Recreate"})
        cluster.node.stop_s = 20.0
        set_image(cluster, "greeter:v2")
        await cluster.settle(10)
        assert cluster.pods() == []
        assert len(cluster.list("pods")) == 3
        assert status(cluster)["terminatingReplicas"] == 3
        assert condition(cluster, "Available")[0] == "False"
        await cluster.until(lambda: is_complete(cluster))
        assert images(cluster) == ["greeter:v2"] * 3
        log = [entry for entry in cluster.log if entry.record.key.resource == "pods"]
        gone = max(n for n, entry in enumerate(log) if entry.type == "DELETED")
        made = [n for n, entry in enumerate(log) if entry.type == "ADDED"][3:]
        assert gone < min(made)

    simulate(story)


def test_scaling_up_and_down_keeps_the_replica_set() -> None:
    """The same ReplicaSet, its annotations brought up to date, no new revision."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        for replicas, most in ((7, 9), (2, 3), (0, 0)):
            cluster.edit(D, "greeter", {"spec": {"replicas": replicas}})
            await cluster.until(lambda: is_complete(cluster))
            [replica_set] = cluster.list(RS)
            annotations = replica_set["metadata"]["annotations"]
            assert annotations[revisions.DESIRED] == str(replicas)
            assert annotations[revisions.MOST] == str(most)
            assert annotations[revisions.REVISION] == "1"
            assert len(cluster.pods()) == replicas

    simulate(story)


def test_scaling_in_the_middle_of_a_rollout_shares_out() -> None:
    """Both ReplicaSets grow, in proportion, and the rollout still ends."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, replicas=10)
        cluster.node.is_healthy = lambda pod: pod["spec"]["containers"][0]["image"] == "greeter:dev"
        set_image(cluster, "greeter:v2")
        await cluster.settle(5)
        assert sets(cluster) == {"greeter:dev": ("1", 8), "greeter:v2": ("2", 5)}
        cluster.edit(D, "greeter", {"spec": {"replicas": 15}})
        await cluster.settle(5)
        assert sets(cluster) == {"greeter:dev": ("1", 12), "greeter:v2": ("2", 7)}
        cluster.node.is_healthy = lambda _pod: True
        for pod in cluster.pods():
            cluster.node.probe(pod)
        await cluster.until(lambda: is_complete(cluster))
        assert images(cluster) == ["greeter:v2"] * 15

    simulate(story)


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    """Pausing is told in the condition; resuming starts the rollout that has been asked for meanwhile."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.edit(D, "greeter", {"spec": {"paused": True}})
        set_image(cluster, "greeter:v2")
        cluster.edit(D, "greeter", {"spec": {"replicas": 4}})
        await cluster.settle()
        assert images(cluster) == ["greeter:dev"] * 4
        assert condition(cluster, "Progressing") == ("Unknown", "DeploymentPaused", "Deployment is paused")
        cluster.edit(D, "greeter", {"spec": {"paused": False}})
        await cluster.until(lambda: is_complete(cluster))
        assert images(cluster) == ["greeter:v2"] * 4

    simulate(story)


def test_a_paused_new_deployment_makes_nothing_until_it_is_resumed() -> None:
    """Not even a ReplicaSet."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(D, deployment(paused=True))
        await cluster.settle()
        assert cluster.list(RS) == []
        cluster.edit(D, "greeter", {"spec": {"paused": False}})
        await cluster.until(lambda: is_complete(cluster))

    simulate(story)


def test_history_beyond_its_limit_is_cleared_away() -> None:
    """Lowest revisions first, and never one with pods."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, revisionHistoryLimit=2)
        for number in range(2, 7):
            set_image(cluster, f"greeter:v{number}")
            await cluster.until(lambda: is_complete(cluster))
            await cluster.settle(2)
        assert sorted(sets(cluster)) == ["greeter:v4", "greeter:v5", "greeter:v6"]

    simulate(story)


def test_min_ready_seconds_hold_the_rollout_up() -> None:
    """Ready is not available until the time has passed; a change of it alone makes no new revision."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(D, deployment(minReadySeconds=30))
        await cluster.settle(10)
        assert status(cluster)["readyReplicas"] == 3
        assert "availableReplicas" not in status(cluster)
        assert condition(cluster, "Available")[0] == "False"
        took_s = await cluster.until(lambda: is_complete(cluster))
        assert 19 <= took_s <= 22
        cluster.edit(D, "greeter", {"spec": {"minReadySeconds": 5}})
        await cluster.settle(2)
        [replica_set] = cluster.list(RS)
        assert replica_set["spec"]["minReadySeconds"] == 5

    simulate(story)


def test_without_a_deadline_there_is_no_condition_progressing() -> None:
    """progressDeadlineSeconds at its largest means none."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, progressDeadlineSeconds=2**31 - 1)
        assert [each["type"] for each in status(cluster)["conditions"]] == ["Available"]

    simulate(story)


def test_an_orphaned_replica_set_with_the_template_is_adopted() -> None:
    """Deleting with orphaning and creating again keeps the pods."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        before = cluster.names("pods")
        cluster.registry.delete(D, "default", "greeter", propagation="Orphan")
        await cluster.until(lambda: cluster.list(D) == [])
        await deploy(cluster)
        assert cluster.names("pods") == before
        [replica_set] = cluster.list(RS)
        assert (
            replica_set["metadata"]["ownerReferences"][0]["uid"]
            == cluster.get(D, "greeter")["metadata"]["uid"]
        )

    simulate(story)


def test_two_templates_of_one_hash_get_two_replica_sets() -> None:
    """A name that is taken counts as a collision, and the next hash differs."""

    async def story(cluster: Cluster) -> None:
        squatter = deployment()
        name = f"greeter-{revisions.hash_of(_stored_template(cluster), None)}"
        taken = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "other"}},
                "template": squatter["spec"]["template"] | {"metadata": {"labels": {"app": "other"}}},
            },
        }
        cluster.apply(RS, taken)
        await deploy(cluster)
        assert status(cluster)["collisionCount"] == 1
        assert len(cluster.names(RS)) == 2

    simulate(story)


def _stored_template(cluster: Cluster) -> Object:
    """The template with the API's defaults, as the Deployment will have it."""
    cluster.namespace("scratch")
    stored = cluster.apply(D, deployment(paused=True), "scratch")
    found: Object = stored["spec"]["template"]
    return found


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(
            {"metadata": {"labels": {"a": "b"}}}, {"metadata": {"labels": {"a": "b"}}}, True, id="same"
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "b", "pod-template-hash": "x"}}},
            {"metadata": {"labels": {"a": "b"}}},
            True,
            id="hash",
        ),
        pytest.param({"metadata": {"annotations": {}, "x": None}}, {}, True, id="empty"),
        pytest.param(
            {"spec": {"volumes": [{"emptyDir": {}}]}}, {"spec": {"volumes": [{}]}}, False, id="choice"
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "b"}}}, {"metadata": {"labels": {"a": "c"}}}, False, id="other"
        ),
    ],
)
def test_templates_are_equal_but_for_the_hash_and_what_is_empty(
    first: Object, second: Object, *, expected: bool
) -> None:
    """Absent, null and empty read the same, except where being there means a choice."""
    assert revisions.is_same_template(first, second) is expected


def test_the_hash_is_of_the_template_and_the_collisions() -> None:
    """Same in, same out; ten letters at most, none of them a vowel or one that looks like another."""
    hashes = {
        revisions.hash_of(template(image), collisions)
        for image in ("greeter:dev", "greeter:v2")
        for collisions in (None, 0, 1)
    }
    assert len(hashes) == 6
    assert revisions.hash_of(template(), None) == revisions.hash_of(template(), None)
    assert all(set(each) <= set("bcdfghjklmnpqrstvwxz2456789") and len(each) <= 10 for each in hashes)


def test_the_history_annotation_forgets_its_oldest_numbers() -> None:
    """It stays under two thousand characters."""
    text = ",".join(str(number) for number in range(1000))
    newest = {"metadata": {"annotations": {revisions.REVISION: "1000", revisions.HISTORY: text}}}
    old = {"metadata": {"annotations": {revisions.REVISION: "1001"}}}
    history = revisions.annotate({"metadata": {}}, newest, [old])[revisions.HISTORY]
    assert len(history) <= 2000
    assert history.endswith(",999,1000")


def test_annotations_of_the_deployment_reach_the_replica_set_but_for_its_own() -> None:
    """The change cause does; the last applied configuration does not."""
    annotations = {
        "kubernetes.io/change-cause": "because",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        revisions.REVISION: "7",
    }
    copied = revisions.annotate({"metadata": {"annotations": annotations}}, {"metadata": {}}, [])
    assert copied == {"kubernetes.io/change-cause": "because", revisions.REVISION: "1"}


Check = Callable[[Cluster], bool]


def test_a_deployment_that_cannot_create_pods_says_so() -> None:
    """The ReplicaSet's failure becomes the Deployment's condition, and goes when pods can be made again."""

    async def story(cluster: Cluster) -> None:
        original = cluster.registry.create

        def refuse(resource: str, namespace: str | None, obj: Any, **options: Any) -> Object:
            if resource == "pods":
                from simcluster.errors import Forbidden

                raise Forbidden("pods", "", "exceeded quota")
            return original(resource, namespace, obj, **options)

        cluster.registry.create = refuse  # type: ignore[method-assign]
        cluster.apply(D, deployment())
        await cluster.settle(10)
        assert condition(cluster, "ReplicaFailure") == (
            "True",
            "FailedCreate",
            "pods is forbidden: exceeded quota",
        )
        assert cluster.events("FailedCreate")[0] == "Error creating: pods is forbidden: exceeded quota"
        del cluster.registry.create  # type: ignore[method-assign]
        await cluster.until(lambda: is_complete(cluster))
        await cluster.settle(1)
        assert [each["type"] for each in status(cluster)["conditions"]] == ["Available", "Progressing"]

    simulate(story)


def test_a_rollout_that_is_stuck_is_scaled_in_proportion_and_rolled_over() -> None:
    """The sizes that a real v1.36.3 gave its ReplicaSets, step by step, with the same strategy."""

    async def story(cluster: Cluster) -> None:
        cluster.node.is_healthy = lambda pod: pod["spec"]["containers"][0]["image"] == "greeter:dev"
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
        await deploy(cluster, replicas=10, strategy=strategy)

        async def sizes() -> dict[str, int]:
            await cluster.settle()
            return {image: size for image, (_, size) in sets(cluster).items()}

        set_image(cluster, "nosuch:1")
        assert await sizes() == {"greeter:dev": 8, "nosuch:1": 5}
        cluster.edit(D, "greeter", {"spec": {"replicas": 15}})
        assert await sizes() == {"greeter:dev": 11, "nosuch:1": 7}
        cluster.edit(D, "greeter", {"spec": {"replicas": 5}})
        assert await sizes() == {"greeter:dev": 3, "nosuch:1": 5}
        set_image(cluster, "nosuch:2")
        assert await sizes() == {"greeter:dev": 3, "nosuch:1": 0, "nosuch:2": 5}
        cluster.edit(D, "greeter", {"spec": {"progressDeadlineSeconds": 3}})
        await cluster.settle()
        _, reason, message = condition(cluster, "Progressing")
        assert reason == "ProgressDeadlineExceeded"
        assert message.endswith('" has timed out progressing.')

    simulate(story)
