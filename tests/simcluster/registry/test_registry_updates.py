"""What updates, patches and /scale change, and what they may not."""

from __future__ import annotations

import copy

import pytest
from registry_objects import DEPLOYMENTS, causes, deployment, pod

from simcluster.errors import (
    BadRequest,
    Conflict,
    Invalid,
)
from simcluster.registry import Registry


def test_generation_counts_changes_of_the_spec_alone(registry: Registry) -> None:
    """Labels and status do not count; the spec does."""
    registry.create(DEPLOYMENTS, "default", deployment())
    generations = []
    for patch, sub in (
        ({"metadata": {"labels": {"a": "b"}}}, None),
        ({"status": {"replicas": 3}}, "status"),
        ({"spec": {"paused": True}}, None),
    ):
        made = registry.patch(DEPLOYMENTS, "default", "d", patch, "merge", subresource=sub)
        generations.append(made["metadata"]["generation"])

    assert generations == [1, 1, 2]


def test_spec_and_status_are_written_apart(registry: Registry) -> None:
    """A PUT to the object leaves the status, one to /status leaves the spec."""
    registry.create(DEPLOYMENTS, "default", deployment())
    changed = copy.deepcopy(registry.get(DEPLOYMENTS, "default", "d"))
    changed["spec"]["replicas"] = 5
    changed["status"] = {"replicas": 5}
    by_object = registry.update(DEPLOYMENTS, "default", "d", changed)
    changed["spec"]["replicas"] = 7
    changed["metadata"]["resourceVersion"] = by_object["metadata"]["resourceVersion"]
    by_status = registry.update(DEPLOYMENTS, "default", "d", changed, subresource="status")

    assert (by_object["spec"]["replicas"], by_object["status"]) == (5, {})
    assert (by_status["spec"]["replicas"], by_status["status"]) == (5, {"replicas": 5})


def test_a_stale_update_is_a_conflict_and_one_without_a_revision_is_not(registry: Registry) -> None:
    """409 with the real text; nothing is stored."""
    old = registry.create("configmaps", "default", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    registry.update("configmaps", "default", "c", {"metadata": {"name": "c"}, "data": {"a": "2"}})

    with pytest.raises(Conflict) as caught:
        registry.update("configmaps", "default", "c", {**old, "data": {"a": "3"}})
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert registry.get("configmaps", "default", "c")["data"] == {"a": "2"}


def test_kinds_that_must_name_the_revision_do(registry: Registry) -> None:
    """A Lease is not replaced blindly."""
    leases = "leases.coordination.k8s.io"
    registry.create(leases, "default", {"metadata": {"name": "l"}})

    with pytest.raises(
        Invalid, match=r"metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    ):
        registry.update(leases, "default", "l", {"metadata": {"name": "l"}})


def test_an_update_of_something_else_is_refused(registry: Registry) -> None:
    """Another name: 400. Another uid: 409."""
    made = registry.create("configmaps", "default", {"metadata": {"name": "c"}})

    with pytest.raises(
        BadRequest, match=r"the name of the object \(x\) does not match the name on the URL \(c\)"
    ):
        registry.update("configmaps", "default", "c", {"metadata": {"name": "x"}})
    other = {"metadata": {**made["metadata"], "uid": "other"}}
    with pytest.raises(
        Conflict, match="Precondition failed: UID in precondition: other, UID in object meta: "
    ):
        registry.update("configmaps", "default", "c", other)


def test_an_update_that_changes_nothing_makes_no_event(registry: Registry) -> None:
    """The revision stays; a real change moves it."""
    registry.create(DEPLOYMENTS, "default", deployment())
    before = registry.revision

    registry.patch(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 1}}, "merge")
    assert registry.revision == before
    registry.patch(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 2}}, "merge")
    assert registry.revision == before + 1


def test_the_selector_of_a_deployment_does_not_change(registry: Registry) -> None:
    """After the mismatch with the labels comes that the field is immutable."""
    registry.create(DEPLOYMENTS, "default", deployment())
    with pytest.raises(Invalid) as caught:
        registry.patch(
            DEPLOYMENTS, "default", "d", {"spec": {"selector": {"matchLabels": {"z": "y"}}}}, "merge"
        )

    assert [message.rpartition(": ")[2] for _, message in causes(caught)] == [
        "`selector` does not match template `labels`",
        "field is immutable",
    ]


def test_of_a_pod_little_may_change(registry: Registry) -> None:
    """The image may, the host name may not."""
    registry.create("pods", "default", pod())
    image = {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}

    assert (
        registry.patch("pods", "default", "p", image, "strategic")["spec"]["containers"][0]["image"] == "i:2"
    )
    with pytest.raises(Invalid, match="spec: Forbidden: pod updates may not change fields other than"):
        registry.patch("pods", "default", "p", {"spec": {"hostname": "x"}}, "merge")


def test_a_patch_that_can_not_be_read_says_so_as_a_real_server(registry: Registry) -> None:
    """Unknown fields and wrong forms: 422 about the field `patch`, with neither kind nor name."""
    registry.create(DEPLOYMENTS, "default", deployment())
    with pytest.raises(Invalid) as caught:
        registry.patch(DEPLOYMENTS, "default", "d", {"spec": {"foo": 1}}, "strategic")

    assert caught.value.message == (
        ' "" is invalid: patch: Invalid value: "map[spec:map[foo:1]]": strict decoding error: unknown field "spec.foo"'
    )
    assert "kind" not in caught.value.details


def test_scale_shows_and_changes_the_replicas(registry: Registry) -> None:
    """Read, replaced and patched; the Deployment's generation counts it."""
    registry.create(DEPLOYMENTS, "default", deployment())
    shown = registry.get(DEPLOYMENTS, "default", "d", subresource="scale")
    replaced = registry.update(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 4}}, subresource="scale")
    patched = registry.patch(
        DEPLOYMENTS, "default", "d", {"spec": {"replicas": 5}}, "merge", subresource="scale"
    )

    assert (shown["kind"], shown["apiVersion"], shown["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert shown["status"] == {"replicas": 0, "selector": "app=x"}
    assert (replaced["spec"], patched["spec"]) == ({"replicas": 4}, {"replicas": 5})
    assert registry.get(DEPLOYMENTS, "default", "d")["metadata"]["generation"] == 3


def test_scale_refuses_less_than_nothing_and_what_is_stale(registry: Registry) -> None:
    """422 about the Scale; 409 for an old revision."""
    registry.create(DEPLOYMENTS, "default", deployment())
    stale = registry.get(DEPLOYMENTS, "default", "d", subresource="scale")
    registry.update(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 4}}, subresource="scale")

    with pytest.raises(
        Invalid, match=r"spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    ):
        registry.update(DEPLOYMENTS, "default", "d", {"spec": {"replicas": -1}}, subresource="scale")
    with pytest.raises(Conflict):
        registry.update(DEPLOYMENTS, "default", "d", stale, subresource="scale")
