"""Server-side apply and managedFields."""

import json

import pytest
from rig.objects import config_map, container, template, workload


def apply(room, resource, name, body, manager="alice", subresource=None, **query):
    """Apply a body as a manager."""
    kind = {
        "configmaps": ("v1", "ConfigMap"),
        "deployments": ("apps/v1", "Deployment"),
        "services": ("v1", "Service"),
    }[resource]
    whole = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": name}} | body
    return room.patch(resource, name, "apply", whole, subresource, fieldManager=manager, **query)


def owners(obj):
    """(manager, operation, subresource) → fields."""
    return {
        (each["manager"], each["operation"], each.get("subresource", "")): each["fieldsV1"]
        for each in obj["metadata"].get("managedFields", [])
    }


def test_apply_creates(room, name):
    """What is not there is created, by 201."""
    answer = apply(room, "configmaps", name, {"data": {"a": "1"}})
    assert (answer.status, answer.json["data"]) == (201, {"a": "1"})


def test_apply_again(room, name):
    """What is there is changed, by 200."""
    apply(room, "configmaps", name, {"data": {"a": "1"}})
    answer = apply(room, "configmaps", name, {"data": {"a": "2"}})
    assert (answer.status, answer.json["data"]) == (200, {"a": "2"})


def test_apply_of_the_same(room, name):
    """Applying the same again writes nothing."""
    first = apply(room, "configmaps", name, {"data": {"a": "1"}}).ok
    second = apply(room, "configmaps", name, {"data": {"a": "1"}}).ok
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


def test_what_is_given_up_goes(room, name):
    """A field that a manager no longer sends, and nobody else owns, is removed."""
    apply(room, "configmaps", name, {"data": {"a": "1", "b": "2"}})
    assert apply(room, "configmaps", name, {"data": {"b": "2"}}).ok["data"] == {"b": "2"}


def test_what_another_owns_stays(room, name):
    """A field that another manager owns too stays when one gives it up."""
    apply(room, "configmaps", name, {"data": {"a": "1", "b": "2"}})
    apply(room, "configmaps", name, {"data": {"a": "1"}}, "bob")
    assert apply(room, "configmaps", name, {"data": {"b": "2"}}).ok["data"] == {"a": "1", "b": "2"}


def test_what_others_set_stays(room, name):
    """Fields that a manager never sent are not its business."""
    room.make("configmaps", config_map(name, {"x": "1"}))
    assert apply(room, "configmaps", name, {"data": {"a": "1"}}).ok["data"] == {"a": "1", "x": "1"}


def test_a_conflict(room, name):
    """Another value for a field that somebody else owns is a conflict that names owner and field."""
    apply(room, "configmaps", name, {"data": {"a": "1"}})
    answer = apply(room, "configmaps", name, {"data": {"a": "2"}}, "bob")
    assert answer.error == (409, "Conflict", 'Apply failed with 1 conflict: conflict with "alice": .data.a')
    assert answer.causes == [(".data.a", "FieldManagerConflict", 'conflict with "alice"')]


def test_several_conflicts(room, name):
    """Conflicts are listed by owner."""
    apply(room, "configmaps", name, {"data": {"a": "1", "b": "1"}})
    answer = apply(room, "configmaps", name, {"data": {"a": "2", "b": "2"}}, "bob")
    assert answer.error[2] == 'Apply failed with 2 conflicts: conflicts with "alice":\n- .data.a\n- .data.b'


def test_a_conflict_with_an_update(room, name):
    """A conflict with somebody who did not apply says how that was written."""
    room.create("configmaps", config_map(name, {"a": "1"}), fieldManager="carol")
    answer = apply(room, "configmaps", name, {"data": {"a": "2"}}, "bob")
    assert answer.error[:2] == (409, "Conflict")
    assert answer.error[2].startswith('Apply failed with 1 conflict: conflict with "carol" using v1')


def test_the_same_value_is_no_conflict(room, name):
    """Who applies the same value owns the field together with the other."""
    apply(room, "configmaps", name, {"data": {"a": "1"}})
    found = owners(apply(room, "configmaps", name, {"data": {"a": "1"}}, "bob").ok)
    assert found[("alice", "Apply", "")] == found[("bob", "Apply", "")] == {"f:data": {"f:a": {}}}


def test_force_takes_over(room, name):
    """By force a field changes owner."""
    apply(room, "configmaps", name, {"data": {"a": "1"}})
    made = apply(room, "configmaps", name, {"data": {"a": "2"}}, "bob", force="true").ok
    assert made["data"] == {"a": "2"}
    assert [each for each in owners(made) if each[0] == "alice"] == []


def test_a_manager_is_required(room, name):
    """Apply needs a field manager."""
    answer = room.patch("configmaps", name, "apply", config_map(name))
    text = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    assert answer.error == (422, "Invalid", text)


