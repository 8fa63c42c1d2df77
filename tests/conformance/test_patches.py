"""Patches: JSON, merge and strategic merge."""

import pytest
from rig.objects import config_map, container, nowhere, pod, service, template, workload


@pytest.fixture
def box(room, name):
    """A ConfigMap with keys a and b."""
    room.make("configmaps", config_map(name, {"a": "1", "b": "2"}))
    return name


JSON = {
    "add": ([{"op": "add", "path": "/data/c", "value": "3"}], {"a": "1", "b": "2", "c": "3"}),
    "add-over": ([{"op": "add", "path": "/data/a", "value": "3"}], {"a": "3", "b": "2"}),
    "replace": ([{"op": "replace", "path": "/data/a", "value": "3"}], {"a": "3", "b": "2"}),
    "remove": ([{"op": "remove", "path": "/data/a"}], {"b": "2"}),
    "move": ([{"op": "move", "from": "/data/a", "path": "/data/c"}], {"b": "2", "c": "1"}),
    "copy": ([{"op": "copy", "from": "/data/a", "path": "/data/c"}], {"a": "1", "b": "2", "c": "1"}),
    "test-and-replace": ([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9", "b": "2"}),
    "replace-nothing": ([{"op": "replace", "path": "/data/z", "value": "3"}], {"a": "1", "b": "2", "z": "3"}),
    "whole": ([{"op": "replace", "path": "/data", "value": {"z": "0"}}], {"z": "0"}),
    "nothing": ([], {"a": "1", "b": "2"}),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_json_patches(room, box, case):
    """The six operations of a JSON patch, in their order."""
    patch, expected = JSON[case]
    answer = room.patch("configmaps", box, "json", patch)
    assert (answer.status, answer.json["data"]) == (200, expected)


def test_paths_are_unescaped(room, box):
    """~1 stands for a slash in a path."""
    patch = [
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/a.b~1c", "value": "x"},
    ]
    assert room.patch("configmaps", box, "json", patch).ok["metadata"]["annotations"] == {"a.b/c": "x"}


BROKEN = {
    "failed-test": ([{"op": "test", "path": "/data/a", "value": "9"}], 422, "the server rejected our request due to an error in our request"),
    "remove-nothing": ([{"op": "remove", "path": "/data/z"}], 422, "the server rejected our request due to an error in our request"),
    "no-parent": ([{"op": "add", "path": "/nothing/z", "value": "1"}], 422, "the server rejected our request due to an error in our request"),
    "unknown-operation": ([{"op": "shake", "path": "/data/z"}], 422, "the server rejected our request due to an error in our request"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_json_patches_that_can_not_be_done(room, box, case):
    """An operation that fails leaves the object as it was, and the answer does not say which."""
    patch, code, message = BROKEN[case]
    answer = room.patch("configmaps", box, "json", patch)
    assert answer.error == (code, "Invalid", message)
    assert room.get("configmaps", box).ok["data"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize("body", [b"{", b'{"a": 1}', b'"x"'], ids=["cut", "object", "text"])
def test_bodies_that_are_no_json_patch(room, box, body):
    """What is no list of operations is a bad request."""
    assert room.patch("configmaps", box, "json", body).error[:2] == (400, "BadRequest")


def test_too_many_operations(room, box):
    """A JSON patch has at most ten thousand operations."""
    patch = [{"op": "test", "path": "/data/a", "value": "1"}] * 10_001
    answer = room.patch("configmaps", box, "json", patch)
    text = "The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert answer.error == (413, "RequestEntityTooLarge", f"Request entity too large: {text}")


MERGE = {
    "change": ({"data": {"a": "9"}}, {"a": "9", "b": "2"}),
    "add": ({"data": {"c": "3"}}, {"a": "1", "b": "2", "c": "3"}),
    "null-removes": ({"data": {"a": None}}, {"b": "2"}),
    "null-removes-all": ({"data": None}, None),
    "empty": ({}, {"a": "1", "b": "2"}),
    "null-of-nothing": ({"data": {"z": None}}, {"a": "1", "b": "2"}),
}


@pytest.mark.parametrize("kind", ["merge", "strategic"])
@pytest.mark.parametrize("case", MERGE)
def test_merges_of_maps(room, box, case, kind):
    """A merge changes what it names, and null removes; both kinds of merge agree on maps."""
    patch, expected = MERGE[case]
    assert room.patch("configmaps", box, kind, patch).ok.get("data") == expected


def two(room, name):
    """A pod nowhere with two containers, a and b."""
    containers = [
        container("a:1", name="a", env=[{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]),
        container("b:1", name="b"),
    ]
    return room.make("pods", nowhere(pod(name, *containers)))


def test_merge_replaces_lists(room, name):
    """To a merge patch a list is one value."""
    room.make("services", service(name, None, {"name": "a", "port": 1}, {"name": "b", "port": 2}))
    spec = room.patch("services", name, "merge", {"spec": {"ports": [{"name": "c", "port": 3}]}}).ok["spec"]
    assert [each["name"] for each in spec["ports"]] == ["c"]


def test_strategic_merges_lists_by_key(room, name):
    """To a strategic merge patch the ports of a Service are a map by port."""
    room.make("services", service(name, None, {"name": "a", "port": 1}, {"name": "b", "port": 2}))
    spec = room.patch(
        "services",
        name,
        "strategic",
        {"spec": {"ports": [{"name": "bb", "port": 2}, {"name": "c", "port": 3}]}},
    ).ok["spec"]
    assert {each["port"]: each["name"] for each in spec["ports"]} == {1: "a", 2: "bb", 3: "c"}


def deployment(room, name):
    """A Deployment of none, with two containers."""
    env = [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]
    pods = template(container("a:1", name="a", env=env), container("b:1", name="b"), labels={"app": name})
    return room.make("deployments", workload("Deployment", name, pods, replicas=0))


def containers(answer):
    """Name → container of a Deployment's template."""
    return {each["name"]: each for each in answer.ok["spec"]["template"]["spec"]["containers"]}


def inside(**spec):
    """A patch of the template's spec."""
    return {"spec": {"template": {"spec": spec}}}


def test_strategic_merges_containers_by_name(room, name):
    """A container is found by its name; the others stay."""
    deployment(room, name)
    found = containers(
        room.patch("deployments", name, "strategic", inside(containers=[{"name": "b", "image": "b:2"}]))
    )
    assert {key: each["image"] for key, each in found.items()} == {"a": "a:1", "b": "b:2"}


def test_strategic_merges_variables_by_name(room, name):
    """Lists inside of lists are merged by their own keys."""
    deployment(room, name)
    patch = inside(
        containers=[{"name": "a", "env": [{"name": "Y", "value": "9"}, {"name": "Z", "value": "3"}]}]
    )
    found = containers(room.patch("deployments", name, "strategic", patch))
    assert {each["name"]: each["value"] for each in found["a"]["env"]} == {"X": "1", "Y": "9", "Z": "3"}


def test_strategic_deletes_from_lists(room, name):
    """$patch: delete removes the element of that key."""
    deployment(room, name)
    patch = inside(containers=[{"name": "a", "$patch": "delete"}])
    assert list(containers(room.patch("deployments", name, "strategic", patch))) == ["b"]


def test_strategic_replaces_lists(room, name):
    """$patch: replace, as an element, makes the rest the whole list."""
    deployment(room, name)
    patch = inside(containers=[{"name": "c", "image": "c:1"}, {"$patch": "replace"}])
    assert list(containers(room.patch("deployments", name, "strategic", patch))) == ["c"]


def test_strategic_replaces_maps(room, box):
    """$patch: replace, in a map, makes the rest the whole map."""
    assert room.patch("configmaps", box, "strategic", {"data": {"$patch": "replace", "z": "0"}}).ok[
        "data"
    ] == {"z": "0"}


def test_strategic_orders_lists(room, name):
    """$setElementOrder orders a merged list, as kubectl apply asks."""
    deployment(room, name)
    patch = inside(
        **{
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "a:2"}],
        }
    )
    assert list(containers(room.patch("deployments", name, "strategic", patch))) == ["b", "a"]


def test_strategic_deletes_values_from_lists(room, name):
    """$deleteFromPrimitiveList removes values from a list of texts."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a", "example.com/b"]))
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}
    assert room.patch("configmaps", name, "strategic", patch).ok["metadata"]["finalizers"] == [
        "example.com/b"
    ]
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_strategic_adds_finalizers(room, name):
    """Finalizers are a set: a strategic merge adds to it."""
    room.make("configmaps", config_map(name, finalizers=["example.com/a"]))
    patch = {"metadata": {"finalizers": ["example.com/b", "example.com/a"]}}
    assert sorted(room.patch("configmaps", name, "strategic", patch).ok["metadata"]["finalizers"]) == [
        "example.com/a",
        "example.com/b",
    ]
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_strategic_retains_keys(room, name):
    """$retainKeys drops the other members of a union: how a strategy is switched."""
    deployment(room, name)
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert room.patch("deployments", name, "strategic", patch).ok["spec"]["strategy"] == {"type": "Recreate"}


def test_an_unknown_directive(room, box):
    """A directive that is none is refused."""
    answer = room.patch("configmaps", box, "strategic", {"data": {"$patch": "shake"}})
    assert answer.error == (500, "", "unknown patch type: shake in map: map[$patch:shake]")


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_an_unknown_patch_type(room, box, kind):
    """A patch of an unknown type is refused."""
    answer = room.patch("configmaps", box, kind, {"data": {}})
    assert answer.error == (415, "UnsupportedMediaType", "415: Unsupported Media Type")


@pytest.mark.parametrize("kind", ["merge", "strategic", "json"])
def test_a_patch_of_nothing(room, kind):
    """What is not there can not be patched."""
    assert room.patch("configmaps", "nobody", kind, [] if kind == "json" else {}).error == (
        404,
        "NotFound",
        'configmaps "nobody" not found',
    )


@pytest.mark.parametrize("kind", ["merge", "strategic"])
def test_a_patch_with_a_stale_version(room, box, kind):
    """A version in a patch has to be the current one."""
    answer = room.patch("configmaps", box, kind, {"metadata": {"resourceVersion": "1"}, "data": {"a": "9"}})
    assert answer.error[:2] == (409, "Conflict")


def test_a_patch_with_the_current_version(room, box):
    """With the current version a patch lands."""
    version = room.get("configmaps", box).ok["metadata"]["resourceVersion"]
    assert (
        room.patch(
            "configmaps", box, "merge", {"metadata": {"resourceVersion": version}, "data": {"a": "9"}}
        ).status
        == 200
    )


def test_a_patch_to_an_invalid_object(room, name):
    """What a patch makes is checked as what a client sends."""
    deployment(room, name)
    answer = room.patch("deployments", name, "merge", {"spec": {"replicas": -1}})
    assert answer.causes == [
        ("spec.replicas", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")
    ]


def test_a_patch_of_the_name(room, box):
    """A name can not be patched."""
    answer = room.patch("configmaps", box, "merge", {"metadata": {"name": "other"}})
    assert answer.error == (
        400,
        "BadRequest",
        f"the name of the object (other) does not match the name on the URL ({box})",
    )


def test_a_patch_of_the_uid(room, box):
    """A uid in a patch has to be that of the object."""
    answer = room.patch("configmaps", box, "merge", {"metadata": {"uid": "other"}})
    text = 'metadata.uid: Invalid value: "other": field is immutable'
    assert answer.error == (422, "Invalid", f'ConfigMap "{box}" is invalid: {text}')


WRONG_TYPES = [
    ({"spec": {"replicas": "many"}}, "map[spec:map[replicas:many]]", "unrecognized type: int32"),
    ({"spec": {"replicas": 1.5}}, "map[spec:map[replicas:1.5]]", "cannot convert float64 to int32"),
    ({"spec": {"paused": 1}}, "map[spec:map[paused:1]]", "unrecognized type: bool"),
    ({"spec": {"template": "x"}}, "map[spec:map[template:x]]", "cannot restore struct from: string"),
    ({"spec": 5}, "map[spec:5]", "cannot restore struct from: int64"),
    (
        {"metadata": {"labels": {"a": 5}}},
        "map[metadata:map[labels:map[a:5]]]",
        "cannot convert int64 to string",
    ),
    ({"metadata": {"labels": ["x"]}}, "map[metadata:map[labels:[x]]]", "cannot restore map from slice"),
    (
        {"metadata": {"finalizers": {"a": 1}}},
        "map[metadata:map[finalizers:map[a:1]]]",
        "cannot restore slice from map",
    ),
    (
        {"metadata": {"creationTimestamp": 5}},
        "map[metadata:map[creationTimestamp:5]]",
        "json: cannot unmarshal number into Go value of type string",
    ),
    (
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}},
        "map[spec:map[strategy:map[rollingUpdate:map[maxSurge:true]]]]",
        "json: cannot unmarshal bool into Go value of type int32",
    ),
    (
        {"spec": {"template": {"spec": {"hostAliases": ["x"]}}}},
        "map[spec:map[template:map[spec:map[hostAliases:[x]]]]]",
        "cannot restore struct from: string",
    ),
]


@pytest.mark.parametrize(("patch", "shown", "text"), WRONG_TYPES, ids=[each[1] for each in WRONG_TYPES])
def test_a_patch_of_the_wrong_type(room, name, patch, shown, text):
    """A value of the wrong type in a strategic patch is refused, in the words of what reads its result."""
    deployment(room, name)
    answer = room.patch("deployments", name, "strategic", patch)
    assert answer.error == (422, "Invalid", f' "" is invalid: patch: Invalid value: "{shown}": {text}')
