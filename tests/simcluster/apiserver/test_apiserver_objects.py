"""The verbs on objects over HTTP, and the words of refusals."""

from __future__ import annotations

from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.stream
import kubernetes.watch
import pytest
from api_process import Plain, Running, config_map, pod
from kubernetes.client.rest import ApiException


def test_an_object_lives_through_all_verbs(core: kubernetes.client.CoreV1Api, namespace: str) -> None:
    """Created, read, replaced, patched in three ways, listed and deleted by the typed client."""
    made = core.create_namespaced_config_map(namespace, config_map("c", a="1"))
    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("c", namespace, made)
    assert replaced.data == {"a": "1", "b": "2"}
    for content_type, body in (
        ("application/merge-patch+json", {"data": {"a": None}}),
        ("application/strategic-merge-patch+json", {"data": {"c": "3"}}),
        ("application/json-patch+json", [{"op": "replace", "path": "/data/c", "value": "4"}]),
    ):
        core.patch_namespaced_config_map("c", namespace, body, _content_type=content_type)
    assert core.read_namespaced_config_map("c", namespace).data == {"b": "2", "c": "4"}
    assert [each.metadata.name for each in core.list_namespaced_config_map(namespace).items] == ["c"]
    assert core.delete_namespaced_config_map("c", namespace)["status"] == "Success"
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_config_map("c", namespace)
    assert caught.value.status == 404


def test_the_dynamic_client_finds_and_writes_kinds(
    client: kubernetes.client.ApiClient, namespace: str
) -> None:
    """By legacy discovery; status and scale too."""
    dynamic = kubernetes.dynamic.DynamicClient(client)
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    body = {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "p"}},
            "template": {"metadata": {"labels": {"app": "p"}}, "spec": pod()["spec"]},
        },
    }
    deployments.create(body=body, namespace=namespace)
    deployments.scale.patch(
        name="d",
        namespace=namespace,
        body={"spec": {"replicas": 3}},
        content_type="application/merge-patch+json",
    )
    found = deployments.get(name="d", namespace=namespace)

    assert (found.spec.replicas, found.metadata.generation) == (3, 2)


def test_a_running_pod_stays_until_its_grace_is_over(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str
) -> None:
    """A deletion answers with the pod; grace 0 removes it; bound and evicted through their subresources."""
    core.create_namespaced_pod(namespace, pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    core.create_namespaced_pod_binding("p", namespace, binding, _preload_content=False)
    going = core.delete_namespaced_pod("p", namespace, grace_period_seconds=20)
    assert going.metadata.deletion_grace_period_seconds == 20
    core.create_namespaced_pod_eviction("p", namespace, {"metadata": {"name": "p"}})
    core.delete_namespaced_pod("p", namespace, body={"gracePeriodSeconds": 0})
    with pytest.raises(ApiException):
        core.read_namespaced_pod("p", namespace)


def test_a_binding_must_be_about_the_pod_of_the_path(plain: Plain, namespace: str) -> None:
    """400 with the real text."""
    plain.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod())
    path = f"/api/v1/namespaces/{namespace}/pods/p/binding"

    assert plain.ask("POST", path, {"target": {"name": "n"}})[1]["message"] == (
        "name in URL does not match name in Binding object"
    )
    assert plain.ask("POST", path, {"metadata": {"name": "p"}, "target": {}})[0] == 422


