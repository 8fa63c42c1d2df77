"""Access: who is asking, whether they may, tokens and reviews."""

import base64
import json
import time

import pytest
from rig.objects import config_map, container, nowhere, pod


@pytest.fixture
def account(room, name):
    """A ServiceAccount of the case."""
    room.make("serviceaccounts", {"metadata": {"name": name}})
    return name


def request_token(room, account, **spec):
    """Ask for a token of an account."""
    return room.api.post(room.path("serviceaccounts", account, "token"), {"spec": spec})


@pytest.fixture
def token(room, account):
    """A token of the account."""
    return request_token(room, account).ok["status"]["token"]


@pytest.fixture
def guest(room, token):
    """The namespace, as the account sees it."""
    return room.seen_by(room.api.as_bearer(token))


def user(room, account):
    """The account's name as a user."""
    return f"system:serviceaccount:{room.name}:{account}"


def permit(room, account, *rules):
    """A Role for the account."""
    room.make("roles", {"metadata": {"name": account}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": account, "namespace": room.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    return room.make("rolebindings", {"metadata": {"name": account}, "subjects": [subject], "roleRef": role})


def rule(resource, *verbs, group="", names=()):
    """A rule of a Role."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)} | (
        {"resourceNames": list(names)} if names else {}
    )


def test_a_token_that_is_none(api):
    """A token that nobody knows is Unauthorized, with no more said."""
    assert api.as_bearer("nonsense").get("/api").error == (401, "Unauthorized", "Unauthorized")


def test_nobody(room):
    """Who shows nothing is anonymous, and may not."""
    text = (
        f'User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "{room.name}"'
    )
    assert room.seen_by(room.api.as_nobody()).get("pods").error == (
        403,
        "Forbidden",
        f"pods is forbidden: {text}",
    )


REFUSALS = {
    "list": (("GET", "configmaps", None, None), 'configmaps is forbidden: {user} cannot list resource "configmaps" in API group "" in the namespace "{room}"'),
    "get": (("GET", "configmaps", "x", None), 'configmaps "x" is forbidden: {user} cannot get resource "configmaps" in API group "" in the namespace "{room}"'),
    "create": (("POST", "configmaps", None, None), 'configmaps is forbidden: {user} cannot create resource "configmaps" in API group "" in the namespace "{room}"'),
    "update": (("PUT", "configmaps", "x", None), 'configmaps "x" is forbidden: {user} cannot update resource "configmaps" in API group "" in the namespace "{room}"'),
    "patch": (("PATCH", "configmaps", "x", None), 'configmaps "x" is forbidden: {user} cannot patch resource "configmaps" in API group "" in the namespace "{room}"'),
    "delete": (("DELETE", "configmaps", "x", None), 'configmaps "x" is forbidden: {user} cannot delete resource "configmaps" in API group "" in the namespace "{room}"'),
    "deletecollection": (("DELETE", "configmaps", None, None), 'configmaps is forbidden: {user} cannot deletecollection resource "configmaps" in API group "" in the namespace "{room}"'),
    "group": (("GET", "deployments", "x", None), 'deployments.apps "x" is forbidden: {user} cannot get resource "deployments" in API group "apps" in the namespace "{room}"'),
    "subresource": (("GET", "pods", "x", "log"), 'pods "x" is forbidden: {user} cannot get resource "pods/log" in API group "" in the namespace "{room}"'),
    "scale": (("PATCH", "deployments", "x", "scale"), 'deployments.apps "x" is forbidden: {user} cannot patch resource "deployments/scale" in API group "apps" in the namespace "{room}"'),
    "exec": (("POST", "pods", "x", "exec"), 'pods "x" is forbidden: {user} cannot create resource "pods/exec" in API group "" in the namespace "{room}"'),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_in_a_namespace(room, guest, account, case):
    """A refusal says who, what, which group and where."""
    (method, resource, name, subresource), text = REFUSALS[case]
    answer = guest.api.send(
        method,
        guest.path(resource, name, subresource),
        None if method == "GET" else {},
        headers={"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {},
    )
    assert answer.error == (
        403,
        "Forbidden",
        text.format(user=f'User "{user(room, account)}"', room=room.name),
    )


def test_the_details_of_a_refusal(guest):
    """The details of a refusal name object, group and kind."""
    assert guest.get("deployments", "x").json["details"] == {
        "name": "x",
        "group": "apps",
        "kind": "deployments",
    }


@pytest.mark.parametrize(("path", "text"), [
    ("/api/v1/nodes", 'nodes is forbidden: {user} cannot list resource "nodes" in API group "" at the cluster scope'),
    ("/api/v1/pods", 'pods is forbidden: {user} cannot list resource "pods" in API group "" at the cluster scope'),
    ("/api/v1/nodes/x", 'nodes "x" is forbidden: {user} cannot get resource "nodes" in API group "" at the cluster scope'),
    ("/metrics", 'forbidden: {user} cannot get path "/metrics"'),
    ("/nowhere", 'forbidden: {user} cannot get path "/nowhere"'),
    ("/apis/nowhere.example/v1/things", 'things.nowhere.example is forbidden: {user} cannot list resource "things" in API group "nowhere.example" at the cluster scope'),
], ids=["list", "all-namespaces", "get", "path", "no-path", "no-group"])  # fmt: skip
def test_refusals_of_the_cluster(room, guest, account, path, text):
    """Outside of namespaces a refusal says so, and of a path it names the path."""
    assert guest.api.get(path).error == (403, "Forbidden", text.format(user=f'User "{user(room, account)}"'))


def test_everybody_may_discover(guest):
    """Who is known may discover."""
    assert [
        guest.api.get(path).status for path in ("/api", "/apis", "/api/v1", "/openapi/v2", "/version")
    ] == [200] * 5


def test_a_role_permits(room, guest, account):
    """What a bound Role permits is permitted, and no more."""
    permit(room, account, rule("configmaps", "get", "list"))
    assert wait_until_allowed(guest, "configmaps").status == 200
    assert guest.get("configmaps", "nobody").status == 404
    assert guest.create("configmaps", config_map("x")).status == 403


def wait_until_allowed(guest, *what):
    """Ask until the new rule is known to the authorizer."""
    for _ in range(200):
        answer = guest.get(*what)
        if answer.status != 403:
            return answer
    raise AssertionError("not permitted")


def test_a_rule_for_one_name(room, guest, account, name):
    """A rule can be for one name."""
    room.make("configmaps", config_map(f"{name}-a"))
    permit(room, account, rule("configmaps", "get", names=[f"{name}-a"]))
    assert wait_until_allowed(guest, "configmaps", f"{name}-a").status == 200
    assert guest.get("configmaps", f"{name}-b").status == 403


def test_a_rule_for_a_subresource(room, guest, account):
    """A rule for a subresource is none for the resource."""
    permit(room, account, rule("pods/log", "get"))
    assert wait_until_allowed(guest, "pods", "nobody", "log").status == 404
    assert guest.get("pods", "nobody").status == 403


def test_stars(room, guest, account):
    """A star permits every verb and resource of a group, and none of another."""
    permit(room, account, {"apiGroups": [""], "resources": ["*"], "verbs": ["*"]})
    assert wait_until_allowed(guest, "pods").status == 200
    assert guest.get("configmaps").status == 200
    assert guest.get("deployments").status == 403


def test_no_rights_beyond_ones_own(room, guest, account):
    """Nobody can give rights away that they do not have."""
    permit(room, account, rule("roles", "create", "get", group="rbac.authorization.k8s.io"))
    wait_until_allowed(guest, "roles", "nobody")
    answer = guest.create(
        "roles", {"metadata": {"name": f"{account}-more"}, "rules": [rule("secrets", "get")]}
    )
    code, reason, message = answer.error
    assert (code, reason) == (403, "Forbidden")
    start = f'roles.rbac.authorization.k8s.io "{account}-more" is forbidden: user "{user(room, account)}"'
    assert message.startswith(start)
    assert (
        'is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
        in message
    )


def test_a_binding_is_for_good(room, account):
    """The role of a binding can not be changed."""
    made = permit(room, account, rule("pods", "get"))
    made["roleRef"]["name"] = "other"
    answer = room.put("rolebindings", account, made)
    assert answer.error[:2] == (422, "Invalid")
    assert "cannot change roleRef" in answer.error[2]


def claims(token):
    """What a token says."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_what_a_token_says(room, account, token):
    """A token names its account, namespace and issuer."""
    found = claims(token)
    assert found["sub"] == user(room, account)
    assert found["kubernetes.io"]["namespace"] == room.name
    assert found["kubernetes.io"]["serviceaccount"]["name"] == account
    assert found["exp"] - found["iat"] == 3600


def test_how_long_a_token_lasts(room, account):
    """A token lasts as long as was asked for."""
    made = request_token(room, account, expirationSeconds=1200).ok
    found = claims(made["status"]["token"])
    assert (found["exp"] - found["iat"], made["spec"]["expirationSeconds"]) == (1200, 1200)
    assert made["status"]["expirationTimestamp"].endswith("Z")


def test_tokens_that_are_too_short(room, account):
    """A token lasts ten minutes at least."""
    answer = request_token(room, account, expirationSeconds=10)
    assert answer.error[:2] == (422, "Invalid")
    assert answer.causes == [
        (
            "spec.expirationSeconds",
            "FieldValueInvalid",
            "Invalid value: 10: may not specify a duration less than 10 minutes",
        )
    ]


def test_a_token_for_others(room, account):
    """A token for another audience is none here."""
    made = request_token(room, account, audiences=["vault"]).ok["status"]["token"]
    assert claims(made)["aud"] == ["vault"]
    assert room.api.as_bearer(made).get("/api").error == (401, "Unauthorized", "Unauthorized")


def test_a_token_of_no_account(room):
    """There is no token of an account that is not there."""
    assert request_token(room, "nobody").error == (404, "NotFound", 'serviceaccounts "nobody" not found')


def test_a_token_for_a_pod(pod_room, account):
    """A token is bound to a pod that is there."""
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "nobody"}
    answer = request_token(pod_room, account, boundObjectRef=reference)
    assert answer.error == (404, "NotFound", 'pods "nobody" not found')


@pytest.fixture
def spare(api, name):
    """A node that is only an object."""
    made = api.post("/api/v1/nodes", {"metadata": {"name": name}, "spec": {"unschedulable": True}}).ok
    yield made["metadata"]
    api.delete(f"/api/v1/nodes/{name}")


def bind(kind, name, **more):
    """A reference to what a token is bound to."""
    return {"kind": kind, "apiVersion": "v1", "name": name} | more


@pytest.mark.cluster_wide
def test_a_token_for_a_node(api, room, account, spare):
    """It says which, so does a review of it, and it ends with the node, though one of its name comes."""
    name, uid = spare["name"], spare["uid"]
    made = request_token(room, account, boundObjectRef=bind("Node", name, uid=uid)).ok
    token = made["status"]["token"]
    about = claims(token)["kubernetes.io"]
    assert (made["spec"]["boundObjectRef"], about["node"]) == (
        bind("Node", name, uid=uid),
        {"name": name, "uid": uid},
    )
    assert "pod" not in about
    who = api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}).ok["status"]
    extra = who["user"]["extra"]
    assert {key: extra.get(f"authentication.kubernetes.io/{key}") for key in ("node-name", "node-uid")} == {
        "node-name": [name], "node-uid": [uid],
    }  # fmt: skip
    bearer = room.api.as_bearer(token)
    assert bearer.get("/api").status == 200
    api.delete(f"/api/v1/nodes/{name}")
    assert api.post("/api/v1/nodes", {"metadata": {"name": name}, "spec": {"unschedulable": True}}).ok
    # A real server remembers for some seconds whom it has let in.
    patient_until = time.monotonic() + api.patience_s
    while bearer.get("/api").status == 200:
        assert time.monotonic() < patient_until
    assert bearer.get("/api").error == (401, "Unauthorized", "Unauthorized")


