"""What a DaemonSet does next on its nodes: pure.

The rule it keeps: one pod a node, the oldest; while a new template is rolled out no more nodes than `maxUnavailable`
are without an available pod, or, with `maxSurge`, no more than that have two. Sources:
pkg/controller/daemon/daemon_controller.go (podsShouldBeOnNode) and update.go (rollingUpdate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from simcluster.controllers import pods
from simcluster.controllers.history import POD_REVISION
from simcluster.controllers.metadata import created_at, is_deleting, labels_of, name_of
from simcluster.controllers.shares import resolve_share
from simcluster.store import Object


@dataclass(frozen=True, slots=True)
class Wish:
    """What a DaemonSet asks for; `hash` is that of its newest template."""

    hash: str
    surge: int = 0
    unavailable: int = 1
    min_ready_s: float = 0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: is it to have a pod, may one stay, and the pods that are on it or meant for it."""

    name: str
    should_run: bool
    may_stay: bool
    pods: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do now: nodes to make a pod for, and pods to delete; `failed` and `ended` of them for that reason."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    failed: list[tuple[Object, str]] = field(default_factory=list)
    ended: list[tuple[Object, str]] = field(default_factory=list)


def wish_for(strategy: Object, mark: str, *, desired: int, min_ready_s: float) -> Wish:
    """Resolve an updateStrategy for that many nodes; both percentages round up."""
    if strategy.get("type") == "OnDelete":
        return Wish(mark, 0, 0, min_ready_s)
    rolling = strategy.get("rollingUpdate") or {}
    surge = resolve_share(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = resolve_share(rolling.get("maxUnavailable", 1), desired, up=True)
    return Wish(mark, surge, 1 if surge == unavailable == 0 else unavailable, min_ready_s)


def is_updated(pod: Object, mark: str) -> bool:
    """Whether a pod was made by the newest template."""
    return labels_of(pod).get(POD_REVISION) == mark


def order(present: Sequence[Object]) -> list[Object]:
    """Pods, those that have a node first, then the oldest."""
    return sorted(present, key=lambda pod: (not pods.node_of(pod), created_at(pod), name_of(pod)[1]))


def manage(wish: Wish, nodes: Sequence[NodeView], is_backing_off: Callable[[str], bool], now: float) -> Steps:
    """Return the steps to one pod on each node; a failed pod stays while its node `is_backing_off`."""
    steps = Steps()
    for node in nodes:
        if node.should_run and not node.pods:
            steps.create.append(node.name)
        elif node.may_stay:
            _tend(wish, node, steps, is_backing_off, now)
        else:
            steps.delete.extend(pod for pod in node.pods if not is_deleting(pod))
    return steps


def _tend(
    wish: Wish, node: NodeView, steps: Steps, is_backing_off: Callable[[str], bool], now: float
) -> None:
    running = []
    for pod in node.pods:
        if is_deleting(pod):
            continue
        phase = pods.phase_of(pod)
        if phase == "Failed" and is_backing_off(node.name):
            continue
        if phase in ("Failed", "Succeeded"):
            (steps.failed if phase == "Failed" else steps.ended).append((pod, node.name))
            steps.delete.append(pod)
        else:
            running.append(pod)
    running = order(running)
    if wish.surge == 0:
        steps.delete.extend(running[1:])
    elif not running and node.should_run:
        steps.create.append(node.name)
    elif len(running) > 1:
        _thin_out(wish, running, steps, now)


def _thin_out(wish: Wish, running: Sequence[Object], steps: Steps, now: float) -> None:
    """Of several pods, keep the oldest new one, and beside it the oldest old one while that is still needed."""
    new = [pod for pod in running if is_updated(pod, wish.hash)]
    old = [pod for pod in running if not is_updated(pod, wish.hash)]
    steps.delete.extend([*new[1:], *old[1:]])
    if new and old and (not pods.is_ready(old[0]) or _is_available(wish, new[0], now)):
        steps.delete.append(old[0])


def roll(wish: Wish, nodes: Sequence[NodeView], now: float) -> Steps:
    """Return the steps of a rolling update, when each node has what `manage` gives it."""
    concerned = [node for node in nodes if node.should_run or node.pods]
    return _surge(wish, concerned, now) if wish.surge > 0 else _replace(wish, concerned, now)


def _pair(wish: Wish, node: NodeView) -> tuple[Object | None, Object | None, bool]:
    """The new and the old pod of a node; False if there are several of a kind."""
    staying = [pod for pod in node.pods if not is_deleting(pod)]
    new = [pod for pod in staying if is_updated(pod, wish.hash)]
    old = [pod for pod in staying if not is_updated(pod, wish.hash)]
    is_clear = len(new) <= 1 and len(old) <= 1
    return next(iter(new), None), next(iter(old), None), is_clear


def _replace(wish: Wish, nodes: Sequence[NodeView], now: float) -> Steps:
    unavailable = 0
    free: list[Object] = []
    candidates: list[Object] = []
    for node in nodes:
        new, old, is_clear = _pair(wish, node)
        if not is_clear or (new is None) == (old is None):
            unavailable += 1
        elif old is None:
            unavailable += not _is_available(wish, new, now)
        elif not _is_available(wish, old, now):
            free.append(old)
            unavailable += 1
        else:
            candidates.append(old)
    return Steps(delete=[*free, *candidates[: max(0, wish.unavailable - unavailable)]])


def _surge(wish: Wish, nodes: Sequence[NodeView], now: float) -> Steps:
    steps = Steps()
    surging, available = 0, 0
    candidates: list[str] = []
    sunset: list[Object] = []
    for node in nodes:
        new, old, is_clear = _pair(wish, node)
        if not is_clear:
            surging += 1
            continue
        available += _is_available(wish, old if old is not None else new, now)
        if old is None:
            continue
        if new is not None:
            if _is_available(wish, new, now):
                steps.delete.append(old)
            else:
                surging += 1
        elif _is_available(wish, old, now):
            if node.should_run:
                candidates.append(node.name)
            else:
                sunset.append(old)
        elif node.should_run:
            steps.create.append(node.name)
        else:
            steps.delete.append(old)
    desired = sum(node.should_run for node in nodes)
    steps.delete.extend(sunset[: max(0, available - desired)])
    steps.create.extend(candidates[: max(0, wish.surge - surging)])
    return steps


def _is_available(wish: Wish, pod: Object | None, now: float) -> bool:
    return pod is not None and pods.is_available(pod, wish.min_ready_s, now)


def count(wish: Wish, nodes: Sequence[NodeView], now: float) -> Mapping[str, int]:
    """The counts of a DaemonSet's status."""
    desired = [node for node in nodes if node.should_run]
    firsts = [order(node.pods)[0] for node in desired if node.pods]
    available = sum(_is_available(wish, pod, now) for pod in firsts)
    return {
        "desiredNumberScheduled": len(desired),
        "currentNumberScheduled": len(firsts),
        "numberMisscheduled": sum(not node.should_run and bool(node.pods) for node in nodes),
        "numberReady": sum(pods.is_ready(pod) for pod in firsts),
        "updatedNumberScheduled": sum(is_updated(pod, wish.hash) for pod in firsts),
        "numberAvailable": available,
        "numberUnavailable": len(desired) - available,
    }
