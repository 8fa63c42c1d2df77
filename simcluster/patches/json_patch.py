"""JSON patch, RFC 6902, over pointers of RFC 6901. Pure: the object given is left as it was.

The rule it keeps: all operations hold or none; the refusal says which operation and why.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import BadRequest, StatusError
from simcluster.schema.decoding import copy_json

LONGEST = 10_000


class TooManyOperations(StatusError):  # noqa: N818 - named as its fellows in `errors`
    """413: more operations than a server does at once."""

    code, reason = 413, "RequestEntityTooLarge"

    def __init__(self, count: int) -> None:
        super().__init__(
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{LONGEST}, got {count}"
        )


class Inapplicable(StatusError):  # noqa: N818 - named as its fellows in `errors`
    """422: the patch is well formed but does not fit the object."""

    code, reason = 422, "Invalid"

    def __init__(self, why: str) -> None:
        super().__init__("the server rejected our request due to an error in our request")
        # What a real server only logs.
        self.why = why

    def as_object(self) -> dict[str, Any]:
        """Return the Status; its details are there, and empty."""
        return super().as_object() | {"details": {}}


def apply_json_patch(target: Any, operations: Any) -> Any:
    """Return `target` with the operations done in order; BadRequest, TooLarge or Inapplicable."""
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise BadRequest(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if len(operations) > LONGEST:
        raise TooManyOperations(len(operations))
    result = copy_json(target)
    for operation in operations:
        result = _apply(result, operation)
    return result


def _apply(target: Any, operation: dict[str, Any]) -> Any:
    kind = operation.get("op")
    path = _read_pointer(operation, "path")
    if kind == "add":
        return _add(target, path, _value(operation))
    if kind == "remove":
        return _remove(target, path)[0]
    if kind == "replace":
        return _replace(target, path, _value(operation))
    if kind == "move":
        source = _read_pointer(operation, "from")
        if path[: len(source)] == source and path != source:
            raise Inapplicable(f"cannot move {operation['from']!r} into itself")
        target, moved = _remove(target, source)
        return _add(target, path, moved)
    if kind == "copy":
        return _add(target, path, copy_json(_get(target, _read_pointer(operation, "from"))))
    if kind == "test":
        if not _same(_get(target, path), operation.get("value")):
            raise Inapplicable(f"testing path {operation['path']} failed: test failed")
        return target
    raise Inapplicable(f"Unexpected kind: {kind}")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise BadRequest(f'error decoding patch: operation {operation.get("op")!r} has no "value"')
    return copy_json(operation["value"])


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def _read_pointer(operation: dict[str, Any], key: str) -> list[str]:
    pointer = operation.get(key)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise BadRequest(
            f"error decoding patch: {key} {pointer!r} is not a JSON pointer such as /spec/replicas"
        )
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _shown(path: list[str]) -> str:
    return "/" + "/".join(path)


def _index(items: list[Any], part: str, path: list[str], *, end: bool) -> int:
    if part == "-" and end:
        return len(items)
    if not part.isascii() or not part.isdigit() or (len(part) > 1 and part[0] == "0"):
        raise Inapplicable(f"{_shown(path)}: {part!r} is not an index")
    index = int(part)
    if index > len(items) - (0 if end else 1):
        raise Inapplicable(f"{_shown(path)}: Unable to access invalid index: {index}")
    return index


def _get(target: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(target, dict):
            if part not in target:
                raise Inapplicable(f"path {_shown(path)}: missing value: key not found: {part}")
            target = target[part]
        elif isinstance(target, list):
            target = target[_index(target, part, path, end=False)]
        else:
            raise Inapplicable(f"path {_shown(path)}: missing path: {part!r} is below a plain value")
    return target


def _add(target: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(target, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        parent.insert(_index(parent, path[-1], path, end=True), value)
    else:
        raise Inapplicable(
            f"add operation does not apply: doc is missing path: {_shown(path)}: missing value"
        )
    return target


def _remove(target: Any, path: list[str]) -> tuple[Any, Any]:
    if not path:
        return None, target
    parent = _get(target, path[:-1])
    removed = _get(parent, path[-1:]) if isinstance(parent, dict | list) else _get(target, path)
    if isinstance(parent, dict):
        del parent[path[-1]]
    elif isinstance(parent, list):
        del parent[int(path[-1])]
    return target, removed


def _replace(target: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(target, path[:-1])
    if isinstance(parent, dict):
        # Of an object, a real server replaces what is not there, too.
        parent[path[-1]] = value
        return target
    _get(target, path)
    parent[int(path[-1])] = value
    return target
