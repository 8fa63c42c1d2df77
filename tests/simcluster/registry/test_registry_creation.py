"""What a new object gets, and what is refused."""

from __future__ import annotations

import random
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_objects import CATALOGUE, DEPLOYMENTS, NOW_TEXT, Clock, causes, deployment, pod

from simcluster.errors import (
    AlreadyExists,
    BadRequest,
    Invalid,
    NotFound,
    StatusError,
)
from simcluster.registry import Registry, WriteOptions
from simcluster.registry.naming import make_uid


def test_a_new_object_gets_what_every_object_gets(registry: Registry) -> None:
    """Kind, version, namespace, uid, time, revision; nothing that only the server may say is taken from the client."""
    sent = deployment()
    sent["metadata"] |= {"uid": "mine", "generation": 7, "creationTimestamp": "2001-01-01T00:00:00Z"}
    made = registry.create(DEPLOYMENTS, "default", sent)

    assert (made["kind"], made["apiVersion"]) == ("Deployment", "apps/v1")
    metadata = made["metadata"]
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", metadata["uid"]
    )
    assert (metadata["creationTimestamp"], metadata["generation"]) == (NOW_TEXT, 1)
    assert (metadata["namespace"], metadata["resourceVersion"]) == ("default", str(registry.revision))
    assert registry.get(DEPLOYMENTS, "default", "d") is made


def test_a_generated_name_is_the_base_and_five_characters(registry: Registry) -> None:
    """Long bases are cut so that the name fits a label."""
    sent = pod()
    sent["metadata"] = {"generateName": "p-"}
    long = {**sent, "metadata": {"generateName": "a" * 80}}

    assert re.fullmatch(
        "p-[bcdfghjklmnpqrstvwxz2456789]{5}", registry.create("pods", "default", sent)["metadata"]["name"]
    )
    assert re.fullmatch("a{58}[a-z0-9]{5}", registry.create("pods", "default", long)["metadata"]["name"])


def test_a_generated_name_that_is_taken_is_tried_again(registry: Registry, clock: Clock) -> None:
    """Two registries with the same chance: the second meets every name of the first and finds others."""
    sent = {**pod(), "metadata": {"generateName": "p-"}}
    twin = Registry(CATALOGUE, clock=clock, chance=random.Random(1), store=registry.store)
    twin.create("namespaces", None, {"metadata": {"name": "other"}})
    first = registry.create("pods", "default", sent)["metadata"]["name"]
    registry._chance = random.Random(1)
    registry.create("namespaces", None, {"metadata": {"name": "third"}})

    assert registry.create("pods", "default", sent)["metadata"]["name"] != first


def test_a_name_that_is_taken_is_refused(registry: Registry) -> None:
    """409, named as the resource is."""
    registry.create(DEPLOYMENTS, "default", deployment())

    with pytest.raises(AlreadyExists, match=r'^deployments.apps "d" already exists$') as caught:
        registry.create(DEPLOYMENTS, "default", deployment())
    assert caught.value.details == {"name": "d", "group": "apps", "kind": "deployments"}


def test_nothing_is_created_where_there_is_no_namespace(registry: Registry) -> None:
    """404 about the namespace."""
    with pytest.raises(NotFound, match=r'^namespaces "nope" not found$'):
        registry.create("pods", "nope", pod())


def test_the_namespace_of_the_object_must_be_that_of_the_request(registry: Registry) -> None:
    """400 with the real text."""
    sent = pod()
    sent["metadata"]["namespace"] = "other"

    with pytest.raises(BadRequest, match="the namespace of the provided object does not match"):
        registry.create("pods", "default", sent)


def test_a_new_object_has_no_revision(registry: Registry) -> None:
    """A real server answers this with 500 and no reason."""
    sent = pod()
    sent["metadata"]["resourceVersion"] = "3"

    with pytest.raises(
        StatusError, match=r"^resourceVersion should not be set on objects to be created$"
    ) as caught:
        registry.create("pods", "default", sent)
    assert (caught.value.code, caught.value.reason) == (500, "")


