"""RBAC: may this user do this? Pure.

The rule it keeps: nothing is allowed that no rule allows, and there is no deny rule. A RoleBinding grants in
its own namespace only, whichever kind of role it refers to; a ClusterRoleBinding grants everywhere. A binding
to a role that does not exist grants nothing. `system:masters` may do everything, as in a real cluster, by
name and not by a role.

It reads roles and bindings through a `Roles`, which hands out objects as the API shows them, and changes
nothing. Source: kubernetes plugin/pkg/auth/authorizer/rbac and pkg/apis/rbac/v1/evaluation_helpers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked for: a verb on a resource, or (with `path`) on a URL that is none.

    `group` is empty for the core group; `namespace` and `name` are empty where the request has none.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Roles(Protocol):
    """Where roles and bindings are read."""

    def role(self, namespace: str, name: str) -> Object | None:
        """Return one Role, or None."""
        ...

    def cluster_role(self, name: str) -> Object | None:
        """Return one ClusterRole, or None."""
        ...

    def role_bindings(self, namespace: str) -> Iterable[Object]:
        """Return the RoleBindings of a namespace."""
        ...

    def cluster_role_bindings(self) -> Iterable[Object]:
        """Return all ClusterRoleBindings."""
        ...


def is_allowed(user: User, access: Access, roles: Roles) -> bool:
    """Return whether a rule allows it."""
    return "system:masters" in user.groups or _find_grant(user, access, roles) is not None


def find_grant(user: User, access: Access, roles: Roles) -> str | None:
    """Return what allows it, as a review words it (empty for `system:masters`), or None if nothing does."""
    if "system:masters" in user.groups:
        return ""
    show = _find_grant(user, access, roles)
    return None if show is None else show()


def _find_grant(user: User, access: Access, roles: Roles) -> Callable[[], str] | None:
    for rules, show in _grants(user, access.namespace, roles):
        if any(_allows(rule, access) for rule in rules):
            return show
    return None


def rules_of(user: User, namespace: str, roles: Roles) -> Iterator[Object]:
    """Yield the rules that apply to a user in a namespace (empty: at cluster scope only)."""
    for rules, _ in _grants(user, namespace, roles):
        yield from rules


def _grants(user: User, namespace: str, roles: Roles) -> Iterator[tuple[Iterable[Object], Callable[[], str]]]:
    """Yield the rules of each binding that names a user, and how to say so."""
    for binding in roles.cluster_role_bindings():
        subject = _find_subject(binding, user, "")
        if subject is not None:
            rules = _rules(roles.cluster_role(binding["roleRef"]["name"]))
            yield rules, partial(_show_grant, "ClusterRoleBinding", binding, subject)
    if not namespace:
        return
    for binding in roles.role_bindings(namespace):
        subject = _find_subject(binding, user, namespace)
        if subject is None:
            continue
        reference = binding["roleRef"]
        is_local = reference["kind"] == "Role"
        role = roles.role(namespace, reference["name"]) if is_local else roles.cluster_role(reference["name"])
        yield _rules(role), partial(_show_grant, "RoleBinding", binding, subject)


def _show_grant(kind: str, binding: Object, subject: Object) -> str:
    metadata, reference = binding["metadata"], binding["roleRef"]
    name = f"{metadata['name']}/{metadata['namespace']}" if kind == "RoleBinding" else metadata["name"]
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who += f"/{subject.get('namespace') or metadata.get('namespace', '')}"
    return f'RBAC: allowed by {kind} "{name}" of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{who}"'


def explain(user: User, access: Access) -> str:
    """Return the sentence of a 403, as a real API server words it, from `User` on."""
    if access.path:
        return f'User "{user.name}" cannot {access.verb} path "{access.path}"'
    resource = f"{access.resource}/{access.subresource}" if access.subresource else access.resource
    scope = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    asked = f'cannot {access.verb} resource "{resource}" in API group "{access.group}"'
    return f'User "{user.name}" {asked} {scope}'


def _rules(role: Object | None) -> Iterable[Object]:
    return () if role is None else (role.get("rules") or ())


def _find_subject(binding: Object, user: User, namespace: str) -> Object | None:
    return next((each for each in binding.get("subjects") or () if _is(each, user, namespace)), None)


def _is(subject: Object, user: User, namespace: str) -> bool:
    name, kind = subject["name"], subject["kind"]
    if kind == "User":
        return bool(name == user.name)
    if kind == "Group":
        return name in user.groups
    # A subject without a namespace is in the binding's; a ClusterRoleBinding has none, and then names nobody.
    where = subject.get("namespace") or namespace
    return bool(kind == "ServiceAccount" and where and user.name == f"system:serviceaccount:{where}:{name}")


def _allows(rule: Object, access: Access) -> bool:
    if not _has(rule.get("verbs"), access.verb):
        return False
    if access.path:
        return any(_matches_path(allowed, access.path) for allowed in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    return (
        _has(rule.get("apiGroups"), access.group)
        and _has_resource(rule.get("resources"), access)
        and (not names or access.name in names)
    )


def _has(allowed: Iterable[str] | None, wanted: str) -> bool:
    return any(each in ("*", wanted) for each in allowed or ())


def _has_resource(allowed: Iterable[str] | None, access: Access) -> bool:
    exact = access.resource + (f"/{access.subresource}" if access.subresource else "")
    any_parent = f"*/{access.subresource}" if access.subresource else exact
    return any(each in ("*", exact, any_parent) for each in allowed or ())


def _matches_path(allowed: str, path: str) -> bool:
    return allowed in ("*", path) or (allowed.endswith("*") and path.startswith(allowed.rstrip("*")))