def test_a_token_for_a_pod_says_its_node(pod_room, account):
    """With the node's uid, and a review tells both; on no node, there is none to say."""
    pods = pod("bound", container(pod_room.image), serviceAccountName=account)
    pod_room.make("pods", pods | {"spec": pods["spec"] | {"terminationGracePeriodSeconds": 0}})
    made = pod_room.until("pods", "bound", lambda each: each if each["spec"].get("nodeName") else None)
    node = pod_room.api.get(f"/api/v1/nodes/{made['spec']['nodeName']}").ok["metadata"]
    token = request_token(pod_room, account, boundObjectRef=bind("Pod", "bound")).ok["status"]["token"]
    about = claims(token)["kubernetes.io"]
    assert about["node"] == {"name": node["name"], "uid": node["uid"]}
    assert about["pod"] == {"name": "bound", "uid": made["metadata"]["uid"]}
    review = {"spec": {"token": token}}
    who = pod_room.api.post("/apis/authentication.k8s.io/v1/tokenreviews", review).ok["status"]["user"]
    assert who["extra"]["authentication.kubernetes.io/node-uid"] == [node["uid"]]
    pod_room.make("pods", nowhere(pod("unbound", container("a:1"), serviceAccountName=account)))
    free = request_token(pod_room, account, boundObjectRef=bind("Pod", "unbound")).ok["status"]["token"]
    assert "node" not in claims(free)["kubernetes.io"]


