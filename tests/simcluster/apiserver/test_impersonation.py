"""Impersonation, bound tokens and grants, over HTTP; the texts are those of kube-apiserver v1.36.3."""

from __future__ import annotations

import time
from typing import Any

import pytest
from api_process import Plain, Running, config_map, mint, pod

RBAC = "rbac.authorization.k8s.io"
ROLES = f"/apis/{RBAC}/v1"
REVIEWS = "/apis/authentication.k8s.io/v1"
ACCESS = "/apis/authorization.k8s.io/v1"


def grant(plain: Plain, namespace: str, *rules: Any) -> str:
    """Give the default account of a namespace some rules everywhere; its user name."""
    plain.ask("POST", f"{ROLES}/clusterroles", {"metadata": {"name": namespace}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": namespace}
    binding = {"metadata": {"name": namespace}, "roleRef": reference, "subjects": [subject]}
    assert plain.ask("POST", f"{ROLES}/clusterrolebindings", binding)[0] == 201
    return f"system:serviceaccount:{namespace}:default"


def whoami(plain: Plain, **headers: str) -> Any:
    return plain.ask("POST", f"{REVIEWS}/selfsubjectreviews", {}, **headers)[1]["status"]["userInfo"]


def test_an_administrator_speaks_for_anybody(plain: Plain) -> None:
    """Name, groups, uid and extra; a service account brings its groups along."""
    shown = whoami(
        plain,
        Impersonate_User="u",
        Impersonate_Group="g",
        Impersonate_Uid="7",
        **{"Impersonate-Extra-A%2Fb": "1"},
    )

    assert shown == {
        "username": "u", "uid": "7", "groups": ["g", "system:authenticated"], "extra": {"a/b": ["1"]},
    }  # fmt: skip
    assert whoami(plain, Impersonate_User="system:serviceaccount:t:a")["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:t",
        "system:authenticated",
    ]
    code, status = plain.ask("GET", "/api/v1/pods", Impersonate_User="u")
    assert (code, status["message"]) == (
        403,
        'pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope',
    )
    assert plain.ask("GET", "/foo", Impersonate_User="u")[1]["message"] == (
        'forbidden: User "u" cannot get path "/foo"'
    )


def test_a_claim_without_a_name_makes_no_sense(plain: Plain) -> None:
    """400, in Go's words."""
    code, status = plain.ask("GET", "/api/v1/pods", Impersonate_Group="g")

    assert (code, status["message"]) == (
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name",
    )


def test_each_claim_needs_its_own_right(cluster: Running, plain: Plain, namespace: str) -> None:
    """Users, then groups, uids and extras, each with its text; who may claim a user gets that user's rights."""
    user = f"system:serviceaccount:{namespace}:default"
    account = Plain(cluster, mint(cluster, namespace))
    ask = lambda **headers: account.ask("GET", "/api/v1/pods", Impersonate_User="u", **headers)  # noqa: E731
    tail = "at the cluster scope"
    assert ask()[1]["message"] == (
        f'pods is forbidden: User "{user}" cannot impersonate-on:user-info:list resource "pods" in API group "" {tail}'
    )

    grant(plain, namespace, {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]})
    assert ask()[1]["message"].startswith('pods is forbidden: User "u" cannot list')
    assert ask(Impersonate_Group="g")[1]["message"] == (
        f'groups "g" is forbidden: User "{user}" cannot impersonate resource "groups" in API group "" {tail}'
    )
    group = "authentication.k8s.io"
    assert ask(Impersonate_Uid="8")[1]["message"] == (
        f'uids.{group} "8" is forbidden: User "{user}" cannot impersonate resource "uids" in API group "{group}" {tail}'
    )
    assert ask(**{"Impersonate-Extra-k": "v"})[1]["message"] == (
        f'userextras.{group} "v" is forbidden: User "{user}" cannot impersonate resource "userextras/k" in API group '
        f'"{group}" {tail}'
    )


def test_nobody_grants_what_they_have_not(cluster: Running, plain: Plain, namespace: str) -> None:
    """A role is refused with what is missing; the same, once held, is stored; patches are looked at, too."""
    writing = {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["create", "patch", "update"]}
    user = grant(plain, namespace, writing)
    account = Plain(cluster, mint(cluster, namespace))
    path = f"{ROLES}/namespaces/{namespace}/roles"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    code, status = account.ask("POST", path, {"metadata": {"name": "r"}, "rules": rules})

    assert (code, status["message"]) == (
        403,
        f'roles.{RBAC} "r" is forbidden: user "{user}" (groups=["system:serviceaccounts" '
        f'"system:serviceaccounts:{namespace}" "system:authenticated"]) is attempting to grant RBAC permissions not '
        'currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}',
    )
    assert account.ask("POST", path, {"metadata": {"name": "r"}, "rules": [writing]})[0] == 201
    patch = {"rules": [writing, *rules]}
    assert account.ask("PATCH", f"{path}/r", patch, Content_Type="application/merge-patch+json")[0] == 403
    assert plain.ask("POST", path, {"metadata": {"name": "s"}, "rules": rules})[0] == 201


def request_token(plain: Plain, namespace: str, account: str = "default", **spec: Any) -> tuple[int, Any]:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return plain.ask("POST", path, {"spec": spec})


def test_a_token_ends_with_what_it_is_bound_to(cluster: Running, plain: Plain, namespace: str) -> None:
    """A secret or a pod, by uid; a review names the pod."""
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    plain.ask("POST", secrets, {"metadata": {"name": "s"}})
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "s"}
    bound = Plain(cluster, request_token(plain, namespace, boundObjectRef=reference)[1]["status"]["token"])
    assert bound.ask("GET", "/api")[0] == 200
    plain.ask("DELETE", f"{secrets}/s")
    assert bound.ask("GET", "/api")[0] == 401

    plain.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod())
    token = request_token(plain, namespace, boundObjectRef={"kind": "Pod", "name": "p"})[1]["status"]["token"]
    shown = plain.ask("POST", f"{REVIEWS}/tokenreviews", {"spec": {"token": token}})[1]["status"]
    assert shown["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    assert shown["audiences"] == ["https://kubernetes.default.svc.cluster.local"]


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 10}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**40}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"kind": "Pod", "name": "p"}}, 404, 'pods "p" not found'),
        (
            {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "s"}},
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            {"boundObjectRef": {"kind": "Secret", "name": "s", "uid": "zz"}},
            409,
            "the UID in the bound object reference (zz) does not match the UID in record. The object might have been "
            "deleted and then recreated",
        ),
    ],
)
def test_tokens_that_can_not_be_had(plain: Plain, namespace: str, spec: Any, code: int, message: str) -> None:
    """Each with its code and words."""
    plain.ask("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "s"}})
    got, status = request_token(plain, namespace, **spec)

    assert got == code
    assert status["message"].endswith(message)


def test_a_token_is_good_for_its_audiences_alone(cluster: Running, plain: Plain, namespace: str) -> None:
    """The API refuses one for others; a review says for whom it is, and when it is over."""
    token = request_token(plain, namespace, audiences=["x"])[1]["status"]["token"]
    review = lambda **spec: plain.ask("POST", f"{REVIEWS}/tokenreviews", {"spec": spec})[1]["status"]  # noqa: E731

    assert Plain(cluster, token).ask("GET", "/api")[0] == 401
    assert review(token=token, audiences=["x", "y"])["audiences"] == ["x"]
    assert review(token=token)["error"] == (
        '[invalid bearer token, token audiences ["x"] is invalid for the target audiences '
        '["https://kubernetes.default.svc.cluster.local"]]'
    )
    account = cluster.call(cluster.registry.get, "serviceaccounts", namespace, "default")
    from simcluster.tokens import Bearer

    bearer = Bearer(namespace, "default", account["metadata"]["uid"])
    old = cluster.server.issuer.mint(bearer, now=time.time() - 3600, lasts_s=3599)
    assert Plain(cluster, old).ask("GET", "/api")[0] == 401
    assert review(token=old) == {"user": {}, "error": "invalid bearer token"}
    empty = plain.ask("POST", f"{REVIEWS}/tokenreviews", {"spec": {"token": ""}})
    assert (empty[0], empty[1]["message"]) == (400, "token is required for TokenReview in authentication")


def test_reviews_of_access_say_what_allows_it(plain: Plain, namespace: str) -> None:
    """The binding, the role and the subject; nothing where nothing does."""
    user = grant(plain, namespace, {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]})
    asked = {"verb": "get", "resource": "pods", "namespace": namespace}
    review = lambda **spec: plain.ask("POST", f"{ACCESS}/subjectaccessreviews", {"spec": spec})[1]["status"]  # noqa: E731

    assert review(user=user, resourceAttributes=asked) == {
        "allowed": True,
        "reason": f'RBAC: allowed by ClusterRoleBinding "{namespace}" of ClusterRole "{namespace}" to ServiceAccount '
        f'"default/{namespace}"',
    }
    assert review(user="u", resourceAttributes=asked) == {"allowed": False}
    assert review(user="u", groups=["system:masters"], resourceAttributes=asked) == {"allowed": True}
    assert review(
        user="u", groups=["system:authenticated"], nonResourceAttributes={"path": "/api", "verb": "get"}
    )["allowed"]


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            "selfsubjectaccessreviews",
            {},
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes "
            "must be specified",
        ),
        (
            "subjectaccessreviews",
            {"spec": {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/x"}}},
            '[spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":""}: cannot be specified in combination '
            'with resourceAttributes, spec.user: Invalid value: "": at least one of user or group must be specified]',
        ),
        (
            "namespaces/kube-system/localsubjectaccessreviews",
            {"spec": {"user": "u", "resourceAttributes": {"namespace": "z"}}},
            'spec.resourceAttributes.namespace: Invalid value: "z": must match metadata.namespace',
        ),
        (
            "namespaces/kube-system/localsubjectaccessreviews",
            {"spec": {"user": "u", "nonResourceAttributes": {"path": "/x"}}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":""}: disallowed on this kind of request',
        ),
    ],
)
def test_questions_about_access_that_make_no_sense(plain: Plain, kind: str, body: Any, message: str) -> None:
    """422 with all that is wrong."""
    code, status = plain.ask("POST", f"{ACCESS}/{kind}", body)

    assert (code, status["message"]) == (422, f'.authorization.k8s.io "" is invalid: {message}')


def test_what_one_may_oneself_is_listed(cluster: Running, plain: Plain, namespace: str) -> None:
    """SelfSubjectRulesReview, in a namespace; without one it is refused."""
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    grant(plain, namespace, rule)
    account = Plain(cluster, mint(cluster, namespace))
    path = f"{ACCESS}/selfsubjectrulesreviews"

    assert rule in account.ask("POST", path, {"spec": {"namespace": namespace}})[1]["status"]["resourceRules"]
    assert account.ask("POST", path, {"spec": {}})[1]["message"] == "no namespace on request"


def test_a_websocket_needs_the_right_to_create(
    cluster: Running, plain: Plain, namespace: str, bound_pod: str
) -> None:
    """GET on exec, attach and portforward is no way around `create`; a real server does not say why."""
    grant(plain, namespace, {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]})
    account = Plain(cluster, mint(cluster, namespace))
    code, status = account.ask("GET", f"/api/v1/namespaces/{namespace}/pods/p/exec?command=ls&stdout=1")

    assert (code, status["message"]) == (403, 'pods "p" is forbidden: ')


def test_objects_that_are_no_rights_are_nobodys_concern(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """The check is of roles and bindings only."""
    grant(plain, namespace, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]})
    account = Plain(cluster, mint(cluster, namespace))

    assert account.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map("c"))[0] == 201
