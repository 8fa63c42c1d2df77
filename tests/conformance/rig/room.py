"""A namespace for cases to work in, and the paths of what is in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from rig.client import Answer, Client, Object, Watch

T = TypeVar("T")
PREFIX = "conformance-"
GROUPS = {
    "apps/v1": ("deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"),
    "batch/v1": ("jobs", "cronjobs"),
    "coordination.k8s.io/v1": ("leases",),
    "discovery.k8s.io/v1": ("endpointslices",),
    "events.k8s.io/v1": (),
    "networking.k8s.io/v1": ("ingresses", "networkpolicies"),
    "policy/v1": ("poddisruptionbudgets",),
    "rbac.authorization.k8s.io/v1": ("roles", "rolebindings"),
    "authorization.k8s.io/v1": ("localsubjectaccessreviews",),
}
ROOTS = {resource: f"/apis/{group}" for group, resources in GROUPS.items() for resource in resources}


def new_name(stem: str = "x") -> str:
    """A name that nobody else has."""
    return f"{stem}-{secrets.token_hex(4)}"


class Room:
    """A namespace, as one user sees it."""

    def __init__(self, api: Client, name: str, image: str) -> None:
        self.api = api
        self.name = name
        self.image = image

    def seen_by(self, api: Client) -> Room:
        """The same namespace, as another user sees it."""
        return Room(api, self.name, self.image)

    def path(self, resource: str, name: str | None = None, subresource: str | None = None) -> str:
        """Where a resource of this namespace, or one object of it, is."""
        parts = [ROOTS.get(resource, "/api/v1"), "namespaces", self.name, resource, name, subresource]
        return "/".join(part for part in parts if part)

    def create(self, resource: str, body: Any, **query: Any) -> Answer:
        return self.api.post(self.path(resource), body, **query)

    def make(self, resource: str, body: Object) -> Object:
        """Create an object that has to be accepted."""
        made: Object = self.create(resource, body).ok
        return made

    def get(
        self, resource: str, name: str | None = None, subresource: str | None = None, **query: Any
    ) -> Answer:
        return self.api.get(self.path(resource, name, subresource), **query)

    def put(
        self, resource: str, name: str, body: Any, subresource: str | None = None, **query: Any
    ) -> Answer:
        return self.api.put(self.path(resource, name, subresource), body, **query)

    def patch(
        self, resource: str, name: str, kind: str, body: Any, subresource: str | None = None, **query: Any
    ) -> Answer:
        return self.api.patch(self.path(resource, name, subresource), kind, body, **query)

    def delete(self, resource: str, name: str | None = None, body: Any = None, **query: Any) -> Answer:
        return self.api.delete(self.path(resource, name), body, **query)

    def watch(self, resource: str, **query: Any) -> Watch:
        return self.api.watch(self.path(resource), **query)

    def until(self, resource: str, name: str, holds: Callable[[Object], T]) -> T:
        """Wait until one object is there and `holds` of it."""
        return self.api.until(
            self.path(resource),
            lambda items: holds(items[0]) if items else None,  # type: ignore[return-value, arg-type]
            fieldSelector=f"metadata.name={name}",
        )

    def until_gone(self, resource: str, name: str) -> None:
        """Wait until an object is not there."""
        self.api.until(self.path(resource), lambda items: not items, fieldSelector=f"metadata.name={name}")

    def until_all(self, resource: str, holds: Callable[[list[Object]], T], **selectors: Any) -> T:
        """Wait until `holds` of all objects together."""
        return self.api.until(self.path(resource), holds, **selectors)
