"""What the API server refuses of kinds with few rules: budgets, claims, volumes, leases, classes, nodes. Pure.

Source: kubernetes pkg/apis/{policy,core,coordination,scheduling,storage}/validation/validation.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, forbidden, invalid, required, unsupported
from simcluster.labels import complain_subdomain
from simcluster.registry import checks
from simcluster.registry.placement import find_taint_faults
from simcluster.schema import quantities

Object = dict[str, Any]
_IMMUTABLE = "field is immutable"
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_POSITIVE = "must be greater than zero"
_HIGHEST_PRIORITY = 1_000_000_000
# What of a PersistentVolume's spec is no source of it.
_NO_SOURCE = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
_CLAIM_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
    "claims"
)


def find_budget_faults(budget: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a PodDisruptionBudget."""
    spec = budget.get("spec", {})
    found: list[Cause] = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        found.append(invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for key in ("minAvailable", "maxUnavailable"):
        if key in spec:
            found += checks.find_amount_fault(spec[key], f"spec.{key}", most_percent=True)
    found += checks.find_selector_faults(spec.get("selector") or {}, "spec.selector")
    policies = ("AlwaysAllow", "IfHealthyBudget")
    policy = spec.get("unhealthyPodEvictionPolicy")
    return found + checks.find_choice(policy, policies, "spec.unhealthyPodEvictionPolicy")


def find_claim_faults(claim: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a PersistentVolumeClaim."""
    spec = claim["spec"]
    found: list[Cause] = []
    modes = spec.get("accessModes", [])
    if not modes:
        found.append(required("spec.accessModes", "at least 1 access mode is required"))
    found += checks.find_selector_faults(spec.get("selector", {}), "spec.selector")
    found += _find_mode_faults(modes)
    storage = spec.get("resources", {}).get("requests", {}).get("storage")
    if storage is None:
        found.append(required("spec.resources[storage]"))
    elif quantities.parse(storage) <= 0:
        found.append(invalid("spec.resources[storage]", storage, _POSITIVE))
    if spec.get("storageClassName"):
        found += checks.apply_rule(complain_subdomain, spec["storageClassName"], "spec.storageClassName")
    found += checks.find_choice(spec.get("volumeMode"), ("Block", "Filesystem"), "spec.volumeMode")
    if old is not None and not _is_same_claim(spec, old):
        found.append(forbidden("spec", _CLAIM_FIXED))
    elif old is not None and storage is not None and _is_too_small(storage, old):
        text = "field can not be less than status.capacity"
        found.append(forbidden("spec.resources.requests.storage", text))
    return found


def _is_too_small(storage: str, old: Object) -> bool:
    """Return whether a claim is to shrink below what it has got."""
    before = quantities.parse(old["spec"].get("resources", {}).get("requests", {}).get("storage", "0"))
    got = quantities.parse(old.get("status", {}).get("capacity", {}).get("storage", "0"))
    return quantities.parse(storage) < min(before, got)


def _is_same_claim(spec: Object, old: Object) -> bool:
    """Return whether an update leaves what it must; a class may be given to a claim that has none."""
    free = {"volumeName"}
    if old.get("status", {}).get("phase") == "Bound":
        free |= {"resources", "volumeAttributesClassName"}
    if "storageClassName" not in old["spec"]:
        free.add("storageClassName")
    kept = {key: value for key, value in spec.items() if key not in free}
    return kept == {key: value for key, value in old["spec"].items() if key not in free}


def _find_mode_faults(modes: list[str]) -> list[Cause]:
    found = [unsupported("spec.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        found.append(forbidden("spec.accessModes", text))
    return found


def find_volume_faults(volume: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a PersistentVolume."""
    spec = volume.get("spec", {})
    modes, capacity = spec.get("accessModes", []), spec.get("capacity", {})
    found = [] if modes else [required("spec.accessModes")]
    found += _find_mode_faults(modes)
    found += [] if capacity else [required("spec.capacity")]
    if "storage" not in capacity or len(capacity) > 1:
        found.append(unsupported("spec.capacity", capacity or None, ("storage",)))
    for name, amount in capacity.items():
        if quantities.parse(amount) <= 0:
            found.append(invalid(f"spec.capacity[{name}]", amount, _POSITIVE))
    policies = ("Delete", "Recycle", "Retain")
    policy = spec.get("persistentVolumeReclaimPolicy")
    found += checks.find_choice(policy, policies, "spec.persistentVolumeReclaimPolicy")
    sources = [key for key in spec if key not in _NO_SOURCE]
    path = spec.get("hostPath", {}).get("path", "")
    if ".." in path.split("/"):
        found.append(invalid("spec.hostPath.path", path, "must not contain '..'"))
    text = "may not specify more than 1 volume type"
    found += [forbidden(f"spec.{key}", text) for key in sources[1:]]
    return found if sources else [*found, required("spec", "must specify a volume type")]


def find_lease_faults(lease: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a Lease."""
    spec = lease.get("spec", {})
    duration = spec.get("leaseDurationSeconds")
    found = (
        [invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")]
        if duration is not None and duration <= 0
        else []
    )
    return found + checks.find_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")


def find_priority_faults(of_class: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a PriorityClass."""
    name, value = of_class["metadata"].get("name", ""), of_class.get("value", 0)
    found: list[Cause] = []
    if name.startswith("system-") and name not in ("system-node-critical", "system-cluster-critical"):
        text = (
            "priority class names with 'system-' prefix are reserved for system use only. error: "
            f"{name} is not a known system priority class"
        )
        found.append(forbidden("metadata.name", text))
    elif value > _HIGHEST_PRIORITY and not name.startswith("system-"):
        text = f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}"
        found.append(forbidden("value", text))
    policy = of_class.get("preemptionPolicy")
    found += checks.find_choice(policy, ("PreemptLowerPriority", "Never"), "preemptionPolicy")
    if old is None:
        return found
    if value != old.get("value", 0):
        found.append(forbidden("value", "may not be changed in an update."))
    if policy != old.get("preemptionPolicy"):
        found.append(invalid("preemptionPolicy", policy, _IMMUTABLE))
    return found


def find_storage_faults(of_class: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a StorageClass."""
    found = [] if of_class.get("provisioner") else [required("provisioner")]
    if "" in of_class.get("parameters", {}):
        found.append(invalid("parameters", "", "field can not be empty."))
    found += checks.find_choice(of_class.get("reclaimPolicy"), ("Delete", "Retain"), "reclaimPolicy")
    modes = ("Immediate", "WaitForFirstConsumer")
    found += checks.find_choice(of_class.get("volumeBindingMode"), modes, "volumeBindingMode")
    if old is None:
        return found
    keys = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
    return found + [
        invalid(key, of_class.get(key), _IMMUTABLE) for key in keys if of_class.get(key) != old.get(key)
    ]


def find_node_faults(node: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a Node."""
    spec = node.get("spec", {})
    found = find_taint_faults(spec.get("taints", []), "metadata.taints")
    for index, each in enumerate(spec.get("podCIDRs", ())):
        found += checks.find_network_fault(each, f"spec.podCIDRs[{index}]")
    for key, field in (("podCIDR", "podCIDRs"), ("providerID", "providerID")):
        before = {} if old is None else old.get("spec", {})
        if before.get(key) and spec.get(key) != before[key]:
            text = f'node updates may not change {key} except from "" to valid'
            found.append(forbidden(f"spec.{field}", text))
    return found
