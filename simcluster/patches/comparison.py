"""Which fields an object has, and which differ between two states of it, as sets of fields. Pure.

The rule it keeps: how deep a value is taken apart comes from its type alone; what is atomic is one field. Values
are compared as they are: null and absent differ, and so do two ways of writing one quantity.

Source: sigs.k8s.io/structured-merge-diff typed (compare.go, tofieldset.go, helpers.go).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simcluster.patches.fieldset import LEAF, MEMBER, Fields, key_element, value_element
from simcluster.schema import Form, Type


class Comparison(NamedTuple):
    """What a new state sets (added or with another value) and what it has no more."""

    changed: Fields
    removed: Fields


def compare(type_: Type, old: Any, new: Any) -> Comparison:
    """Return how two objects of a type differ."""
    changed: Fields = {}
    removed: Fields = {}
    _compare_parts(type_, old, new, changed, removed)
    return Comparison(changed, removed)


def list_parts(type_: Type, value: Any) -> dict[str, tuple[Type, Any]]:
    """Return the parts of a list, map or struct by their path elements; of elements that are twice there, the first.

    ValueError if an element of a keyed list has none of its keys, or one of a set is no plain value.
    """
    if value.__class__ is list:
        item = type_.item
        found: dict[str, tuple[Type, Any]] = {}
        for each in value:
            found.setdefault(name_element(type_, each), (item, each))
        return found
    if type_.form is Form.MAP:
        item = type_.item
        return {f"f:{key}": (item, each) for key, each in value.items()}
    fields = type_.fields
    parts = {}
    for key, each in value.items():
        field = fields.get(key)
        if field is not None:
            parts[field.element] = (field.type, each)
    return parts


def name_element(type_: Type, element: Any) -> str:
    """Return the path element of an element of a list; ValueError if it has none."""
    if not type_.keys:
        if element is None or isinstance(element, dict | list):
            raise ValueError("associative list without keys has an element that's no plain value")
        return value_element(element)
    if element.__class__ is not dict:
        found = "null" if element is None else "non-map"
        raise ValueError(f"associative list with keys may not have {found} elements")
    values = {}
    for key in type_.keys:
        if key in element:
            values[key] = element[key]
        else:
            field = type_.item.fields.get(key)
            if field is not None and field.default is not None:
                values[key] = field.default
    if not values:
        listed = " ".join(f'"{key}"' for key in type_.keys)
        raise ValueError(
            f"associative list with keys has an element that omits all key fields [{listed}] "
            "(and doesn't have default values for any key fields)"
        )
    return key_element(values)


def _compare_parts(type_: Type, old: Any, new: Any, changed: Fields, removed: Fields) -> None:
    before = list_parts(type_, old) if old else {}
    after = list_parts(type_, new) if new else {}
    for element, (part, value) in after.items():
        was = before.get(element)
        if was is None:
            changed[element] = _collect(part, value)
        elif was[1] is not value and was[1] != value:
            _compare_part(part, element, was[1], value, changed, removed)
    for element, (part, value) in before.items():
        if element not in after:
            removed[element] = _collect(part, value)


def _compare_part(type_: Type, element: str, old: Any, new: Any, changed: Fields, removed: Fields) -> None:
    """Compare the two values, which differ, of a part that is there before and after."""
    if type_.atomic or not (old or new):
        changed[element] = LEAF
        return
    inner_changed: Fields = {}
    inner_removed: Fields = {}
    _compare_parts(type_, old, new, inner_changed, inner_removed)
    if inner_changed:
        changed[element] = inner_changed
    if inner_removed:
        removed[element] = inner_removed


def _collect(type_: Type, value: Any) -> Fields:
    """Return all fields of a value that is new, or gone, as a whole: itself and every part."""
    if type_.atomic or not value:
        return LEAF
    node: Fields = {MEMBER: LEAF}
    if value.__class__ is list:
        item = type_.item
        for each in value:
            node[name_element(type_, each)] = _collect(item, each)
    elif type_.form is Form.MAP:
        item = type_.item
        for key, each in value.items():
            node[f"f:{key}"] = _collect(item, each)
    else:
        fields = type_.fields
        for key, each in value.items():
            field = fields.get(key)
            if field is not None:
                node[field.element] = LEAF if field.type.atomic or not each else _collect(field.type, each)
    return node


def collect_fields(type_: Type, value: Any) -> Fields:
    """Return the fields that an applied object of a type states: leaves, elements and entries of maps.

    A struct or list is not stated by what it holds; an empty map is, and so is null.
    """
    node: Fields = {}
    # An element of a list or an entry of a map belongs to who states it, whatever it holds.
    is_entry = type_.form is not Form.OBJECT
    for element, (part, each) in list_parts(type_, value).items():
        inner = LEAF if part.atomic or not each else collect_fields(part, each)
        if is_entry or part.atomic or each is None or each == {}:
            node[element] = {MEMBER: LEAF, **inner} if inner else LEAF
        elif inner:
            node[element] = inner
    return node


def begin(type_: Type) -> dict[str, Any]:
    """Return the object that nothing was written to yet: what of a type is there before anybody sets it.

    Go writes its structs, required lists and required maps even when they are empty, and so nobody owns them for
    having created the object.
    """
    known: dict[str, Any] | None = type_.blank
    if known is None:
        known = type_.blank = {}
        for name, field in type_.fields.items():
            if field.type.form is Form.OBJECT and field.default == {}:
                known[name] = begin(field.type)
            elif field.required:
                known[name] = _zero_of(field.type)
    return known


def _zero_of(type_: Type) -> Any:
    zeros: dict[Form, Any] = {Form.STRING: "", Form.INTEGER: 0, Form.NUMBER: 0, Form.BOOLEAN: False}
    return zeros.get(type_.form)
