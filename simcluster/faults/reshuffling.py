"""Packing the slices of a Service anew: other names, other sizes, the same endpoints. Pure; chance comes in."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]


def repack(slices: Sequence[Object], size: int, chance: random.Random) -> list[Object]:
    """Return slices that hold just the endpoints of the given ones, in another order, at most `size` in each.

    They are to be created, and carry what the given ones carry: labels, owners, ports, type of address.
    """
    together: dict[str, list[Object]] = {}
    for each in slices:
        key = json.dumps([each.get("ports"), each["addressType"]], sort_keys=True)
        together.setdefault(key, []).append(each)
    found = []
    for alike in together.values():
        endpoints = [endpoint for each in alike for endpoint in each.get("endpoints") or ()]
        chance.shuffle(endpoints)
        # A Service without endpoints keeps an empty one.
        parts = [endpoints[at : at + size] for at in range(0, len(endpoints), size)] or [[]]
        found += [_copy(alike[0], part) for part in parts]
    return found


def _copy(like: Object, endpoints: list[Object]) -> Object:
    old = like["metadata"]
    kept = {key: old[key] for key in ("namespace", "labels", "annotations", "ownerReferences") if key in old}
    base = old.get("generateName", f"{old['name']}-")
    head = {key: like[key] for key in ("apiVersion", "kind", "addressType")}
    ports = like.get("ports")
    return head | {
        "metadata": kept | {"generateName": base},
        "endpoints": endpoints if endpoints else None,
        "ports": ports,
    }
