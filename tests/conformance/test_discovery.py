"""Discovery, versions and OpenAPI."""

import pytest
from rig.client import Client

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

RESOURCES = {
    "pods": ("/api/v1", {"kind": "Pod", "namespaced": True, "shortNames": ["po"], "categories": ["all"]}),
    "services": ("/api/v1", {"kind": "Service", "namespaced": True, "shortNames": ["svc"]}),
    "namespaces": ("/api/v1", {"kind": "Namespace", "namespaced": False, "shortNames": ["ns"]}),
    "nodes": ("/api/v1", {"kind": "Node", "namespaced": False, "singularName": "node"}),
    "endpoints": ("/api/v1", {"kind": "Endpoints", "shortNames": ["ep"], "singularName": "endpoints"}),
    "events": ("/api/v1", {"kind": "Event", "shortNames": ["ev"], "namespaced": True}),
    "pods/log": ("/api/v1", {"kind": "Pod", "verbs": ["get"], "singularName": ""}),
    "pods/exec": ("/api/v1", {"kind": "PodExecOptions", "verbs": ["create", "get"]}),
    "pods/attach": ("/api/v1", {"kind": "PodAttachOptions", "verbs": ["create", "get"]}),
    "pods/portforward": ("/api/v1", {"kind": "PodPortForwardOptions", "verbs": ["create", "get"]}),
    "pods/eviction": ("/api/v1", {"kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]}),
    "pods/binding": ("/api/v1", {"kind": "Binding", "verbs": ["create"]}),
    "pods/status": ("/api/v1", {"kind": "Pod", "verbs": ["get", "patch", "update"]}),
    "pods/ephemeralcontainers": ("/api/v1", {"kind": "Pod", "verbs": ["get", "patch", "update"]}),
    "serviceaccounts/token": ("/api/v1", {"kind": "TokenRequest", "group": "authentication.k8s.io"}),
    "namespaces/finalize": ("/api/v1", {"kind": "Namespace", "verbs": ["update"]}),
    "deployments": ("/apis/apps/v1", {"kind": "Deployment", "shortNames": ["deploy"], "categories": ["all"]}),
    "deployments/scale": ("/apis/apps/v1", {"kind": "Scale", "group": "autoscaling", "version": "v1"}),
    "statefulsets": ("/apis/apps/v1", {"kind": "StatefulSet", "shortNames": ["sts"]}),
    "daemonsets": ("/apis/apps/v1", {"kind": "DaemonSet", "shortNames": ["ds"]}),
    "replicasets": ("/apis/apps/v1", {"kind": "ReplicaSet", "shortNames": ["rs"]}),
    "jobs": ("/apis/batch/v1", {"kind": "Job", "categories": ["all"]}),
    "poddisruptionbudgets": ("/apis/policy/v1", {"kind": "PodDisruptionBudget", "shortNames": ["pdb"]}),
    "tokenreviews": ("/apis/authentication.k8s.io/v1", {"namespaced": False, "verbs": ["create"]}),
}  # fmt: skip


def aggregated(api: Client, path: str) -> dict:
    """The aggregated document of a path."""
    answer = api.get(path, headers={"Accept": AGGREGATED})
    assert answer.headers["Content-Type"] == AGGREGATED
    return answer.ok


def find(api: Client, group: str, version: str, resource: str) -> dict:
    """What the aggregated documents say about a resource."""
    document = aggregated(api, "/apis" if group else "/api")
    (entry,) = [each for each in document["items"] if each["metadata"].get("name", "") == group]
    (served,) = [each for each in entry["versions"] if each["version"] == version]
    (found,) = [each for each in served["resources"] if each["resource"] == resource]
    return found


def test_api_versions_names_v1_and_this_server(api):
    """GET /api is an APIVersions that knows v1 alone."""
    document = api.get("/api").ok
    assert (document["kind"], document["versions"]) == ("APIVersions", ["v1"])
    assert document["serverAddressByClientCIDRs"][0]["clientCIDR"] == "0.0.0.0/0"


@pytest.mark.parametrize(
    ("group", "version"),
    [
        ("apps", "v1"),
        ("batch", "v1"),
        ("policy", "v1"),
        ("discovery.k8s.io", "v1"),
        ("coordination.k8s.io", "v1"),
        ("rbac.authorization.k8s.io", "v1"),
        ("authentication.k8s.io", "v1"),
        ("authorization.k8s.io", "v1"),
        ("events.k8s.io", "v1"),
        ("networking.k8s.io", "v1"),
        ("scheduling.k8s.io", "v1"),
        ("storage.k8s.io", "v1"),
    ],
)
def test_groups(api, group, version):
    """GET /apis lists each group with the version that it prefers, and GET /apis/GROUP says the same."""
    (listed,) = [each for each in api.get("/apis").ok["groups"] if each["name"] == group]
    assert listed["preferredVersion"] == {"groupVersion": f"{group}/{version}", "version": version}
    alone = api.get(f"/apis/{group}").ok
    assert (alone.pop("kind"), alone.pop("apiVersion"), alone) == ("APIGroup", "v1", listed)


@pytest.mark.parametrize("resource", RESOURCES)
def test_legacy_resources(api, resource):
    """The APIResourceList of a group version, which older and dynamic clients read, describes each resource."""
    path, expected = RESOURCES[resource]
    document = api.get(path).ok
    (found,) = [each for each in document["resources"] if each["name"] == resource]
    assert {key: found.get(key) for key in expected} == expected


def test_all_verbs_of_a_stored_kind(api):
    """A stored kind offers eight verbs, in the order of the alphabet."""
    (found,) = [each for each in api.get("/api/v1").ok["resources"] if each["name"] == "configmaps"]
    assert found["verbs"] == [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ]


def test_storage_version_hash_is_eight_bytes(api):
    """A stored kind carries the hash of its storage version, in base 64."""
    (found,) = [each for each in api.get("/api/v1").ok["resources"] if each["name"] == "configmaps"]
    assert len(found["storageVersionHash"]) == 12


@pytest.mark.parametrize(
    ("group", "version", "resource", "scope", "subresources"),
    [
        ("", "v1", "configmaps", "Namespaced", []),
        ("", "v1", "nodes", "Cluster", ["proxy", "status"]),
        ("", "v1", "services", "Namespaced", ["proxy", "status"]),
        ("apps", "v1", "deployments", "Namespaced", ["scale", "status"]),
        ("batch", "v1", "jobs", "Namespaced", ["status"]),
        ("discovery.k8s.io", "v1", "endpointslices", "Namespaced", []),
    ],
)
def test_aggregated_resources(api, group, version, resource, scope, subresources):
    """The aggregated document, which kubectl reads, gives scope and subresources of a resource."""
    found = find(api, group, version, resource)
    assert (found["scope"], [each["subresource"] for each in found.get("subresources", [])]) == (
        scope,
        subresources,
    )


def test_aggregated_versions_are_current(api):
    """Each version in the aggregated document says how fresh it is."""
    document = aggregated(api, "/apis")
    assert {each["freshness"] for group in document["items"] for each in group["versions"]} == {"Current"}


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_etag(api, path):
    """The ETag is a quoted SHA-512 in capital hex, and asking with it is answered by 304."""
    first = api.get(path, headers={"Accept": AGGREGATED})
    tag = first.headers["ETag"]
    assert len(tag.strip('"')) == 128
    assert tag == tag.upper()
    assert (first.headers["Vary"], first.headers["Cache-Control"]) == ("Accept", "public")
    again = api.get(path, headers={"Accept": AGGREGATED, "If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")


def test_aggregated_with_fallback(api):
    """A client that also takes plain JSON, as client-go does, is given the aggregated form."""
    accept = f"{AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    assert api.get("/apis", headers={"Accept": accept}).ok["kind"] == "APIGroupDiscoveryList"


def test_beta_aggregated_is_gone(api):
    """Who takes v2beta1 or plain JSON is given plain JSON."""
    accept = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    assert api.get("/apis", headers={"Accept": accept}).ok["kind"] == "APIGroupList"


def test_version(api):
    """/version names major, minor and the build."""
    version = api.get("/version").ok
    assert (version["major"], version["minor"]) == ("1", version["gitVersion"].split(".")[1])
    assert {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"} <= set(version)


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health(api, path):
    """The health paths answer `ok` to anybody, as text."""
    answer = api.as_nobody().get(path)
    assert (answer.status, answer.text) == (200, "ok")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_openapi_v3_index(api):
    """The index of OpenAPI v3 names a document with a hash for each group version."""
    paths = api.get("/openapi/v3").ok["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/batch/v1", "apis/discovery.k8s.io/v1"} <= set(paths)
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")


@pytest.mark.parametrize(
    ("document", "schema", "kind"),
    [
        ("api/v1", "io.k8s.api.core.v1.Pod", {"group": "", "kind": "Pod", "version": "v1"}),
        (
            "apis/apps/v1",
            "io.k8s.api.apps.v1.Deployment",
            {"group": "apps", "kind": "Deployment", "version": "v1"},
        ),
    ],
)
def test_openapi_v3_documents(api, document, schema, kind):
    """A document holds the schema of each kind, marked with the kind that it is of."""
    found = api.get(f"/openapi/v3/{document}").ok["components"]["schemas"][schema]
    assert found["x-kubernetes-group-version-kind"] == [kind]


def test_openapi_v3_patch_metadata(api):
    """Strategy and key of a list's strategic merge are there for kubectl's three-way merge."""
    schemas = api.get("/openapi/v3/api/v1").ok["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"


def test_openapi_v2(api):
    """The whole of OpenAPI v2 is there as JSON."""
    document = api.get("/openapi/v2", headers={"Accept": "application/json"}).ok
    assert document["swagger"] == "2.0"
    assert "io.k8s.api.core.v1.Pod" in document["definitions"]


@pytest.mark.parametrize("path", ["/apis/nowhere.example", "/nowhere", "/apis/nowhere.example/v1/things"])
def test_unknown_paths(api, path):
    """A path that leads nowhere is answered by 404 and plain text."""
    answer = api.get(path)
    assert (answer.status, answer.text) == (404, "404 page not found\n")


@pytest.mark.parametrize("path", ["/api/v1/widgets", "/apis/apps/v1/widgets", "/apis/apps/v9", "/api/v9"])
def test_unknown_resources(api, path):
    """A resource, or a version, that a known group does not have is a NotFound Status."""
    assert api.get(path).error == (404, "NotFound", "the server could not find the requested resource")


def test_only_unknown_media_types(api):
    """Who takes nothing that the server has is refused with what it has."""
    answer = api.get("/api/v1/namespaces/default", headers={"Accept": "text/html"})
    kinds = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    message = f"406: Not Acceptable\n\nAvailable representations: {kinds}"
    assert answer.error == (406, "NotAcceptable", message)


def test_yaml(api):
    """Objects can be had as YAML."""
    answer = api.get("/api/v1/namespaces/default", headers={"Accept": "application/yaml"})
    assert answer.headers["Content-Type"] == "application/yaml"
    assert answer.text.startswith("apiVersion: v1\nkind: Namespace\n")


def test_protobuf_is_offered(api):
    """Who prefers protobuf, as kubectl and client-go do, is given its envelope or, if it also takes JSON, JSON."""
    accept = "application/vnd.kubernetes.protobuf,application/json"
    answer = api.get("/api/v1/namespaces/default", headers={"Accept": accept})
    kind = answer.headers["Content-Type"]
    assert answer.status == 200
    if kind == "application/json":
        assert answer.json["kind"] == "Namespace"
    else:
        assert (kind, answer.body[:4]) == ("application/vnd.kubernetes.protobuf", b"k8s\0")
