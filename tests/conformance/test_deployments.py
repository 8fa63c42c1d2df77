"""Deployments and ReplicaSets.

Most of these pods are on no node: their case writes what a kubelet would, so that each step of a rollout is seen.
"""

import pytest
from rig.objects import container, nowhere, ready, template, workload


def chosen(name):
    """The selector of a case's pods."""
    return {"labelSelector": f"app={name}"}


def pods_of(name, image="a:1", **spec):
    """A template of pods nowhere."""
    return nowhere(template(container(image), labels={"app": name}, **spec))


def make(room, name, replicas=2, **spec):
    """A Deployment of pods nowhere."""
    return room.make("deployments", workload("Deployment", name, pods_of(name), replicas=replicas, **spec))


def sets(room, name, number=1):
    """The Deployment's ReplicaSets, oldest revision first, once there are so many."""

    def find(items):
        known = [each for each in items if revision(each)]
        return len(known) == number and sorted(known, key=revision)

    return room.until_all("replicasets", find, **chosen(name))


def revision(each):
    """The revision of a Deployment or ReplicaSet; 0 before it has one."""
    return int(each["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", 0))


def pods(room, name, number):
    """The pods that are not being deleted, once there are so many."""

    def find(items):
        living = [each for each in items if "deletionTimestamp" not in each["metadata"]]
        return len(living) == number and (living or [None])

    return room.until_all("pods", find, **chosen(name))


def start(room, found, **status):
    """Write that these pods run and are ready."""
    for index, each in enumerate(found):
        body = ready(f"192.0.2.{index + 1}")
        body["status"] |= status
        assert room.patch("pods", each["metadata"]["name"], "strategic", body, "status").ok


def conditions(each):
    """Type → (status, reason)."""
    return {one["type"]: (one["status"], one.get("reason")) for one in each["status"].get("conditions", [])}


def until(room, name, **status):
    """Wait until a Deployment's status is so; what is 0 may be left out."""

    def holds(each):
        found = each["status"]
        is_seen = found.get("observedGeneration") == each["metadata"]["generation"]
        return is_seen and all(found.get(key, 0) == value for key, value in status.items()) and each

    return room.until("deployments", name, holds)


