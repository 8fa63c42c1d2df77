"""What the API server refuses of a LimitRange. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateLimitRange). Where a real server takes resources as
they come, they come by name here.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any

from simcluster.errors import Cause, duplicate, forbidden, invalid, required
from simcluster.labels import complain_key
from simcluster.registry import checks, resources
from simcluster.schema import quantities

Object = dict[str, Any]
_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_KEYS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_DEFAULTS = ("default", "defaultRequest")
# Of each pair the first must not be above the second; then the field at fault, whose value it is shown with, and what
# both are called.
_ORDERS = (
    ("min", "max", "min", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request", "default limit"),
    ("min", "default", "default", "min", "min", "default"),
    ("default", "max", "default", "max", "default", "max"),
)


def find_faults(of_range: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a LimitRange."""
    found: list[Cause] = []
    seen: set[str] = set()
    for index, item in enumerate(of_range.get("spec", {}).get("limits") or ()):
        at, kind = f"spec.limits[{index}]", item.get("type", "")
        found += _find_type_faults(kind, f"{at}.type")
        if kind in seen:
            found.append(duplicate(f"{at}.type", kind))
        seen.add(kind)
        found += _find_item_faults(item, kind, at)
    return found


def _find_type_faults(kind: str, at: str) -> list[Cause]:
    found = checks.apply_rule(complain_key, kind, at)
    if not found and "/" not in kind and kind not in _TYPES:
        found.append(invalid(at, kind, "must be a standard limit type or fully qualified"))
    return found


def _find_item_faults(item: Object, kind: str, at: str) -> list[Cause]:
    find = (
        resources.find_container_name_faults if kind in ("Container", "Pod") else resources.find_name_faults
    )
    found: list[Cause] = []
    amounts: dict[str, dict[str, str]] = {}
    for key in _KEYS:
        if key == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim":
            found += _find_missing_bound(item, at)
        if key in _DEFAULTS and kind == "Pod":
            if item.get(key):
                found.append(forbidden(f"{at}.{key}", "may not be specified when `type` is 'Pod'"))
            continue
        for name, amount in item.get(key, {}).items():
            found += find(name, f"{at}.{key}[{name}]")
            amounts.setdefault(name, {})[key] = amount
    for name, said in sorted(amounts.items()):
        found += _find_order_faults(name, said, at)
    return found


def _find_missing_bound(item: Object, at: str) -> list[Cause]:
    if any("storage" in item.get(key, {}) for key in ("min", "max")):
        return []
    text = "either minimum or maximum storage value is required, but neither was provided"
    return [required(f"{at}.limits", text)]


def _find_order_faults(name: str, said: dict[str, str], at: str) -> Iterator[Cause]:
    """Yield what does not go together of what is said of one resource."""
    values = {key: quantities.parse(amount) for key, amount in said.items()}
    for low, high, field, shown, lower, higher in _ORDERS:
        if low in said and high in said and values[low] > values[high]:
            text = f"{lower} value {said[low]} is greater than {higher} value {said[high]}"
            yield invalid(f"{at}.{field}[{name}]", said[shown], text)
    ratio = said.get("maxLimitRequestRatio")
    if ratio is not None:
        where = f"{at}.maxLimitRequestRatio[{name}]"
        if values["maxLimitRequestRatio"] < 1:
            yield invalid(where, ratio, f"ratio {ratio} is less than 1")
        if "min" in said and "max" in said:
            most = _divide(values["max"], values["min"], values["maxLimitRequestRatio"])
            if float(values["maxLimitRequestRatio"]) > most:
                yield invalid(where, ratio, f"ratio {ratio} is greater than max/min = {most:f}")
    if resources.is_overcommitted(name) or not all(key in said for key in _DEFAULTS):
        return
    if values["default"] != values["defaultRequest"]:
        limit, request = said["default"], said["defaultRequest"]
        text = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield invalid(f"{at}.defaultRequest[{name}]", request, text)


def _divide(most: Fraction, least: Fraction, ratio: Fraction) -> float:
    unit = 1000 if all(ceil(each) < quantities.MOST_IN_THOUSANDTHS for each in (most, least, ratio)) else 1
    above, below = ceil(most * unit), ceil(least * unit)
    if below == 0:
        return float("inf") if above else float("nan")
    return above / below
