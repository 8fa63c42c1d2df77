"""What the registry does to objects on their way into the store, and what it refuses."""

from __future__ import annotations

import asyncio
import copy
import random
import re
from typing import Any

import pytest

from simcluster.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    StatusError,
    TooLargeVersion,
)
from simcluster.registry import Registry, WriteOptions
from simcluster.schema import load
from simcluster.selectors import parse

CATALOGUE = load()
NOW = 1_764_000_000.7
NOW_TEXT = "2025-11-24T16:00:00Z"
DEPLOYMENTS = "deployments.apps"


class Clock:
    """An instant that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Pool:
    """The smallest giver of addresses."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def allocate(self, wanted: str | None) -> str:
        chosen = wanted if wanted is not None else f"127.1.0.{len(self.taken) + 1}"
        if chosen in self.taken:
            raise ValueError("provided IP is already allocated")
        self.taken.add(chosen)
        return chosen

    def release(self, address: str) -> None:
        self.taken.remove(address)


@pytest.fixture
def clock() -> Clock:
    """The registry's clock."""
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    """A registry with the namespace `default`."""
    made = Registry(CATALOGUE, clock=clock, chance=random.Random(1), addresses=Pool())
    made.create("namespaces", None, {"metadata": {"name": "default"}})
    return made


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


def deployment(name: str = "d", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod()["spec"]}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec},
    }


def causes(error: pytest.ExceptionInfo[Invalid]) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in error.value.causes]


# --- Creation


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
    with pytest.raises(BadRequest, match=r"kind \(Pod\) do not match the expected API version \(apps/v1\)"):
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


def test_a_dry_run_stores_nothing_and_takes_no_revision(registry: Registry) -> None:
    """The answer is what would have been stored."""
    before = registry.revision
    made = registry.create("pods", "default", pod(), options=WriteOptions(dry_run=True))

    assert made["metadata"]["uid"]
    assert registry.revision == before
    with pytest.raises(NotFound):
        registry.get("pods", "default", "p")


# --- Refusals


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


# --- Updates


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


# --- Scale


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


# --- Deletion


def test_a_pod_that_no_node_has_goes_at_once(registry: Registry) -> None:
    """As does one that has ended."""
    registry.create("pods", "default", pod("unbound"))
    registry.create("pods", "default", pod("ended"))
    registry.bind("default", "ended", "n1")
    registry.patch(
        "pods", "default", "ended", {"status": {"phase": "Succeeded"}}, "merge", subresource="status"
    )
    for name in ("unbound", "ended"):
        registry.delete("pods", "default", name)

    assert registry.list("pods")[0] == []


def test_a_running_pod_is_given_its_grace_and_no_second_deletion_lengthens_it(
    registry: Registry, clock: Clock
) -> None:
    """From 30 s to 5 s to none, and never back."""
    registry.create("pods", "default", pod())
    registry.bind("default", "p", "n1")
    told = []
    for later_s, grace_s in ((0, None), (1, 60), (1, None), (1, 5), (1, 20), (1, 0)):
        clock.now += later_s
        metadata = registry.delete("pods", "default", "p", grace_s=grace_s)["metadata"]
        told.append((metadata["deletionGracePeriodSeconds"], metadata["deletionTimestamp"][-3:-1]))

    assert told == [(30, "30"), (30, "30"), (30, "30"), (5, "05"), (5, "05"), (0, "00")]
    with pytest.raises(NotFound):
        registry.get("pods", "default", "p")


def test_a_negative_grace_is_one_second(registry: Registry) -> None:
    """As on a real server."""
    registry.create("pods", "default", pod())
    registry.bind("default", "p", "n1")

    assert registry.delete("pods", "default", "p", grace_s=-1)["metadata"]["deletionGracePeriodSeconds"] == 1


