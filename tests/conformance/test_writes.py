"""Writes and their errors: names, versions, generations, bodies."""

import re

import pytest
from rig.objects import config_map, container, nowhere, pod, service, template, workload


def test_what_a_server_adds(room, name):
    """A created object has namespace, uid, version and time of creation."""
    answer = room.create("configmaps", config_map(name))
    metadata = answer.ok["metadata"]
    assert answer.status == 201
    assert (metadata["namespace"], int(metadata["resourceVersion"]) > 0) == (room.name, True)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])


def test_what_a_client_can_not_set(room, name):
    """uid, time of creation, generation and deletion are the server's, whatever is sent."""
    sent = {
        "uid": "mine",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "generation": 9,
        "deletionTimestamp": "2001-01-01T00:00:00Z",
    }
    metadata = room.make("configmaps", config_map(name, **sent))["metadata"]
    assert (metadata["uid"] == "mine", metadata["creationTimestamp"][:4] == "2001") == (False, False)
    assert "deletionTimestamp" not in metadata


def test_a_created_object_has_no_version(room, name):
    """A version in the body of a create is refused, as a fault without a reason."""
    answer = room.create("configmaps", config_map(name, resourceVersion="5"))
    assert answer.error == (500, "", "resourceVersion should not be set on objects to be created")


def test_generated_names(room):
    """generateName is completed by five letters and digits, without vowels."""
    made = room.make("configmaps", {"metadata": {"generateName": "job-"}})
    assert re.fullmatch(r"job-[bcdfghjklmnpqrstvwxz2456789]{5}", made["metadata"]["name"])
    assert made["metadata"]["generateName"] == "job-"


def test_long_generated_names_are_cut(room):
    """The stem is cut so that the whole has 63 characters."""
    made = room.make("configmaps", {"metadata": {"generateName": "a" * 70}})
    assert re.fullmatch("a{58}.{5}", made["metadata"]["name"])


def test_no_name_at_all(room):
    """Without a name or a stem there is no object."""
    answer = room.create("configmaps", {"metadata": {}})
    assert answer.error == (
        422,
        "Invalid",
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    )


def test_the_same_name_twice(room, name):
    """A name that is taken is AlreadyExists."""
    room.make("configmaps", config_map(name))
    answer = room.create("configmaps", config_map(name))
    assert answer.error == (409, "AlreadyExists", f'configmaps "{name}" already exists')


def test_the_same_name_twice_in_a_group(room, name):
    """The group of what is taken is named."""
    room.make("leases", {"metadata": {"name": name}})
    answer = room.create("leases", {"metadata": {"name": name}})
    assert answer.error == (409, "AlreadyExists", f'leases.coordination.k8s.io "{name}" already exists')


def test_a_stale_version(room, name):
    """A replacement with a version that is not the current one is a Conflict, and changes nothing."""
    made = room.make("configmaps", config_map(name, {"a": "1"}))
    assert room.put("configmaps", name, made | {"data": {"a": "2"}}).status == 200
    answer = room.put("configmaps", name, made | {"data": {"a": "3"}})
    text = "the object has been modified; please apply your changes to the latest version and try again"
    assert answer.error == (409, "Conflict", f'Operation cannot be fulfilled on configmaps "{name}": {text}')
    assert room.get("configmaps", name).ok["data"] == {"a": "2"}


@pytest.mark.parametrize("resource", ["configmaps", "secrets", "services", "serviceaccounts"])
def test_replacing_without_a_version(room, name, resource):
    """Most kinds can be replaced unconditionally, without a version."""
    made = room.make(
        resource,
        {"metadata": {"name": name}} | ({"spec": {"ports": [{"port": 1}]}} if resource == "services" else {}),
    )
    made["metadata"] = {"name": name, "labels": {"a": "b"}}
    assert room.put(resource, name, made).ok["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("resource", "shown"),
    [("leases", "leases.coordination.k8s.io"), ("poddisruptionbudgets", "poddisruptionbudgets.policy")],
)
def test_kinds_that_need_a_version(room, name, resource, shown):
    """Some kinds are replaced only with the version that one has seen."""
    room.make(resource, {"metadata": {"name": name}})
    answer = room.put(resource, name, {"metadata": {"name": name}})
    text = f'{shown} "{name}" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'
    assert answer.error == (422, "Invalid", text)


