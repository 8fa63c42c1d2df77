"""Speaking for somebody else: the Impersonate headers, and who may use them.

The rule it keeps: each name, group, uid and extra value that is claimed needs the verb `impersonate` on it; from then
on the request is the other's, with the other's rights alone.

It does not know the narrower verbs of constrained impersonation, though it names them where a real server does.
Sources: k8s.io/apiserver pkg/endpoints/filters/impersonation.go and its `impersonation` folder.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator

from multidict import CIMultiDictProxy

from simcluster.authorizer import Access, Roles, User, explain, is_allowed
from simcluster.errors import BadRequest, Forbidden

_ACCOUNT = "system:serviceaccount:"
_NODE = "system:node:"
_ANONYMOUS = "system:anonymous"
_EXTRA = "impersonate-extra-"
_GROUP = "authentication.k8s.io"


def impersonate(user: User, headers: CIMultiDictProxy[str], asked: Access, roles: Roles) -> User:
    """Return who the request is for; Forbidden or BadRequest if it may not be. `asked` is what is to be done."""
    if not any(name.lower().startswith("impersonate-") for name in headers):
        return user
    name, uid = headers.get("Impersonate-User", ""), headers.get("Impersonate-Uid", "")
    groups, extra = headers.getall("Impersonate-Group", []), _read_extra(headers)
    if not name:
        if groups or uid or extra:
            raise BadRequest(_show_nameless(uid, groups, extra))
        return user
    mode, first = _choose_mode(name)
    if not is_allowed(user, first, roles):
        tried = Access(
            f"impersonate-on:{mode}:{asked.verb}", asked.group, asked.resource, asked.subresource,
            asked.namespace, asked.name, asked.path,
        )  # fmt: skip
        resource = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
        raise Forbidden(resource, asked.name, explain(user, tried))
    for access in _list_claims(uid, groups, extra):
        if not is_allowed(user, access, roles):
            resource = f"{access.resource}.{access.group}" if access.group else access.resource
            raise Forbidden(resource, access.name, explain(user, access))
    return User(name, tuple(_complete(name, groups)), uid, tuple(extra.items()))


def _choose_mode(name: str) -> tuple[str, Access]:
    """Return what kind of user is claimed, and the right that the claim needs."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    if name.startswith(_ACCOUNT) and namespace and account:
        return "serviceaccount", Access("impersonate", "", "serviceaccounts", "", namespace, account)
    mode = "arbitrary-node" if name.startswith(_NODE) else "user-info"
    return mode, Access("impersonate", "", "users", "", "", name)


def _list_claims(uid: str, groups: list[str], extra: dict[str, tuple[str, ...]]) -> Iterator[Access]:
    for group in groups:
        yield Access("impersonate", "", "groups", "", "", group)
    for key, values in extra.items():
        for value in values:
            yield Access("impersonate", _GROUP, "userextras", key, "", value)
    if uid:
        yield Access("impersonate", _GROUP, "uids", "", "", uid)


def _complete(name: str, groups: list[str]) -> list[str]:
    """Return the groups with those that follow from the name."""
    found = list(groups)
    if not groups and name.startswith(_ACCOUNT):
        namespace = name.removeprefix(_ACCOUNT).partition(":")[0]
        found = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    everybody = "system:unauthenticated" if name == _ANONYMOUS else "system:authenticated"
    return found if everybody in found else [*found, everybody]


def _read_extra(headers: CIMultiDictProxy[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(_EXTRA):
            key = urllib.parse.unquote(name[len(_EXTRA) :]).lower()
            found[key] = (*found.get(key, ()), value)
    return found


def _show_nameless(uid: str, groups: list[str], extra: dict[str, tuple[str, ...]]) -> str:
    """Return the refusal of claims about nobody, in Go's words."""

    def show(texts: list[str] | tuple[str, ...]) -> str:
        quoted = ", ".join(json.dumps(text, ensure_ascii=False) for text in texts)
        return f"[]string{{{quoted}}}" if texts else "[]string(nil)"

    listed = ", ".join(f"{json.dumps(key)}:{show(values)}" for key, values in sorted(extra.items()))
    shown = f"map[string][]string{{{listed}}}" if extra else "map[string][]string(nil)"
    info = f'&user.DefaultInfo{{Name:"", UID:{json.dumps(uid)}, Groups:{show(groups)}, Extra:{shown}}}'
    return f"requested {info} without impersonating a user name"
