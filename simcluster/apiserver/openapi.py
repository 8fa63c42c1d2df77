"""OpenAPI v3 (one document a group and version) and v2, made from the schema's data when somebody asks. Pure.

The rule it keeps: types are those of the real server, without prose; of paths only what clients look up is told: which
kinds there are, and that writes take `dryRun` and `fieldValidation`.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import orjson

from simcluster.apiserver.swagger import write_document
from simcluster.schema import Catalogue, Resource

Json = dict[str, Any]
_V3_REFERENCE = "#/components/schemas/"
_V2_REFERENCE = "#/definitions/"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
# Clients keep documents by their hash: raise this whenever they come out otherwise than before.
_WRITING = 2
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ALWAYS = ("Status", "DeleteOptions", "Patch", "WatchEvent", "APIResourceList")


class OpenApi:
    """The OpenAPI documents of one server."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._written: dict[str, bytes] = {}

    @cached_property
    def places(self) -> dict[str, tuple[str, str]]:
        """Where the v3 documents are, such as `apis/apps/v1`, and the group and version of each."""
        return {
            f"apis/{group}/{version}" if group else f"api/{version}": (group, version)
            for group, version in self._catalogue.groups
        }

    def index(self) -> Json:
        """Return where the v3 documents are, each with its hash."""
        return {
            "paths": {
                where: {"serverRelativeURL": f"/openapi/v3/{where}?hash={self.hash(where)}"}
                for where in self.places
            }
        }

    def v3(self, where: str) -> bytes | None:
        """Return the document of `apis/apps/v1` or `api/v1`; None if there is none."""
        if where not in self.places:
            return None
        if where not in self._written:
            self._written[where] = orjson.dumps(self._document(where, *self.places[where]))
        return self._written[where]

    def v2(self) -> bytes:
        """Return the one document of all groups."""
        if "v2" not in self._written:
            self._written["v2"] = orjson.dumps(self._write_v2())
        return self._written["v2"]

    def v2_protobuf(self) -> bytes:
        """Return the one document of all groups as protobuf."""
        if "v2 protobuf" not in self._written:
            self._written["v2 protobuf"] = write_document(self._write_v2())
        return self._written["v2 protobuf"]

    def hash(self, where: str) -> str:
        """Return what tells one document from another: from that of another place, version or way of writing it."""
        text = f"{self._catalogue.version['gitVersion']} {where} {_WRITING}"
        return hashlib.sha512(text.encode()).hexdigest().upper()

    def _write_v2(self) -> Json:
        # Version 2 has no alternatives: what is one of two types is a text there.
        schemas = {
            name: {"type": "string", **{key: value for key, value in schema.items() if key != "oneOf"}}
            if "oneOf" in schema
            else schema
            for name, schema in self._catalogue.schemas.items()
        }
        definitions = {name: _refer(schema, _V2_REFERENCE, nested=False) for name, schema in schemas.items()}
        return {"swagger": "2.0", "info": self._info(), "paths": {}, "definitions": definitions}

    def _info(self) -> Json:
        version = self._catalogue.version
        return {"title": "Kubernetes", "version": f"{version['major']}.{version['minor']}"}

    def _document(self, where: str, group: str, version: str) -> Json:
        resources = self._catalogue.of_group(group, version)
        paths: Json = {}
        for each in resources:
            paths |= _paths(f"/{where}", each)
        needed = self._reach([each.type.name for each in resources])
        schemas = {
            name: _refer(self._catalogue.schemas[name], _V3_REFERENCE, nested=True) for name in sorted(needed)
        }
        return {"openapi": "3.0.0", "info": self._info(), "paths": paths, "components": {"schemas": schemas}}

    def _reach(self, names: list[str]) -> set[str]:
        """Return the types that these need, their lists and themselves included."""
        known = self._catalogue.schemas
        waiting = [*names, *(f"{name}List" for name in names), *(_META + name for name in _ALWAYS)]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found and name in known:
                found.add(name)
                waiting += _references(known[name])
        return found


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [each for item in schema for each in _references(item)]
    if not isinstance(schema, dict):
        return []
    found = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return found + [each for value in schema.values() for each in _references(value)]


def _refer(schema: Any, prefix: str, *, nested: bool) -> Any:
    """Write references out; `nested` puts those that have siblings into `allOf`, as v3 does."""
    if isinstance(schema, list):
        return [_refer(each, prefix, nested=nested) for each in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: _refer(value, prefix, nested=nested) for key, value in schema.items()}
    if isinstance(schema.get("$ref"), str):
        reference = prefix + written.pop("$ref")
        if nested and written:
            return written | {"allOf": [{"$ref": reference}]}
        return written | {"$ref": reference}
    return written


def _paths(base: str, resource: Resource) -> Json:
    if not resource.stored:
        place = f"{base}/namespaces/{{namespace}}" if resource.namespaced else base
        return {f"{place}/{resource.plural}": {"post": _operation(resource, "post")}}
    place = f"{base}/namespaces/{{namespace}}" if resource.namespaced else base
    collection, one = f"{place}/{resource.plural}", f"{place}/{resource.plural}/{{name}}"
    paths: Json = {}
    if resource.namespaced:
        paths[f"{base}/{resource.plural}"] = {"get": _operation(resource, "list")}
    paths[collection] = {
        "get": _operation(resource, "list"),
        "post": _operation(resource, "post"),
        "delete": _operation(resource, "deletecollection"),
    }
    paths[one] = {
        "get": _operation(resource, "get"),
        "put": _operation(resource, "put"),
        "patch": _operation(resource, "patch"),
        "delete": _operation(resource, "delete"),
    }
    return paths


def _operation(resource: Resource, action: str) -> Json:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    reference = {"$ref": _V3_REFERENCE + resource.type.name + ("List" if action == "list" else "")}
    answer = {"description": "OK", "content": {"application/json": {"schema": reference}}}
    shown: Json = {
        "operationId": f"{action}{resource.group}{resource.version}{resource.kind}",
        "parameters": _parameters(action),
        "responses": {"200": answer},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    }
    if action == "patch":
        patch = {"schema": {"$ref": f"{_V3_REFERENCE}{_META}Patch"}}
        shown["requestBody"] = {"content": dict.fromkeys(_PATCH_TYPES, patch), "required": True}
    return shown


def _parameters(action: str) -> list[Json]:
    named = {
        "post": ["dryRun", "fieldManager", "fieldValidation"],
        "delete": ["dryRun", "gracePeriodSeconds"],
    }
    named["put"] = named["post"]
    named["patch"] = [*named["post"], "force"]
    return [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in named.get(action, ())
    ]
