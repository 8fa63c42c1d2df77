"""Nobody grants what they have not: what is missing of the rules that somebody wants to give. Pure.

The rules it keeps: a role is compared right by right, one group, resource, name and verb at a time; who may `escalate`
roles or `bind` the role in question, or is of `system:masters`, is not asked. A role that gathers others' rules
takes all rights there are.

Sources: kubernetes pkg/registry/rbac/{role,clusterrole,rolebinding}/policybased and validation/rule.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from simcluster.authorizer import Access, Object, Roles, User, is_allowed, rules_of
from simcluster.errors import Forbidden, NotFound

_GROUP = "rbac.authorization.k8s.io"
_BINDINGS = (f"rolebindings.{_GROUP}", f"clusterrolebindings.{_GROUP}")
GUARDED = (f"roles.{_GROUP}", f"clusterroles.{_GROUP}", *_BINDINGS)
_EVERYTHING = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)


@dataclass(frozen=True, slots=True, order=True)
class _Right:
    """One thing that may be done: to a resource, or (with `path`) to a URL."""

    path: str
    group: str
    resource: str
    name: str
    verb: str

    def show(self, verbs: Iterable[str]) -> str:
        """The rule for several verbs, as Go prints it."""
        if self.path:
            return f"{{NonResourceURLs:{_show([self.path])}, Verbs:{_show(verbs)}}}"
        name = f", ResourceNames:{_show([self.name])}" if self.name else ""
        head = f"{{APIGroups:{_show([self.group])}, Resources:{_show([self.resource])}"
        return f"{head}{name}, Verbs:{_show(verbs)}}}"


def check_grant(user: User, resource: str, old: Object | None, new: Object, roles: Roles) -> None:
    """Refuse a role or binding that gives what its writer has not; Forbidden says what is missing."""
    if "system:masters" in user.groups:
        return
    if resource in _BINDINGS:
        _check_binding(user, resource, new, roles)
    else:
        _check_role(user, resource, old, new, roles)


def _check_role(user: User, resource: str, old: Object | None, new: Object, roles: Roles) -> None:
    name, namespace = new["metadata"].get("name", ""), new["metadata"].get("namespace", "")
    if is_allowed(user, Access("escalate", _GROUP, resource.partition(".")[0], "", namespace, name), roles):
        return
    gathered = new.get("aggregationRule")
    is_new = gathered is not None and (old is None or gathered != old.get("aggregationRule"))
    if is_new and _find_missing(user, _EVERYTHING, namespace, roles):
        raise Forbidden(resource, name, "must have cluster-admin privileges to use the aggregationRule")
    if old is None or (new.get("rules") or []) != (old.get("rules") or []):
        _require(user, resource, name, new.get("rules") or (), namespace, roles)


def _check_binding(user: User, resource: str, new: Object, roles: Roles) -> None:
    name, namespace = new["metadata"].get("name", ""), new["metadata"].get("namespace", "")
    reference = new.get("roleRef") or {}
    kind, wanted = reference.get("kind", ""), reference.get("name", "")
    plural = "roles" if kind == "Role" else "clusterroles"
    if is_allowed(user, Access("bind", _GROUP, plural, "", namespace, wanted), roles):
        return
    role = roles.role(namespace, wanted) if kind == "Role" else roles.cluster_role(wanted)
    if role is None:
        raise NotFound(resource, wanted)
    _require(user, resource, name, role.get("rules") or (), namespace, roles)


def _require(
    user: User, resource: str, name: str, rules: Iterable[Object], namespace: str, roles: Roles
) -> None:
    missing = _find_missing(user, rules, namespace, roles)
    if missing:
        who = f'user "{user.name}" (groups={_show(user.groups)})'
        why = "is attempting to grant RBAC permissions not currently held:"
        raise Forbidden(resource, name, "\n".join([f"{who} {why}", *missing]))


def _find_missing(user: User, rules: Iterable[Object], namespace: str, roles: Roles) -> list[str]:
    """The rights in some rules that a user has not, as rules, in order."""
    held = list(rules_of(user, namespace, roles))
    verbs: dict[tuple[str, str, str, str], list[_Right]] = {}
    for right in dict.fromkeys(right for rule in rules for right in _break_down(rule)):
        if not any(_covers(rule, right) for rule in held):
            verbs.setdefault((right.path, right.group, right.resource, right.name), []).append(right)
    return sorted(found[0].show(right.verb for right in found) for found in verbs.values())


def _break_down(rule: Object) -> Iterator[_Right]:
    verbs = rule.get("verbs") or ()
    for path, verb in product(rule.get("nonResourceURLs") or (), verbs):
        yield _Right(path, "", "", "", verb)
    names = rule.get("resourceNames") or [""]
    for group, resource, name, verb in product(
        rule.get("apiGroups") or (), rule.get("resources") or (), names, verbs
    ):
        yield _Right("", group, resource, name, verb)


def _covers(rule: Object, right: _Right) -> bool:
    if not _has(rule.get("verbs"), right.verb):
        return False
    if right.path:
        allowed = rule.get("nonResourceURLs") or ()
        return any(
            each in ("*", right.path) or (each.endswith("*") and right.path.startswith(each[:-1]))
            for each in allowed
        )
    names = rule.get("resourceNames") or ()
    subresource = right.resource.partition("/")[2]
    resources = rule.get("resources")
    return (
        _has(rule.get("apiGroups"), right.group)
        and (_has(resources, right.resource) or bool(subresource and _has(resources, f"*/{subresource}")))
        and (not names or right.name in names)
    )


def _has(allowed: Iterable[str] | None, wanted: str) -> bool:
    return any(each in ("*", wanted) for each in allowed or ())


def _show(texts: Iterable[Any]) -> str:
    return f"[{' '.join(json.dumps(text, ensure_ascii=False) for text in texts)}]"
