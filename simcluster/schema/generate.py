"""Writes the data that `simcluster.schema` reads, from a running API server's discovery and OpenAPI v3, and the
numbers of protobuf fields from the Go modules of that version.

The rule it keeps: what it writes is shape alone (types, defaults, list types, merge keys, verbs, numbers), no prose,
and the same server always gives the same bytes. It is run by a developer, once per Kubernetes minor:

    kubectl proxy --port=8001 &
    python -m simcluster.schema.generate http://127.0.0.1:8001

It reads over plain HTTP from a local `kubectl proxy`, so that it needs no credentials of its own.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import urllib.request
from pathlib import Path
from typing import Any

from simcluster.schema.protos import read_numbers

Json = dict[str, Any]
FOLDER = Path(__file__).parent
# Prose, and marks that no reader of the data uses.
DROPPED = {"description", "uniqueItems", "x-kubernetes-unions"}
# Each of these names every group of the server; the readers know them by name instead.
MANY_KINDS = {"DeleteOptions", "WatchEvent"}


def fetch(server: str, path: str) -> Json:
    """Return the JSON document at a path of the server."""
    if not server.startswith(("http://127.0.0.1:", "http://localhost:")):
        raise ValueError(f"{server}: expected the address of a local `kubectl proxy`, http://127.0.0.1:PORT")
    with urllib.request.urlopen(server + path, timeout=30) as answer:  # noqa: S310 - a local http URL, see above
        found: Json = json.load(answer)
    return found


def read_resources(server: str, group: str, version: str) -> list[Json]:
    """Return the resources of one group and version, each with its subresources inside."""
    prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
    listed = fetch(server, prefix)["resources"]
    resources: dict[str, Json] = {}
    for entry in listed:
        if "/" not in entry["name"]:
            kept = {key: value for key, value in entry.items() if key != "storageVersionHash"}
            resources[entry["name"]] = {"group": group, "version": version, **kept, "subresources": {}}
    for entry in listed:
        name, slash, sub = entry["name"].partition("/")
        if slash:
            kept = {key: entry[key] for key in ("kind", "group", "version", "verbs") if key in entry}
            resources[name]["subresources"][sub] = kept
    return [resources[name] for name in sorted(resources)]


def strip(schema: Any) -> Any:
    """Return a schema without its prose, references shortened to the bare name of the type."""
    if isinstance(schema, list):
        return [strip(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Json = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: strip(value[name]) for name in sorted(value)}
        elif key not in DROPPED:
            kept[key] = strip(value)
    if set(kept) >= {"allOf"} and len(kept["allOf"]) == 1:
        kept |= kept.pop("allOf")[0]
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].removeprefix("#/components/schemas/")
    return kept


def read_types(server: str, group_versions: list[str]) -> Json:
    """Return every type of every group and version, by name."""
    types: Json = {}
    for group_version in group_versions:
        for name, schema in fetch(server, f"/openapi/v3/{group_version}")["components"]["schemas"].items():
            kept = strip(schema)
            if name.rpartition(".")[2] in MANY_KINDS:
                kept.pop("x-kubernetes-group-version-kind", None)
            types[name] = kept
    return {name: types[name] for name in sorted(types)}


def read(server: str) -> Json:
    """Return all that the simulation needs to know of a server's kinds."""
    listed = {group["name"]: group["versions"] for group in fetch(server, "/apis")["groups"]}
    versions = {"": ["v1"]} | {name: [each["version"] for each in of] for name, of in listed.items()}
    pairs = [(group, version) for group, of in versions.items() for version in of]
    served = [f"apis/{group}/{version}" if group else f"api/{version}" for group, version in pairs]
    version, types = fetch(server, "/version"), read_types(server, served)
    return {
        "version": version,
        "groups": [{"name": group, "versions": of} for group, of in versions.items()],
        "resources": [each for pair in pairs for each in read_resources(server, *pair)],
        "types": types,
        "numbers": read_numbers(version["gitVersion"], types),
    }


def main() -> None:
    """Write the data of the server given on the command line into this folder."""
    parser = argparse.ArgumentParser(description="Write the shape of a real API server's kinds as data.")
    parser.add_argument("server", help="address of a `kubectl proxy`, such as http://127.0.0.1:8001")
    data = read(parser.parse_args().server)
    minor = re.match(r"v\d+\.\d+", data["version"]["gitVersion"])
    if minor is None:
        raise ValueError(f"the server calls itself {data['version']['gitVersion']!r}, expected v1.<minor>…")
    path = FOLDER / f"{minor.group()}.json.xz"
    text = json.dumps(data, separators=(",", ":")).encode()
    path.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    counted = f"{len(data['resources'])} resources, {len(data['types'])} types, {len(text)} bytes of JSON"
    print(f"{path}: {counted}")  # noqa: T201 - this is a program


if __name__ == "__main__":
    main()
