"""Strategic merge patch: merge patch that knows, by the type, which lists are sets of named things.

The rule it keeps: what to do with a list comes from the type alone (patch strategy and merge key), and the
directives `$patch`, `$retainKeys`, `$setElementOrder/…` and `$deleteFromPrimitiveList/…` are obeyed and never
stored. Pure; what the result shares with its inputs is not to be mutated.

Source: k8s.io/apimachinery pkg/util/strategicpatch/patch.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simcluster.errors import BadRequest, StatusError
from simcluster.schema import Field, Form, Type

Json = dict[str, Any]
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DIRECTIVES = (None, "delete", "merge", "replace")


def apply_strategic_patch(target: Json, patch: Any, type_: Type) -> Json:
    """Return `target`, an object of `type_`, with `patch` merged in; BadRequest says what is malformed."""
    if not isinstance(patch, dict):
        raise BadRequest("json: cannot unmarshal array into Go value of type map[string]interface {}")
    return _merge_object(target, patch, type_)


def _merge_object(target: Json, patch: Json, type_: Type | None) -> Json:
    directive = patch.get(_PATCH)
    if directive == "replace":
        replaced: Json = strip({key: value for key, value in patch.items() if key != _PATCH})
        return replaced
    if directive == "delete":
        return {}
    if directive not in _DIRECTIVES:
        raise StatusError(f"unknown patch type: {directive} in map: {show_go(patch)}", reason="")
    retained = patch.get(_RETAIN)
    merged = dict(target) if retained is None else {key: target[key] for key in target if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            merged[name] = [each for each in merged.get(name) or () if each not in value]
        elif not key.startswith("$"):
            _merge_field(merged, key, value, type_)
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and merged.get(name):
            merged[name] = _sort(merged[name], order, _field(type_, name))
    return merged


def _merge_field(merged: Json, key: str, value: Any, type_: Type | None) -> None:
    if value is None:
        merged.pop(key, None)
        return
    field = _field(type_, key)
    present = merged.get(key)
    if isinstance(value, dict):
        if field is not None and "replace" in field.strategies:
            merged[key] = strip(value)
        elif value.get(_PATCH) == "delete":
            merged.pop(key, None)
        elif not isinstance(present, dict) and value.get(_PATCH) not in _DIRECTIVES:
            merged[key] = strip(
                value
            )  # there is nothing to direct: what is no directive at all is not looked at
        else:
            merged[key] = _merge_object(
                present if isinstance(present, dict) else {}, value, _inner(field, type_)
            )
    elif isinstance(value, list) and field is not None and "merge" in field.strategies:
        # Where there is no list yet, its elements are not looked at, but for what they direct.
        is_plain = not isinstance(present, list) and not any(
            isinstance(each, dict) and _PATCH in each for each in value
        )
        old = present if isinstance(present, list) else []
        merged[key] = strip(value) if is_plain else _merge_list(old, value, field)
    else:
        merged[key] = strip(value)


def _field(type_: Type | None, name: str) -> Field | None:
    return type_.fields.get(name) if type_ is not None and type_.form is Form.OBJECT else None


def _inner(field: Field | None, type_: Type | None) -> Type | None:
    if field is not None:
        return field.type
    return type_.item if type_ is not None and type_.form is Form.MAP else None


def _merge_list(target: Sequence[Any], patch: Sequence[Any], field: Field) -> list[Any]:
    if field.merge_key is None:
        return [*target, *(each for each in patch if each not in target)]
    directives = [each for each in patch if isinstance(each, dict) and set(each) == {_PATCH}]
    if any(each[_PATCH] == "replace" for each in directives):
        return [strip(each) for each in patch if each not in directives]
    merged = list(target)
    for each in patch:
        _merge_element(merged, each, field.merge_key, field.type.item)
    return merged


def _merge_element(merged: list[Any], element: Any, key: str, type_: Type) -> None:
    if not isinstance(element, dict) or key not in element:
        text = f"map: {show_go(element)} does not contain declared merge key: {key}"
        raise StatusError(text, reason="")
    found = [each for each in merged if isinstance(each, dict) and each.get(key) == element[key]]
    if element.get(_PATCH) == "delete":
        merged[:] = [each for each in merged if not any(each is old for old in found)]
    elif found:
        at = next(index for index, each in enumerate(merged) if each is found[0])
        merged[at] = _merge_object(merged[at], element, type_)
    else:
        merged.append(_merge_object({}, element, type_))


def _sort(items: list[Any], order: Sequence[Any], field: Field | None) -> list[Any]:
    """Bring the elements that `order` names into its order; the others stay after their old neighbour."""
    key = None if field is None else field.merge_key

    def identity(item: Any) -> Any:
        return item.get(key) if key is not None and isinstance(item, dict) else item

    wanted = [identity(each) for each in order]
    named = sorted(
        (each for each in items if identity(each) in wanted), key=lambda each: wanted.index(identity(each))
    )
    result: list[Any] = []
    for each in items:
        if identity(each) in wanted:
            result.append(named.pop(0))
        else:
            result.append(each)
    return result


def strip(value: Any) -> Any:
    """Return a patch value without directives and nulls: what is left when there is nothing to merge into."""
    if isinstance(value, dict):
        return {
            key: strip(each) for key, each in value.items() if not key.startswith("$") and each is not None
        }
    if isinstance(value, list):
        return [
            strip(each) for each in value if not (isinstance(each, dict) and each.get(_PATCH) == "delete")
        ]
    return value


def show_go(value: Any) -> str:
    """Return a JSON value as Go's %v prints it, which is how errors show strategic patches."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{show_go(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(show_go(each) for each in value)}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
