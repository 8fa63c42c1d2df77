"""Evictions: may a pod be deleted by its disruption budget, and what is noted when it is.

The rule it keeps: whoever is evicted is counted against the budget before it is deleted, so that two evictions never
share one allowed disruption. Pods that are no use to anybody (pending, ended, on their way out) need no budget.

Source: kubernetes pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.errors import Cause, Forbidden, StatusError, TooManyRequests
from simcluster.registry.instants import format_time
from simcluster.selectors import matches_label_selector

Object = dict[str, Any]

BUDGETS = "poddisruptionbudgets.policy"
ALLOWED = "DisruptionAllowed"
SYNC_FAILED = "SyncFailed"
_MOST_DISRUPTED = 2000
_STALE_S = 10


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to delete a pod; `budget` is the one to be written with its new status, None to write none."""

    budget: Object | None = None


def decide(pod: Object, budgets: Sequence[Object], now: float) -> Permit:
    """Return the leave to evict a pod, by all budgets of its namespace; StatusError says why there is none."""
    if _needs_no_budget(pod):
        return Permit()
    labels = pod["metadata"].get("labels", {})
    matching = [each for each in budgets if _selects(each, labels)]
    if not matching:
        return Permit()
    if len(matching) > 1:
        text = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise StatusError(text, code=500, reason="")
    [budget] = matching
    return Permit() if _is_spare(pod, budget) else Permit(_spend(pod, budget, now))


def _needs_no_budget(pod: Object) -> bool:
    phase = pod.get("status", {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or "deletionTimestamp" in pod["metadata"]


def _selects(budget: Object, labels: dict[str, str]) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and matches_label_selector(selector, labels)


def _is_spare(pod: Object, budget: Object) -> bool:
    """Whether a pod that is not ready may go without being counted."""
    conditions = pod.get("status", {}).get("conditions", ())
    if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status", {})
    desired = status.get("desiredHealthy", 0)
    return bool(status.get("currentHealthy", 0) >= desired > 0)


def _spend(pod: Object, budget: Object, now: float) -> Object:
    """Return the budget with one disruption fewer, spent on that pod."""
    name, status = budget["metadata"]["name"], budget.get("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        said = f"The disruption budget {name} is still being processed by the server."
        raise _refuse(said, retry_s=_STALE_S)
    allowed = status.get("disruptionsAllowed", 0)
    disrupted = status.get("disruptedPods", {})
    if allowed < 0:
        raise Forbidden("poddisruptionbudget.policy", name, "pdb disruptions allowed is negative")
    if len(disrupted) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise Forbidden("poddisruptionbudget.policy", name, why)
    if allowed == 0:
        raise _refuse(_explain(name, status))
    taken = {**disrupted, pod["metadata"]["name"]: format_time(now)}
    spent = {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": taken}
    if allowed == 1:
        spent["conditions"] = disruption_condition(spent, now)
    return {**budget, "status": spent}


def _refuse(said: str, *, retry_s: int | None = None) -> TooManyRequests:
    causes = {"causes": [Cause("DisruptionBudget", said).as_object()]}
    details = causes if retry_s is None else causes | {"retryAfterSeconds": retry_s}
    return TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.", details=details
    )


def _explain(name: str, status: Object) -> str:
    conditions = status.get("conditions", ())
    said: Object = next(
        (each for each in conditions if each["type"] == ALLOWED and each["status"] == "False"), {}
    )
    message, reason = said.get("message", ""), said.get("reason", "")
    begin = f"The disruption budget {name} does not allow evicting pods currently"
    if message and reason == SYNC_FAILED:
        return f"{begin} because it failed sync: {message}"
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if healthy <= desired:
        return f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    return f"{begin} ({reason}): {message}" if message else begin


def disruption_condition(status: Object, now: float, *, failure: str | None = None) -> list[Object]:
    """Return the conditions of a budget's status, with DisruptionAllowed as its counts (or `failure`) have it."""
    said, reason = "False", "InsufficientPods"
    if failure is not None:
        reason = SYNC_FAILED
    elif status.get("disruptionsAllowed", 0) > 0:
        said, reason = "True", "SufficientPods"
    new = {
        "type": ALLOWED,
        "status": said,
        "reason": reason,
        "message": "" if failure is None else failure,
        "lastTransitionTime": format_time(now),
    }
    if status.get("observedGeneration"):
        new["observedGeneration"] = status["observedGeneration"]
    conditions = status.get("conditions") or []
    old = next((each for each in conditions if each["type"] == ALLOWED), None)
    if old is None:
        return [*conditions, new]
    if old["status"] == said:
        new["lastTransitionTime"] = old["lastTransitionTime"]
    return [new if each is old else each for each in conditions]


def targeted(pod: Object, now: float) -> Object:
    """Return a pod with the condition that says that the eviction API takes it."""
    status = pod.get("status", {})
    conditions = status.get("conditions", [])
    old = next((each for each in conditions if each["type"] == "DisruptionTarget"), None)
    begun = old["lastTransitionTime"] if old is not None and old["status"] == "True" else format_time(now)
    new = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": begun,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    kept = [new if each is old else each for each in conditions]
    return {**pod, "status": {**status, "conditions": kept if old is not None else [*kept, new]}}
