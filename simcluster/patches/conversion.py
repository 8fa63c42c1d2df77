"""What a server says of a strategic patch whose result can not be read: another reader's words. Pure.

Source: k8s.io/apimachinery pkg/runtime/converter.go (fromUnstructured), which reads the result of a strategic patch;
other bodies are read by Go's JSON decoder.
"""

from __future__ import annotations

import re
from typing import Any

_TOLD = re.compile(r"json: cannot unmarshal (\w+) into Go (?:struct field \S+|value) of type (\S+)")
_NAMES = {"object": "map", "array": "slice"}
_SCALARS = ("int32", "int64", "bool", "string")
# Types that read JSON by themselves, and what they say.
_OWN = {
    "v1.Time": "json: cannot unmarshal {} into Go value of type string",
    "v1.MicroTime": "json: cannot unmarshal {} into Go value of type string",
    "intstr.IntOrString": "json: cannot unmarshal {} into Go value of type int32",
    "resource.Quantity": "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
}


def restate(told: str, patch: Any) -> str:
    """Return what is said of a value of the wrong type in a strategic patch, given what Go's JSON decoder says."""
    found = _TOLD.fullmatch(told)
    if found is None:
        return told
    kind, wanted = found.groups()
    if wanted in _OWN:
        return _OWN[wanted].format(kind)
    given = _NAMES.get(kind, kind)
    if given == "number":
        given = "float64" if _has_fraction(patch) else "int64"
    if wanted in _SCALARS:
        pair = (given, wanted)
        is_near = pair == ("int64", "string") or (given == "float64" and wanted.startswith("int"))
        return f"cannot convert {given} to {wanted}" if is_near else f"unrecognized type: {wanted}"
    if wanted.startswith("map["):
        return f"cannot restore map from {given}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {given}"
    return f"cannot restore struct from: {given}"


def _has_fraction(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_fraction(each) for each in value.values())
    if isinstance(value, list):
        return any(_has_fraction(each) for each in value)
    return isinstance(value, float)
