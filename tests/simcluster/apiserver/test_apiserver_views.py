"""Tables and metadata alone, of every verb that answers with objects. Measured on v1.36.3."""

from __future__ import annotations

from typing import Any

import pytest
from api_process import Plain, Running, config_map, lines

META = "application/json;as={};v=v1;g=meta.k8s.io"


@pytest.fixture
def base(cluster: Running, namespace: str) -> str:
    """Where the ConfigMaps a and b are."""
    for name in ("a", "b"):
        cluster.call(cluster.registry.create, "configmaps", namespace, config_map(name, k="v"))
    return f"/api/v1/namespaces/{namespace}/configmaps"


def ask(plain: Plain, method: str, path: str, view: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    return plain.ask(method, path, body, Accept=META.format(view), **headers)


def test_metadata_alone_is_told_by_every_verb(plain: Plain, base: str) -> None:
    """get, list, create, update, patch, deletecollection; a deletion still answers with its Status."""
    one, many = "PartialObjectMetadata", "PartialObjectMetadataList"
    got = ask(plain, "GET", f"{base}/a", one)[1]
    assert set(got) == {"kind", "apiVersion", "metadata"}
    assert (got["kind"], got["apiVersion"]) == (one, "meta.k8s.io/v1")
    page = ask(plain, "GET", f"{base}?limit=1", many)[1]
    assert page["metadata"]["remainingItemCount"] == 1
    assert [each["kind"] for each in page["items"]] == [one]
    status, created = ask(plain, "POST", base, one, config_map("c"))
    assert (status, created["kind"]) == (201, one)
    patched = ask(
        plain, "PATCH", f"{base}/c", one, {"data": {}}, Content_Type="application/merge-patch+json"
    )[1]
    assert patched["kind"] == one
    assert ask(plain, "PUT", f"{base}/c", one, config_map("c"))[1]["kind"] == one
    assert ask(plain, "DELETE", f"{base}/c", one)[1]["kind"] == "Status"
    deleted = ask(plain, "DELETE", base, many)[1]
    assert [each["metadata"]["name"] for each in deleted["items"]] == ["a", "b"]


def test_a_view_that_does_not_fit_is_refused(plain: Plain, base: str) -> None:
    """406 in the real words, for one object as a list, a list as one, and an unknown version."""
    wanted = [
        (
            f"{base}/a",
            "PartialObjectMetadataList",
            "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
        ),
        (
            base,
            "PartialObjectMetadata",
            "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
        ),
    ]
    for path, view, text in wanted:
        status, refused = ask(plain, "GET", path, view)
        assert (status, refused["message"]) == (406, text)
    unknown = META.format("Table").replace("v=v1", "v=v2")
    assert plain.ask("GET", base, Accept=unknown)[0] == 406


def test_rows_hold_as_much_of_the_object_as_is_asked_for(plain: Plain, base: str) -> None:
    """Metadata by default, all, or nothing; another word is refused with the real text."""
    held = {}
    for included in ("", "Metadata", "Object", "None"):
        table = ask(plain, "GET", f"{base}/a?includeObject={included}", "Table")[1]
        held[included] = table["rows"][0]["object"]
    assert held[""]["kind"] == held["Metadata"]["kind"] == "PartialObjectMetadata"
    assert held["Object"]["data"] == {"k": "v"}
    assert held["None"] is None
    status, refused = ask(plain, "GET", f"{base}/a?includeObject=bad", "Table")
    text = "includeObject: Invalid value: \"bad\": must be 'Metadata', 'Object', 'None', or empty"
    assert (status, refused["message"]) == (400, f"Unable to convert to Table as requested: {text}")


def test_tables_answer_writes_scales_and_old_clients(plain: Plain, base: str, namespace: str) -> None:
    """A created object as a Table, a Scale with its own columns, and meta/v1beta1."""
    status, table = ask(plain, "POST", base, "Table", config_map("t"))
    assert (status, [row["cells"][0] for row in table["rows"]]) == (201, ["t"])
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 4, "selector": {"matchLabels": labels}, "template": template}
    plain.ask("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    scale = ask(plain, "GET", f"{path}/d/scale", "Table")[1]
    assert [each["name"] for each in scale["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert scale["rows"][0]["cells"][:3] == ["d", 4, 0]
    old = plain.ask("GET", base, Accept=META.format("Table").replace("v=v1", "v=v1beta1"))[1]
    assert old["apiVersion"] == "meta.k8s.io/v1beta1"


def test_a_pod_that_has_ended_is_marked_in_its_row(
    plain: Plain, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """The row's condition says Completed, and how."""
    patch = cluster.registry.patch
    cluster.call(
        patch, "pods", namespace, bound_pod, {"status": {"phase": "Failed"}}, "merge", subresource="status"
    )
    table = ask(plain, "GET", f"/api/v1/namespaces/{namespace}/pods", "Table")[1]
    assert table["rows"][0]["conditions"] == [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    ]


def test_metadata_is_watched_alone(plain: Plain, base: str) -> None:
    """Each event holds metadata and nothing else."""
    path = f"{base}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=a"
    event = next(lines(plain.open("GET", path, Accept=META.format("PartialObjectMetadata"))))
    assert set(event["object"]) == {"kind", "apiVersion", "metadata"}


def test_a_deprecated_kind_is_answered_with_a_warning(plain: Plain, namespace: str) -> None:
    """Endpoints, in reads and watches."""
    path = f"/api/v1/namespaces/{namespace}/endpoints"
    text = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    assert plain.open("GET", path).headers["Warning"] == text
    assert plain.open("GET", f"{path}?watch=1&timeoutSeconds=1").headers["Warning"] == text
    assert plain.open("GET", f"/api/v1/namespaces/{namespace}/pods").headers["Warning"] is None
