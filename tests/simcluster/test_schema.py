"""The kinds as data: what is served, how objects are read, and what is filled in, as v1.36.3 does it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.schema import Form, Report, decode, load, versions
from simcluster.schema.decoding import Malformed, copy_json

CATALOGUE = load()


def read(resource: str, obj: Any) -> tuple[dict[str, Any], list[str]]:
    report = Report()
    return decode(CATALOGUE.resources[resource].type, obj, report), report.unknown


def test_the_newest_version_is_the_default_and_an_unknown_one_is_refused() -> None:
    """The refusal lists what there is."""
    assert CATALOGUE.version["gitVersion"].startswith(versions()[-1])
    with pytest.raises(
        ValueError, match=r"Kubernetes version 'v1.2' is not known.*\n.*known versions: .*v1.36"
    ):
        load("v1.2")


def test_kinds_come_with_their_names_verbs_and_subresources() -> None:
    """Deployments are in apps/v1, called deploy for short, and have status and scale."""
    deployments = CATALOGUE.resources["deployments.apps"]

    assert (deployments.api_version, deployments.kind, deployments.short_names) == (
        "apps/v1",
        "Deployment",
        ("deploy",),
    )
    assert deployments.namespaced
    assert set(deployments.subresources) == {"status", "scale"}
    assert deployments.subresources["scale"].kind == "Scale"
    assert "watch" in deployments.verbs
    assert CATALOGUE.of_kind("apps/v1", "Deployment") is deployments
    assert CATALOGUE.of_kind("apps/v1beta1", "Deployment") is None


@pytest.mark.parametrize(
    "absent", ["customresourcedefinitions.apiextensions.k8s.io", "cronjobs.batch", "resourcequotas"]
)
def test_what_the_simulation_has_no_machinery_for_is_not_served(absent: str) -> None:
    """Custom resources, quotas and cron jobs answer as absent."""
    assert absent not in CATALOGUE.resources


def test_every_served_kind_can_be_read() -> None:
    """For each kind, an object with nothing but a name is read and gets no unknown fields."""
    for name in CATALOGUE.resources:
        obj, unknown = read(name, {"metadata": {"name": "x"}})
        assert unknown == []
        assert obj["metadata"]["name"] == "x"


DEPLOYMENT = {
    "metadata": {"name": "dep"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "greeter:dev",
                        "ports": [{"containerPort": 50051}],
                        "env": [
                            {"name": "A", "value": ""},
                            {"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        ],
                        "readinessProbe": {"grpc": {"port": 50051}},
                        "livenessProbe": {"httpGet": {"port": 80}},
                    }
                ]
            },
        },
    },
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
# What kube-apiserver v1.36.3 answered to the object above, but for what every object gets.
FILLED_IN = {
    "metadata": {"name": "dep"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "greeter:dev",
                        "ports": [{"containerPort": 50051, "protocol": "TCP"}],
                        "env": [
                            {"name": "A"},
                            {
                                "name": "P",
                                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
                            },
                        ],
                        "resources": {},
                        "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, **_PROBE},
                        "readinessProbe": {"grpc": {"port": 50051, "service": ""}, **_PROBE},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "imagePullPolicy": "IfNotPresent",
                    }
                ],
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "securityContext": {},
                "schedulerName": "default-scheduler",
            },
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "status": {},
}


def test_a_deployment_is_filled_in_as_by_a_real_server() -> None:
    """Field for field what v1.36.3 answers."""
    assert read("deployments.apps", DEPLOYMENT) == (FILLED_IN, [])


def test_reading_again_changes_nothing() -> None:
    """An object that was filled in is left as it is."""
    assert read("deployments.apps", FILLED_IN) == (FILLED_IN, [])


def test_what_is_read_shares_nothing_with_what_was_given() -> None:
    """Neither side sees the other's later changes, also below fields of no fixed type."""
    given_obj: dict[str, Any] = copy.deepcopy(DEPLOYMENT)
    given_obj["metadata"]["managedFields"] = [{"fieldsV1": {"f:spec": {}}}]
    obj, _ = read("deployments.apps", given_obj)
    before = copy.deepcopy(obj)
    given_obj["spec"]["selector"]["matchLabels"]["x"] = "y"
    given_obj["metadata"]["managedFields"][0]["fieldsV1"]["f:status"] = {}

    assert obj == before


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("greeter", "Always"),
        ("greeter:latest", "Always"),
        ("greeter:dev", "IfNotPresent"),
        ("host:5000/greeter", "Always"),
        ("host:5000/greeter:1", "IfNotPresent"),
        ("greeter@sha256:0", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    """No tag and `latest` are pulled always; a port is no tag."""
    pod, _ = read("pods", {"spec": {"containers": [{"name": "c", "image": image}]}})

    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_empty_lists_are_null_where_a_real_server_writes_null() -> None:
    """A slice without endpoints and a role without rules: null, not [] and not absent."""
    piece, _ = read(
        "endpointslices.discovery.k8s.io", {"addressType": "IPv4", "endpoints": [], "ports": [{"port": 3}]}
    )
    role, _ = read("roles.rbac.authorization.k8s.io", {"rules": []})

    assert (piece["endpoints"], piece["ports"]) == (None, [{"port": 3, "name": "", "protocol": "TCP"}])
    assert role["rules"] is None
    assert "labels" not in read("pods", {"metadata": {"labels": {}}})[0]["metadata"]


def test_limits_of_a_pod_are_requests_and_those_of_a_template_are_not() -> None:
    """A template's are filled in once a pod is made from it."""
    limited = {"containers": [{"name": "c", "resources": {"limits": {"cpu": 1}}}]}
    pod, _ = read("pods", {"spec": limited})
    deployment, _ = read("deployments.apps", {"spec": {"template": {"spec": limited}}})

    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    assert "requests" not in deployment["spec"]["template"]["spec"]["containers"][0]["resources"]


def test_instants_of_an_event_are_null_where_a_real_server_writes_null() -> None:
    """An event with no instants has three nulls."""
    event, _ = read("events", {"metadata": {"name": "e"}})

    assert [event[key] for key in ("eventTime", "firstTimestamp", "lastTimestamp")] == [None, None, None]


def test_the_texts_of_a_secret_become_data() -> None:
    """`stringData` is encoded into `data` and is not kept."""
    secret, _ = read("secrets", {"stringData": {"a": "b"}, "data": {"c": "ZA=="}})

    assert secret["data"] == {"a": "Yg==", "c": "ZA=="}
    assert "stringData" not in secret
    assert secret["type"] == "Opaque"


def test_services_are_filled_in_by_their_type() -> None:
    """A target port is the port; a LoadBalancer has more defaults, an ExternalName fewer."""
    plain, _ = read("services", {"spec": {"ports": [{"port": 80}]}})
    balancer, _ = read("services", {"spec": {"type": "LoadBalancer"}})
    external, _ = read("services", {"spec": {"type": "ExternalName"}})

    assert plain["spec"] == {
        "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
    }
    assert balancer["spec"]["allocateLoadBalancerNodePorts"] is True
    assert "internalTrafficPolicy" not in external["spec"]


def test_unknown_fields_are_dropped_and_named() -> None:
    """Each with its path, in the order met."""
    obj, unknown = read("pods", {"foo": 1, "spec": {"containers": [{"name": "c", "imag": "x"}], "bar": {}}})

    assert unknown == ["foo", "spec.containers[0].imag", "spec.bar"]
    assert "foo" not in obj


@pytest.mark.parametrize(
    ("resource", "obj", "text"),
    [
        (
            "deployments.apps",
            {"spec": {"replicas": "x"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "configmaps",
            {"data": 3},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            "pods",
            {"spec": {"containers": {}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "pods",
            {"spec": {"containers": [{"name": 3}]}},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        (
            "deployments.apps",
            {"spec": {"replicas": 2**31}},
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "pods",
            {"spec": {"hostNetwork": "yes"}},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            "pods",
            {"metadata": {"creationTimestamp": "noon"}},
            'parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"',
        ),
        (
            "pods",
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "many"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("pods", ["no", "object"], "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            "services",
            {"spec": {"ports": [{"targetPort": 1.5}]}},
            "json: cannot unmarshal number into Go struct field ServicePort.spec.ports.targetPort of type "
            "intstr.IntOrString",
        ),
    ],
)
def test_a_value_of_the_wrong_form_is_refused_in_gos_words(resource: str, obj: Any, text: str) -> None:
    """The text says what was found, where, and what was wanted."""
    with pytest.raises(Malformed) as caught:
        read(resource, obj)

    assert caught.value.message == text


def test_types_carry_what_patches_ask_for() -> None:
    """Merge keys, list types and strategies are those of the OpenAPI."""
    spec = CATALOGUE.types.named("io.k8s.api.core.v1.PodSpec")
    containers = spec.fields["containers"]

    assert (containers.merge_key, containers.type.atomic, containers.type.keys) == ("name", False, ("name",))
    assert "merge" in containers.strategies
    assert containers.type.form is Form.LIST
    assert containers.type.item.name == "io.k8s.api.core.v1.Container"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "containers", "name", "ports", "labels", "x", "status"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "x"]), values, max_size=4))
def test_whatever_is_sent_is_read_or_refused(obj: dict[str, Any]) -> None:
    """No value makes the reader fail in any other way, and what is read is read the same again."""
    try:
        once, _ = read("pods", obj)
    except Malformed:
        return
    assert read("pods", once) == (once, [])


@given(values)
def test_a_copy_is_equal_and_shares_nothing(value: Any) -> None:
    """Copies of lists and objects are new ones all the way down."""
    copied = copy_json(value)

    assert copied == value
    if isinstance(value, list | dict):
        assert copied is not value
