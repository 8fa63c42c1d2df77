"""Who may use the API, and how callers prove who they are."""

from __future__ import annotations

import asyncio
import ssl
import stat
from pathlib import Path

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.stream
import kubernetes.watch
import pytest
from api_process import Plain, Running, mint, pod
from kubernetes.client.rest import ApiException

from simcluster.apiserver import serve, write_pod_kubeconfig


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
    assert (other.allowed, other.reason) == (False, None)
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
