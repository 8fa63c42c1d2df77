"""Deletion, finalizers and garbage collection."""

import time
from datetime import datetime

import pytest
from rig.objects import config_map, container, nowhere, pod, template, workload


def owned(name, owner, **more):
    """A ConfigMap with an owner."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return config_map(name, ownerReferences=[reference | more])


def test_an_answer_to_a_deletion(room, name):
    """What is gone at once is answered by a Success that names it, with its uid."""
    made = room.make("configmaps", config_map(name))
    answer = room.delete("configmaps", name)
    assert answer.status == 200
    assert (answer.json["kind"], answer.json["status"]) == ("Status", "Success")
    assert answer.json["details"] == {"name": name, "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert room.get("configmaps", name).status == 404


def test_an_answer_to_a_deletion_in_a_group(room, name):
    """The details of a Success name the group."""
    made = room.make("leases", {"metadata": {"name": name}})
    details = room.delete("leases", name).ok["details"]
    assert details == {
        "name": name,
        "group": "coordination.k8s.io",
        "kind": "leases",
        "uid": made["metadata"]["uid"],
    }


def test_what_is_not_there(room):
    """What is not there can not be deleted."""
    assert room.delete("configmaps", "nobody").error == (404, "NotFound", 'configmaps "nobody" not found')


def test_some_deletions_answer_the_object(room, name):
    """A ServiceAccount or a Service is answered as it was."""
    room.make("serviceaccounts", {"metadata": {"name": name}})
    assert room.delete("serviceaccounts", name).ok["kind"] == "ServiceAccount"


PRECONDITIONS = {
    "uid": "the UID in the precondition (123) does not match the UID in record ({}). The object might have been deleted and then recreated",
    "resourceVersion": "the ResourceVersion in the precondition (123) does not match the ResourceVersion in record ({}). The object might have been modified",
}


@pytest.mark.parametrize("field", PRECONDITIONS)
def test_preconditions(room, name, field):
    """A precondition that does not hold is a Conflict that says both values; one that holds lets go."""
    made = room.make("configmaps", config_map(name))
    answer = room.delete("configmaps", name, {"preconditions": {field: "123"}})
    text = PRECONDITIONS[field].format(made["metadata"][field])
    assert answer.error == (409, "Conflict", f'Operation cannot be fulfilled on ConfigMap "{name}": {text}')
    assert room.delete("configmaps", name, {"preconditions": {field: made["metadata"][field]}}).status == 200


def test_finalizers_hold(room, name):
    """An object with a finalizer is only marked, and goes when the last finalizer is taken off."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a", "example.com/b"]))
    answer = room.delete("configmaps", name)
    assert (answer.status, answer.json["kind"]) == (200, "ConfigMap")
    assert {"deletionTimestamp", "deletionGracePeriodSeconds"} <= set(answer.json["metadata"])
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 0
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": ["example.com/b"]}})
    assert room.get("configmaps", name).status == 200
    assert room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}}).status == 200
    assert room.get("configmaps", name).status == 404