@pytest.mark.parametrize(
    ("manager", "text"),
    [
        ("x" * 129, "Too long: may not be more than 128 bytes"),
        ("a\nb", 'Invalid value: "a\\nb": invalid character U+000A (at position 1)'),
    ],
    ids=["long", "unprintable"],
)
def test_managers_that_are_none(room, name, manager, text):
    """A manager's name is printable and at most 128 bytes long."""
    answer = room.create("configmaps", config_map(name), fieldManager=manager)
    assert answer.error == (422, "Invalid", f'CreateOptions.meta.k8s.io "" is invalid: fieldManager: {text}')


def test_force_is_for_apply(room, name):
    """`force` goes with no other patch."""
    room.make("configmaps", config_map(name))
    answer = room.patch("configmaps", name, "merge", {}, force="true")
    assert answer.error[:2] == (422, "Invalid")
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.error[2]


def test_managed_fields_are_not_applied(room, name):
    """A body of an apply has no managedFields."""
    body = config_map(name, managedFields=[{"manager": "x", "operation": "Apply", "apiVersion": "v1"}])
    answer = room.patch("configmaps", name, "apply", body, fieldManager="alice")
    assert answer.error == (400, "BadRequest", "metadata.managedFields must be nil")


def test_apply_needs_a_kind(room, name):
    """A body of an apply names its kind and version."""
    answer = room.patch("configmaps", name, "apply", {"metadata": {"name": name}}, fieldManager="alice")
    assert answer.error == (400, "BadRequest", "invalid object type: /, Kind=")


def test_apply_to_another_name(room, name):
    """The name in the body has to be that of the path."""
    answer = room.patch("configmaps", name, "apply", config_map("other"), fieldManager="alice")
    assert answer.error == (
        400,
        "BadRequest",
        f"the name of the object (other) does not match the name on the URL ({name})",
    )


def test_an_unknown_field(room, name):
    """A field that the schema does not know is refused."""
    answer = apply(room, "configmaps", name, {"colour": "red"})
    text = f"failed to create typed patch object ({room.name}/{name}; /v1, Kind=ConfigMap): .colour: field not declared in schema"
    assert answer.error[2].replace(f"(/{name};", f"({room.name}/{name};") == text
    assert answer.error[:2] == (500, "")


def test_apply_as_yaml(room, name):
    """What is applied may be YAML."""
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n"
    assert room.patch("configmaps", name, "apply", text.encode(), fieldManager="alice").ok["data"] == {
        "a": "b"
    }


def test_an_applied_entry(room, name):
    """Who applied is written down, with the fields."""
    made = apply(
        room, "configmaps", name, {"data": {"a": "1"}, "metadata": {"name": name, "labels": {"l": "1"}}}
    ).ok
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"], entry["fieldsType"]) == (
        "alice",
        "Apply",
        "v1",
        "FieldsV1",
    )
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}


def test_a_created_entry(room, name):
    """Who created is written down as having updated, with the maps that it made."""
    made = room.create("configmaps", config_map(name, {"a": "1"}), fieldManager="carol").ok
    assert owners(made) == {("carol", "Update", ""): {"f:data": {".": {}, "f:a": {}}}}


def test_the_default_manager(room, name):
    """Without a name, the manager is the client's User-Agent up to the slash."""
    made = room.create(
        "configmaps", config_map(name, {"a": "1"}), headers={"User-Agent": "mytool/1.2 (linux)"}
    ).ok
    assert list(owners(made)) == [("mytool", "Update", "")]


def test_a_patched_entry(room, name):
    """Who patches owns what the patch changed, and nobody else does any more."""
    room.create("configmaps", config_map(name, {"a": "1", "b": "1"}), fieldManager="carol")
    made = room.patch("configmaps", name, "merge", {"data": {"a": "2"}}, fieldManager="dave").ok
    assert owners(made) == {
        ("carol", "Update", ""): {"f:data": {".": {}, "f:b": {}}},
        ("dave", "Update", ""): {"f:data": {"f:a": {}}},
    }


def test_a_status_entry(room, name):
    """Who writes a status is written down for the subresource."""
    room.make(
        "poddisruptionbudgets",
        {"metadata": {"name": name}, "spec": {"minAvailable": 0, "selector": {"matchLabels": {"a": name}}}},
    )
    made = room.patch(
        "poddisruptionbudgets", name, "merge", {"status": {"expectedPods": 3}}, "status", fieldManager="dave"
    ).ok
    assert ("dave", "Update", "status") in owners(made)


