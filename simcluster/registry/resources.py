"""What the API server refuses of a container's requests and limits, and of the names of what is counted. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (validateContainerResourceRequirements, validateResourceName)
and pkg/apis/core/helper/helpers.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, invalid, required
from simcluster.labels import complain_key
from simcluster.registry import checks
from simcluster.schema import quantities

Object = dict[str, Any]
_COMPUTED = ("cpu", "memory", "ephemeral-storage")
_STANDARD = frozenset(
    {
        *(f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in _COMPUTED),
        *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
        *("persistentvolumeclaims", "storage", "requests.storage"),
        *("services.nodeports", "services.loadbalancers"),
    }
)


def find_resource_faults(resources: Object, at: str) -> list[Cause]:
    """Return what is wrong with what is asked for and what is allowed at most."""
    found: list[Cause] = []
    limits = resources.get("limits", {})
    for name, amount in limits.items():
        found += _find_amount_faults(name, amount, f"{at}.limits[{name}]")
    for name, amount in resources.get("requests", {}).items():
        found += _find_amount_faults(name, amount, f"{at}.requests[{name}]")
        limit, above = limits.get(name), f"{at}.requests"
        if limit is None:
            if not is_overcommitted(name):
                found.append(required(f"{at}.limits", "Limit must be set for non overcommitable resources"))
        elif not is_overcommitted(name) and quantities.parse(amount) != quantities.parse(limit):
            found.append(invalid(above, amount, f"must be equal to {name} limit of {limit}"))
        elif quantities.parse(amount) > quantities.parse(limit):
            found.append(invalid(above, amount, f"must be less than or equal to {name} limit of {limit}"))
    return found


def _find_amount_faults(name: str, amount: str, at: str) -> list[Cause]:
    found = find_container_name_faults(name, at)
    if quantities.parse(amount) < 0:
        found.append(invalid(at, amount, checks.NOT_NEGATIVE))
    return found


def is_overcommitted(name: str) -> bool:
    """Return whether more of a resource may be allowed than asked for."""
    return _is_native(name) and not name.startswith("hugepages-")


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def find_name_faults(name: str, at: str) -> list[Cause]:
    """Return what is wrong with the name of a resource."""
    found = checks.apply_rule(complain_key, name, at)
    is_standard = name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))
    if not found and "/" not in name and not is_standard:
        found.append(invalid(at, name, "must be a standard resource type or fully qualified"))
    return found


def find_container_name_faults(name: str, at: str) -> list[Cause]:
    """Return what is wrong with the name of a resource that containers can ask for."""
    found = find_name_faults(name, at)
    if "/" not in name:
        if name not in _COMPUTED and not name.startswith("hugepages-"):
            found.append(invalid(at, name, "must be a standard resource for containers"))
    elif not _is_native(name) and (name.startswith("requests.") or complain_key(f"requests.{name}")):
        found.append(invalid(at, name, "doesn't follow extended resource name standard"))
    return found
