"""Reads the numbers of protobuf fields from the Go modules k8s.io/api and k8s.io/apimachinery.

The rule it keeps: numbers come from the modules of the very version that the types come from, and only those stay
that a reader can not tell from the type; where module and type do not fit together it stops. It is run by a
developer, from `generate`; it needs the `go` program.

A type's numbers are a list beside its properties in the order of their names: `3`; `-3` where Go holds a pointer, so
that zero or an empty text is a value and not its absence; `[1, 3]` for field 3 of a message in field 1 that JSON shows
inline; `0` for what is not on the wire (kind and apiVersion of the object itself).
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Number = int | list[int]
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
_PACKAGE = re.compile(r"^package k8s\.io\.([\w.]+);", re.MULTILINE)
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s*(?:(?:optional|repeated) ([\w.]+)|map<\w+, [\w.]+>) (\w+) = (\d+);", re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_POINTER = re.compile(r'^\s*(?:\w+\s+)?\*\S+\s+`[^`]*protobuf:"\w+,(\d+),', re.MULTILINE)
_SCALARS = ("string", "integer", "boolean", "number")
# Types whose form on the wire the readers know by name.
_KNOWN = ("Quantity", "IntOrString", "Time", "MicroTime", "FieldsV1", "RawExtension", "Patch")
# Modules that are not read: their kinds are not served.
_UNREAD = ("io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator.")


@dataclass(frozen=True, slots=True)
class _Message:
    """One message: its fields as (name, type or empty for a map, number), and which of them Go holds by pointer."""

    fields: tuple[tuple[str, str, int], ...]
    pointers: frozenset[int]


def read_numbers(version: str, types: Json) -> dict[str, list[Number]]:
    """Return the numbers of each type, for modules of a Kubernetes version such as `v1.36.3`."""
    messages: dict[str, _Message] = {}
    for folder in _download("v0." + version.removeprefix("v1.")):
        for path in sorted(folder.rglob("generated.proto")):
            messages |= _read_file(path)
    numbers: dict[str, list[Number]] = {}
    for name, schema in types.items():
        if name.startswith(_UNREAD) or name.rpartition(".")[2] in _KNOWN:
            continue
        properties = schema.get("properties", {})
        found = _number(messages, name, properties)
        left = properties.keys() - found.keys() - {"kind", "apiVersion"}
        if left:
            raise ValueError(f"{name}: no number for {', '.join(sorted(left))} in generated.proto")
        numbers[name] = [found.get(each, 0) for each in sorted(properties)]
    return numbers


def _download(version: str) -> list[Path]:
    modules = [f"k8s.io/{name}@{version}" for name in ("api", "apimachinery")]
    done = subprocess.run(["go", "mod", "download", "-json", *modules], capture_output=True, check=True)
    decoder, text, folders = json.JSONDecoder(), done.stdout.decode().strip(), []
    while text:
        module, end = decoder.raw_decode(text)
        folders.append(Path(module["Dir"]))
        text = text[end:].lstrip()
    return folders


def _read_file(path: Path) -> dict[str, _Message]:
    text = _COMMENT.sub("", path.read_text())
    package = _PACKAGE.search(text)
    if package is None:
        raise ValueError(f"{path}: expected a package of k8s.io")
    sources = [each.read_text() for each in path.parent.glob("*.go") if not each.name.endswith(".pb.go")]
    structs = {name: body for source in sources for name, body in _STRUCT.findall(source)}
    return {
        f"io.k8s.{package.group(1)}.{name}": _Message(
            tuple((field, kind, int(number)) for kind, field, number in _FIELD.findall(body)),
            frozenset(map(int, _POINTER.findall(structs.get(name, "")))),
        )
        for name, body in _MESSAGE.findall(text)
    }


def _number(messages: dict[str, _Message], name: str, properties: Json) -> dict[str, Number]:
    """Return the number of each property, for which the protos' spelling of the name may differ in case."""
    message, spelt = messages[name], {each.lower(): each for each in properties}
    found: dict[str, Number] = {}
    for field, kind, number in message.fields:
        known = spelt.get(field.lower())
        if known is None:
            inner = _resolve(name, kind)
            for each, below in _number(messages, inner, properties).items():
                found[each] = [number, *(below if isinstance(below, list) else [below])]
        else:
            is_optional = number in message.pointers and properties[known].get("type") in _SCALARS
            found[known] = -number if is_optional else number
    return found


def _resolve(name: str, kind: str) -> str:
    """Return the full name of a type as a message of another's file names it."""
    if kind.startswith("."):
        return "io.k8s." + kind.removeprefix(".k8s.io.")
    return f"{name.rpartition('.')[0]}.{kind}"