def test_a_finalizer_holds_an_object_until_it_is_taken_off(registry: Registry) -> None:
    """It carries a deletionTimestamp meanwhile, takes no new finalizers, and goes with the last one."""
    sent = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    registry.create("configmaps", "default", sent)
    held = registry.delete("configmaps", "default", "c")

    assert held["metadata"]["deletionTimestamp"] == NOW_TEXT
    patch = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    with pytest.raises(Invalid, match="no new finalizers can be added if the object is being deleted"):
        registry.patch("configmaps", "default", "c", patch, "merge")
    registry.patch("configmaps", "default", "c", {"metadata": {"finalizers": None}}, "merge")
    with pytest.raises(NotFound):
        registry.get("configmaps", "default", "c")


@pytest.mark.parametrize(
    ("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
def test_propagation_is_kept_for_the_garbage_collector(
    registry: Registry, propagation: str, finalizer: str
) -> None:
    """As the finalizer that it works by; in the background there is none."""
    registry.create(DEPLOYMENTS, "default", deployment())
    held = registry.delete(DEPLOYMENTS, "default", "d", propagation=propagation)

    assert held["metadata"]["finalizers"] == [finalizer]
    registry.delete(DEPLOYMENTS, "default", "d", propagation="Background")
    with pytest.raises(NotFound):
        registry.get(DEPLOYMENTS, "default", "d")


def test_a_deletion_of_another_object_of_that_name_is_a_conflict(registry: Registry) -> None:
    """By uid and by revision, with the real texts; with the right ones it goes."""
    made = registry.create(
        "services", "default", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
    )
    with pytest.raises(Conflict) as by_uid:
        registry.delete("services", "default", "s", uid="x")
    with pytest.raises(Conflict, match="the ResourceVersion in the precondition"):
        registry.delete("services", "default", "s", resource_version="1")

    assert by_uid.value.message == (
        f'Operation cannot be fulfilled on Service "s": the UID in the precondition (x) does not match the UID in '
        f"record ({made['metadata']['uid']}). The object might have been deleted and then recreated"
    )
    registry.delete("services", "default", "s", uid=made["metadata"]["uid"])


def test_a_namespace_terminates_until_it_is_finalized(registry: Registry) -> None:
    """Meanwhile nothing is created in it, with the real text and cause; nothing else is lost."""
    terminating = registry.delete("namespaces", None, "default")
    assert (terminating["status"]["phase"], terminating["spec"]["finalizers"]) == (
        "Terminating",
        ["kubernetes"],
    )

    with pytest.raises(Forbidden) as caught:
        registry.create("pods", "default", pod())
    assert caught.value.message == (
        'pods "p" is forbidden: unable to create new content in namespace default because it is being terminated'
    )
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"

    finalized = copy.deepcopy(terminating)
    finalized["spec"]["finalizers"] = []
    registry.update("namespaces", None, "default", finalized, subresource="finalize")
    with pytest.raises(NotFound):
        registry.get("namespaces", None, "default")


# --- Binding and services


def test_a_pod_is_bound_once(registry: Registry) -> None:
    """The node's name and the condition; a second binding is a conflict with the real text."""
    registry.create("pods", "default", pod())
    bound = registry.bind("default", "p", "n1")

    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0] | {"lastTransitionTime": ""} == {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": "",
    }
    with pytest.raises(Conflict, match='pod p is already assigned to node "n1"'):
        registry.bind("default", "p", "n2")


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def test_a_service_has_its_address_from_the_pool_until_it_goes(registry: Registry) -> None:
    """A headless one has none; the one asked for is given; an address is kept over updates and given back."""
    made = registry.create("services", "default", service())
    headless = registry.create("services", "default", service("h", clusterIP="None"))
    chosen = registry.create("services", "default", service("c", clusterIP="127.1.0.9"))
    updated = registry.update("services", "default", "s", service(selector={"a": "b"}))

    assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]] == ["127.1.0.1"]
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert chosen["spec"]["clusterIP"] == "127.1.0.9"
    assert updated["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert registry.addresses is not None
    registry.delete("services", "default", "s")
    assert registry.addresses.taken == {"127.1.0.9"}  # type: ignore[attr-defined]


def test_an_address_that_can_not_be_had_is_refused_with_the_real_text(registry: Registry) -> None:
    """Taken: 422. Changed: 422. Nothing is stored or taken."""
    registry.create("services", "default", service(clusterIP="127.1.0.9"))
    with pytest.raises(Invalid) as taken:
        registry.create("services", "default", service("t", clusterIP="127.1.0.9"))

    assert causes(taken) == [
        (
            "spec.clusterIPs",
            'Invalid value: ["127.1.0.9"]: failed to allocate IP 127.1.0.9: provided IP is already allocated',
        )
    ]
    with pytest.raises(Invalid, match=r"spec.clusterIPs\[0\]: Invalid value: .* may not change once set"):
        registry.patch("services", "default", "s", {"spec": {"clusterIP": "127.1.0.8"}}, "merge")


def test_ports_of_a_service_need_names_once_there_are_two(registry: Registry) -> None:
    """The real fields and texts."""
    with pytest.raises(Invalid) as caught:
        registry.create("services", "default", service(ports=[{"port": 80}, {"port": 81}]))

    assert causes(caught) == [
        ("spec.ports[0].name", "Required value"),
        ("spec.ports[1].name", "Required value"),
    ]


# --- Reading


def test_lists_are_by_name_and_can_be_selected(registry: Registry) -> None:
    """By namespace and by selector; with the revision they are of."""
    registry.create("namespaces", None, {"metadata": {"name": "other"}})
    for name, namespace in (("b", "default"), ("a", "default"), ("c", "other")):
        registry.create("pods", namespace, pod(name))

    objects, revision = registry.list("pods")
    assert [each["metadata"]["name"] for each in objects] == ["a", "b", "c"]
    assert revision == registry.revision
    assert len(registry.list("pods", "other")[0]) == 1
    assert len(registry.list("pods", None, parse("", "metadata.name!=a", "pods"))[0]) == 2


def test_a_watch_gives_what_is_there_then_what_comes(registry: Registry) -> None:
    """From nothing, from a revision, in one namespace; closed, it ends."""

    async def follow() -> list[tuple[str, str]]:
        registry.create("pods", "default", pod("a"))
        since = registry.revision
        everything, later = registry.watch("pods", "default"), registry.watch("pods", since=since)
        elsewhere = registry.watch("pods", "other")
        registry.create("pods", "default", pod("b"))
        waiting = asyncio.create_task(anext(later))
        registry.delete("pods", "default", "a")
        first = await waiting
        for each in (everything, later, elsewhere):
            each.close()
        assert [event async for event in elsewhere] == []
        rest = [event async for event in later]
        assert [event.object["metadata"]["name"] for event in (first, *rest)] == ["b", "a"]
        return [(event.type, event.object["metadata"]["name"]) async for event in everything]

    assert asyncio.run(follow()) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_from_the_past_that_is_gone_or_the_future_is_refused(registry: Registry) -> None:
    """410 and 504, with the real texts."""
    for name in "abc":
        registry.create("pods", "default", pod(name))
    registry.compact(2)

    with pytest.raises(Expired, match=r"too old resource version: 1 \(2\)"):
        registry.watch("pods", since=1)
    with pytest.raises(TooLargeVersion, match=r"^Timeout: Too large resource version: 99, current: 4$"):
        registry.watch("pods", since=99)


def test_a_reader_that_lags_is_cut_off_and_holds_up_nobody(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was sent it can still read; then it is told to begin anew."""
    monkeypatch.setattr("simcluster.registry.subscriptions.LAGGING", 2)

    async def follow() -> None:
        subscription = registry.watch("pods")
        for name in "abc":
            registry.create("pods", "default", pod(name))
        await anext(subscription)
        await anext(subscription)
        with pytest.raises(Expired):
            await anext(subscription)

    asyncio.run(follow())
