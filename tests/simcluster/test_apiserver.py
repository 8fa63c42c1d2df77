"""The API over TLS, as the `kubernetes` client and plain requests see it."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.stream
import kubernetes.watch
import pytest
import yaml
from api_process import Running, run_server
from kubernetes.client.rest import ApiException

from simcluster.apiserver import serve, write_pod_kubeconfig
from simcluster.tokens import Bearer


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of this module; each works in a namespace of its own."""
    with run_server(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def namespace(cluster: Running, request: pytest.FixtureRequest) -> str:
    """A new namespace, named for the test."""
    name = f"t-{abs(hash(request.node.name)) % 10**10}"
    cluster.call(cluster.registry.create, "namespaces", None, {"metadata": {"name": name}})
    cluster.call(cluster.registry.create, "serviceaccounts", name, {"metadata": {"name": "default"}})
    return name


@pytest.fixture(scope="module")
def client(cluster: Running) -> kubernetes.client.ApiClient:
    """The administrator's client."""
    return kubernetes.config.new_client_from_config(str(cluster.kubeconfig))


@pytest.fixture(scope="module")
def core(client: kubernetes.client.ApiClient) -> kubernetes.client.CoreV1Api:
    """The core API of the administrator."""
    return kubernetes.client.CoreV1Api(client)


class Plain:
    """Requests without a client library; certificate, token or nobody."""

    def __init__(self, cluster: Running, token: str | None = None, *, administrator: bool = True) -> None:
        self.port = cluster.server.port
        self.context = ssl.create_default_context(cadata=cluster.server.authority.certificate.decode())
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if administrator and token is None:
            user = yaml.safe_load(cluster.kubeconfig.read_text())["users"][0]["user"]
            import base64
            import tempfile

            with tempfile.NamedTemporaryFile() as file:
                for key in ("client-certificate-data", "client-key-data"):
                    file.write(base64.b64decode(user[key]))
                file.flush()
                self.context.load_cert_chain(file.name)

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=10)
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if sent is not None:
            named.setdefault("Content-Type", "application/json")
        connection.request(method, path, sent, self.headers | named)
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = self.open(method, path, body, **headers)
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()


@pytest.fixture(scope="module")
def plain(cluster: Running) -> Plain:
    """The administrator, without a library."""
    return Plain(cluster)


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i:1"}]
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": containers, **spec}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"name": name}}, "data": data}


# --- Who may


def test_nobody_is_served_anonymously_but_on_the_public_paths(cluster: Running) -> None:
    """Without certificate and token: 401 everywhere else, as a Status."""
    nobody = Plain(cluster, administrator=False)

    for path in ("/livez", "/readyz", "/healthz"):
        assert nobody.ask("GET", path) == (200, "ok")
    assert nobody.ask("GET", "/version")[1]["gitVersion"].startswith("v1.")
    for path in ("/api", "/apis", "/api/v1/pods", "/openapi/v3", "/nowhere"):
        code, status = nobody.ask("GET", path)
        assert (code, status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")
    assert nobody.ask("POST", "/livez", {})[0] == 401


def test_a_server_of_another_authority_is_not_trusted(cluster: Running) -> None:
    """A client that does not know the authority refuses the connection."""
    stranger = Plain(cluster, administrator=False)
    stranger.context = ssl.create_default_context()

    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.ask("GET", "/livez")


def test_a_token_that_is_not_ours_is_nobody(cluster: Running) -> None:
    """Forged, cut, or of another scheme: 401."""
    for header in ("Bearer x.y.z", "Bearer ", "Basic abc"):
        nobody = Plain(cluster, administrator=False)
        nobody.headers = {"Authorization": header}
        assert nobody.ask("GET", "/api/v1/pods")[0] == 401


def mint(cluster: Running, namespace: str, **more: str) -> str:
    account = cluster.call(cluster.registry.get, "serviceaccounts", namespace, "default")
    bearer = Bearer(namespace, "default", account["metadata"]["uid"], **more)
    return cluster.server.issuer.mint(bearer, now=time.time())


def test_a_service_account_may_what_its_role_says_and_no_more(cluster: Running, namespace: str) -> None:
    """403 with the real text before the role is bound and for other verbs after; 200 for what is granted."""
    account = Plain(cluster, mint(cluster, namespace))
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    code, status = account.ask("GET", path)

    assert code == 403
    assert status["message"] == (
        f'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:{namespace}:default" cannot list '
        f'resource "endpointslices" in API group "discovery.k8s.io" in the namespace "{namespace}"'
    )
    assert status["details"] == {"group": "discovery.k8s.io", "kind": "endpointslices"}

    rbac = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]
    cluster.call(
        cluster.registry.create, f"roles.{rbac}", namespace, {"metadata": {"name": "r"}, "rules": rules}
    )
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    }
    cluster.call(cluster.registry.create, f"rolebindings.{rbac}", namespace, binding)
    assert account.ask("GET", path)[0] == 200
    assert account.ask("DELETE", f"{path}/x")[0] == 403
    assert account.ask("GET", path.replace(namespace, "default"))[0] == 403
    # Discovery is for everybody who is somebody.
    assert account.ask("GET", "/apis")[0] == 200


