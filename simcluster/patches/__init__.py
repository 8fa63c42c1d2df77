"""The patch formats of the API as pure functions: (object, patch) to a new object, sharing nothing to be mutated."""

from __future__ import annotations

import json
from typing import Any, Literal

from simcluster.errors import BadRequest, Invalid, invalid
from simcluster.patches.json_patch import apply_json_patch
from simcluster.patches.merge import apply_merge_patch
from simcluster.patches.strategic import apply_strategic_patch, show_go
from simcluster.schema import Type

PatchType = Literal["json", "merge", "strategic"]

__all__ = [
    "PatchType",
    "apply_json_patch",
    "apply_merge_patch",
    "apply_patch",
    "apply_strategic_patch",
    "misread",
]


def apply_patch(target: dict[str, Any], patch: Any, patch_type: PatchType, type_: Type) -> dict[str, Any]:
    """Return `target`, an object of `type_`, as the patch makes it; BadRequest if that is no object."""
    if patch_type == "json":
        patched = apply_json_patch(target, patch)
    elif patch_type == "merge":
        patched = apply_merge_patch(target, patch)
    else:
        patched = apply_strategic_patch(target, patch, type_)
    if not isinstance(patched, dict):
        raise BadRequest(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    return patched


def misread(patch: Any, patched: Any, patch_type: PatchType, why: str) -> Invalid:
    """Return the refusal of a patch whose result can not be read; `why` is what a reader of JSON says."""
    if patch_type != "strategic":
        shown = json.dumps(patched, separators=(",", ":"))
        return Invalid("", "", [invalid("patch", shown, why)])
    # Few clients ever send such a patch.
    from simcluster.patches.conversion import restate

    return Invalid("", "", [invalid("patch", show_go(patch), restate(why, patch))])
