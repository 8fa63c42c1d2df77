"""What a body says twice: keys that stand more than once in an object of JSON or YAML.

The rule it keeps: of a key that stands twice the last counts; that it stands twice is told, in the real words, as the
client asks for it (`fieldValidation`). A body without such keys costs next to nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

Form = Literal["json", "yaml", "patch", "json patch"]
_KEY = re.compile(rb'"\s*:')
_OPERATION = ("op", "path", "from", "value")


def find_complaints(body: bytes, value: Any, form: Form, validation: str) -> tuple[str, ...]:
    """Return what is to be said of a body that was read as `value`; nothing if the client ignores it."""
    if validation == "Ignore":
        return ()
    if form == "yaml":
        lines = () if _is_plain(body, value) else tuple(_find_twice_in_yaml(body))
        if not lines or validation == "Warn":
            return lines
        return ("\n  ".join(("yaml: unmarshal errors:", *lines)),)
    if form == "json patch":
        return tuple(f"json patch {text}" for text in _check_operations(body, value))
    return (
        () if _is_plain(body, value) else tuple(_find_twice(json.loads(body, object_pairs_hook=_Pairs), ""))
    )


def _is_plain(body: bytes, value: Any) -> bool:
    """Return whether a body is JSON in which no key stands twice.

    Every key is followed by a colon, and a text may hold more of what looks like that: as many as keys are left means
    that none was lost. More says nothing.
    """
    return body.lstrip()[:1] in (b"{", b"[") and len(_KEY.findall(body)) == _count_keys(value)


def _count_keys(value: Any) -> int:
    count, values = 0, [value]
    for each in values:  # it grows meanwhile
        if each.__class__ is dict:
            count += len(each)
            values.extend(each.values())
        elif each.__class__ is list:
            values.extend(each)
    return count


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with all of its keys."""


def _find_twice(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, each in value:
            path = f"{at}.{key}" if at else key
            if key in seen:
                yield f'duplicate field "{path}"'
            seen.add(key)
            yield from _find_twice(each, path)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _find_twice(each, f"{at}[{index}]")


def _check_operations(body: bytes, value: Any) -> Iterator[str]:
    """Yield what is odd in a JSON patch: also members that no operation has."""
    is_plain = _is_plain(body, value)
    operations = value if is_plain else json.loads(body, object_pairs_hook=_Pairs)
    if not isinstance(operations, list) or isinstance(operations, _Pairs):
        return
    for index, operation in enumerate(operations):
        if not isinstance(operation, dict | _Pairs):
            continue
        yield from _find_twice(operation, f"[{index}]")
        names = operation if isinstance(operation, dict) else dict(operation)
        yield from (f'unknown field "[{index}].{name}"' for name in names if name not in _OPERATION)


def _find_twice_in_yaml(body: bytes) -> Iterator[str]:
    # Few clients send YAML, and no start-up should wait for it.
    import yaml

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, yaml.SequenceNode):
            for each in node.value:
                yield from walk(each)
        if not isinstance(node, yaml.MappingNode):
            return
        seen: set[str] = set()
        for key, each in node.value:
            yield from walk(each)
            if key.value in seen:
                yield f'line {each.start_mark.line + 1}: key "{key.value}" already set in map'
            seen.add(key.value)

    yield from walk(yaml.compose(body, Loader=yaml.SafeLoader))