def test_a_token_dies_with_its_pod_and_its_account(cluster: Running, namespace: str) -> None:
    """Each is checked by uid at every request."""
    made = cluster.call(cluster.registry.create, "pods", namespace, pod())
    token = mint(cluster, namespace, pod="p", pod_uid=made["metadata"]["uid"])
    unbound = Plain(cluster, mint(cluster, namespace))

    assert Plain(cluster, token).ask("GET", "/api")[0] == 200
    cluster.call(cluster.registry.delete, "pods", namespace, "p")
    assert Plain(cluster, token).ask("GET", "/api")[0] == 401
    assert unbound.ask("GET", "/api")[0] == 200
    cluster.call(cluster.registry.delete, "serviceaccounts", namespace, "default")
    assert unbound.ask("GET", "/api")[0] == 401


def test_tokens_can_be_asked_for(core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str) -> None:
    """The TokenRequest API gives one that works; less than ten minutes is refused with the real text."""
    answer = core.create_namespaced_service_account_token(
        "default", namespace, {"spec": {"expirationSeconds": 900}}
    )

    assert Plain(cluster, answer.status.token).ask("GET", "/api")[0] == 200
    assert answer.spec.expiration_seconds == 900
    with pytest.raises(ApiException, match="may not specify a duration less than 10 minutes") as caught:
        core.create_namespaced_service_account_token(
            "default", namespace, {"spec": {"expirationSeconds": 30}}
        )
    assert caught.value.status == 422


def test_reviews_tell_who_may_what(
    client: kubernetes.client.ApiClient, cluster: Running, namespace: str
) -> None:
    """Of oneself, of others, and of a token."""
    authorization = kubernetes.client.AuthorizationV1Api(client)
    asked = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": namespace}}
    user = f"system:serviceaccount:{namespace}:default"

    assert authorization.create_self_subject_access_review({"spec": asked}).status.allowed
    other = authorization.create_subject_access_review({"spec": asked | {"user": user}}).status
    assert (other.allowed, other.reason is not None) == (False, True)
    authentication = kubernetes.client.AuthenticationV1Api(client)
    reviewed = authentication.create_token_review({"spec": {"token": mint(cluster, namespace)}})
    assert reviewed.status.user.username == user
    assert not authentication.create_token_review({"spec": {"token": "x"}}).status.authenticated


def test_the_kubeconfig_is_its_owners_alone(cluster: Running, tmp_path: Path) -> None:
    """Mode 0600, certificates inside; that of a pod names a token file and works with it."""
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    token_file, path = tmp_path / "token", tmp_path / "kubeconfig"
    cluster.call(cluster.registry.create, "serviceaccounts", "kube-public", {"metadata": {"name": "default"}})
    token_file.write_text(mint(cluster, "kube-public"))
    write_pod_kubeconfig(path, cluster.server.endpoint, token_file=token_file, namespace="kube-public")
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(path)))

    with pytest.raises(ApiException, match="system:serviceaccount:kube-public:default"):
        api.list_namespaced_pod("kube-public")
    assert str(token_file) in path.read_text()


