"""Namespaces: their life and what they hold."""

import pytest
from rig.objects import config_map
from rig.room import PREFIX, Room, new_name


@pytest.fixture
def empty(api, choice):
    """A namespace to be deleted by its case."""
    name = new_name(PREFIX.rstrip("-"))
    labels = {"made-for": "conformance"}
    assert api.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}).ok
    yield Room(api, name, choice.image)
    api.delete(f"/api/v1/namespaces/{name}")


def here(room):
    """The path of a namespace."""
    return f"/api/v1/namespaces/{room.name}"


def gone(room):
    """Wait until a namespace is not there."""
    room.api.until("/api/v1/namespaces", lambda items: not items, fieldSelector=f"metadata.name={room.name}")


def test_a_new_namespace(api, room):
    """A namespace is Active, held by the finalizer of its spec, and labelled with its name."""
    found = api.get(here(room)).ok
    assert (found["status"]["phase"], found["spec"]["finalizers"]) == ("Active", ["kubernetes"])
    assert found["metadata"]["labels"]["kubernetes.io/metadata.name"] == room.name


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
def test_namespaces_of_every_cluster(api, name):
    """Four namespaces are there from the beginning."""
    assert api.get(f"/api/v1/namespaces/{name}").ok["status"]["phase"] == "Active"


def test_an_account_for_each(room):
    """Each namespace is given a ServiceAccount called default."""
    assert room.until("serviceaccounts", "default", lambda each: each)["metadata"]["name"] == "default"


def test_the_authority_for_each(room):
    """Each namespace is given the certificate of the cluster's authority."""
    found = room.until("configmaps", "kube-root-ca.crt", lambda each: each)
    assert found["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_the_account_comes_back(own_room):
    """The account called default is made again when it is deleted."""
    uid = own_room.until("serviceaccounts", "default", lambda each: each["metadata"]["uid"])
    own_room.delete("serviceaccounts", "default")
    own_room.until("serviceaccounts", "default", lambda each: each["metadata"]["uid"] != uid)


def test_the_authority_comes_back(own_room):
    """The authority's certificate is written again when it is changed."""
    own_room.until("configmaps", "kube-root-ca.crt", lambda each: each)
    own_room.patch("configmaps", "kube-root-ca.crt", "merge", {"data": {"ca.crt": "nonsense"}})
    own_room.until(
        "configmaps", "kube-root-ca.crt", lambda each: each["data"]["ca.crt"].startswith("-----BEGIN")
    )


def test_a_name_with_a_dot(api):
    """A namespace's name is one DNS label."""
    answer = api.post("/api/v1/namespaces", {"metadata": {"name": "conformance-a.b"}})
    text = 'metadata.name: Invalid value: "conformance-a.b": must not contain dots'
    assert answer.error == (422, "Invalid", f'Namespace "conformance-a.b" is invalid: {text}')


def test_the_answer_to_a_deletion(empty):
    """A deletion answers the namespace, Terminating."""
    answer = empty.api.delete(here(empty))
    assert (answer.status, answer.json["kind"], answer.json["status"]["phase"]) == (
        200,
        "Namespace",
        "Terminating",
    )
    assert "deletionTimestamp" in answer.json["metadata"]


def test_everything_in_it_goes(empty):
    """What is in a namespace goes with it, and then it is not there."""
    empty.make("configmaps", config_map("a"))
    empty.make("secrets", {"metadata": {"name": "a"}})
    empty.api.delete(here(empty))
    gone(empty)
    assert empty.get("configmaps").ok["items"] == []
    assert empty.get("secrets", "a").status == 404


def test_nothing_new_while_it_goes(empty):
    """In a namespace that is going nothing can be created."""
    empty.make("configmaps", config_map("held", finalizers=["example.com/hold"]))
    empty.api.delete(here(empty))
    answer = empty.create("configmaps", config_map("new"))
    text = f"unable to create new content in namespace {empty.name} because it is being terminated"
    assert answer.error == (403, "Forbidden", f'configmaps "new" is forbidden: {text}')
    (cause,) = answer.json["details"]["causes"]
    assert cause == {
        "reason": "NamespaceTerminating", "message": f"namespace {empty.name} is being terminated", "field": "metadata.namespace",
    }  # fmt: skip
    empty.patch("configmaps", "held", "merge", {"metadata": {"finalizers": None}})


def test_what_holds_it_is_told(empty):
    """A namespace that can not go says in its conditions what holds it."""
    empty.make("configmaps", config_map("held", finalizers=["example.com/hold"]))
    empty.api.delete(here(empty))

    def find(items):
        conditions = {each["type"]: each for each in items[0]["status"].get("conditions", [])}
        found = conditions.get("NamespaceFinalizersRemaining", {})
        return found.get("status") == "True" and conditions

    conditions = empty.api.until("/api/v1/namespaces", find, fieldSelector=f"metadata.name={empty.name}")
    assert set(conditions) == {
        "NamespaceDeletionDiscoveryFailure", "NamespaceDeletionGroupVersionParsingFailure",
        "NamespaceDeletionContentFailure", "NamespaceContentRemaining", "NamespaceFinalizersRemaining",
    }  # fmt: skip
    assert conditions["NamespaceFinalizersRemaining"]["reason"] == "SomeFinalizersRemain"
    assert (
        conditions["NamespaceFinalizersRemaining"]["message"]
        == "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    assert (
        conditions["NamespaceContentRemaining"]["message"]
        == "Some resources are remaining: configmaps. has 1 resource instances"
    )
    empty.patch("configmaps", "held", "merge", {"metadata": {"finalizers": None}})


def test_what_is_held_can_be_freed(empty):
    """Once the last finalizer is off, the namespace goes by itself."""
    empty.make("configmaps", config_map("held", finalizers=["example.com/hold"]))
    empty.api.delete(here(empty))
    empty.until("configmaps", "held", lambda each: "deletionTimestamp" in each["metadata"])
    empty.patch("configmaps", "held", "merge", {"metadata": {"finalizers": None}})
    gone(empty)


def test_a_name_can_be_used_again(empty):
    """After a namespace is gone its name is free."""
    empty.api.delete(here(empty))
    gone(empty)
    assert empty.api.post("/api/v1/namespaces", {"metadata": {"name": empty.name}}).status == 201


def test_namespaces_are_not_deleted_together(api):
    """The collection of namespaces can not be deleted."""
    assert api.delete("/api/v1/namespaces", labelSelector="no=body").error[:2] == (405, "MethodNotAllowed")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_namespaces_that_stay(api, name):
    """Three namespaces can not be deleted."""
    answer = api.delete(f"/api/v1/namespaces/{name}", {"dryRun": ["All"]})
    assert answer.error == (
        403,
        "Forbidden",
        f'namespaces "{name}" is forbidden: this namespace may not be deleted',
    )
