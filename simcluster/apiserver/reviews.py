"""What can be asked but is not stored: tokens, and who may do what.

Sources: kubernetes pkg/registry/authorization, pkg/registry/authentication, pkg/registry/core/serviceaccount/storage.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from simcluster.apiserver import bodies
from simcluster.apiserver.answers import answer
from simcluster.apiserver.callers import Callers
from simcluster.apiserver.calls import Call
from simcluster.apiserver.roles import RegistryRoles
from simcluster.apiserver.writing import read_write_options
from simcluster.authorizer import Access, User, explain, is_allowed, rules_of
from simcluster.errors import BadRequest, Invalid, StatusError, Unauthorized, invalid
from simcluster.registry import Registry, format_time
from simcluster.registry.reading import read
from simcluster.schema import Report, decode
from simcluster.tokens import ISSUER, SHORTEST_S, USUAL_S, Bearer, TokenIssuer

Object = dict[str, Any]


class Reviews:
    """Serves token requests and the review kinds."""

    def __init__(self, registry: Registry, issuer: TokenIssuer, callers: Callers) -> None:
        self._registry = registry
        self._issuer = issuer
        self._callers = callers
        self._roles = RegistryRoles(registry)

    async def token(self, call: Call) -> web.Response:
        """Mint a token for a ServiceAccount."""
        body = await bodies.read_object(call, "TokenRequest")
        account = self._registry.get("serviceaccounts", call.target.namespace, call.target.name)
        type_ = self._registry.catalogue.type_of("authentication.k8s.io", "v1", "TokenRequest")
        spec = decode(type_, {} if body is None else body, Report()).get("spec", {})
        lasts_s = spec.get("expirationSeconds", USUAL_S)
        if not isinstance(lasts_s, int) or lasts_s < SHORTEST_S:
            text = "may not specify a duration less than 10 minutes"
            fault = invalid("spec.expirationSeconds", lasts_s, text)
            raise Invalid("TokenRequest.authentication.k8s.io", "", [fault])
        audiences = spec.get("audiences") or [ISSUER]
        metadata = account["metadata"]
        bearer = self._bearer(metadata, spec.get("boundObjectRef"))
        now = self._registry.clock()
        token = self._issuer.mint(bearer, now=now, lasts_s=lasts_s, audiences=audiences)
        kept = {key: metadata[key] for key in ("name", "namespace", "uid")}
        return answer(
            {
                "kind": "TokenRequest",
                "apiVersion": "authentication.k8s.io/v1",
                "metadata": kept | {"creationTimestamp": format_time(now)},
                "spec": {
                    "audiences": audiences,
                    "expirationSeconds": lasts_s,
                    "boundObjectRef": spec.get("boundObjectRef"),
                },
                "status": {"token": token, "expirationTimestamp": format_time(now + lasts_s)},
            },
            status=201,
        )

    def _bearer(self, metadata: Object, reference: Object | None) -> Bearer:
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        if reference is None:
            return Bearer(namespace, name, uid)
        if reference.get("kind") != "Pod":
            raise BadRequest(
                f'cannot bind token for serviceaccount "{name}" to {reference.get("kind")}: want Pod'
            )
        pod = self._registry.get("pods", namespace, reference.get("name", ""))
        if pod["spec"].get("serviceAccountName") != name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{name}" to pod running with different serviceaccount name.'
            )
        return Bearer(namespace, name, uid, pod["metadata"]["name"], pod["metadata"]["uid"])

    async def review(self, call: Call) -> web.Response:
        """Answer a review of any kind."""
        body = await bodies.read_object(call, call.kind.kind)
        options = read_write_options(call.query, call.warnings, verb="create", agent="")
        spec = read(call.kind, body, options).get("spec", {})
        status = self._decide(call, spec)
        head = {"kind": call.kind.kind, "apiVersion": call.kind.api_version, "metadata": {}}
        return answer(head | ({"spec": spec} if spec else {}) | {"status": status}, status=201)

    def _decide(self, call: Call, spec: Object) -> Object:
        kind = call.kind.kind
        if kind == "SelfSubjectReview":
            return {"userInfo": _show_user(call.user)}
        if kind == "TokenReview":
            return self._review_token(spec)
        if kind == "SelfSubjectRulesReview":
            return self._show_rules(call.user, spec.get("namespace", ""))
        if kind == "SelfSubjectAccessReview":
            return self._review_access(call.user, spec)
        if kind in ("SubjectAccessReview", "LocalSubjectAccessReview"):
            return self._review_access(User(spec.get("user", ""), tuple(spec.get("groups") or ())), spec)
        raise StatusError(f"{kind} is not served", code=404, reason="NotFound")

    def _review_access(self, user: User, spec: Object) -> Object:
        asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (asked is None) is (path is None):
            text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise Invalid("SubjectAccessReview.authorization.k8s.io", "", [invalid("spec", None, text)])
        if asked is not None:
            keys = ("verb", "group", "resource", "subresource", "namespace", "name")
            access = Access(**{key: asked.get(key, "") for key in keys})
        else:
            assert path is not None  # noqa: S101 -- for mypy: one of both is there
            access = Access(path.get("verb", ""), path=path.get("path", ""))
        if is_allowed(user, access, self._roles):
            return {"allowed": True}
        return {"allowed": False, "reason": explain(user, access)}

    def _review_token(self, spec: Object) -> Object:
        try:
            user = self._callers.identify_token(spec.get("token", ""))
        except Unauthorized:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": _show_user(user), "audiences": [ISSUER]}

    def _show_rules(self, user: User, namespace: str) -> Object:
        resource_rules: list[Object] = []
        path_rules: list[Object] = []
        for rule in rules_of(user, namespace, self._roles):
            if rule.get("nonResourceURLs"):
                path_rules.append({key: rule[key] for key in ("verbs", "nonResourceURLs")})
            else:
                keys = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in keys if key in rule})
        return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def _show_user(user: User) -> Object:
    return {"username": user.name, "groups": list(user.groups)}
