"""What the API server does to pods: admission, what may change, how they are bound and removed. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from simcluster.errors import Cause, forbidden, invalid, required
from simcluster.registry import limits, priorities
from simcluster.registry.pod_specs import find_spec_faults
from simcluster.store import Store

Object = dict[str, Any]

# What the admission plug-in DefaultTolerationSeconds adds.
_TOLERATIONS: tuple[Object, ...] = tuple(
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
)
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
    "negative)\n"
)


class _Around(Protocol):
    """What is asked of the registry."""

    @property
    def store(self) -> Store:
        """Where priority classes and LimitRanges are."""

    @property
    def clock(self) -> Callable[[], float]:
        """The time, in seconds since the epoch."""


def prepare(pod: Object, old: Object | None, around: _Around) -> None:
    """Fill in what admission and the pod strategy fill in on creation."""
    if old is not None:
        # What was tolerated by default can not be taken away.
        _tolerate(pod["spec"])
        return
    spec = pod["spec"]
    spec["terminationGracePeriodSeconds"] = max(spec["terminationGracePeriodSeconds"], 0) or (
        1 if spec["terminationGracePeriodSeconds"] < 0 else 0
    )
    limits.fill(pod, limits.find_ranges(around.store, pod["metadata"]["namespace"]))
    spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    _tolerate(spec)
    priorities.prioritize(pod, around.store)
    pod["status"] = {"phase": "Pending", "qosClass": classify(spec)}
    priorities.show_gates(pod, around.clock())


def _tolerate(spec: Object) -> None:
    tolerations = spec.get("tolerations", [])
    for added in _TOLERATIONS:
        if not any(_covers(each, added["key"]) for each in tolerations):
            tolerations = [*tolerations, added]
    spec["tolerations"] = tolerations


def _covers(toleration: Object, key: str) -> bool:
    named = toleration.get("key", "") in ("", key)
    return named and toleration.get("effect", "") in ("", "NoExecute")


def classify(spec: Object) -> str:
    """Return the quality-of-service class that a pod's requests and limits give it."""
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    # What is asked for the whole pod counts in place of what its containers ask.
    of_pod = spec.get("resources")
    resources = [of_pod] if of_pod else [each.get("resources", {}) for each in containers]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    for each in resources:
        limits, requests = each.get("limits", {}), each.get("requests", {})
        if any(limits.get(name) is None or requests.get(name) != limits[name] for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def find_faults(pod: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a pod, or with what an update wants to change of it."""
    if old is not None:
        return find_spec_faults(pod["spec"], "spec") + _find_changes(pod["spec"], old["spec"])
    found = find_spec_faults(pod["spec"], "spec")
    if pod["spec"].get("ephemeralContainers"):
        found.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return found


def _find_changes(new: Object, old: Object) -> list[Cause]:
    if new == old:
        return []
    gates = old.get("schedulingGates", [])
    if any(each not in gates for each in new.get("schedulingGates", [])):
        text = "field is immutable: only deletion is allowed, but found new scheduling gates"
        return [forbidden("spec.schedulingGates", text)]
    for kind in ("containers", "initContainers"):
        if len(new.get(kind, ())) != len(old.get(kind, ())):
            return [forbidden(f"spec.{kind}", "pod updates may not add or remove containers")]
    found: list[Cause] = []
    for index, container in enumerate(new["containers"]):
        # That an image is missing is found twice, as on a real server.
        found += [] if container.get("image") else [required(f"spec.containers[{index}].image")]
    deadline, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if before is not None and deadline is not None and deadline > before:
        text = "must be less than or equal to previous value"
        return [*found, invalid("spec.activeDeadlineSeconds", deadline, text)]
    return found if _immutable(new) == _immutable(old) else [*found, forbidden("spec", _MUTABLE)]


def _immutable(spec: Object) -> Object:
    """Return what of a spec may not change."""
    free = {"activeDeadlineSeconds", "tolerations", "schedulingGates"}
    kept = {key: value for key, value in spec.items() if key not in free}
    for kind in ("containers", "initContainers"):
        if kind in kept:
            kept[kind] = [{**each, "image": ""} for each in kept[kind]]
    return kept


def choose_grace(pod: Object, asked_s: int | None) -> int:
    """Return the seconds that a pod is given to end: 0 removes it at once."""
    spec_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
    grace_s = int(spec_s) if asked_s is None else asked_s
    unbound = not pod["spec"].get("nodeName")
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if unbound or ended:
        return 0
    return 1 if grace_s < 0 else grace_s