def test_a_collection_is_deleted_by_selector(plain: Plain, namespace: str) -> None:
    """The answer lists what went; what does not match stays."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abc":
        plain.ask("POST", path, config_map(name))
    code, gone = plain.ask("DELETE", f"{path}?labelSelector=name+in+(a,b)")

    assert (code, [each["metadata"]["name"] for each in gone["items"]]) == (200, ["a", "b"])
    assert [each["metadata"]["name"] for each in plain.ask("GET", path)[1]["items"]] == ["c"]


def test_dry_runs_and_warnings(plain: Plain, namespace: str) -> None:
    """dryRun=All stores nothing; an unknown field is told in a header, or refused as asked."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert plain.ask("POST", f"{path}?dryRun=All", config_map("c"))[0] == 201
    assert plain.ask("GET", f"{path}/c")[0] == 404
    answer = plain.open("POST", path, {**config_map("c"), "foo": 1})
    assert (answer.status, answer.headers["Warning"]) == (201, '299 - "unknown field \\"foo\\""')
    code, status = plain.ask("POST", f"{path}?fieldValidation=Strict", {**config_map("d"), "foo": 1})
    assert (code, status["message"].partition(": ")[2]) == (400, 'strict decoding error: unknown field "foo"')
    assert plain.ask("POST", f"{path}?dryRun=x", config_map("e"))[0] == 422
    assert plain.ask("POST", f"{path}?fieldValidation=x", config_map("e"))[0] == 422


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", "/api/v1/foo", 404, "the server could not find the requested resource"),
        ("GET", "/apis/apps/v2/deployments", 404, "the server could not find the requested resource"),
        (
            "GET",
            "/api/v1/namespaces/default/pods/x/frob",
            404,
            "the server could not find the requested resource",
        ),
        ("PUT", "/api/v1/pods", 405, "the server does not allow this method on the requested resource"),
        (
            "POST",
            "/api/v1/namespaces/default/pods/x",
            405,
            "the server does not allow this method on the requested resource",
        ),
        ("GET", "/api/v1/namespaces/default/pods/x/log", 404, 'pods "x" not found'),
        ("GET", "/api/v1/pods?limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "GET",
            "/api/v1/pods?resourceVersion=x",
            400,
            'invalid resource version: resourceVersion: Invalid value: "x": '
            'strconv.ParseUint: parsing "x": invalid syntax',
        ),
        ("GET", "/api/v1/pods?fieldSelector=spec.foo=b", 400, "field label not supported: spec.foo"),
        (
            "GET",
            "/api/v1/pods?resourceVersionMatch=Exact",
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden '
            "unless resourceVersion is provided",
        ),
        (
            "GET",
            "/api/v1/pods?resourceVersionMatch=Exact&resourceVersion=0",
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is '
            'forbidden for resourceVersion "0"',
        ),
        (
            "GET",
            "/api/v1/pods?sendInitialEvents=true",
            422,
            'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: '
            "sendInitialEvents is forbidden for list",
        ),
        (
            "GET",
            "/api/v1/pods?watch=1&sendInitialEvents=true",
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires '
            "setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/pods/x?propagationPolicy=y",
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "y": supported values: '
            '"Foreground", "Background", "Orphan", "nil"',
        ),
    ],
)
def test_requests_that_make_no_sense_are_refused_in_the_real_words(
    plain: Plain, method: str, path: str, code: int, message: str
) -> None:
    """Each is a Status with code and message as v1.36.3 gives them."""
    found, status = plain.ask(method, path, None if method in ("GET", "DELETE") else {})

    assert (found, status["code"], status["message"]) == (code, code, message)
    assert (status["kind"], status["status"]) == ("Status", "Failure")


def test_two_ways_of_propagation_at_once_are_refused(plain: Plain, namespace: str) -> None:
    """In a body, with the real text; nothing is deleted."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, {"metadata": {"name": "c"}})
    both = {"orphanDependents": True, "propagationPolicy": "Orphan"}
    code, status = plain.ask("DELETE", f"{path}/c", {"kind": "DeleteOptions", "apiVersion": "v1"} | both)
    assert (code, status["message"]) == (
        422,
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": '
        "orphanDependents and deletionPropagation cannot be both set",
    )
    assert plain.ask("GET", f"{path}/c")[0] == 200


def test_bodies_of_unknown_forms_are_refused_with_the_known_ones(plain: Plain, namespace: str) -> None:
    """415 for other forms, 400 for broken JSON, 413 for too much; YAML is read."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    code, status = plain.ask("POST", path, b"x", Content_Type="text/plain")
    assert (code, status["message"]) == (
        415,
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/yaml, application/vnd.kubernetes.protobuf",
    )
    code, status = plain.ask("POST", path, b'{"metadata":{"name":"a"')
    assert (code, status["message"].partition(": ")[0]) == (
        400,
        "the object provided is unrecognized (must be of type ConfigMap)",
    )
    assert plain.ask("POST", path, b"metadata: {name: y}\n", Content_Type="application/yaml")[0] == 201
    assert plain.ask("POST", path, b"{? [a] : b}\n", Content_Type="application/yaml")[0] == 400
    assert plain.ask("POST", path, b" " * (3 * 1024 * 1024 + 1))[0] == 413
    assert plain.ask("PATCH", f"{path}/y", b"{}", Content_Type="application/foo")[0] == 415
    assert plain.ask("PATCH", f"{path}/y", b"{", Content_Type="application/merge-patch+json")[0] == 400


def test_a_fault_of_ours_is_a_status_too(
    cluster: Running, plain: Plain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with what happened, logged; the server goes on."""

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of ours")

    with monkeypatch.context() as patched:
        patched.setattr(cluster.registry, "record", fail)
        code, status = plain.ask("GET", "/api/v1/namespaces/default")
    assert (code, status["reason"]) == (500, "InternalError")
    assert status["message"] == "Internal error occurred: ZeroDivisionError: of ours"
    assert "GET /api/v1/namespaces/default failed" in caplog.text
    assert plain.ask("GET", "/api/v1/namespaces/default")[0] == 200