def test_deleting_twice(room, name):
    """A second deletion of what is marked answers the same, and moves nothing."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a"]))
    first = room.delete("configmaps", name).ok["metadata"]["deletionTimestamp"]
    again = room.delete("configmaps", name)
    assert (again.status, again.json["metadata"]["deletionTimestamp"]) == (200, first)
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_a_name_is_taken_until_the_end(room, name):
    """The name of what is being deleted is not free yet, and the answer says why."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a"]))
    room.delete("configmaps", name)
    text = f'object is being deleted: configmaps "{name}" already exists'
    assert room.create("configmaps", config_map(name)).error == (409, "AlreadyExists", text)
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_no_new_finalizers_while_deleting(room, name):
    """What is being deleted takes no new finalizers."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a"]))
    room.delete("configmaps", name)
    answer = room.patch(
        "configmaps", name, "merge", {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}
    )
    text = 'Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/b"}'
    assert set(answer.causes) == {("metadata.finalizers", "FieldValueForbidden", text)}
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_a_mark_can_not_be_taken_off(room, name):
    """deletionTimestamp stays, whatever is written."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a"]))
    room.delete("configmaps", name)
    changed = room.patch(
        "configmaps", name, "merge", {"metadata": {"deletionTimestamp": None, "labels": {"a": "b"}}}
    ).ok
    assert "deletionTimestamp" in changed["metadata"]
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_a_marked_object_can_be_changed(room, name):
    """What is being deleted can still be changed."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a"]))
    room.delete("configmaps", name)
    assert room.patch("configmaps", name, "merge", {"data": {"a": "1"}}).ok["data"] == {"a": "1"}
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_marking_counts_as_a_generation(room, name):
    """The mark is a new generation of what counts them."""
    pods = nowhere(template(container("a:1"), labels={"app": name}))
    body = workload("Deployment", name, pods, replicas=0)
    body["metadata"]["finalizers"] = ["example.com/a"]
    room.make("deployments", body)
    assert room.delete("deployments", name).ok["metadata"]["generation"] == 2
    room.patch("deployments", name, "merge", {"metadata": {"finalizers": None}})


def test_a_deleted_collection(own_room):
    """A collection is deleted by selector, and answered as a list of what went."""
    for index in range(3):
        own_room.make("secrets", {"metadata": {"name": f"s{index}", "labels": {"odd": str(index % 2)}}})
    answer = own_room.delete("secrets", labelSelector="odd=0")
    assert (answer.status, answer.json["kind"]) == (200, "SecretList")
    assert [each["metadata"]["name"] for each in answer.json["items"]] == ["s0", "s2"]
    assert [each["metadata"]["name"] for each in own_room.get("secrets").ok["items"]] == ["s1"]


@pytest.mark.parametrize(
    "options",
    [{"propagationPolicy": "Sideways"}, {"propagationPolicy": "Orphan", "orphanDependents": False}],
    ids=["unknown", "both"],
)
def test_options_that_do_not_go(room, name, options):
    """A policy that is none, or two at once, are refused."""
    room.make("configmaps", config_map(name))
    answer = room.delete("configmaps", name, options)
    assert answer.error[:2] == (422, "Invalid")
    assert answer.error[2].startswith('DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: ')


def test_an_unscheduled_pod_goes_at_once(pod_room, name):
    """A pod that is on no node has no grace."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"), terminationGracePeriodSeconds=30)))
    answer = pod_room.delete("pods", name)
    assert (answer.status, answer.json["kind"]) == (200, "Pod")
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 0
    assert pod_room.get("pods", name).status == 404


def held(room, name, **spec):
    """A pod on a node that does not exist: nobody ends it."""
    room.make("pods", pod(name, container("no/such:image"), nodeName="no-such-node", **spec))
    return name


