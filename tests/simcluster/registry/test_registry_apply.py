"""Applying through the registry, and who owns what after every kind of write."""

from __future__ import annotations

from typing import Any

import pytest
from registry_objects import DEPLOYMENTS, NOW_TEXT, Clock, deployment, pod

from simcluster.errors import BadRequest, Conflict, Invalid, NotFound, StatusError
from simcluster.patches.application import LAST_APPLIED, ApplyConflict
from simcluster.registry import Registry, WriteOptions

ME = WriteOptions(field_manager="me")
YOU = WriteOptions(field_manager="you")


def config(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def applied_deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", **deployment(**spec)}


def owners(obj: dict[str, Any]) -> list[tuple[str, str, str]]:
    listed = obj["metadata"].get("managedFields", [])
    return [(each["manager"], each["operation"], each.get("subresource", "")) for each in listed]


def fields(obj: dict[str, Any], manager: str) -> Any:
    return next(each["fieldsV1"] for each in obj["metadata"]["managedFields"] if each["manager"] == manager)


def put(registry: Registry, wanted: dict[str, Any], options: WriteOptions = ME, **more: Any) -> Any:
    """Apply to the ConfigMap `c`."""
    return registry.apply("configmaps", "default", "c", wanted, options=options, **more)


def test_what_is_not_there_is_created(registry: Registry) -> None:
    """The second apply says that the object is not new; nothing is stored by a dry run."""
    dry = WriteOptions(field_manager="me", dry_run=True)
    revision = registry.revision
    obj, is_new = put(registry, config(data={"a": "1"}), dry)
    assert (is_new, registry.revision, obj["data"]) == (True, revision, {"a": "1"})

    obj, is_new = put(registry, config(data={"a": "1"}))
    assert is_new
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "me",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": NOW_TEXT,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]
    again, is_new = put(registry, config(data={"a": "1"}))
    assert not is_new
    assert again is registry.get("configmaps", "default", "c")
    assert again["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]


def test_an_update_takes_the_field_and_applying_then_conflicts(registry: Registry, clock: Clock) -> None:
    """By force it comes back; what was given up goes."""
    put(registry, config(data={"a": "1", "b": "1"}))
    clock.now += 60
    registry.patch("configmaps", "default", "c", {"data": {"a": "2"}}, "merge", options=YOU)

    with pytest.raises(ApplyConflict, match=r'conflict with "you" using v1: .data.a'):
        put(registry, config(data={"a": "1"}))
    forced, _ = put(registry, config(data={"a": "1"}), WriteOptions(field_manager="me", force=True))

    assert forced["data"] == {"a": "1"}
    assert owners(forced) == [("me", "Apply", "")]


def test_a_stale_resource_version_is_refused_and_another_uid(registry: Registry) -> None:
    """What is applied may say which object it means."""
    put(registry, config())
    with pytest.raises(Conflict, match="the object has been modified"):
        put(registry, config() | {"metadata": {"name": "c", "resourceVersion": "1"}})
    with pytest.raises(Invalid, match=r"metadata.uid: Invalid value: .*: field is immutable"):
        put(registry, config() | {"metadata": {"name": "c", "uid": "1"}})


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({}, "invalid object type: /, Kind="),
        ({"apiVersion": "v1", "kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        (config() | {"metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
        (config("d"), r"the name of the object \(d\) does not match the name on the URL \(c\)"),
        (config() | {"metadata": {"namespace": "x"}}, "the namespace of the provided object does not match"),
    ],
)
def test_what_can_not_be_applied_is_refused(registry: Registry, wanted: Any, text: str) -> None:
    """Another kind, another object, or a claim on managedFields."""
    with pytest.raises(BadRequest, match=text):
        put(registry, wanted)


def test_a_field_that_the_type_has_not_is_refused(registry: Registry) -> None:
    """With the real server's code and text."""
    with pytest.raises(StatusError) as caught:
        put(registry, config(daa={}))

    assert (caught.value.code, caught.value.message) == (
        500,
        "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .daa: field not declared in schema",
    )


def test_creating_owns_what_was_set_and_defaulted_but_not_what_admission_adds(registry: Registry) -> None:
    """As on a real server: structs that are always there are owned by nobody."""
    made = registry.create("pods", "default", pod(), options=ME)

    assert fields(made, "me") == {
        "f:spec": {
            "f:containers": {
                'k:{"name":"c"}': {
                    ".": {},
                    "f:image": {},
                    "f:imagePullPolicy": {},
                    "f:name": {},
                    "f:resources": {},
                    "f:terminationMessagePath": {},
                    "f:terminationMessagePolicy": {},
                }
            },
            "f:dnsPolicy": {},
            "f:enableServiceLinks": {},
            "f:restartPolicy": {},
            "f:schedulerName": {},
            "f:securityContext": {},
            "f:terminationGracePeriodSeconds": {},
        }
    }
    assert "tolerations" in made["spec"]


def test_like_pods_share_one_set(registry: Registry) -> None:
    """Ten thousand pods of a template cost the memory of one set of fields."""
    one, other = (registry.create("pods", "default", pod(name), options=ME) for name in "pq")

    assert fields(one, "me") is fields(other, "me")


def test_status_is_owned_through_its_subresource(registry: Registry, clock: Clock) -> None:
    """A write to /status owns no spec, one to the object no status; each has its time."""
    made = registry.create(DEPLOYMENTS, "default", deployment(), options=ME)
    clock.now += 60
    changed = {**made, "spec": {**made["spec"], "paused": True}, "status": {"replicas": 3}}
    stored = registry.update(DEPLOYMENTS, "default", "d", changed, subresource="status", options=YOU)

    assert owners(stored) == [("me", "Update", ""), ("you", "Update", "status")]
    assert fields(stored, "you") == {"f:status": {"f:replicas": {}}}
    assert [each["time"] for each in stored["metadata"]["managedFields"]] == [
        NOW_TEXT,
        "2025-11-24T16:01:00Z",
    ]


def test_scaling_is_owned_through_scale(registry: Registry) -> None:
    """Patched or applied, the replicas belong to whom wrote the Scale; a conflict says so."""
    registry.apply(DEPLOYMENTS, "default", "d", applied_deployment(replicas=1), options=ME)
    registry.patch(
        DEPLOYMENTS, "default", "d", {"spec": {"replicas": 2}}, "merge", subresource="scale", options=YOU
    )
    stored = registry.get(DEPLOYMENTS, "default", "d")
    assert fields(stored, "you") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in fields(stored, "me")["f:spec"]

    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 5}}
    with pytest.raises(
        ApplyConflict, match=r'"you" with subresource "scale" using autoscaling/v1: .spec.replicas'
    ):
        registry.apply(DEPLOYMENTS, "default", "d", scale, subresource="scale", options=ME)
    forced = WriteOptions(field_manager="me", force=True)
    shown, _ = registry.apply(DEPLOYMENTS, "default", "d", scale, subresource="scale", options=forced)

    assert shown["spec"] == {"replicas": 5}
    stored = registry.get(DEPLOYMENTS, "default", "d")
    assert owners(stored) == [("me", "Apply", "scale"), ("me", "Apply", "")]
    with pytest.raises(NotFound):
        registry.apply(DEPLOYMENTS, "default", "nope", scale, subresource="scale", options=ME)