def test_replacing_what_is_not_there(room):
    """A replacement of nothing is NotFound."""
    answer = room.put("configmaps", "nobody", config_map("nobody"))
    assert answer.error == (404, "NotFound", 'configmaps "nobody" not found')


def test_a_body_for_another_name(room, name):
    """The name in the body has to be that of the path."""
    room.make("configmaps", config_map(name))
    answer = room.put("configmaps", name, config_map("other"))
    assert answer.error == (
        400,
        "BadRequest",
        f"the name of the object (other) does not match the name on the URL ({name})",
    )


def test_a_body_for_another_namespace(room, name):
    """The namespace in the body has to be that of the path."""
    answer = room.create("configmaps", config_map(name, namespace="default"))
    text = "the namespace of the provided object does not match the namespace sent on the request"
    assert answer.error == (400, "BadRequest", text)


def test_a_body_of_another_kind(room, name):
    """The kind in the body has to be the resource's."""
    answer = room.create("configmaps", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
    conversion = "converting (v1.Secret) to (core.ConfigMap): unknown conversion"
    text = f'Secret in version "v1" cannot be handled as a ConfigMap: {conversion}'
    assert answer.error == (400, "BadRequest", text)


def test_a_body_of_another_version(room, name):
    """The version in the body has to be the path's."""
    answer = room.create("configmaps", {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": name}})
    code, reason, message = answer.error
    assert (code, reason) == (400, "BadRequest")
    text = 'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2"'
    assert message.startswith(text)


TYPES = {
    "map-value": ("configmaps", {"data": {"x": 5}}, "number into Go struct field ConfigMap.data of type string"),
    "metadata": ("configmaps", {"metadata": 5}, "number into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
    "nested": ("deployments", {"spec": {"replicas": "x"}}, "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "list": ("pods", {"spec": {"containers": {}}}, "object into Go struct field PodSpec.spec.containers of type []v1.Container"),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPES)
def test_values_of_another_type(room, name, case):
    """A value of the wrong type is a bad request that names field and type."""
    resource, body, text = TYPES[case]
    kind = {"configmaps": "ConfigMap", "deployments": "Deployment", "pods": "Pod"}[resource]
    answer = room.create(resource, {"metadata": {"name": name}} | body)
    expected = f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal {text}'
    assert answer.error == (400, "BadRequest", expected)


@pytest.mark.parametrize("body", [b"{", b"[]", b"nonsense", b""], ids=["cut", "list", "word", "empty"])
def test_broken_bodies(room, body):
    """What can not be read is a bad request."""
    answer = room.create("configmaps", body)
    assert answer.error[:2] == (400, "BadRequest")


def test_an_unknown_media_type(room):
    """A body of an unknown type is refused, with the known ones."""
    answer = room.api.send("POST", room.path("configmaps"), b"x", headers={"Content-Type": "text/plain"})
    code, reason, message = answer.error
    assert (code, reason) == (415, "UnsupportedMediaType")
    assert message.startswith(
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml"
    )


def test_yaml_bodies(room, name):
    """Objects can be sent as YAML."""
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n"
    answer = room.api.send(
        "POST", room.path("configmaps"), text.encode(), headers={"Content-Type": "application/yaml"}
    )
    assert answer.ok["data"] == {"a": "b"}


def test_a_body_that_is_too_large(room, name):
    """More than three MiB are refused."""
    answer = room.create("configmaps", config_map(name, {"a": "x" * (4 << 20)}))
    assert answer.error == (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")


def test_a_config_map_that_is_too_large(room, name):
    """A ConfigMap holds at most one MiB."""
    answer = room.create("configmaps", config_map(name, {"a": "x" * ((1 << 20) + 1)}))
    assert answer.error == (
        422,
        "Invalid",
        f'ConfigMap "{name}" is invalid: []: Too long: may not be more than 1048576 bytes',
    )


def test_a_missing_namespace(api, name):
    """Nothing can be created in a namespace that is not there."""
    answer = api.post("/api/v1/namespaces/no-such-namespace/configmaps", config_map(name))
    assert answer.error == (404, "NotFound", 'namespaces "no-such-namespace" not found')


@pytest.mark.parametrize(("method", "path", "expected"), [
    ("POST", "/api/v1/configmaps", 405),
    ("DELETE", "/api/v1/configmaps", 405),
    ("PUT", "/api/v1/namespaces/default/configmaps", 405),
    ("PATCH", "/api/v1/namespaces/default/configmaps", 405),
    ("POST", "/api/v1/namespaces/default/configmaps/x", 405),
    ("DELETE", "/api/v1/namespaces", 405),
])  # fmt: skip
def test_methods_that_a_path_does_not_take(api, method, path, expected):
    """A path that does not take a method says so."""
    answer = api.send(method, path, {})
    assert answer.error == (
        expected,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )


NAMES = {
    "Upper": "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    "a" * 254: "must be no more than 253 characters",
    "-a": "a lowercase RFC 1123 subdomain must consist of",
    "a_b": "a lowercase RFC 1123 subdomain must consist of",
}


@pytest.mark.parametrize("wrong", NAMES, ids=["capital", "long", "dash-first", "underscore"])
def test_names_that_are_none(room, wrong):
    """A name has to be a DNS subdomain."""
    answer = room.create("configmaps", config_map(wrong))
    code, reason, message = answer.error
    assert (code, reason) == (422, "Invalid")
    assert f'metadata.name: Invalid value: "{wrong}": {NAMES[wrong]}' in message
    assert answer.causes[0][:2] == ("metadata.name", "FieldValueInvalid")


def test_service_names_are_labels(room):
    """A Service's name is a DNS label that begins with a letter or, since 1.36, a digit: no dot in it."""
    answer = room.create("services", service("a.b", None, {"port": 1}))
    assert answer.error[:2] == (422, "Invalid")
    assert answer.causes[0][:2] == ("metadata.name", "FieldValueInvalid")


@pytest.mark.parametrize(
    ("metadata", "field", "text"),
    [
        ({"labels": {"a b": "c"}}, "metadata.labels", "name part must consist of alphanumeric characters"),
        (
            {"labels": {"a": "b c"}},
            "metadata.labels",
            "a valid label must be an empty string or consist of alphanumeric characters",
        ),
        ({"labels": {"a": "x" * 64}}, "metadata.labels", "must be no more than 63 bytes"),
        (
            {"annotations": {"A b": "c"}},
            "metadata.annotations",
            "name part must consist of alphanumeric characters",
        ),
        (
            {"finalizers": ["nonsense"]},
            "metadata.finalizers[0]",
            "name is neither a standard finalizer name nor is it fully qualified",
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": ""}]},
            "metadata.ownerReferences.uid",
            "must not be empty",
        ),
    ],
    ids=["label-key", "label-value", "label-length", "annotation-key", "finalizer", "owner-uid"],
)
def test_metadata_that_is_wrong(room, name, metadata, field, text):
    """Labels, annotations, finalizers and owners are checked, each with the field in question."""
    answer = room.create("configmaps", config_map(name, **metadata))
    assert answer.error[:2] == (422, "Invalid")
    (cause,) = answer.causes
    assert (cause[0], text in cause[2]) == (field, True), cause


def test_two_controllers(room, name):
    """At most one owner controls."""
    owner = {"apiVersion": "v1", "kind": "Pod", "uid": "u", "controller": True}
    answer = room.create(
        "configmaps", config_map(name, ownerReferences=[owner | {"name": "a"}, owner | {"name": "b"}])
    )
    assert answer.error[:2] == (422, "Invalid")
    assert "Only one reference can have Controller set to true" in answer.error[2]


INVALID = {
    "pod-without-containers": ("pods", {"spec": {"containers": []}}, [("spec.containers", "FieldValueRequired", "Required value")]),
    "container-without-image": ("pods", {"spec": {"containers": [{"name": "a"}]}}, [("spec.containers[0].image", "FieldValueRequired", "Required value")]),
    "container-without-name": ("pods", {"spec": {"containers": [{"image": "a"}]}}, [("spec.containers[0].name", "FieldValueRequired", "Required value")]),
    "two-containers-of-a-name": ("pods", {"spec": {"containers": [{"name": "a", "image": "a"}, {"name": "a", "image": "a"}]}}, [("spec.containers[1].name", "FieldValueDuplicate", 'Duplicate value: "a"')]),
    "restart-policy": ("pods", {"spec": {"restartPolicy": "Sometimes", "containers": [{"name": "a", "image": "a"}]}}, [("spec.restartPolicy", "FieldValueNotSupported", 'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"')]),
    "service-without-ports": ("services", {"spec": {"clusterIP": "10.96.200.200"}}, [("spec.ports", "FieldValueRequired", "Required value")]),
    "port-too-large": ("services", {"spec": {"ports": [{"port": 70000}]}}, [("spec.ports[0].port", "FieldValueInvalid", "Invalid value: 70000: must be between 1 and 65535, inclusive"), ("spec.ports[0].targetPort", "FieldValueInvalid", "Invalid value: 70000: must be between 1 and 65535, inclusive")]),
    "ports-without-names": ("services", {"spec": {"ports": [{"port": 1}, {"port": 2}]}}, [("spec.ports[0].name", "FieldValueRequired", "Required value"), ("spec.ports[1].name", "FieldValueRequired", "Required value")]),
    "service-type": ("services", {"spec": {"type": "Magic", "ports": [{"port": 1}]}}, [("spec.type", "FieldValueNotSupported", 'Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"')]),
    "deployment-without-selector": ("deployments", {"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}, [("spec.selector", "FieldValueRequired", "Required value"), ("spec.template.metadata.labels", "FieldValueInvalid", 'Invalid value: {"a":"b"}: `selector` does not match template `labels`')]),
    "selector-that-misses": ("deployments", {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}, [("spec.template.metadata.labels", "FieldValueInvalid", 'Invalid value: {"a":"b"}: `selector` does not match template `labels`')]),
    "replicas-below-zero": ("deployments", {"spec": {"replicas": -1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}, [("spec.replicas", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")]),
    "surge-and-unavailable-zero": ("deployments", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}, [("spec.strategy.rollingUpdate.maxUnavailable", "FieldValueInvalid", "Invalid value: 0: may not be 0 when `maxSurge` is 0")]),
    "template-restart-policy": ("deployments", {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}}, [("spec.template.spec.restartPolicy", "FieldValueNotSupported", 'Unsupported value: "Never": supported values: "Always"')]),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_invalid_objects(pod_room, name, case):
    """What an object lacks or has too much is refused with each field, reason and text."""
    resource, body, causes = INVALID[case]
    answer = pod_room.create(resource, {"metadata": {"name": name}} | body)
    assert (answer.status, answer.causes) == (422, causes)
    details = answer.json["details"]
    assert (details["name"], details["kind"]) == (
        name,
        {"pods": "Pod", "services": "Service", "deployments": "Deployment"}[resource],
    )


def test_an_error_of_one_cause(pod_room, name):
    """The message of one cause is the cause's; of several, a list in brackets."""
    one = pod_room.create(
        "services", {"metadata": {"name": name}, "spec": {"type": "Magic", "ports": [{"port": 1}]}}
    )
    two = pod_room.create(
        "services", {"metadata": {"name": name}, "spec": {"ports": [{"port": 1}, {"port": 2}]}}
    )
    assert one.error[2].startswith(f'Service "{name}" is invalid: spec.type: Unsupported value')
    assert (
        two.error[2]
        == f'Service "{name}" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]'
    )


def deployment(room, name):
    """A Deployment whose pods never come to be."""
    pods = nowhere(template(container(room.image), labels={"app": name}))
    return workload("Deployment", name, pods, replicas=0)


def test_generation_counts_changes_of_the_spec(room, name):
    """A new object is of generation 1; a change of the spec counts, one of labels or status does not."""
    assert room.make("deployments", deployment(room, name))["metadata"]["generation"] == 1
    label = room.patch("deployments", name, "merge", {"metadata": {"labels": {"a": "b"}}}).ok
    status = room.patch("deployments", name, "merge", {"status": {"replicas": 9}}, "status").ok
    spec = room.patch("deployments", name, "merge", {"spec": {"minReadySeconds": 3}}).ok
    assert [each["metadata"]["generation"] for each in (label, status, spec)] == [1, 1, 2]


def test_kinds_without_generation(room, name):
    """A ConfigMap has no generation."""
    assert "generation" not in room.make("configmaps", config_map(name))["metadata"]


def test_status_is_not_for_the_main_resource(room, name):
    """A replacement of the object leaves its status alone."""
    made = room.make(
        "poddisruptionbudgets",
        {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": name}}}},
    )
    changed = room.patch("poddisruptionbudgets", name, "merge", {"status": {"disruptionsAllowed": 7}}).ok
    assert made["metadata"]["generation"] == 1
    assert changed["status"]["disruptionsAllowed"] == 0


def test_status_of_a_create_is_dropped(room, name):
    """A status that is sent with a create is not taken."""
    body = deployment(room, name) | {"status": {"replicas": 5, "readyReplicas": 5}}
    assert "readyReplicas" not in room.make("deployments", body)["status"]


def test_spec_is_not_for_the_status(room, name):
    """A write of the status leaves the spec alone."""
    room.make("deployments", deployment(room, name))
    changed = room.patch(
        "deployments",
        name,
        "merge",
        {"spec": {"minReadySeconds": 9}, "status": {"collisionCount": 3}},
        "status",
    ).ok
    assert (changed["spec"].get("minReadySeconds"), changed["status"]["collisionCount"]) == (None, 3)


def test_status_without_subresource(room, name):
    """A kind without a status has no such path."""
    room.make("configmaps", config_map(name))
    assert room.get("configmaps", name, "status").error == (
        404,
        "NotFound",
        "the server could not find the requested resource",
    )


def test_immutable_config_maps(room, name):
    """An immutable ConfigMap can not be changed, nor made mutable."""
    made = room.make("configmaps", config_map(name, {"a": "1"}) | {"immutable": True})
    data = room.put("configmaps", name, made | {"data": {"a": "2"}})
    flag = room.put("configmaps", name, made | {"immutable": False})
    assert [each.causes for each in (data, flag)] == [
        [("data", "FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set")],
        [("immutable", "FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set")],
    ]


def test_selectors_of_a_deployment_are_for_good(room, name):
    """A Deployment's selector can not be changed."""
    room.make("deployments", deployment(room, name))
    answer = room.patch(
        "deployments",
        name,
        "merge",
        {
            "spec": {
                "selector": {"matchLabels": {"app": name, "b": "c"}},
                "template": {"metadata": {"labels": {"b": "c"}}},
            }
        },
    )
    assert answer.error[:2] == (422, "Invalid")
    assert ("spec.selector", "FieldValueInvalid") in [each[:2] for each in answer.causes]
    assert "field is immutable" in answer.error[2]


def test_most_of_a_pod_is_for_good(pod_room, name):
    """Of a pod's spec little can be changed, and the rest is refused in one sentence."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image))))
    answer = pod_room.patch("pods", name, "merge", {"spec": {"hostname": "other"}})
    code, reason, message = answer.error
    assert (code, reason) == (422, "Invalid")
    assert message.startswith(
        f'Pod "{name}" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'
    )


def test_the_image_of_a_pod_can_be_changed(pod_room, name):
    """An image can be changed in a pod that is there."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image))))
    changed = pod_room.patch(
        "pods", name, "strategic", {"spec": {"containers": [{"name": "main", "image": "other:1"}]}}
    )
    assert changed.ok["spec"]["containers"][0]["image"] == "other:1"


def test_cluster_ips_are_for_good(room, name):
    """A Service's address can not be changed."""
    made = room.make("services", service(name, None, {"port": 1}))
    made["spec"]["clusterIP"], made["spec"]["clusterIPs"] = "None", ["None"]
    answer = room.put("services", name, made)
    assert answer.error[:2] == (422, "Invalid")
    assert ("spec.clusterIPs[0]", "FieldValueInvalid") in [each[:2] for each in answer.causes]
    assert "may not change once set" in answer.error[2]


DEFAULTS = {
    "service": ("services", {"spec": {"ports": [{"port": 80}]}}, {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "ports": [{"protocol": "TCP", "port": 80, "targetPort": 80}]}),
    "deployment": ("deployments", {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"schedulerName": "nobody", "containers": [{"name": "a", "image": "a"}]}}}}, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}),
    "statefulset": ("statefulsets", {"spec": {"serviceName": "s", "replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}, {"podManagementPolicy": "OrderedReady", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, "revisionHistoryLimit": 10, "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"}}),
    "daemonset": ("daemonsets", {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "a", "image": "a"}]}}}}, {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}, "revisionHistoryLimit": 10}),
    "job": ("jobs", {"spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}}, {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "manualSelector": False, "podReplacementPolicy": "TerminatingOrFailed"}),
    "pod": ("pods", {"spec": {"schedulerName": "nobody", "containers": [{"name": "a", "image": "a"}]}}, {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {}, "serviceAccountName": "default", "serviceAccount": "default", "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority", "priority": 0}),
}  # fmt: skip


@pytest.mark.parametrize("case", DEFAULTS)
def test_defaults(pod_room, name, case):
    """What is left out of a spec is filled in."""
    resource, body, expected = DEFAULTS[case]
    spec = pod_room.make(resource, {"metadata": {"name": name}} | body)["spec"]
    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policies(pod_room, name, image, policy):
    """The pull policy follows from the tag."""
    made = pod_room.make("pods", nowhere(pod(name, {"name": "a", "image": image})))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_defaults_of_a_container(pod_room, name):
    """A container writes its last words in /dev/termination-log."""
    made = pod_room.make(
        "pods", nowhere(pod(name, {"name": "a", "image": "a", "ports": [{"containerPort": 80}]}))
    )
    (found,) = made["spec"]["containers"]
    assert (found["terminationMessagePath"], found["terminationMessagePolicy"]) == (
        "/dev/termination-log",
        "File",
    )
    assert (found["resources"], found["ports"]) == ({}, [{"containerPort": 80, "protocol": "TCP"}])


def test_defaults_of_a_probe(pod_room, name):
    """A probe has one second, comes each ten seconds, and fails after three."""
    probe = {"httpGet": {"port": 80}}
    made = pod_room.make("pods", nowhere(pod(name, {"name": "a", "image": "a", "readinessProbe": probe})))
    assert made["spec"]["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip


def test_tolerations_that_every_pod_has(pod_room, name):
    """A pod tolerates a node that is away for five minutes."""
    made = pod_room.make("pods", nowhere(pod(name, {"name": "a", "image": "a"})))
    assert made["spec"]["tolerations"] == [
        {
            "key": f"node.kubernetes.io/{each}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for each in ("not-ready", "unreachable")
    ]


def test_the_token_that_every_pod_has(pod_room, name):
    """A pod is given its account's token in a volume."""
    made = pod_room.make("pods", nowhere(pod(name, {"name": "a", "image": "a"})))
    (volume,) = made["spec"]["volumes"]
    (mount,) = made["spec"]["containers"][0]["volumeMounts"]
    assert re.fullmatch("kube-api-access-[a-z0-9]{5}", volume["name"])
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }


@pytest.mark.parametrize(("resources", "expected"), [
    ({}, "BestEffort"),
    ({"requests": {"cpu": "10m"}}, "Burstable"),
    ({"limits": {"cpu": "10m", "memory": "10Mi"}}, "Guaranteed"),
], ids=["none", "requests", "limits"])  # fmt: skip
def test_quality_of_service(pod_room, name, resources, expected):
    """A pod's class follows from its requests and limits, from the beginning."""
    made = pod_room.make("pods", nowhere(pod(name, {"name": "a", "image": "a", "resources": resources})))
    assert (made["status"]["phase"], made["status"]["qosClass"]) == ("Pending", expected)


def test_limits_are_requests(pod_room, name):
    """A limit without a request is one."""
    made = pod_room.make(
        "pods", nowhere(pod(name, {"name": "a", "image": "a", "resources": {"limits": {"cpu": "10m"}}}))
    )
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "10m"},
        "requests": {"cpu": "10m"},
    }


@pytest.mark.parametrize(("given", "shown"), [("0.5", "500m"), ("1000m", "1"), ("2", "2"), ("1e3", "1e3")])
def test_quantities_are_shortened(pod_room, name, given, shown):
    """A quantity is kept in its shortest form."""
    made = pod_room.make(
        "pods", nowhere(pod(name, {"name": "a", "image": "a", "resources": {"requests": {"cpu": given}}}))
    )
    assert made["spec"]["containers"][0]["resources"]["requests"]["cpu"] == shown


def test_string_data_of_secrets(room, name):
    """stringData is written into data, in base 64, and not given back."""
    made = room.make("secrets", {"metadata": {"name": name}, "stringData": {"a": "b"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"a": "Yg=="}, "Opaque", False)


def test_secrets_of_a_type_need_their_keys(room, name):
    """A Secret of a known type has to hold what the type says."""
    answer = room.create("secrets", {"metadata": {"name": name}, "type": "kubernetes.io/tls"})
    assert answer.causes == [
        ("data[tls.crt]", "FieldValueRequired", "Required value"),
        ("data[tls.key]", "FieldValueRequired", "Required value"),
    ]


def test_a_config_map_key(room, name):
    """A key of a ConfigMap is a file name."""
    answer = room.create("configmaps", config_map(name, {"a b": "c"}))
    assert answer.error[:2] == (422, "Invalid")
    assert answer.causes[0][:2] == ("data[a b]", "FieldValueInvalid")


def test_the_scale_of_a_deployment(room, name):
    """scale shows replicas and selector, and sets the number."""
    room.make("deployments", deployment(room, name))
    scale = room.get("deployments", name, "scale").ok
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {})
    assert scale["status"]["selector"] == f"app={name}"
    room.put("deployments", name, scale | {"spec": {"replicas": 0}}, "scale")
    assert (
        room.patch("deployments", name, "merge", {"spec": {"replicas": 1}}, "scale").ok["spec"]["replicas"]
        == 1
    )
    assert room.get("deployments", name).ok["spec"]["replicas"] == 1


def test_a_scale_below_zero(room, name):
    """A scale below zero is refused."""
    room.make("deployments", deployment(room, name))
    answer = room.patch("deployments", name, "merge", {"spec": {"replicas": -1}}, "scale")
    assert answer.causes == [
        ("spec.replicas", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")
    ]


MADE = {
    "endpoints": {}, "leases": {}, "limitranges": {"spec": {"limits": []}}, "roles": {"rules": []},
    "services": {"spec": {"ports": [{"port": 1}]}},
}  # fmt: skip


@pytest.mark.parametrize("resource", MADE)
def test_creating_by_replacing(room, name, resource):
    """Of some kinds a PUT makes what is not there."""
    assert room.put(resource, name, {"metadata": {"name": name}} | MADE[resource]).status == 201


@pytest.mark.parametrize("resource", ["configmaps", "secrets", "serviceaccounts", "persistentvolumeclaims"])
def test_replacing_makes_nothing(room, name, resource):
    """Of the others it does not."""
    answer = room.put(resource, name, {"metadata": {"name": name}})
    assert answer.error[:2] == (404, "NotFound")


def test_a_secret_type_is_for_good(room, name):
    """The type of a Secret can not be changed."""
    made = room.make("secrets", {"metadata": {"name": name}})
    answer = room.put("secrets", name, made | {"type": "other/type"})
    assert answer.causes == [("type", "FieldValueInvalid", 'Invalid value: "other/type": field is immutable')]


def test_binding(pod_room, name):
    """A binding puts a pod on a node, once."""
    pod_room.make("pods", nowhere(pod(name, {"name": "a", "image": "no/such:image"})))
    target = {"target": {"apiVersion": "v1", "kind": "Node", "name": "no-such-node"}}
    first = pod_room.api.post(pod_room.path("pods", name, "binding"), {"metadata": {"name": name}} | target)
    assert (first.status, first.json["status"]) == (201, "Success")
    found = pod_room.get("pods", name).ok
    assert found["spec"]["nodeName"] == "no-such-node"
    assert [(each["type"], each["status"]) for each in found["status"]["conditions"]] == [
        ("PodScheduled", "True")
    ]
    again = pod_room.api.post(pod_room.path("pods", name, "binding"), {"metadata": {"name": name}} | target)
    text = f'Operation cannot be fulfilled on pods/binding "{name}": pod {name} is already assigned to node "no-such-node"'
    assert again.error == (409, "Conflict", text)
