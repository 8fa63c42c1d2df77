"""What a request is about: verb, resource, namespace, name, subresource, read from method, path and query. Pure.

Source: k8s.io/apiserver pkg/endpoints/request/requestinfo.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from simcluster.apiserver.queries import read_flag
from simcluster.errors import MethodNotAllowed, PlainError, ResourceNotFound
from simcluster.schema import Catalogue, Resource

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_ON_COLLECTIONS = {"get": "list", "delete": "deletecollection"}
# Subresources of a namespace; any other word after its name is a resource inside it.
_OF_NAMESPACES = ("status", "finalize")
# The subresource whose path goes on.
PROXY = "proxy"
# These need a namespace, where there are namespaces.
_IN_NAMESPACES = ("create", "deletecollection")
_IS_NAME = re.compile(r"metadata\.name==?[^=]")


@dataclass(frozen=True, slots=True)
class Target:
    """A request for a resource. Empty texts where the request has none; `namespace` is None across all."""

    verb: str
    group: str
    version: str
    plural: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    # What authorisation takes for the name: a list or watch of one object, by field selector, is about that object.
    authorized_name: str = ""
    # The parts of the path behind /proxy.
    rest: tuple[str, ...] = ()

    @property
    def resource(self) -> str:
        """`plural[.group]`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def read_target(method: str, path: str, query: Mapping[str, str]) -> Target | None:
    """Return what a request is about, or None if its path names no resource."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    # /api/v1/watch/…, as it was before there was the option.
    watches = rest[0] == "watch" and len(rest) > 1 and method == "GET"
    rest = rest[1:] if watches else rest
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    behind: tuple[str, ...] = ()
    if len(rest) > 3:
        if rest[2] != PROXY:
            return None
        rest, behind = rest[:3], tuple(rest[3:])
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    about = name if name else _selected_name(query.get("fieldSelector", ""))
    verb = "watch" if watches else _verb(method, query, name)
    return Target(verb, group, version, rest[0], namespace, name, subresource, about, behind)


def _selected_name(fields: str) -> str:
    names = [term.partition("=")[2].lstrip("=") for term in fields.split(",") if _IS_NAME.match(term)]
    return names[0] if names else ""


def _verb(method: str, query: Mapping[str, str], name: str) -> str:
    verb = _VERBS.get(method, "")
    if not name:
        verb = _ON_COLLECTIONS.get(verb, verb)
    # `?watch` alone, as some clients write it, is true.
    if verb == "list" and read_flag(query, "watch"):
        return "watch"
    return verb


def find_kind(catalogue: Catalogue, target: Target) -> Resource:
    """Return the kind that a path leads to; PlainError in an unknown group, ResourceNotFound if there is none."""
    kind = catalogue.resources.get(target.resource)
    if kind is None or kind.version != target.version:
        if all(target.group != group for group, _ in catalogue.groups):
            raise PlainError("404 page not found\n", 404)
        raise ResourceNotFound
    if target.subresource and target.subresource not in kind.subresources:
        raise ResourceNotFound
    if kind.stored and kind.namespaced and not target.namespace and target.verb in _IN_NAMESPACES:
        raise MethodNotAllowed
    return kind