UNBOUND = [
    (bind("Node", "nobody"), (404, "NotFound", 'nodes "nobody" not found')),
    (bind("ConfigMap", "x"), (400, "BadRequest", "cannot bind token to object of type /v1, Kind=ConfigMap")),
    (
        bind("Pod", "x") | {"apiVersion": "apps/v1"},
        (400, "BadRequest", "cannot bind token to object of type apps/v1, Kind=Pod"),
    ),
]


@pytest.mark.parametrize(("reference", "expected"), UNBOUND, ids=["nobody", "ConfigMap", "apps"])
def test_what_a_token_is_not_bound_to(room, account, reference, expected):
    """A node that is not there, and what is neither pod, secret nor node."""
    assert request_token(room, account, boundObjectRef=reference).error == expected


def test_a_token_for_another_node(api, room, account):
    """A node is meant by its uid, if one is given."""
    node = api.get("/api/v1/nodes").ok["items"][0]["metadata"]["name"]
    answer = request_token(room, account, boundObjectRef=bind("Node", node, uid="another"))
    text = "the UID in the bound object reference (another) does not match the UID in record. The object might have been deleted and then recreated"
    assert answer.error == (
        409,
        "Conflict",
        f'Operation cannot be fulfilled on Node "{node}": {text}',
    )


