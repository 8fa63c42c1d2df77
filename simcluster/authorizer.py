"""RBAC: may this user do this? Pure.

The rule it keeps: nothing is allowed that no rule allows, and there is no deny rule. A RoleBinding grants in
its own namespace only, whichever kind of role it refers to; a ClusterRoleBinding grants everywhere. A binding
to a role that does not exist grants nothing. `system:masters` may do everything, as in a real cluster, by
name and not by a role.

It reads roles and bindings through a `Roles`, which hands out objects as the API shows them, and changes
nothing. Source: kubernetes plugin/pkg/auth/authorizer/rbac and pkg/apis/rbac/v1/evaluation_helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()


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
    if "system:masters" in user.groups:
        return True
    return any(_allows(rule, access) for rule in rules_of(user, access.namespace, roles))


def rules_of(user: User, namespace: str, roles: Roles) -> Iterator[Object]:
    """Yield the rules that apply to a user in a namespace (empty: at cluster scope only)."""
    for binding in roles.cluster_role_bindings():
        if _names(binding, user, ""):
            yield from _rules(roles.cluster_role(binding["roleRef"]["name"]))
    if not namespace:
        return
    for binding in roles.role_bindings(namespace):
        if not _names(binding, user, namespace):
            continue
        reference = binding["roleRef"]
        if reference["kind"] == "Role":
            yield from _rules(roles.role(namespace, reference["name"]))
        else:
            yield from _rules(roles.cluster_role(reference["name"]))


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


def _names(binding: Object, user: User, namespace: str) -> bool:
    return any(_is(subject, user, namespace) for subject in binding.get("subjects") or ())


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
