"""Field validation and dry run."""

import pytest
from rig.objects import config_map, container, nowhere, pod, service, template, workload

UNKNOWN = {"spec": {"replicas": 0, "colour": "red"}}


def deployment(name, **more):
    """A Deployment of none, with a field too much."""
    pods = template(container("a:1", name="a"), labels={"app": name})
    return workload("Deployment", name, pods, replicas=0, **more)


def test_strict_refuses_unknown_fields(room, name):
    """Strict refuses a field that the kind does not have, with its path."""
    answer = room.create("deployments", deployment(name, colour="red"), fieldValidation="Strict")
    text = 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.colour"'
    assert answer.error == (400, "BadRequest", text)


def test_strict_names_all(room, name):
    """Strict names all fields that are too much."""
    answer = room.create(
        "deployments", deployment(name, colour="red") | {"size": 3}, fieldValidation="Strict"
    )
    assert 'unknown field "size"' in answer.error[2]
    assert 'unknown field "spec.colour"' in answer.error[2]


def test_strict_refuses_doubles(room, name):
    """Strict refuses a field that is there twice."""
    body = f'{{"metadata": {{"name": "{name}"}}, "data": {{"a": "1", "a": "2"}}}}'.encode()
    answer = room.create("configmaps", body, fieldValidation="Strict")
    text = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a"'
    assert answer.error == (400, "BadRequest", text)


@pytest.mark.parametrize("how", ["Warn", None], ids=["warn", "unset"])
def test_warn_drops_unknown_fields(room, name, how):
    """Warn, the default, drops the field and says so in a header."""
    answer = room.create("deployments", deployment(name, colour="red"), fieldValidation=how)
    assert (answer.status, "colour" in answer.json["spec"]) == (201, False)
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.colour\\""'


def test_ignore_drops_in_silence(room, name):
    """Ignore drops the field and says nothing."""
    answer = room.create("deployments", deployment(name, colour="red"), fieldValidation="Ignore")
    assert (answer.status, "colour" in answer.json["spec"], "Warning" in answer.headers) == (
        201,
        False,
        False,
    )


def test_a_way_that_is_none(room, name):
    """fieldValidation is one of three."""
    answer = room.create("configmaps", config_map(name), fieldValidation="Perhaps")
    assert answer.error[:2] == (422, "Invalid")
    assert (
        'fieldValidation: Unsupported value: "Perhaps": supported values: "", "Ignore", "Strict", "Warn"'
        in answer.error[2]
    )


@pytest.mark.parametrize("kind", ["merge", "strategic"])
def test_strict_patches(room, name, kind):
    """A patch with a field too much is refused by Strict."""
    room.make("deployments", deployment(name))
    answer = room.patch("deployments", name, kind, {"spec": {"colour": "red"}}, fieldValidation="Strict")
    assert answer.error[:2] == (422, "Invalid")
    assert answer.error[2].endswith('strict decoding error: unknown field "spec.colour"')


def test_strict_replacements(room, name):
    """A replacement with a field too much is refused by Strict."""
    made = room.make("deployments", deployment(name))
    made["spec"]["colour"] = "red"
    answer = room.put("deployments", name, made, fieldValidation="Strict")
    assert answer.error[:2] == (400, "BadRequest")
    assert 'unknown field "spec.colour"' in answer.error[2]


def test_a_dry_create(room, name):
    """A dry create answers with the whole object, without a version, and stores nothing."""
    answer = room.create("configmaps", config_map(name, {"a": "1"}), dryRun="All")
    metadata = answer.ok["metadata"]
    assert (answer.status, bool(metadata["uid"]), "resourceVersion" in metadata) == (201, True, False)
    assert room.get("configmaps", name).status == 404


def test_a_dry_create_fills_in(room, name):
    """Defaults are filled in by a dry create."""
    assert (
        room.create("services", service(name, None, {"port": 1}), dryRun="All").ok["spec"]["type"]
        == "ClusterIP"
    )


def test_a_dry_create_is_checked(room, name):
    """A dry create of an invalid object is refused as a real one."""
    assert room.create("services", service(name, None, {"port": 70000}), dryRun="All").error[:2] == (
        422,
        "Invalid",
    )