def test_a_token_ends_with_its_account(room, account, token):
    """When the account is gone its tokens are worth nothing."""
    room.delete("serviceaccounts", account)
    assert room.api.as_bearer(token).get("/api").error == (401, "Unauthorized", "Unauthorized")


def test_a_token_for_another_account(room, account):
    """A token is asked for by the uid of its account, if by any."""
    uid = room.get("serviceaccounts", account).json["metadata"]["uid"]
    body = {"metadata": {"uid": "another"}, "spec": {"expirationSeconds": 1}}
    answer = room.api.post(room.path("serviceaccounts", account, "token"), body)
    text = (
        f'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "{account}": the UID in the token request '
        f"(another) does not match the UID of the service account ({uid})"
    )
    assert answer.error == (409, "Conflict", text)


def test_a_review_of_a_token(room, account, token):
    """A TokenReview says whose a token is, and in which groups."""
    status = room.api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}).ok[
        "status"
    ]
    assert (status["authenticated"], status["user"]["username"]) == (True, user(room, account))
    assert sorted(status["user"]["groups"]) == [
        "system:authenticated",
        "system:serviceaccounts",
        f"system:serviceaccounts:{room.name}",
    ]


def test_a_review_of_nonsense(api):
    """A TokenReview of a token that is none does not authenticate, and says why."""
    status = api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "nonsense"}}).ok[
        "status"
    ]
    assert (status.get("authenticated", False), "error" in status) == (False, True)


