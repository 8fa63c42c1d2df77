"""What can be asked but is not stored: who somebody is, and who may do what.

Sources: kubernetes pkg/registry/authorization, pkg/registry/authentication and their validation.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from simcluster.apiserver import bodies
from simcluster.apiserver.answers import answer
from simcluster.apiserver.callers import Callers
from simcluster.apiserver.calls import Call
from simcluster.apiserver.roles import RegistryRoles
from simcluster.apiserver.writing import read_write_options
from simcluster.authorizer import Access, User, find_grant, rules_of
from simcluster.errors import BadRequest, Cause, Invalid, StatusError, Unauthorized, invalid
from simcluster.registry import Registry, format_time
from simcluster.registry.reading import read
from simcluster.tokens import ISSUER

Object = dict[str, Any]
_ACCESS = ("SubjectAccessReview", "LocalSubjectAccessReview", "SelfSubjectAccessReview")


class Reviews:
    """Serves the review kinds."""

    def __init__(self, registry: Registry, callers: Callers) -> None:
        self._registry = registry
        self._callers = callers
        self._roles = RegistryRoles(registry)

    async def review(self, call: Call) -> web.Response:
        """Answer a review of any kind."""
        body = await bodies.read_object(call, call.kind.kind)
        options = read_write_options(call.query, call.warnings, verb="create", agent="")
        asked = read(call.kind, body, options)
        spec = asked.get("spec", {})
        if call.kind.kind in _ACCESS:
            _check_access(call, asked["metadata"], spec)
        status = self._decide(call, spec)
        kept = {key: value for key, value in asked["metadata"].items() if key in ("name", "namespace")}
        head = {"kind": call.kind.kind, "apiVersion": call.kind.api_version, "metadata": kept}
        if call.kind.kind == "SelfSubjectReview":
            head["metadata"] = {"creationTimestamp": format_time(self._registry.clock())}
            return answer(head | {"status": status}, status=201)
        shown = {} if call.kind.kind == "SelfSubjectRulesReview" else spec
        return answer(head | {"spec": shown, "status": status}, status=201)

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
        if kind in _ACCESS:
            return self._review_access(User(spec.get("user", ""), tuple(spec.get("groups") or ())), spec)
        raise StatusError(f"{kind} is not served", code=404, reason="NotFound")

    def _review_access(self, user: User, spec: Object) -> Object:
        asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes") or {}
        if asked is not None:
            keys = ("verb", "group", "resource", "subresource", "namespace", "name")
            access = Access(**{key: asked.get(key, "") for key in keys})
        else:
            access = Access(path.get("verb", ""), path=path.get("path", ""))
        grant = find_grant(user, access, self._roles)
        if grant is None:
            return {"allowed": False}
        return {"allowed": True} | ({"reason": grant} if grant else {})

    def _review_token(self, spec: Object) -> Object:
        token, audiences = spec.get("token", ""), spec.get("audiences") or [ISSUER]
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        try:
            user, shared = self._callers.identify_token(token, audiences)
        except Unauthorized as error:
            return {"user": {}, "error": error.why}
        return {"authenticated": True, "user": _show_user(user), "audiences": shared}

    def _show_rules(self, user: User, namespace: str) -> Object:
        if not namespace:
            raise BadRequest("no namespace on request")
        resource_rules: list[Object] = []
        path_rules: list[Object] = []
        for rule in rules_of(user, namespace, self._roles):
            if rule.get("nonResourceURLs"):
                path_rules.append({key: rule[key] for key in ("verbs", "nonResourceURLs")})
            if rule.get("resources"):
                keys = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in keys if key in rule})
        return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def _check_access(call: Call, metadata: Object, spec: Object) -> None:
    """Refuse a question about access that makes no sense; Invalid says all that is wrong."""
    kind, asked, path = call.kind.kind, spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    faults: list[Cause] = []
    shown = {} if path is None else {"Path": path.get("path", ""), "Verb": path.get("verb", "")}
    if asked is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        faults.append(invalid("spec.nonResourceAttributes", shown, text))
    if asked is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        faults.append(invalid("spec.resourceAttributes", None, text))
    if kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        faults.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    is_local = kind == "LocalSubjectAccessReview"
    allowed = ("namespace", "creationTimestamp") if is_local else ("creationTimestamp",)
    if any(metadata.get(key) for key in metadata if key not in allowed):
        text = "must be empty except for namespace" if is_local else "must be empty"
        faults.append(invalid("metadata", json.loads(json.dumps(metadata)), text))
    if is_local and asked is not None and asked.get("namespace", "") != call.target.namespace:
        said = asked.get("namespace", "")
        faults.append(invalid("spec.resourceAttributes.namespace", said, "must match metadata.namespace"))
    if is_local and path is not None:
        faults.append(invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    if faults:
        raise Invalid(".authorization.k8s.io", "", faults)


def _show_user(user: User) -> Object:
    shown: Object = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra}
    return shown
