"""The kinds that a server of one Kubernetes version serves.

The rule it keeps: what is served, under which names, with which verbs and subresources comes from the data of
a real API server of that version. What the simulation leaves out stands in `ABSENT`, and is then not served
at all: a client finds it as absent as on a server without it.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources as package_files
from typing import Any

import orjson

from simcluster.schema.types import Type, Types

Json = dict[str, Any]

# Groups and resources that only exist together with machinery that the simulation has not got.
ABSENT = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "autoscaling",
        "cronjobs.batch",
        "resourcequotas",
        "bindings",
        "certificatesigningrequests/approval",
        "componentstatuses",
    }
)


_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OF_EVERY_GROUP = ("DeleteOptions", "WatchEvent")


@dataclass(frozen=True, slots=True)
class Subresource:
    """One subresource: its own kind and group/version (of Scale, Eviction …) and verbs."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One resource of one group; `plural` and `group` name it, as in `deployments.apps`."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: dict[str, Subresource]
    type: Type

    @property
    def name(self) -> str:
        """`plural` or `plural.group`: how registry, errors and RBAC name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_kind(self) -> str:
        """`Kind` or `Kind.group`: how an Invalid error names it."""
        # Events are checked as the core group's, in whichever version they come.
        return f"{self.kind}.{self.group}" if self.group not in ("", "events.k8s.io") else self.kind

    @property
    def stored(self) -> bool:
        """Whether there are objects of it, as against reviews that are only asked."""
        return "get" in self.verbs


class Catalogue:
    """All resources and types of one Kubernetes version."""

    def __init__(self, data: Json) -> None:
        self.version: Json = data["version"]
        self.minor = int(self.version["minor"])
        self.schemas: dict[str, Json] = data["types"]
        self.types = Types(self.schemas)
        # Of protobuf fields: a type's name -> its properties' numbers, by name (see `protos`).
        self.numbers: dict[str, list[int | list[int]]] = data["numbers"]
        self._by_kind = _index_kinds(self.schemas)
        self.resources: dict[str, Resource] = {}
        preferred = {group["name"]: group["versions"][0] for group in data["groups"]}
        for entry in data["resources"]:
            # One version of each group is served: a second needs conversion between the two.
            if entry["version"] == preferred[entry["group"]] and not _absent(entry):
                resource = self._resource(entry)
                self.resources[resource.name] = resource
        served = {resource.group for resource in self}
        self.groups = [(name, version) for name, version in preferred.items() if name in served]

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.resources.values())

    def of_group(self, group: str, version: str) -> list[Resource]:
        """Return the resources of one group and version, by name."""
        return [each for each in self if each.group == group and each.version == version]

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource whose objects say `apiVersion` and `kind` so."""
        for each in self:
            if each.kind == kind and each.api_version == api_version and each.stored:
                return each
        return None

    def type_of(self, group: str, version: str, kind: str) -> Type:
        """Return the type of a kind, also of one that is no resource, such as Scale."""
        return self.types.named(self._by_kind[group, version, kind])

    def find_type(self, group: str, version: str, kind: str) -> Type | None:
        """Return the type of a kind, None if there is none; DeleteOptions are of every group."""
        name = _META + kind if kind in _OF_EVERY_GROUP else self._by_kind.get((group, version, kind))
        return None if name is None else self.types.named(name)

    def _resource(self, entry: Json) -> Resource:
        group, version, plural = entry["group"], entry["version"], entry["name"]
        prefix = f"{plural}/"
        subs = {
            name: Subresource(
                name, sub.get("group", group), sub.get("version", version), sub["kind"], tuple(sub["verbs"])
            )
            for name, sub in entry["subresources"].items()
            if prefix + name not in ABSENT
        }
        return Resource(
            group=group,
            version=version,
            plural=plural,
            singular=entry["singularName"],
            kind=entry["kind"],
            namespaced=entry["namespaced"],
            verbs=tuple(entry["verbs"]),
            short_names=tuple(entry.get("shortNames", ())),
            categories=tuple(entry.get("categories", ())),
            subresources=subs,
            type=self.type_of(group, version, entry["kind"]),
        )


def _absent(entry: Json) -> bool:
    name = f"{entry['name']}.{entry['group']}" if entry["group"] else entry["name"]
    return entry["group"] in ABSENT or name in ABSENT


def _index_kinds(schemas: dict[str, Json]) -> dict[tuple[str, str, str], str]:
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, schema in schemas.items()
        for each in schema.get("x-kubernetes-group-version-kind", ())
    }


def versions() -> list[str]:
    """Return the Kubernetes minors that there is data for, oldest first, such as `v1.36`."""
    files = package_files.files("simcluster.schema").iterdir()
    found = [file.name.removesuffix(".json.xz") for file in files if file.name.endswith(".json.xz")]
    return sorted(found, key=lambda name: int(name.partition(".")[2]))


def load(version: str | None = None) -> Catalogue:
    """Return the catalogue of a Kubernetes minor (default: the newest); ValueError if there is no data."""
    known = versions()
    wanted = known[-1] if version is None else version
    if wanted not in known:
        raise ValueError(
            f"Kubernetes version {wanted!r} is not known to the simulation\n  known versions: {', '.join(known)}"
        )
    packed = (package_files.files("simcluster.schema") / f"{wanted}.json.xz").read_bytes()
    return Catalogue(orjson.loads(lzma.decompress(packed)))
