"""Server-side apply on values: merging what is applied into an object, and taking fields out of one. Pure.

The rule it keeps: what is atomic is replaced as one, what is not is merged part by part; the elements of a list
keep the order of the object, as far as what is applied does not order them otherwise. What the result shares
with its inputs is not to be mutated.

Source: sigs.k8s.io/structured-merge-diff typed (merge.go, remove.go, validate.go).
"""

from __future__ import annotations

from typing import Any

from simcluster.patches.comparison import list_parts, name_element
from simcluster.patches.fieldset import LEAF, MEMBER, Fields, show_element
from simcluster.patches.strategic import show_go
from simcluster.schema import Form, Type


def merge(type_: Type, live: Any, applied: Any) -> Any:
    """Return a value of a type with what is applied to it merged in."""
    if type_.atomic or not live:
        return applied
    if not applied:
        # Null or nothing, applied to something with parts, states no part.
        return live
    if type_.form is Form.LIST:
        return _merge_lists(type_, live, applied)
    merged = dict(live)
    for element, (part, value) in list_parts(type_, applied).items():
        key = element[2:]
        merged[key] = merge(part, live[key], value) if key in live else value
    return merged


def _merge_lists(type_: Type, live: list[Any], applied: list[Any]) -> list[Any]:
    item = type_.item
    old = list_parts(type_, live)
    new = list_parts(type_, applied)
    left = list(new)
    shared = [name for name in new if name in old]
    merged: list[Any] = []

    def take(name: str) -> None:
        value = new[name][1]
        merged.append(merge(item, old[name][1], value) if name in old else value)
        if name in shared:
            shared.remove(name)

    for each in live:
        name = name_element(type_, each)
        if name not in new:
            merged.append(each)
        elif shared and name == shared[0]:
            # All that is applied before it comes before it; other shared elements wait for their turn.
            at = left.index(name) + 1
            for taken in left[:at]:
                take(taken)
            del left[:at]
    for name in left:
        take(name)
    return merged


def remove(type_: Type, value: Any, fields: Fields) -> Any:
    """Return a value without the fields of a set; what loses all its parts stays, empty."""
    if type_.atomic or not value or not fields:
        return value
    if type_.form is Form.LIST:
        kept = []
        for each in value:
            node = fields.get(name_element(type_, each))
            if node is None:
                kept.append(each)
            elif node and MEMBER not in node:
                kept.append(remove(type_.item, each, node))
        return kept
    rest = dict(value)
    for element, (part, each) in list_parts(type_, value).items():
        node = fields.get(element)
        if node is None:
            continue
        if not node or MEMBER in node:
            del rest[element[2:]]
        else:
            rest[element[2:]] = remove(part, each, node)
    return rest


def own_structs(type_: Type, fields: Fields) -> Fields:
    """Return a set that also holds each struct that something inside is held of, but no map, list or element."""
    grown: Fields = {}
    for element, node in fields.items():
        part = _part_of(type_, element)
        if not node or part is None:
            grown[element] = node
            continue
        inner = own_structs(part, node)
        named = type_.form is Form.OBJECT
        grown[element] = {MEMBER: LEAF, **inner} if named else inner
    return grown


def _part_of(type_: Type, element: str) -> Type | None:
    if element == MEMBER or type_.atomic:
        return None
    if type_.form is Form.OBJECT:
        field = type_.fields.get(element[2:])
        return None if field is None else field.type
    return type_.item


def find_misfits(type_: Type, value: Any) -> list[tuple[str, str]]:
    """Return where an applied value does not fit its type, and why: `.spec.replicas`, `expected numeric …`."""
    if value is None:
        return []
    form = type_.form
    if form is Form.LIST:
        return _find_in_list(type_, value)
    if form in (Form.OBJECT, Form.MAP):
        return _find_in_map(type_, value)
    wanted = _WANTED.get(form)
    if wanted is None or value.__class__ in wanted[0]:
        return []
    return [("", f"{wanted[1]}, got {_show(value, form)}")]


def show_misfits(found: list[tuple[str, str]]) -> str:
    """Return the text for an error that tells of all of them."""
    lines = [f"{at}: {why}" if at else why for at, why in found]
    return lines[0] if len(lines) == 1 else "\n  ".join(["errors:", *lines])


_SCALARS = (str, int, float, bool)
_WANTED: dict[Form, tuple[tuple[type, ...], str]] = {
    Form.STRING: ((str,), "expected string"),
    Form.TIME: ((str,), "expected string"),
    Form.BOOLEAN: ((bool,), "expected boolean"),
    Form.INTEGER: ((int, float), "expected numeric (int or float)"),
    Form.NUMBER: ((int, float), "expected numeric (int or float)"),
    Form.QUANTITY: (_SCALARS, "expected any scalar"),
    Form.INT_OR_STRING: (_SCALARS, "expected any scalar"),
}


def _show(value: Any, form: Form) -> str:
    """Return a value as the Go program prints the wrapped one."""
    if form in (Form.INTEGER, Form.NUMBER):
        kinds: dict[type, str] = {
            str: "string",
            bool: "bool",
            list: "[]interface {}",
            dict: "map[string]interface {}",
        }
        return kinds.get(type(value), "nil")
    shown = show_go(value)
    return (
        f"&value.valueUnstructured{{Value:{shown}}}" if form in (Form.STRING, Form.TIME) else f"&{{{shown}}}"
    )


def _find_in_list(type_: Type, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        return [("", f"expected list, got &{{{show_go(value)}}}")]
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index, each in enumerate(value):
        name = f"i:{index}"
        if not type_.atomic:
            try:
                name = name_element(type_, each)
            except ValueError as error:
                return [*found, ("", f"element {index}: {error}")]
            if name in seen:
                found.append(("", f"duplicate entries for key {show_element(name)}"))
            seen.add(name)
        found += [(show_element(name) + at, why) for at, why in find_misfits(type_.item, each)]
    return found


def _find_in_map(type_: Type, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [("", f"expected map, got &{{{show_go(value)}}}")]
    found: list[tuple[str, str]] = []
    for key, each in value.items():
        if type_.form is Form.MAP:
            part = type_.item
        else:
            field = type_.fields.get(key)
            if field is None:
                return [*found, (f".{key}", "field not declared in schema")]
            part = field.type
        found += [(f".{key}{at}", why) for at, why in find_misfits(part, each)]
    return found