def test_a_review_of_oneself(guest, room, account):
    """A SelfSubjectReview says who one is."""
    answer = guest.api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert (answer.status, answer.json["status"]["userInfo"]["username"]) == (201, user(room, account))


def access(**attributes):
    """The body of a review of access."""
    return {"spec": {"resourceAttributes": attributes}}


def test_may_i(guest, room):
    """A SelfSubjectAccessReview answers without a right of its own."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = guest.api.post(path, access(verb="get", resource="pods", namespace=room.name))
    assert (answer.status, answer.json["status"]) == (201, {"allowed": False})


def test_may_the_administrator(api):
    """An administrator may, and is told why."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert api.post(path, access(verb="*", resource="*", group="*")).ok["status"]["allowed"] is True


def test_may_somebody(room, guest, account):
    """A SubjectAccessReview answers for another, with the binding that permits."""
    permit(room, account, rule("configmaps", "list"))
    wait_until_allowed(guest, "configmaps")
    body = access(verb="list", resource="configmaps", namespace=room.name)
    body["spec"]["user"] = user(room, account)
    status = room.api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", body).ok["status"]
    text = f'RBAC: allowed by RoleBinding "{account}/{room.name}" of Role "{account}" to ServiceAccount "{account}/{room.name}"'
    assert status == {"allowed": True, "reason": text}


def test_may_somebody_here(room, account):
    """A LocalSubjectAccessReview is about its own namespace."""
    body = access(verb="get", resource="pods", namespace="default")
    body["spec"]["user"] = user(room, account)
    answer = room.create("localsubjectaccessreviews", body)
    assert answer.error[:2] == (422, "Invalid") or answer.error[:2] == (400, "BadRequest")


def test_what_may_i(room, guest, account):
    """A SelfSubjectRulesReview lists what one may."""
    permit(room, account, rule("configmaps", "list"))
    wait_until_allowed(guest, "configmaps")
    answer = guest.api.post(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": room.name}}
    )
    rules = answer.ok["status"]["resourceRules"]
    assert {"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]} in rules


def test_paths_are_reviewed(guest):
    """A review can be about a path."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    found = [
        guest.api.post(path, {"spec": {"nonResourceAttributes": {"verb": "get", "path": each}}}).ok["status"][
            "allowed"
        ]
        for each in ("/version", "/metrics")
    ]
    assert found == [True, False]


def test_impersonation(room, account):
    """An administrator can act as somebody else."""
    headers = {"Impersonate-User": user(room, account)}
    text = f'configmaps is forbidden: User "{user(room, account)}" cannot list resource "configmaps" in API group "" in the namespace "{room.name}"'
    assert room.get("configmaps", headers=headers).error == (403, "Forbidden", text)


def test_impersonation_is_a_right(guest, room, account):
    """Who may not impersonate is told whom they can not."""
    answer = guest.get("configmaps", headers={"Impersonate-User": "admin"})
    where = f'resource "configmaps" in API group "" in the namespace "{room.name}"'
    text = (
        f'configmaps is forbidden: User "{user(room, account)}" cannot impersonate-on:user-info:list {where}'
    )
    assert answer.error == (403, "Forbidden", text)