def test_only_the_loopback_is_listened_on(cluster: Running) -> None:
    """Any other address is refused before anything is opened."""
    with pytest.raises(ValueError, match=r"will not listen on 0.0.0.0\n  allowed: loopback addresses"):
        asyncio.run(serve(cluster.registry, host="0.0.0.0"))


# --- Objects


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


def test_answers_are_in_a_form_that_the_client_takes(plain: Plain) -> None:
    """JSON where it is listed, even after protobuf; YAML on request; 406 when only protobuf will do."""
    path = "/api/v1/namespaces/default"
    protobuf = "application/vnd.kubernetes.protobuf"

    assert plain.ask("GET", path, Accept=f"{protobuf},application/json")[1]["kind"] == "Namespace"
    assert yaml.safe_load(plain.ask("GET", path, Accept="application/yaml")[1])["kind"] == "Namespace"
    code, status = plain.ask("GET", path, Accept=protobuf)
    assert (code, status["reason"]) == (406, "NotAcceptable")
    assert status["message"].startswith("406: Not Acceptable\n\nAvailable representations: application/json")


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


# --- Lists


def test_a_long_list_comes_in_pages_of_one_revision(plain: Plain, namespace: str) -> None:
    """What changes between two pages is not seen; the rest is counted."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abcde":
        plain.ask("POST", path, config_map(name))
    names, token, revisions = [], "", set()
    while True:
        page = plain.ask("GET", f"{path}?limit=2&continue={token}")[1]
        names += [each["metadata"]["name"] for each in page["items"]]
        revisions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == 5 - len(names)
        plain.ask("DELETE", f"{path}/e")
        plain.ask("POST", path, config_map("cc"))

    assert (names, len(revisions)) == (list("abcde"), 1)
    assert "remainingItemCount" not in plain.ask("GET", f"{path}?limit=1&labelSelector=name")[1]["metadata"]


def test_a_page_whose_revision_is_gone_is_refused_with_a_token_to_go_on(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """410, and that token continues with what is there now."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abc":
        plain.ask("POST", path, config_map(name))
    token = plain.ask("GET", f"{path}?limit=1")[1]["metadata"]["continue"]
    plain.ask("DELETE", f"{path}/b")
    cluster.call(lambda: cluster.registry.compact(cluster.registry.revision))
    code, status = plain.ask("GET", f"{path}?limit=1&continue={token}")

    assert (code, status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old")
    rest = plain.ask("GET", f"{path}?continue={status['metadata']['continue']}")[1]
    assert [each["metadata"]["name"] for each in rest["items"]] == ["c"]
    assert plain.ask("GET", f"{path}?continue=abc")[0] == 400


def test_items_of_a_list_have_no_kind_as_on_a_real_server(plain: Plain) -> None:
    """The list says it once for all."""
    listed = plain.ask("GET", "/api/v1/namespaces")[1]

    assert (listed["kind"], listed["apiVersion"]) == ("NamespaceList", "v1")
    assert all(set(each) == {"metadata", "spec", "status"} for each in listed["items"])


def test_lists_of_the_past_and_the_future(cluster: Running, plain: Plain, namespace: str) -> None:
    """Exact gives a revision that is kept; one to come is waited for, then refused with 504."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = plain.ask("POST", path, config_map("a"))[1]["metadata"]["resourceVersion"]
    plain.ask("POST", path, config_map("b"))
    past = plain.ask("GET", f"{path}?resourceVersion={first}&resourceVersionMatch=Exact")[1]
    assert [each["metadata"]["name"] for each in past["items"]] == ["a"]

    coming = cluster.registry.revision + 1
    timer = threading.Timer(0.2, plain.ask, ("POST", path, config_map("c")))
    timer.start()
    assert len(plain.ask("GET", f"{path}?resourceVersion={coming}")[1]["items"]) == 3
    timer.join()
    answer = plain.open("GET", f"{path}?resourceVersion={coming + 99}")
    status = json.loads(answer.read())
    assert (answer.status, status["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
    assert answer.headers["Retry-After"] == "1"


def test_tables_have_the_columns_of_kubectl(plain: Plain, namespace: str) -> None:
    """Cells of a pod and of a kind without columns of its own; rows hold what is asked for."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    plain.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod())
    path = f"/api/v1/namespaces/{namespace}/pods"
    table = plain.ask("GET", path, Accept=accept)[1]

    assert table["kind"] == "Table"
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names[:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert (
        plain.ask("GET", f"{path}/p?includeObject=Object", Accept=accept)[1]["rows"][0]["object"]["kind"]
        == "Pod"
    )
    assert plain.ask("GET", f"{path}?includeObject=x", Accept=accept)[0] == 400
    roles = plain.ask("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", Accept=accept)[1]
    assert [column["name"] for column in roles["columnDefinitions"]] == ["Name", "Created At"]


def test_metadata_alone_can_be_asked_for(plain: Plain) -> None:
    """Of one object and of a list."""
    one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    many = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    assert set(plain.ask("GET", "/api/v1/namespaces/default", Accept=one)[1]) == {
        "kind",
        "apiVersion",
        "metadata",
    }
    listed = plain.ask("GET", "/api/v1/namespaces", Accept=many)[1]
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all(set(each) == {"kind", "apiVersion", "metadata"} for each in listed["items"])


# --- Watches


def lines(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in answer:
        yield json.loads(line)


def test_a_watch_by_selector_sees_objects_come_and_go(plain: Plain, namespace: str) -> None:
    """An object that starts to match is ADDED, one that stops is DELETED with its last matching state."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, config_map("a"))
    revision = plain.ask("GET", path)[1]["metadata"]["resourceVersion"]
    watch = lines(
        plain.open(
            "GET", f"{path}?watch=1&labelSelector=color=red&resourceVersion={revision}&timeoutSeconds=5"
        )
    )
    merge = "application/merge-patch+json"
    for color in ("blue", "red", "red", "blue"):
        body = {"metadata": {"labels": {"color": color}}, "data": {"n": f"{time.time()}"}}
        plain.ask("PATCH", f"{path}/a", body, Content_Type=merge)
    seen = [next(watch) for _ in range(3)]

    assert [each["type"] for each in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[2]["object"]["metadata"]["labels"]["color"] == "red"
    revisions = [int(each["object"]["metadata"]["resourceVersion"]) for each in seen]
    assert revisions == sorted(set(revisions))


def test_a_watch_without_a_revision_begins_with_what_is_there(
    core: kubernetes.client.CoreV1Api, namespace: str
) -> None:
    """The client's own watch: present objects, then changes; it ends after the time asked for."""
    core.create_namespaced_config_map(namespace, config_map("a"))
    timer = threading.Timer(0.3, core.create_namespaced_config_map, (namespace, config_map("b")))
    timer.start()
    watch = kubernetes.watch.Watch()
    stream = watch.stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    seen = [(each["type"], each["object"].metadata.name) for each in stream]
    timer.join()

    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_from_a_revision_that_is_gone_ends_with_410(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """An ERROR event with a Status inside a good answer, as a real server does it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, config_map("a"))
    newest = cluster.registry.revision
    cluster.call(cluster.registry.compact, newest)
    answer = plain.open("GET", f"{path}?watch=1&resourceVersion={newest - 1}")
    events = list(lines(answer))

    assert answer.status == 200
    assert [each["type"] for each in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"] == f"too old resource version: {newest - 1} ({newest})"


def test_initial_events_end_with_a_bookmark(plain: Plain, namespace: str) -> None:
    """What streaming lists ask for: objects, then a bookmark that says so, then a bookmark before the end."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=3"
    events = list(lines(plain.open("GET", f"{path}?{query}")))

    assert [each["type"] for each in events] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    marked = events[1]["object"]
    assert marked["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (marked["kind"], "annotations" in events[2]["object"]["metadata"]) == ("ConfigMap", False)


def test_a_watch_of_tables_names_the_columns_once(plain: Plain, namespace: str) -> None:
    """As `kubectl get -w` needs it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "ab":
        plain.ask("POST", path, config_map(name))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    events = list(lines(plain.open("GET", f"{path}?watch=1&timeoutSeconds=1", Accept=accept)))

    assert [each["object"]["columnDefinitions"] is None for each in events] == [False, True]
    assert events[1]["object"]["rows"][0]["cells"][0] == "b"


def test_a_client_that_goes_away_leaves_nothing_behind(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """Its subscription is closed."""
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    before = len(cluster.server._objects._watching)
    answer = plain.open("GET", path)
    assert len(cluster.server._objects._watching) == before + 1
    answer.close()
    deadline = time.monotonic() + 5
    while len(cluster.server._objects._watching) > before:
        assert time.monotonic() < deadline
        # A write makes the server notice at the latest.
        plain.ask("POST", path.partition("?")[0], config_map(f"c{time.monotonic_ns()}"))


def test_the_asynchronous_client_works_too(cluster: Running, namespace: str) -> None:
    """Written, listed and watched with `kubernetes.aio`."""
    import kubernetes.aio.client
    import kubernetes.aio.config
    import kubernetes.aio.watch

    async def run() -> list[str]:
        configuration = kubernetes.aio.client.Configuration()
        await kubernetes.aio.config.load_kube_config(
            str(cluster.kubeconfig), client_configuration=configuration
        )
        async with kubernetes.aio.client.ApiClient(configuration) as api:
            core = kubernetes.aio.client.CoreV1Api(api)
            await core.create_namespaced_config_map(namespace, config_map("a"))
            async with kubernetes.aio.watch.Watch() as watch:
                stream = watch.stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
                return [event["object"].metadata.name async for event in stream]

    assert asyncio.run(run()) == ["a"]


# --- Discovery and OpenAPI


def test_discovery_is_told_in_both_forms(plain: Plain) -> None:
    """The aggregated one has an ETag that saves the second answer; both name the same resources."""
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    answer = plain.open("GET", "/apis", Accept=aggregated)
    groups = {each["metadata"]["name"]: each for each in json.loads(answer.read())["items"]}

    assert (
        answer.headers["Content-Type"]
        == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert plain.open("GET", "/apis", Accept=aggregated, If_None_Match=answer.headers["ETag"]).status == 304
    told = {each["resource"] for each in groups["apps"]["versions"][0]["resources"]}
    legacy = plain.ask("GET", "/apis/apps/v1")[1]
    assert told == {each["name"] for each in legacy["resources"] if "/" not in each["name"]}
    assert "deployments/scale" in {each["name"] for each in legacy["resources"]}
    assert [each["name"] for each in plain.ask("GET", "/apis")[1]["groups"]] == list(groups)
    assert plain.ask("GET", "/api")[1]["versions"] == ["v1"]
    assert plain.ask("GET", "/apis/apps")[1]["preferredVersion"]["groupVersion"] == "apps/v1"
    assert plain.ask("GET", "/apis/nope") == (404, "404 page not found\n")


def test_openapi_describes_each_group(plain: Plain) -> None:
    """Every document of the index can be had, and refers to nothing that it does not hold."""
    for where, entry in plain.ask("GET", "/openapi/v3")[1]["paths"].items():
        document = plain.ask("GET", entry["serverRelativeURL"])[1]
        schemas = document["components"]["schemas"]
        text = json.dumps(document)
        wanted = {each.partition('"')[0] for each in text.split('"$ref": "#/components/schemas/')[1:]}
        assert wanted <= set(schemas), where
    document = plain.ask("GET", "/openapi/v3/apis/apps/v1")[1]
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"dryRun", "fieldValidation", "force"} <= {each["name"] for each in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
    }
    assert "io.k8s.api.core.v1.Pod" in plain.ask("GET", "/openapi/v2")[1]["definitions"]
    assert plain.ask("GET", "/openapi/v3/apis/nope/v1")[0] == 404


# --- Logs and commands


@pytest.fixture
def bound_pod(cluster: Running, namespace: str) -> str:
    """A pod on a node."""
    cluster.call(cluster.registry.create, "pods", namespace, pod())
    cluster.call(cluster.registry.bind, namespace, "p", "n1")
    return "p"


def test_logs_are_what_the_kubelet_gives(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """With every option passed on."""
    cluster.node.lines = [b"one\n", b"two\n"]

    assert core.read_namespaced_pod_log(bound_pod, namespace) == "one\ntwo\n"
    core.read_namespaced_pod_log(
        bound_pod, namespace, tail_lines=1, since_seconds=5, timestamps=True, limit_bytes=9, previous=True
    )
    assert cluster.node.asked == {
        "namespace": namespace,
        "pod": "p",
        "container": "c",
        "follow": False,
        "previous": True,
        "since_s": 5,
        "since_at": None,
        "tail_lines": 1,
        "timestamps": True,
        "limit_bytes": 9,
    }


def test_followed_logs_come_as_they_are_written(
    cluster: Running, plain: Plain, namespace: str, bound_pod: str
) -> None:
    """A line written later reaches a client that waits."""
    cluster.node.lines = [b"one\n"]
    answer = plain.open("GET", f"/api/v1/namespaces/{namespace}/pods/{bound_pod}/log?follow=true")
    assert answer.readline() == b"one\n"
    cluster.node.lines.append(b"two\n")
    cluster.call(cluster.node.more.set)
    assert answer.readline() == b"two\n"
    answer.close()


def test_which_container_is_meant_must_be_clear(plain: Plain, namespace: str) -> None:
    """The real texts; the annotation decides where it is given."""
    two = pod("two", initContainers=[{"name": "i", "image": "i"}])
    two["spec"]["containers"].append({"name": "d", "image": "i"})
    path = f"/api/v1/namespaces/{namespace}/pods"
    plain.ask("POST", path, two)

    assert plain.ask("GET", f"{path}/two/log")[1]["message"] == (
        "a container name must be specified for pod two, choose one of: [c d] or one of the init containers: [i]"
    )
    assert (
        plain.ask("GET", f"{path}/two/log?container=x")[1]["message"]
        == "container x is not valid for pod two"
    )
    annotation = {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "d"}}}
    plain.ask("PATCH", f"{path}/two", annotation, Content_Type="application/merge-patch+json")
    assert plain.ask("GET", f"{path}/two/log")[0] == 204
    assert plain.ask("GET", f"{path}/two/exec?command=ls&stdout=1")[1]["message"] == (
        "pod two does not have a host assigned"
    )
    assert plain.ask("GET", f"{path}/two/log?tailLines=-1")[0] == 400


def run(core: kubernetes.client.CoreV1Api, namespace: str, *command: str, **more: Any) -> Any:
    options = {"stderr": True, "stdin": False, "stdout": True, "tty": False} | more
    return kubernetes.stream.stream(
        core.connect_get_namespaced_pod_exec, "p", namespace, command=list(command), **options
    )


def test_commands_run_with_output_and_exit_code(
    core: kubernetes.client.CoreV1Api, namespace: str, bound_pod: str
) -> None:
    """Both streams apart, and how it ended, through the client's WebSocket."""
    session = run(core, namespace, "sh", "-c", "echo out; echo err >&2; exit 3", _preload_content=False)
    session.run_forever(timeout=10)

    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)
    fine = run(core, namespace, "true", _preload_content=False)
    fine.run_forever(timeout=10)
    assert fine.returncode == 0


def test_a_command_is_given_its_input(
    core: kubernetes.client.CoreV1Api, namespace: str, bound_pod: str
) -> None:
    """What the client writes the command reads."""
    session = run(core, namespace, "head", "-n", "1", stdin=True, _preload_content=False)
    session.write_stdin("hello\n")
    session.run_forever(timeout=10)

    assert session.read_stdout() == "hello\n"


def test_a_command_ends_with_its_client(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """A client that closes its connection leaves no process behind."""
    session = run(core, namespace, "sleep", "600", _preload_content=False)
    process = cluster.node.commands[-1]._process
    session.close()
    ended = asyncio.run_coroutine_threadsafe(process.wait(), cluster.loop).result(10)

    assert ended == -9


def test_a_command_needs_a_websocket_and_something_to_do(
    plain: Plain, namespace: str, bound_pod: str
) -> None:
    """400 with the real texts."""
    path = f"/api/v1/namespaces/{namespace}/pods/p/exec"

    assert (
        plain.ask("GET", f"{path}?command=ls")[1]["message"]
        == "you must specify at least 1 of stdin, stdout, stderr"
    )
    assert plain.ask("GET", f"{path}?stdout=1")[0] == 400
    assert plain.ask("GET", f"{path}?stdout=1&command=ls")[1]["message"].startswith("unable to upgrade")