def test_a_set_for_each_template(pod_room, name):
    """A Deployment makes a ReplicaSet, owned by it, named and labelled by the hash of the template."""
    made = make(pod_room, name)
    (found,) = sets(pod_room, name)
    value = found["metadata"]["labels"]["pod-template-hash"]
    assert found["metadata"]["name"] == f"{name}-{value}"
    assert found["spec"]["selector"]["matchLabels"] == {"app": name, "pod-template-hash": value}
    (owner,) = found["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": name,
        "uid": made["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_annotations_of_a_set(pod_room, name):
    """A ReplicaSet carries its revision, and what it was wanted to be and might be at most."""
    make(pod_room, name, replicas=4)
    (found,) = sets(pod_room, name)
    annotations = {key.rpartition("/")[2]: value for key, value in found["metadata"]["annotations"].items()}
    assert annotations == {"revision": "1", "desired-replicas": "4", "max-replicas": "5"}


def test_pods_of_a_set(pod_room, name):
    """Pods are named after their set, owned by it, and carry the hash."""
    make(pod_room, name)
    (found,) = sets(pod_room, name)
    for each in pods(pod_room, name, 2):
        assert each["metadata"]["generateName"] == f"{found['metadata']['name']}-"
        assert len(each["metadata"]["name"]) == len(found["metadata"]["name"]) + 6
        assert (
            each["metadata"]["labels"]["pod-template-hash"]
            == found["metadata"]["labels"]["pod-template-hash"]
        )
        assert each["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]


def test_a_new_deployment_is_progressing(pod_room, name):
    """While pods are missing, a Deployment is not available, and progressing."""
    make(pod_room, name)
    found = conditions(until(pod_room, name, updatedReplicas=2, unavailableReplicas=2))
    assert found == {
        "Available": ("False", "MinimumReplicasUnavailable"),
        "Progressing": ("True", "ReplicaSetUpdated"),
    }


def test_a_deployment_that_is_done(pod_room, name):
    """When all pods are ready it is available, and has its new set."""
    make(pod_room, name)
    start(pod_room, pods(pod_room, name, 2))
    found = until(pod_room, name, replicas=2, readyReplicas=2, availableReplicas=2, unavailableReplicas=0)
    found = pod_room.until(
        "deployments",
        name,
        lambda each: conditions(each).get("Progressing", ("", ""))[1] == "NewReplicaSetAvailable" and each,
    )
    assert conditions(found) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }


@pytest.mark.parametrize(("replicas", "surge", "unavailable", "total", "kept"), [
    (4, "25%", "25%", 5, 3),
    (3, "25%", "25%", 4, 3),
    (3, "50%", 0, 5, 3),
    (3, 0, "50%", 3, 2),
    (2, 1, 0, 3, 2),
    (5, "30%", "30%", 7, 4),
    (1, "0%", "10%", 1, 0),
], ids=["quarter-of-4", "quarter-of-3", "half-up", "half-down", "one-more", "third-of-5", "neither"])  # fmt: skip
def test_surge_and_unavailable(pod_room, name, replicas, surge, unavailable, total, kept):
    """maxSurge is rounded up and maxUnavailable down, and together they are at least one."""
    rolling = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    make(pod_room, name, replicas=replicas, strategy=rolling)
    start(pod_room, pods(pod_room, name, replicas))
    until(pod_room, name, readyReplicas=replicas)
    roll(pod_room, name)
    pod_room.until_all(
        "replicasets",
        lambda items: (
            len(items) == 2
            and sum(each["spec"]["replicas"] for each in items) == total
            and min(each["spec"]["replicas"] for each in items if revision(each) == 1) == kept
        ),
        **chosen(name),
    )


def roll(room, name, image="a:2"):
    """Change the template."""
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    return room.patch("deployments", name, "strategic", patch).ok


def test_a_rollout_goes_on_as_pods_get_ready(pod_room, name):
    """Ready new pods take the place of old ones until none is left."""
    make(pod_room, name, replicas=2, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    start(pod_room, pods(pod_room, name, 2))
    until(pod_room, name, readyReplicas=2)
    roll(pod_room, name)
    for _ in range(2):

        def waiting(items):
            return [
                each
                for each in items
                if each["spec"]["containers"][0]["image"] == "a:2" and each["status"]["phase"] == "Pending"
            ]

        start(pod_room, pod_room.until_all("pods", waiting, **chosen(name)))
    until(pod_room, name, replicas=2, updatedReplicas=2, readyReplicas=2)
    old, new = sets(pod_room, name, 2)
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 2)


def test_recreate_waits_for_the_old(pod_room, name):
    """Recreate makes no new pod while an old one is there."""
    make(pod_room, name, replicas=1, strategy={"type": "Recreate"})
    (old,) = pods(pod_room, name, 1)
    pod_room.patch(
        "pods", old["metadata"]["name"], "merge", {"metadata": {"finalizers": ["example.com/hold"]}}
    )
    start(pod_room, [old])
    roll(pod_room, name)
    pod_room.until("pods", old["metadata"]["name"], lambda each: "deletionTimestamp" in each["metadata"])
    assert [each["metadata"]["name"] for each in pod_room.get("pods", **chosen(name)).ok["items"]] == [
        old["metadata"]["name"]
    ]
    pod_room.patch("pods", old["metadata"]["name"], "merge", {"metadata": {"finalizers": None}})
    (new,) = pods(pod_room, name, 1)
    new = pod_room.until_all(
        "pods",
        lambda items: [each for each in items if each["spec"]["containers"][0]["image"] == "a:2"],
        **chosen(name),
    )
    assert len(new) == 1


def test_a_paused_deployment(pod_room, name):
    """A paused Deployment does not roll, and says so; resumed, it does."""
    make(pod_room, name, replicas=0)
    sets(pod_room, name)
    pod_room.patch("deployments", name, "merge", {"spec": {"paused": True}})
    found = pod_room.until(
        "deployments",
        name,
        lambda each: conditions(each).get("Progressing") == ("Unknown", "DeploymentPaused") and each,
    )
    roll(pod_room, name)
    found = until(pod_room, name)
    assert len(sets(pod_room, name)) == 1
    pod_room.patch("deployments", name, "merge", {"spec": {"paused": False}})
    assert [revision(each) for each in sets(pod_room, name, 2)] == [1, 2]
    assert found["spec"]["paused"] is True


def test_a_paused_deployment_scales(pod_room, name):
    """A paused Deployment can be scaled."""
    make(pod_room, name, replicas=1, paused=False)
    sets(pod_room, name)
    pod_room.patch("deployments", name, "merge", {"spec": {"paused": True}})
    pod_room.patch("deployments", name, "merge", {"spec": {"replicas": 3}}, "scale")
    pods(pod_room, name, 3)


def test_an_old_template_comes_back(pod_room, name):
    """Going back to an old template takes its old ReplicaSet, with a new revision."""
    make(pod_room, name, replicas=0)
    (first,) = sets(pod_room, name)
    roll(pod_room, name)
    sets(pod_room, name, 2)
    roll(pod_room, name, "a:1")
    found = pod_room.until(
        "replicasets", first["metadata"]["name"], lambda each: revision(each) == 3 and each
    )
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    pod_room.until("deployments", name, lambda each: revision(each) == 3)


def test_old_sets_are_cleaned_up(pod_room, name):
    """Only so many old ReplicaSets are kept as revisionHistoryLimit says."""
    make(pod_room, name, replicas=0, revisionHistoryLimit=1)
    sets(pod_room, name)
    for number in (2, 3):
        roll(pod_room, name, f"a:{number}")
        pod_room.until(
            "deployments",
            name,
            lambda each, number=number: (
                revision(each) == number
                and each["status"].get("observedGeneration") == each["metadata"]["generation"]
            ),
        )
    found = pod_room.until_all("replicasets", lambda items: len(items) == 2 and items, **chosen(name))
    assert sorted(revision(each) for each in found) == [2, 3]


def test_a_deadline(pod_room, name):
    """Without progress for so long a Deployment says so, and does nothing else."""
    make(pod_room, name, replicas=1, progressDeadlineSeconds=1)
    found = pod_room.until(
        "deployments",
        name,
        lambda each: conditions(each).get("Progressing") == ("False", "ProgressDeadlineExceeded") and each,
    )
    assert found["spec"]["replicas"] == 1
    (said,) = [each["message"] for each in found["status"]["conditions"] if each["type"] == "Progressing"]
    (made,) = sets(pod_room, name)
    assert said == f'ReplicaSet "{made["metadata"]["name"]}" has timed out progressing.'


def test_a_pod_that_waits_to_be_available(pod_room, name):
    """A pod that is ready is available only after minReadySeconds."""
    make(pod_room, name, replicas=1, minReadySeconds=500)
    start(pod_room, pods(pod_room, name, 1))
    found = until(pod_room, name, readyReplicas=1)
    assert found["status"].get("availableReplicas", 0) == 0


def test_scaling_by_proportion(pod_room, name):
    """A Deployment that is scaled in the middle of a rollout gives to both sets, by size."""
    make(pod_room, name, replicas=10, strategy={"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}})
    start(pod_room, pods(pod_room, name, 10))
    until(pod_room, name, readyReplicas=10)
    roll(pod_room, name)
    pod_room.until_all(
        "replicasets",
        lambda items: sorted(each["spec"]["replicas"] for each in items) == [5, 8],
        **chosen(name),
    )
    pod_room.patch("deployments", name, "merge", {"spec": {"replicas": 15}}, "scale")
    found = pod_room.until_all(
        "replicasets",
        lambda items: sum(each["spec"]["replicas"] for each in items) == 18 and items,
        **chosen(name),
    )
    assert {revision(each): each["spec"]["replicas"] for each in found} == {1: 11, 2: 7}


def test_a_rollout_over_a_rollout(pod_room, name):
    """A new template in the middle of a rollout: the one in between is scaled down first, its pods are not ready."""
    make(pod_room, name, replicas=2, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    start(pod_room, pods(pod_room, name, 2))
    until(pod_room, name, readyReplicas=2)
    roll(pod_room, name)
    pods(pod_room, name, 3)
    roll(pod_room, name, "a:3")
    found = pod_room.until_all(
        "replicasets",
        lambda items: (
            len(items) == 3
            and {revision(each): each["spec"]["replicas"] for each in items} == {1: 2, 2: 0, 3: 1}
            and items
        ),
        **chosen(name),
    )
    assert len(found) == 3


def test_a_deleted_pod_is_replaced(pod_room, name):
    """A pod that is deleted is replaced, when it is marked and not when it is gone."""
    make(pod_room, name, replicas=1)
    (first,) = pods(pod_room, name, 1)
    pod_room.patch(
        "pods", first["metadata"]["name"], "merge", {"metadata": {"finalizers": ["example.com/hold"]}}
    )
    pod_room.delete("pods", first["metadata"]["name"])
    (second,) = pods(pod_room, name, 1)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    pod_room.patch("pods", first["metadata"]["name"], "merge", {"metadata": {"finalizers": None}})


def test_a_failed_pod_is_replaced(pod_room, name):
    """A pod that has failed counts no more."""
    make(pod_room, name, replicas=1)
    (first,) = pods(pod_room, name, 1)
    pod_room.patch("pods", first["metadata"]["name"], "merge", {"status": {"phase": "Failed"}}, "status")
    pod_room.until_all(
        "pods", lambda items: [each for each in items if each["status"]["phase"] == "Pending"], **chosen(name)
    )


def test_terminating_pods_are_counted_apart(pod_room, name):
    """Pods that are being deleted are no replicas; they are counted by themselves."""
    make(pod_room, name, replicas=1)
    (first,) = pods(pod_room, name, 1)
    pod_room.patch(
        "pods", first["metadata"]["name"], "merge", {"metadata": {"finalizers": ["example.com/hold"]}}
    )
    pod_room.delete("pods", first["metadata"]["name"])
    assert until(pod_room, name, terminatingReplicas=1, replicas=1)
    pod_room.patch("pods", first["metadata"]["name"], "merge", {"metadata": {"finalizers": None}})


def make_set(room, name, replicas):
    """A ReplicaSet by itself."""
    return room.make("replicasets", workload("ReplicaSet", name, pods_of(name), replicas=replicas))


def test_a_set_by_itself(pod_room, name):
    """A ReplicaSet needs no Deployment."""
    make_set(pod_room, name, 2)
    found = pods(pod_room, name, 2)
    start(pod_room, found)

    def holds(each):
        return each["status"].get("readyReplicas") == each["status"].get("availableReplicas") == 2 and each

    assert pod_room.until("replicasets", name, holds)["status"]["fullyLabeledReplicas"] == 2


def test_a_set_adopts(pod_room, name):
    """A pod that matches and is owned by nobody is adopted, and counts."""
    body = pods_of(name)
    made = pod_room.make("pods", body | {"metadata": {"name": name, "labels": {"app": name}}})
    owner = make_set(pod_room, name, 1)
    found = pod_room.until("pods", name, lambda each: each["metadata"].get("ownerReferences") and each)
    assert found["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
    pod_room.until("replicasets", name, lambda each: each["status"].get("replicas") == 1)
    assert [each["metadata"]["uid"] for each in pods(pod_room, name, 1)] == [made["metadata"]["uid"]]


def test_a_set_releases(pod_room, name):
    """A pod whose labels no longer match is let go, and replaced."""
    make_set(pod_room, name, 1)
    (first,) = pods(pod_room, name, 1)
    pod_room.patch("pods", first["metadata"]["name"], "merge", {"metadata": {"labels": {"app": "other"}}})
    pod_room.until("pods", first["metadata"]["name"], lambda each: "ownerReferences" not in each["metadata"])
    pods(pod_room, name, 1)
    pod_room.delete("pods", first["metadata"]["name"])


def scaled_down(room, name, left):
    """The names that are left when a set is scaled down."""
    room.patch("replicasets", name, "merge", {"spec": {"replicas": left}}, "scale")
    return {each["metadata"]["name"] for each in pods(room, name, left)}


def ready_set(room, name, number):
    """A set whose pods are all ready; their names."""
    make_set(room, name, number)
    found = pods(room, name, number)
    start(room, found)
    room.until("replicasets", name, lambda each: each["status"].get("readyReplicas") == number)
    return [each["metadata"]["name"] for each in found]


def test_victims_are_the_unready(pod_room, name):
    """A pod that is not ready goes before one that is."""
    first, second = ready_set(pod_room, name, 2)
    pod_room.patch("pods", first, "strategic", ready("192.0.2.1", is_ready=False), "status")
    pod_room.until("replicasets", name, lambda each: each["status"].get("readyReplicas") == 1)
    assert scaled_down(pod_room, name, 1) == {second}


def test_victims_are_the_cheap(pod_room, name):
    """Of two that are ready, the one of the lower deletion cost goes."""
    first, second = ready_set(pod_room, name, 2)
    for each, cost in ((first, "10"), (second, "-10")):
        pod_room.patch(
            "pods",
            each,
            "merge",
            {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}},
        )
    assert scaled_down(pod_room, name, 1) == {first}


def test_victims_are_those_that_restarted(pod_room, name):
    """Of two alike, the one that has restarted more often goes."""
    first, second = ready_set(pod_room, name, 2)
    for each, restarts in ((first, 0), (second, 5)):
        statuses = [{"name": "main", "restartCount": restarts, "image": "a:1", "imageID": "", "ready": True}]
        pod_room.patch("pods", each, "merge", {"status": {"containerStatuses": statuses}}, "status")
    # Both have been ready for long: the instant of their readiness decides before restarts do.
    for each in (first, second):
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]
        pod_room.patch("pods", each, "merge", {"status": {"conditions": conditions}}, "status")
    pod_room.until_all(
        "pods",
        lambda items: all(
            each["status"]["conditions"][0]["lastTransitionTime"][:4] == "2020" for each in items
        ),
        **chosen(name),
    )
    assert scaled_down(pod_room, name, 1) == {first}


def test_events_of_a_deployment(pod_room, name):
    """A Deployment and its set tell what they do."""
    make(pod_room, name, replicas=1)
    (found,) = sets(pod_room, name)
    (pod,) = pods(pod_room, name, 1)

    def said(kind, who):
        def find(items):
            return [
                each["message"]
                for each in items
                if each["involvedObject"]["kind"] == kind and each["involvedObject"]["name"] == who
            ]

        return pod_room.until_all("events", find)

    assert said("Deployment", name) == [f"Scaled up replica set {found['metadata']['name']} from 0 to 1"]
    assert said("ReplicaSet", found["metadata"]["name"]) == [f"Created pod: {pod['metadata']['name']}"]