def instant(text):
    """Seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(("spec", "options", "expected"), [
    ({"terminationGracePeriodSeconds": 30}, None, 30),
    ({"terminationGracePeriodSeconds": 7}, None, 7),
    ({"terminationGracePeriodSeconds": 30}, {"gracePeriodSeconds": 5}, 5),
    ({"terminationGracePeriodSeconds": 5}, {"gracePeriodSeconds": 60}, 60),
    ({"terminationGracePeriodSeconds": 30}, {"gracePeriodSeconds": -1}, 1),
], ids=["default", "of-the-spec", "shorter", "longer", "negative"])  # fmt: skip
def test_grace(pod_room, name, spec, options, expected):
    """Grace is that of the request, else of the spec; the mark lies that far ahead."""
    held(pod_room, name, **spec)
    metadata = pod_room.delete("pods", name, options).ok["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == expected
    assert abs(instant(metadata["deletionTimestamp"]) - time.time() - expected) < 20
    pod_room.delete("pods", name, {"gracePeriodSeconds": 0})


def test_grace_can_be_shortened(pod_room, name):
    """A second deletion can only shorten."""
    held(pod_room, name)
    pod_room.delete("pods", name, {"gracePeriodSeconds": 100})
    shorter = pod_room.delete("pods", name, {"gracePeriodSeconds": 50}).ok["metadata"]
    longer = pod_room.delete("pods", name, {"gracePeriodSeconds": 500}).ok["metadata"]
    assert [each["deletionGracePeriodSeconds"] for each in (shorter, longer)] == [50, 50]
    pod_room.delete("pods", name, {"gracePeriodSeconds": 0})


def test_no_grace_at_all(pod_room, name):
    """With zero a pod is gone at once, whoever runs it."""
    held(pod_room, name)
    answer = pod_room.delete("pods", name, {"gracePeriodSeconds": 0})
    assert answer.status == 200
    assert pod_room.get("pods", name).status == 404


def test_grace_in_the_query(pod_room, name):
    """Options may stand in the query."""
    held(pod_room, name)
    assert (
        pod_room.delete("pods", name, gracePeriodSeconds=9).ok["metadata"]["deletionGracePeriodSeconds"] == 9
    )
    pod_room.delete("pods", name, {"gracePeriodSeconds": 0})


def test_a_pod_that_ended_goes_at_once(pod_room, name):
    """A pod that has ended has no grace."""
    held(pod_room, name)
    pod_room.patch("pods", name, "merge", {"status": {"phase": "Succeeded"}}, "status")
    assert pod_room.delete("pods", name).status == 200
    assert pod_room.get("pods", name).status == 404


def test_dependents_follow(room, name):
    """What is owned goes after its owner, in the background."""
    owner = room.make("configmaps", config_map(name))
    room.make("configmaps", owned(f"{name}-d", owner))
    room.delete("configmaps", name)
    room.until_gone("configmaps", f"{name}-d")


def test_dependents_of_dependents_follow(room, name):
    """The whole tree goes."""
    owner = room.make("configmaps", config_map(name))
    middle = room.make("configmaps", owned(f"{name}-m", owner))
    room.make("configmaps", owned(f"{name}-d", middle))
    room.delete("configmaps", name)
    room.until_gone("configmaps", f"{name}-d")


def test_one_owner_of_two_is_enough(room, name):
    """What has another owner stays, without the reference to the one that is gone."""
    first, second = (
        room.make("configmaps", config_map(name)),
        room.make("configmaps", config_map(f"{name}-o")),
    )
    body = owned(f"{name}-d", first)
    body["metadata"]["ownerReferences"] += owned("", second)["metadata"]["ownerReferences"]
    room.make("configmaps", body)
    room.delete("configmaps", name)
    found = room.until(
        "configmaps", f"{name}-d", lambda each: len(each["metadata"]["ownerReferences"]) == 1 and each
    )
    assert found["metadata"]["ownerReferences"][0]["name"] == f"{name}-o"


def test_the_uid_counts(room, name):
    """An owner of the same name and another uid is no owner: what it owned goes."""
    owner = room.make("configmaps", config_map(name))
    owner["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    room.make("configmaps", owned(f"{name}-d", owner))
    room.until_gone("configmaps", f"{name}-d")


def test_an_owner_that_never_was(room, name):
    """What is owned by nobody goes."""
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "never-was", "uid": "00000000-0000-0000-0000-000000000001"},
    }
    room.make("configmaps", owned(name, owner))
    room.until_gone("configmaps", name)


def test_an_owner_elsewhere_is_none(room, api, name):
    """An owner in another namespace counts as absent."""
    elsewhere = api.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt").ok
    room.make("configmaps", owned(name, elsewhere))
    room.until_gone("configmaps", name)


def test_orphans_stay(room, name):
    """Orphan leaves dependents, without their owner."""
    owner = room.make("configmaps", config_map(name))
    room.make("configmaps", owned(f"{name}-d", owner))
    # What the collector has not seen yet it can not orphan.
    room.until("configmaps", f"{name}-d", lambda _each: True)
    answer = room.delete("configmaps", name, {"propagationPolicy": "Orphan"})
    assert answer.json["metadata"]["finalizers"] == ["orphan"]
    room.until_gone("configmaps", name)
    assert "ownerReferences" not in room.get("configmaps", f"{name}-d").ok["metadata"]


def test_foreground_waits(room, name):
    """Foreground waits for dependents that block."""
    owner = room.make("configmaps", config_map(name))
    blocking = owned(f"{name}-d", owner, blockOwnerDeletion=True)
    blocking["metadata"]["finalizers"] = ["example.com/hold"]
    room.make("configmaps", blocking)
    answer = room.delete("configmaps", name, {"propagationPolicy": "Foreground"})
    assert answer.json["metadata"]["finalizers"] == ["foregroundDeletion"]
    room.until("configmaps", f"{name}-d", lambda each: "deletionTimestamp" in each["metadata"])
    assert room.get("configmaps", name).status == 200
    room.patch("configmaps", f"{name}-d", "merge", {"metadata": {"finalizers": None}})
    room.until_gone("configmaps", name)


def test_foreground_without_dependents(room, name):
    """Foreground without dependents ends by itself."""
    room.make("configmaps", config_map(name))
    room.delete("configmaps", name, {"propagationPolicy": "Foreground"})
    room.until_gone("configmaps", name)


def test_foreground_does_not_wait_for_others(room, name):
    """Dependents that do not block are not waited for."""
    owner = room.make("configmaps", config_map(name))
    body = owned(f"{name}-d", owner)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    room.make("configmaps", body)
    room.delete("configmaps", name, {"propagationPolicy": "Foreground"})
    room.until_gone("configmaps", name)
    room.patch("configmaps", f"{name}-d", "merge", {"metadata": {"finalizers": None}})


def test_the_policy_in_the_query(room, name):
    """The policy may stand in the query."""
    room.make("configmaps", config_map(name, finalizers=["example.com/hold"]))
    metadata = room.delete("configmaps", name, propagationPolicy="Foreground").ok["metadata"]
    assert sorted(metadata["finalizers"]) == ["example.com/hold", "foregroundDeletion"]
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_a_deployment_takes_its_sets_along(room, name):
    """A Deployment's ReplicaSets go with it."""
    pods = nowhere(template(container("a:1"), labels={"app": name}))
    room.make("deployments", workload("Deployment", name, pods, replicas=0))
    chosen = {"labelSelector": f"app={name}"}
    room.until_all("replicasets", lambda sets: len(sets) == 1, **chosen)
    room.delete("deployments", name)
    room.until_all("replicasets", lambda sets: not sets, **chosen)


def test_an_orphaned_set_is_adopted(room, name):
    """A ReplicaSet whose Deployment was deleted alone is adopted by the next of the same selector."""
    pods = nowhere(template(container("a:1"), labels={"app": name}))
    room.make("deployments", workload("Deployment", name, pods, replicas=0))
    chosen = {"labelSelector": f"app={name}"}
    (first,) = room.until_all(
        "replicasets",
        lambda sets: (
            sets
            if sets and "deployment.kubernetes.io/revision" in sets[0]["metadata"].get("annotations", {})
            else None
        ),
        **chosen,
    )
    room.delete("deployments", name, {"propagationPolicy": "Orphan"})
    room.until_all(
        "replicasets", lambda sets: sets and "ownerReferences" not in sets[0]["metadata"], **chosen
    )
    room.until_gone("deployments", name)
    made = room.make("deployments", workload("Deployment", name, pods, replicas=0))
    (again,) = room.until_all(
        "replicasets", lambda sets: sets if "ownerReferences" in sets[0]["metadata"] else None, **chosen
    )
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert again["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