def test_a_write_that_changes_nothing_is_no_write(registry: Registry, clock: Clock) -> None:
    """Neither revision nor time moves, whoever writes."""
    made = registry.create("configmaps", "default", config(data={"a": "1"}), options=ME)
    clock.now += 60

    assert registry.update("configmaps", "default", "c", made, options=YOU) is made
    assert registry.patch("configmaps", "default", "c", {"data": {"a": "1"}}, "merge", options=YOU) is made


@pytest.mark.parametrize("reset", [[], [{}]])
def test_a_client_may_reset_managed_fields(registry: Registry, reset: list[Any]) -> None:
    """Nobody is tracked then, until somebody applies; what was there counts as from before."""
    made = registry.create("configmaps", "default", config(data={"a": "1"}), options=ME)
    forgotten = {**made, "metadata": {**made["metadata"], "managedFields": reset}}
    assert owners(registry.update("configmaps", "default", "c", forgotten, options=ME)) == []
    merged = registry.patch("configmaps", "default", "c", {"data": {"a": "2"}}, "merge", options=ME)
    assert owners(merged) == []

    with pytest.raises(ApplyConflict, match=r'conflict with "before-first-apply" using v1: .data.a'):
        put(registry, config(data={"a": "3"}))


def test_managed_fields_that_are_not_sent_or_make_no_sense_stay(registry: Registry) -> None:
    """A client that does not know them can not lose them."""
    made = registry.create("configmaps", "default", config(data={"a": "1"}), options=ME)
    bare = {key: value for key, value in made["metadata"].items() if key != "managedFields"}
    assert owners(registry.update("configmaps", "default", "c", {**made, "metadata": bare})) == [
        ("me", "Update", "")
    ]
    broken = {**made, "metadata": {**made["metadata"], "managedFields": [{"operation": "Eat"}]}}
    assert owners(registry.update("configmaps", "default", "c", broken)) == [("me", "Update", "")]


def test_those_inside_the_cluster_write_under_their_names(registry: Registry) -> None:
    """Each part of the cluster owns what it writes."""
    made = registry.acting_as("kubelet").create("configmaps", "default", config(data={"a": "1"}))

    assert owners(made) == [("kubelet", "Update", "")]


def test_kubectl_keeps_the_last_applied_annotation_up_to_date(registry: Registry) -> None:
    """So that a client-side apply can follow a server-side one; other managers leave it."""
    made = config(data={"a": "1"}) | {"metadata": {"name": "c", "annotations": {LAST_APPLIED: "{}"}}}
    registry.create(
        "configmaps", "default", made, options=WriteOptions(field_manager="kubectl-client-side-apply")
    )
    other, _ = put(registry, config(data={"b": "1"}))
    assert other["metadata"]["annotations"] == {LAST_APPLIED: "{}"}

    obj, _ = put(registry, config(data={"c": "1"}), WriteOptions(field_manager="kubectl"))

    assert obj["metadata"]["annotations"][LAST_APPLIED] == (
        '{"apiVersion":"v1","data":{"c":"1"},"kind":"ConfigMap","metadata":{"name":"c"}}\n'
    )