def test_lists_are_owned_by_key(room, name):
    """An element of a list is owned under its key."""
    made = apply(room, "services", name, {"spec": {"ports": [{"name": "a", "port": 1}]}}).ok
    fields = owners(made)[("alice", "Apply", "")]
    key = json.dumps({"port": 1, "protocol": "TCP"}, separators=(",", ":"))
    assert fields == {"f:spec": {"f:ports": {f"k:{key}": {".": {}, "f:name": {}, "f:port": {}}}}}


def test_managers_share_a_list(room, name):
    """Two managers can each have elements of one list; who leaves takes its own along."""
    apply(room, "services", name, {"spec": {"ports": [{"name": "a", "port": 1}]}})
    apply(room, "services", name, {"spec": {"ports": [{"name": "b", "port": 2}]}}, "bob")
    made = apply(room, "services", name, {"spec": {"ports": [{"name": "c", "port": 3}]}}).ok
    assert sorted(each["name"] for each in made["spec"]["ports"]) == ["b", "c"]


def test_a_set_is_owned_by_value(room, name):
    """A finalizer is owned as a value of a set."""
    made = apply(room, "configmaps", name, {"metadata": {"name": name, "finalizers": ["example.com/a"]}}).ok
    assert owners(made)[("alice", "Apply", "")] == {"f:metadata": {"f:finalizers": {'v:"example.com/a"': {}}}}
    room.patch("configmaps", name, "merge", {"metadata": {"finalizers": None}})


def test_an_atomic_map(room, name):
    """A selector is one value: it is owned whole."""
    made = apply(
        room, "services", name, {"spec": {"selector": {"a": "b"}, "ports": [{"name": "a", "port": 1}]}}
    ).ok
    assert owners(made)[("alice", "Apply", "")]["f:spec"]["f:selector"] == {}


def test_scale_is_applied_apart(room, name):
    """Who sets the number by scale owns the number, for that subresource."""
    pods = template(container("a:1", name="a"), labels={"app": name})
    room.make("deployments", workload("Deployment", name, pods, replicas=0))
    room.patch("deployments", name, "merge", {"spec": {"replicas": 1}}, "scale", fieldManager="dave")
    found = owners(room.get("deployments", name).ok)
    assert found[("dave", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}


def test_an_apply_leaves_the_number_to_others(room, name):
    """A Deployment that is applied without replicas keeps the number that a scale has set."""
    pods = template(container("a:1", name="a"), labels={"app": name})
    spec = {"selector": {"matchLabels": {"app": name}}, "template": pods}
    apply(room, "deployments", name, {"spec": spec | {"paused": True}})
    room.patch("deployments", name, "merge", {"spec": {"replicas": 0}}, "scale", fieldManager="dave")
    assert (
        apply(room, "deployments", name, {"spec": spec | {"paused": True, "minReadySeconds": 1}}).ok["spec"][
            "replicas"
        ]
        == 0
    )


def test_ten_updating_managers(room, name):
    """Of those who updated, nine are remembered; the older ones become one."""
    room.create("configmaps", config_map(name, {"k0": "0"}), fieldManager="m0")
    for index in range(1, 13):
        made = room.patch(
            "configmaps", name, "merge", {"data": {f"k{index}": "0"}}, fieldManager=f"m{index}"
        ).ok
    managers = [each["manager"] for each in made["metadata"]["managedFields"]]
    assert (len(managers), "ancient-changes" in managers) == (10, True)


def test_managed_fields_can_be_cleared(room, name):
    """An empty entry clears what is known about owners."""
    room.create("configmaps", config_map(name, {"a": "1"}), fieldManager="carol")
    made = room.patch("configmaps", name, "merge", {"metadata": {"managedFields": [{}]}}).ok
    assert made["metadata"].get("managedFields", []) == []


def test_dry_apply(room, name):
    """A dry apply answers as a real one and writes nothing."""
    answer = apply(room, "configmaps", name, {"data": {"a": "1"}}, dryRun="All")
    assert (answer.status, answer.json["data"]) == (201, {"a": "1"})
    assert room.get("configmaps", name).status == 404


def test_an_apply_with_a_stale_version(room, name):
    """A version in what is applied has to be the current one."""
    apply(room, "configmaps", name, {"data": {"a": "1"}})
    answer = apply(
        room, "configmaps", name, {"metadata": {"name": name, "resourceVersion": "1"}, "data": {"a": "2"}}
    )
    assert answer.error[:2] == (409, "Conflict")


def test_an_apply_with_a_uid_of_nothing(room, name):
    """A uid says that the object is meant to be there: it is not created."""
    answer = room.patch("configmaps", name, "apply", config_map(name, uid="x"), fieldManager="alice")
    assert answer.error[:2] == (409, "Conflict")
    assert (
        "uid mismatch: the provided object specified uid x, and no existing object was found"
        in answer.error[2]
    )