def test_an_object_of_another_kind_is_refused(registry: Registry) -> None:
    """The text names both kinds."""
    with pytest.raises(BadRequest, match=r"^Pod in version .v1. cannot be handled as a Deployment: "):
        registry.create(DEPLOYMENTS, "default", {"kind": "Pod", "apiVersion": "v1", **deployment()})


def test_pods_get_what_admission_gives_them(registry: Registry) -> None:
    """Account, tolerations, priority, phase and class, as v1.36.3; a status that is sent is dropped."""
    made = registry.create("pods", "default", {**pod(), "status": {"phase": "Running"}})
    spec = made["spec"]

    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert (spec["priority"], spec["preemptionPolicy"], spec["enableServiceLinks"]) == (
        0,
        "PreemptLowerPriority",
        True,
    )
    assert [each["key"] for each in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]


def test_a_toleration_that_covers_is_not_added_to(registry: Registry) -> None:
    """A pod that tolerates everything has nothing to add."""
    made = registry.create("pods", "default", pod(tolerations=[{"operator": "Exists"}]))

    assert made["spec"]["tolerations"] == [{"operator": "Exists"}]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_quality_of_service_follows_requests_and_limits(
    registry: Registry, resources: dict[str, Any], expected: str
) -> None:
    """Limits alone are requests too."""
    sent = pod()
    sent["spec"]["containers"][0]["resources"] = resources

    assert registry.create("pods", "default", sent)["status"]["qosClass"] == expected


def test_a_new_object_begins_with_the_status_of_its_kind(registry: Registry) -> None:
    """Whatever its creator sent; a node alone comes with its own."""
    sent = {**deployment(), "status": {"replicas": 9}}
    node = {"metadata": {"name": "n"}, "status": {"phase": "Running"}}

    assert registry.create(DEPLOYMENTS, "default", sent)["status"] == {}
    assert registry.create("nodes", None, node)["status"]["phase"] == "Running"


def test_a_dry_run_stores_nothing_and_takes_no_revision(registry: Registry) -> None:
    """The answer is what would have been stored."""
    before = registry.revision
    made = registry.create("pods", "default", pod(), options=WriteOptions(dry_run=True))

    assert made["metadata"]["uid"]
    assert registry.revision == before
    with pytest.raises(NotFound):
        registry.get("pods", "default", "p")


