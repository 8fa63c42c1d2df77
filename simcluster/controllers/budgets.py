"""What a PodDisruptionBudget allows: pure arithmetic, and the status that says it.

The rule it keeps: percentages are of the replicas that the pods' controllers are asked for, and round up; a pod
that an eviction has just taken does not count as healthy until it is gone or its time is over. Source:
pkg/controller/disruption/disruption.go, pkg/apis/policy/v1 helpers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from simcluster.controllers import pods
from simcluster.controllers.metadata import is_deleting, name_of
from simcluster.controllers.shares import resolve_share
from simcluster.registry import parse_time
from simcluster.registry.eviction import disruption_condition
from simcluster.store import Object


@dataclass(frozen=True, slots=True)
class Need:
    """What a budget asks for: the pods that there should be, and how many of them healthy."""

    expected: int
    healthy: int


def counts_controllers(spec: Object) -> bool:
    """Whether a budget depends on the replicas that the pods' controllers are asked for."""
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def need_of(spec: Object, *, matching: int, asked: int) -> Need:
    """Return what a budget asks for; `matching` pods there are, `asked` is what their controllers want."""
    unavailable, available = spec.get("maxUnavailable"), spec.get("minAvailable")
    if unavailable is not None:
        return Need(asked, max(0, asked - resolve_share(unavailable, asked, up=True)))
    if isinstance(available, str):
        return Need(asked, resolve_share(available, asked, up=True))
    return Need(matching, available) if available is not None else Need(0, 0)


@dataclass(frozen=True, slots=True)
class Disrupted:
    """The evicted pods that are still awaited to go: by name, the instant of the eviction as text."""

    names: dict[str, str]
    overdue: tuple[Object, ...]
    again_in_s: float | None


def disrupted(selected: Iterable[Object], status: Object, now: float, deletion_timeout_s: float) -> Disrupted:
    """Sort the pods that evictions have taken into those that may still go and those that did not."""
    names: dict[str, str] = {}
    overdue, waits = [], []
    told = status.get("disruptedPods") or {}
    for pod in selected:
        evicted_at = told.get(name_of(pod)[1])
        if evicted_at is None or is_deleting(pod):
            continue
        left_s = parse_time(evicted_at) + deletion_timeout_s - now
        if left_s <= 0:
            overdue.append(pod)
        else:
            names[name_of(pod)[1]] = evicted_at
            waits.append(left_s)
    return Disrupted(names, tuple(overdue), min(waits, default=None))


def status_for(
    budget: Object, selected: Iterable[Object], need: Need, evicted: dict[str, str], now: float
) -> Object:
    """Return the status of a budget."""
    healthy = sum(
        pods.is_ready(pod) and not is_deleting(pod) and name_of(pod)[1] not in evicted for pod in selected
    )
    allowed = max(0, healthy - need.healthy) if need.expected > 0 else 0
    generation = budget["metadata"].get("generation", 0)
    status: dict[str, Any] = {
        "currentHealthy": healthy,
        "desiredHealthy": need.healthy,
        "disruptionsAllowed": allowed,
        "expectedPods": need.expected,
        "observedGeneration": generation,
        "conditions": (budget.get("status") or {}).get("conditions") or [],
    }
    if evicted:
        status["disruptedPods"] = evicted
    status["conditions"] = disruption_condition(status, now)
    return status
