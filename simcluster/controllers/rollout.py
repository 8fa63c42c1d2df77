"""How many pods each ReplicaSet of a Deployment is to have: pure arithmetic.

The rule it keeps: one action a sync, as rolling.go and deployment_util.go of pkg/controller/deployment have
it: the new ReplicaSet grows while the surge allows it; only when it cannot, old ones shrink, unhealthy pods
and oldest ReplicaSets first, and never below the available pods that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simcluster.controllers.shares import resolve_share

Sizes = dict[str, int]  # name of a ReplicaSet -> the replicas that it is to have


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a Deployment asks for, in pods."""

    desired: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """The most pods that there may be while rolling."""
        return self.desired + self.surge

    @property
    def least_available(self) -> int:
        """The least pods that must stay available."""
        return self.desired - self.unavailable


@dataclass(frozen=True, slots=True)
class Generation:
    """One ReplicaSet as the arithmetic sees it; the last two are its annotations, None where absent."""

    name: str
    replicas: int
    available: int = 0
    created_at: float = 0.0
    desired_then: int | None = None
    most_then: int | None = None

    @property
    def age_key(self) -> tuple[float, str]:
        """Sorts oldest first."""
        return self.created_at, self.name


def resolve(desired: int, max_surge: int | str, max_unavailable: int | str) -> Bounds:
    """Turn counts or percentages into pods: surge rounds up, unavailable down, both zero is one unavailable.

    ValueError if a text is not a percentage.
    """
    surge = resolve_share(max_surge, desired, up=True)
    unavailable = resolve_share(max_unavailable, desired, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(desired, surge, min(unavailable, desired))


def advance(bounds: Bounds, new: Generation, olds: Sequence[Generation]) -> Sizes:
    """Return the sizes to write in this step of a rolling update; empty when there is nothing to do now."""
    size = grow(bounds, new, olds)
    if size != new.replicas:
        return {new.name: size}
    return shrink(bounds, new, olds)


def grow(bounds: Bounds, new: Generation, olds: Sequence[Generation]) -> int:
    """Return the size of the new ReplicaSet: what the surge allows, and no more than desired."""
    if new.replicas >= bounds.desired:
        return bounds.desired
    total = new.replicas + sum(old.replicas for old in olds)
    return new.replicas + min(max(0, bounds.most - total), bounds.desired - new.replicas)


def shrink(bounds: Bounds, new: Generation, olds: Sequence[Generation]) -> Sizes:
    """Return the sizes of the old ReplicaSets that lose pods: unhealthy ones first, then available ones."""
    sizes = {old.name: old.replicas for old in olds}
    total = new.replicas + sum(sizes.values())
    budget = total - bounds.least_available - (new.replicas - new.available)
    if budget <= 0 or not any(sizes.values()):
        return {}
    oldest_first = sorted(olds, key=lambda old: old.age_key)
    for old in oldest_first:
        unhealthy = min(budget, max(0, old.replicas - old.available))
        sizes[old.name] -= unhealthy
        budget -= unhealthy
    # The budget binds only where a status lags behind a size that was written just before.
    spare = min(budget, new.available + sum(old.available for old in olds) - bounds.least_available)
    for old in oldest_first:
        healthy = min(sizes[old.name], max(0, spare))
        sizes[old.name] -= healthy
        spare -= healthy
    return {old.name: sizes[old.name] for old in olds if sizes[old.name] != old.replicas}


def is_scaling(bounds: Bounds, generations: Sequence[Generation]) -> bool:
    """Whether the Deployment was scaled since the ReplicaSets that have pods were last sized."""
    return any(each.replicas > 0 and each.desired_then not in (None, bounds.desired) for each in generations)


def rescale(
    bounds: Bounds,
    new: Generation | None,
    olds: Sequence[Generation],
    *,
    is_rolling: bool,
    status_replicas: int,
) -> Sizes:
    """Return the sizes after the Deployment was scaled or while it is paused, for all that are to be written.

    One ReplicaSet with pods takes all; a complete new one empties the old ones; in the middle of a rolling
    update each takes its proportion. An unchanged size is in the answer where its annotations need writing.
    """
    everything = [*olds] if new is None else [*olds, new]
    single = _only_active_or_newest(new, olds)
    if single is not None:
        is_stale = single.desired_then not in (None, bounds.desired)
        return {single.name: bounds.desired} if is_stale or single.replicas != bounds.desired else {}
    if new is not None and new.replicas == new.available == new.desired_then == bounds.desired:
        return {old.name: 0 for old in olds if old.replicas > 0}
    active = [each for each in everything if each.replicas > 0]
    return _share_out(bounds, active, status_replicas) if is_rolling and active else {}


def _only_active_or_newest(new: Generation | None, olds: Sequence[Generation]) -> Generation | None:
    everything = [*olds] if new is None else [*olds, new]
    active = [each for each in everything if each.replicas > 0]
    if len(active) == 1:
        return active[0]
    if active or not everything:
        return None
    return new if new is not None else max(olds, key=lambda old: old.age_key)


def _share_out(bounds: Bounds, active: Sequence[Generation], status_replicas: int) -> Sizes:
    allowed = bounds.most if bounds.desired > 0 else 0
    to_add = allowed - sum(each.replicas for each in active)
    # Largest first; of equals the newest grows first and the oldest shrinks first.
    by_age = sorted(active, key=lambda each: each.age_key, reverse=to_add > 0)
    largest_first = sorted(by_age, key=lambda each: -each.replicas)
    sizes: Sizes = {}
    added = 0
    for each in largest_first:
        part = 0
        if to_add not in (0, added):
            part = _proportion(bounds, each, status_replicas)
            part = min(part, to_add - added) if to_add > 0 else max(part, to_add - added)
        sizes[each.name] = each.replicas + part
        added += part
    if to_add != 0:
        largest = largest_first[0].name
        sizes[largest] = max(0, sizes[largest] + to_add - added)
    return sizes


def _proportion(bounds: Bounds, each: Generation, status_replicas: int) -> int:
    if bounds.desired == 0:
        return -each.replicas
    before = each.most_then if each.most_then else status_replicas
    if before == 0:
        return 0
    # Half away from zero, in whole numbers.
    return (2 * each.replicas * bounds.most + before) // (2 * before) - each.replicas