def test_faults_of_metadata_are_worded_as_by_a_real_server(registry: Registry) -> None:
    """Name, label key and label values, in one answer."""
    with pytest.raises(Invalid) as caught:
        registry.create("configmaps", "default", {"metadata": {"name": "Bad_Name", "labels": {"a b": "c d"}}})

    assert caught.value.message.startswith(
        'ConfigMap "Bad_Name" is invalid: [metadata.name: Invalid value: "Bad_Name": a '
    )
    assert [field for field, _ in causes(caught)] == ["metadata.name", "metadata.labels", "metadata.labels"]
    assert causes(caught)[1][1] == (
        "Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
        "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    )
    assert caught.value.details["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    ("resource", "name", "allowed"),
    [
        ("namespaces", "a.b", False),
        ("namespaces", "1a", True),
        ("configmaps", "a.b", True),
        ("configmaps", "a" * 254, False),
        ("clusterroles.rbac.authorization.k8s.io", "system:node", True),
        ("clusterroles.rbac.authorization.k8s.io", "a/b", False),
        ("clusterroles.rbac.authorization.k8s.io", "..", False),
    ],
)
def test_each_kind_has_its_rule_for_names(
    registry: Registry, resource: str, name: str, allowed: bool
) -> None:
    """Labels, subdomains and path segments."""
    namespace = "default" if resource == "configmaps" else None
    if allowed:
        assert registry.create(resource, namespace, {"metadata": {"name": name}})["metadata"]["name"] == name
    else:
        with pytest.raises(Invalid):
            registry.create(resource, namespace, {"metadata": {"name": name}})


def test_an_object_without_a_name_is_refused(registry: Registry) -> None:
    """The real text says that generateName would do."""
    with pytest.raises(Invalid) as caught:
        registry.create("configmaps", "default", {})

    assert caught.value.message == (
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    )


def test_faults_of_a_deployment_are_those_of_a_real_server(registry: Registry) -> None:
    """In the same order, with the same words."""
    with pytest.raises(Invalid) as caught:
        registry.create(DEPLOYMENTS, "default", {"metadata": {"name": "a"}, "spec": {}})

    assert caught.value.message == (
        'Deployment.apps "a" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: '
        "null: `selector` does not match template `labels`, spec.template.spec.containers: Required value]"
    )


def test_faults_of_containers_are_those_of_a_real_server(registry: Registry) -> None:
    """Name, image and policy of a container, and labels that the selector does not match."""
    sent = deployment()
    sent["spec"]["template"]["metadata"]["labels"] = {"a": "c"}
    sent["spec"]["template"]["spec"]["containers"] = [{"name": "C_", "image": "", "imagePullPolicy": "Foo"}]
    with pytest.raises(Invalid) as caught:
        registry.create(DEPLOYMENTS, "default", sent)

    found = causes(caught)
    assert found[0] == (
        "spec.template.metadata.labels",
        'Invalid value: {"a":"c"}: `selector` does not match template `labels`',
    )
    assert found[2:] == [
        ("spec.template.spec.containers[0].image", "Required value"),
        (
            "spec.template.spec.containers[0].imagePullPolicy",
            'Unsupported value: "Foo": supported values: "Always", "IfNotPresent", "Never"',
        ),
    ]


def test_unknown_fields_are_refused_told_or_dropped_as_asked(registry: Registry) -> None:
    """Strict is 400 with the real text, Warn tells, Ignore is silent; the field is never stored."""
    sent = {**pod(), "foo": 1}
    told: list[str] = []
    with pytest.raises(BadRequest) as caught:
        registry.create("pods", "default", sent)
    warned = registry.create(
        "pods", "default", sent, options=WriteOptions(field_validation="Warn", warn=told.append, dry_run=True)
    )
    registry.create(
        "pods", "default", sent, options=WriteOptions(field_validation="Ignore", warn=told.append)
    )

    assert caught.value.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "foo"'
    )
    assert told == ['unknown field "foo"']
    assert "foo" not in warned


@given(seed=st.integers())
def test_a_uid_is_a_random_uuid(seed: int) -> None:
    """Version 4 of RFC 9562, as the standard library writes the same bits."""
    bits = random.Random(seed).getrandbits(128)

    assert make_uid(random.Random(seed)) == str(uuid.UUID(int=bits, version=4))


def test_pods_share_what_they_have_alike_and_nothing_else(registry: Registry) -> None:
    """Equal conditions and tolerations are one object each, those that differ are not, and lists are each pod's own."""
    ready = {"type": "Ready", "status": "True"}
    pods = []
    for name, status in (("a", "True"), ("b", "True"), ("c", "False")):
        spec = {
            "containers": [{"name": "c", "image": "i"}],
            "tolerations": [{"key": "k", "operator": "Exists"}],
        }
        made = registry.create("pods", "default", {"metadata": {"name": name}, "spec": spec})
        made = made | {"status": {"conditions": [ready | {"status": status}]}}
        pods.append(registry.update("pods", "default", name, made, subresource="status"))
    conditions = [each["status"]["conditions"] for each in pods]
    tolerations = [each["spec"]["tolerations"] for each in pods]

    assert conditions[0][0] is conditions[1][0]
    assert (conditions[1][0]["status"], conditions[2][0]["status"]) == ("True", "False")
    assert conditions[0] is not conditions[1]
    assert all(one is other for one, other in zip(tolerations[0], tolerations[2], strict=True))
    assert tolerations[0] is not tolerations[2]