def test_a_dry_create_of_what_is_there(room, name):
    """A dry create of a name that is taken is refused."""
    room.make("configmaps", config_map(name))
    assert room.create("configmaps", config_map(name), dryRun="All").error[:2] == (409, "AlreadyExists")


def test_a_dry_replacement(room, name):
    """A dry replacement shows the change, with the version that is there, and makes none."""
    made = room.make("configmaps", config_map(name, {"a": "1"}))
    answer = room.put("configmaps", name, made | {"data": {"a": "2"}}, dryRun="All")
    assert (answer.ok["data"], answer.ok["metadata"]["resourceVersion"]) == (
        {"a": "2"},
        made["metadata"]["resourceVersion"],
    )
    assert room.get("configmaps", name).ok["data"] == {"a": "1"}


def test_a_dry_patch(room, name):
    """A dry patch shows the change and makes none."""
    room.make("configmaps", config_map(name, {"a": "1"}))
    assert room.patch("configmaps", name, "merge", {"data": {"a": "2"}}, dryRun="All").ok["data"] == {
        "a": "2"
    }
    assert room.get("configmaps", name).ok["data"] == {"a": "1"}


def test_a_dry_deletion(room, name):
    """A dry deletion answers, and the object is still there."""
    room.make("configmaps", config_map(name))
    assert room.delete("configmaps", name, dryRun="All").ok["status"] == "Success"
    assert room.get("configmaps", name).ok["metadata"]["name"] == name


def test_a_dry_deletion_of_a_pod(pod_room, name):
    """A dry deletion of a pod marks nothing."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"))))
    assert pod_room.delete("pods", name, dryRun="All").status == 200
    assert "deletionTimestamp" not in pod_room.get("pods", name).ok["metadata"]


def test_a_dry_deletion_in_the_body(room, name):
    """dryRun may stand in the body of a deletion."""
    room.make("configmaps", config_map(name))
    assert (
        room.delete(
            "configmaps", name, {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}
        ).status
        == 200
    )
    assert room.get("configmaps", name).status == 200


@pytest.mark.parametrize("method", ["create", "delete"])
def test_a_dry_run_of_something_else(room, name, method):
    """dryRun is All or nothing."""
    body = config_map(name)
    answer = (
        room.create("configmaps", body, dryRun="Some")
        if method == "create"
        else room.delete("configmaps", name, dryRun="Some")
    )
    assert answer.error[:2] == (422, "Invalid")
    assert 'dryRun: Unsupported value: ["Some"]: supported values: "All"' in answer.error[2]


def test_a_dry_run_tells_no_watch(room, name):
    """What is only tried is not seen by a watch."""
    version = room.get("configmaps", limit=1).ok["metadata"]["resourceVersion"]
    with room.watch("configmaps", resourceVersion=version, labelSelector=f"case={name}") as events:
        room.create("configmaps", config_map("a", labels={"case": name}), dryRun="All")
        room.make("configmaps", config_map(name, labels={"case": name}))
        assert events.take(1) == [("ADDED", name)]


def test_a_dry_deletion_of_all(own_room):
    """A dry deletion of a collection deletes nothing."""
    own_room.make("secrets", {"metadata": {"name": "a"}})
    assert own_room.delete("secrets", dryRun="All").status == 200
    assert len(own_room.get("secrets").ok["items"]) == 1


def test_a_dry_service_takes_no_address(room, name):
    """A dry create of a Service with an address of its own leaves this address to the next."""
    made = room.make("services", service(f"{name}-a", None, {"port": 1}))
    address = made["spec"]["clusterIP"]
    room.delete("services", f"{name}-a")
    room.until_gone("services", f"{name}-a")
    assert (
        room.create(
            "services", service(f"{name}-b", None, {"port": 1}, clusterIP=address), dryRun="All"
        ).status
        == 201
    )
    assert (
        room.make("services", service(f"{name}-c", None, {"port": 1}, clusterIP=address))["spec"]["clusterIP"]
        == address
    )


def test_a_taken_address(room, name):
    """An address that another Service has is refused."""
    address = room.make("services", service(f"{name}-a", None, {"port": 1}))["spec"]["clusterIP"]
    answer = room.create("services", service(f"{name}-b", None, {"port": 1}, clusterIP=address))
    assert answer.error[:2] == (422, "Invalid")
    assert answer.error[2].endswith("failed to allocate IP " + address + ": provided IP is already allocated")
