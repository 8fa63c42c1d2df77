"""Sets of fields as `managedFields` writes them (FieldsV1): who owns what, as trees of path elements. Pure.

The rule it keeps: a set is never changed; every operation returns another, which may share parts with its
inputs. A path element is a key of its parent: `f:name` for a field, `k:{"name":"c"}` for the element of a list
that these keys tell apart, `v:"x"` for an element of a set. A leaf is a member; a node with children is one
only if it holds `.` as well. The empty set is the empty tree.

Source: sigs.k8s.io/structured-merge-diff fieldpath (set.go, serialize.go, element.go).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

Fields = dict[str, Any]

LEAF: Fields = {}
MEMBER = "."
_KINDS = ("f:", "k:", "v:", "i:")
# Path elements by what they are made of: the same few come with every write.
_KEYS: dict[tuple[tuple[str, type, Any], ...], str] = {}
_MOST_KEYS = 10_000


def unite(one: Fields, other: Fields) -> Fields:
    """Return what is in either set."""
    if not one:
        return other
    return _unite(one, other) if other else one


def _unite(one: Fields, other: Fields) -> Fields:
    if one is other or not (one or other):
        return one
    if not one or not other:
        return {MEMBER: LEAF, **one, **other}
    united = dict(one)
    for key, node in other.items():
        present = united.get(key)
        united[key] = node if present is None else _unite(present, node)
    return united


def subtract(one: Fields, other: Fields) -> Fields:
    """Return what is in `one` and not in `other`; what lies below a member of `other` is not that member."""
    if not one or not other:
        return one
    left = _subtract(one, other)
    return LEAF if left is None else left


def _subtract(one: Fields, other: Fields) -> Fields | None:
    """Return a node without the members of another: itself if it has none of them, None if nothing is left."""
    if not other:
        if one and MEMBER not in one:
            return one
        return {key: node for key, node in one.items() if key != MEMBER} or None
    if not one:
        return None if MEMBER in other else one
    left: Fields = {}
    same = True
    for key, node in one.items():
        taken = other.get(key)
        rest = node if taken is None else None if key == MEMBER else _subtract(node, taken)
        same = same and rest is node
        if rest is not None:
            left[key] = rest
    return one if same else _close(left, member=MEMBER in left)


def intersect(one: Fields, other: Fields) -> Fields:
    """Return what is in both sets."""
    if not one or not other:
        return LEAF
    common = _intersect(one, other)
    return LEAF if common is None else common


def _intersect(one: Fields, other: Fields) -> Fields | None:
    if not one or not other:
        return LEAF if _is_member(one) and _is_member(other) else None
    common: Fields = {}
    for key, node in one.items():
        if key in other:
            both = _intersect(node, other[key])
            if both is not None:
                common[key] = both
    return _close(common, member=MEMBER in common)


def _close(node: Fields, *, member: bool) -> Fields | None:
    """Return a node in its one form: a leaf if it is but a member, None if it is not even that."""
    if member and len(node) == 1:
        return LEAF
    return node if node else None


def _is_member(node: Fields) -> bool:
    return not node or MEMBER in node


def without(fields: Fields, dropped: Fields) -> Fields:
    """Return a set without the members of `dropped` and all that lies below them."""
    if not dropped or not fields:
        return fields
    left = _cut(fields, dropped)
    return LEAF if left is None else left


def _cut(node: Fields, dropped: Fields) -> Fields | None:
    if not node or _is_member(dropped):
        return None if _is_member(dropped) else node
    left: Fields = {}
    for key, child in node.items():
        rest = _cut(child, dropped[key]) if key in dropped else child
        if rest is not None:
            left[key] = rest
    return _close(left, member=MEMBER in left)


def read_fields(value: Any) -> Fields:
    """Return a FieldsV1 that a client sent, in its one form; ValueError says what is none."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")  # noqa: TRY004 - the caller knows one error
    return _read(value) or LEAF


def _read(value: Fields) -> Fields | None:
    node: Fields = {}
    for key, child in value.items():
        if not isinstance(child, dict):
            raise ValueError(f"{key!r} holds {child!r}, which is no object")  # noqa: TRY004
        if key == MEMBER:
            node[MEMBER] = LEAF
            continue
        if key[:2] not in _KINDS:
            raise ValueError(f"{key!r} is no path element")
        if key[0] != "f":
            json.loads(key[2:])
        node[key] = _read(child) or LEAF
    return _close(node, member=MEMBER in node)


def key_element(values: dict[str, Any]) -> str:
    """Return the path element of a list's element that these keys tell apart."""
    # With the classes: 1 and true are equal, and so would be their keys.
    marks = tuple((key, value.__class__, value) for key, value in values.items())
    try:
        known = _KEYS.get(marks)
    except TypeError:  # a list or an object where a plain value belongs
        return _write_keys(values)
    if known is None:
        if len(_KEYS) > _MOST_KEYS:
            _KEYS.clear()
        known = _KEYS[marks] = _write_keys(values)
    return known


def _write_keys(values: dict[str, Any]) -> str:
    try:
        return f"k:{orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()}"
    except TypeError:  # a number of more than 64 bits
        return f"k:{json.dumps(values, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}"


def value_element(value: Any) -> str:
    """Return the path element of a plain element of a set."""
    return f"v:{json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"


def list_paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """Yield the members as errors show them, `.spec.containers[name="c"].image`: those of a level first."""
    names = sorted(key for key in fields if key != MEMBER)
    for name in names:
        if _is_member(fields[name]):
            yield prefix + show_element(name)
    for name in names:
        yield from list_paths(fields[name], prefix + show_element(name))


def show_element(element: str) -> str:
    """Return a path element as errors show it."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        shown = ",".join(
            f"{key}={json.dumps(each, ensure_ascii=False)}" for key, each in json.loads(rest).items()
        )
        return f"[{shown}]"
    return f"[={rest}]" if kind == "v:" else f"[{rest}]"
