"""Discovery: which groups, versions, resources and verbs there are, in the old and the aggregated form. Pure.

Source: k8s.io/apiserver pkg/endpoints/discovery (aggregated/etag.go for the ETag).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from typing import Any

import orjson

from simcluster.schema import Catalogue, Resource, Subresource

Json = dict[str, Any]
AGGREGATED = "APIGroupDiscoveryList"
AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# The address that clients of other networks are to use; there are none.
_EVERYWHERE = "0.0.0.0/0"


class Discovery:
    """The discovery documents of one server."""

    def __init__(self, catalogue: Catalogue, address: str) -> None:
        self._catalogue = catalogue
        self._address = address

    def find(self, path: str) -> Json | None:
        """Return the document at a path such as `/apis/apps/v1`, None if there is none."""
        parts = [part for part in path.split("/") if part]
        if parts == ["api"]:
            where = [{"clientCIDR": _EVERYWHERE, "serverAddress": self._address}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}
        if parts == ["apis"]:
            groups = [self._group(name, version) for name, version in self._catalogue.groups if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if parts[0] == "api" and len(parts) == 2:
            return self._resources("", parts[1])
        if parts[0] == "apis" and len(parts) == 2:
            return self._only_group(parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return self._resources(parts[1], parts[2])
        return None

    def aggregated(self, path: str) -> tuple[bytes, str]:
        """Return the aggregated document of `/api` or `/apis` and its ETag."""
        return self._core if path.strip("/") == "api" else self._groups

    @cached_property
    def _core(self) -> tuple[bytes, str]:
        return self._aggregate(core=True)

    @cached_property
    def _groups(self) -> tuple[bytes, str]:
        return self._aggregate(core=False)

    def _aggregate(self, *, core: bool) -> tuple[bytes, str]:
        items = [
            self._discover(name, version) for name, version in self._catalogue.groups if (not name) is core
        ]
        document = {
            "kind": AGGREGATED,
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": items,
        }
        body = orjson.dumps(document)
        return body, f'"{hashlib.sha512(body).hexdigest().upper()}"'

    def _discover(self, group: str, version: str) -> Json:
        listed = [_describe(each) for each in self._catalogue.of_group(group, version)]
        versions = [{"version": version, "resources": listed, "freshness": "Current"}]
        named = {"name": group} if group else {}
        return {"metadata": named, "versions": versions}

    def _only_group(self, name: str) -> Json | None:
        for group, version in self._catalogue.groups:
            if group == name:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group, version)}
        return None

    def _group(self, name: str, version: str) -> Json:
        served = {"groupVersion": f"{name}/{version}", "version": version}
        return {"name": name, "versions": [served], "preferredVersion": served}

    def _resources(self, group: str, version: str) -> Json | None:
        listed = self._catalogue.of_group(group, version)
        if not listed:
            return None
        entries: list[Json] = []
        for each in listed:
            entries.append(_entry(each))
            entries += [_sub_entry(each, sub) for sub in each.subresources.values()]
        entries.sort(key=lambda entry: str(entry["name"]))
        shown = f"{group}/{version}" if group else version
        versioned = {"apiVersion": "v1"} if group else {}
        return {"kind": "APIResourceList", **versioned, "groupVersion": shown, "resources": entries}


def _entry(resource: Resource) -> Json:
    shown: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    if resource.stored:
        shown["storageVersionHash"] = _hash_storage(resource)
    return shown


def _hash_storage(resource: Resource) -> str:
    # Events of both versions are stored as the core group's.
    group = "" if resource.group == "events.k8s.io" else resource.group
    told = hashlib.sha256(f"{group}/{resource.version}/{resource.kind}".encode()).digest()
    return base64.b64encode(told[:8]).decode()


def _sub_entry(resource: Resource, sub: Subresource) -> Json:
    shown: Json = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if (sub.group, sub.version) != (resource.group, resource.version):
        shown |= _elsewhere(resource, sub)
    return shown | {"kind": sub.kind, "verbs": list(sub.verbs)}


def _elsewhere(resource: Resource, sub: Subresource) -> Json:
    """Return group and version of a subresource, empty where they are the resource's own."""
    if (sub.group, sub.version) == (resource.group, resource.version):
        return {"group": "", "version": ""}
    return {"group": sub.group, "version": sub.version}


def _describe(resource: Resource) -> Json:
    shown: Json = {
        "resource": resource.plural,
        # Group and version are told only where they are not those that it stands in.
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    if resource.subresources:
        shown["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {**_elsewhere(resource, sub), "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources.values()
        ]
    return shown
