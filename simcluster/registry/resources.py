"""What the API server refuses of a container's requests and limits. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (validateContainerResourceRequirements).
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, invalid
from simcluster.registry import checks
from simcluster.schema import quantities

Object = dict[str, Any]
_STANDARD = ("cpu", "memory", "ephemeral-storage")


def find_resource_faults(resources: Object, at: str) -> list[Cause]:
    """Return what is wrong with what is asked for and what is allowed at most."""
    found: list[Cause] = []
    limits = resources.get("limits", {})
    for name, amount in limits.items():
        found += _find_amount_faults(name, amount, f"{at}.limits[{name}]")
    for name, amount in resources.get("requests", {}).items():
        found += _find_amount_faults(name, amount, f"{at}.requests[{name}]")
        limit = limits.get(name)
        if limit is not None and quantities.parse(amount) > quantities.parse(limit):
            text = f"must be less than or equal to {name} limit of {limit}"
            found.append(invalid(f"{at}.requests", amount, text))
    return found


def _find_amount_faults(name: str, amount: str, at: str) -> list[Cause]:
    found: list[Cause] = []
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        found.append(invalid(at, name, "must be a standard resource type or fully qualified"))
        found.append(invalid(at, name, "must be a standard resource for containers"))
    if quantities.parse(amount) < 0:
        found.append(invalid(at, amount, checks.NOT_NEGATIVE))
    return found
