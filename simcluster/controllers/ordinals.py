"""What a StatefulSet does next with its pods: pure.

The rule it keeps: a pod has a number; in order, one is made only when all before it are available, and one goes only
when those that stay are; `Parallel` makes and ends all at once. A new template replaces pods from the highest number
down to the partition, one unavailable at a time. Source: pkg/controller/statefulset/stateful_set_control.go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from simcluster.controllers import pods
from simcluster.controllers.history import POD_REVISION
from simcluster.controllers.metadata import is_deleting, labels_of, name_of
from simcluster.store import Object

_NAME = re.compile(r"(.*)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a StatefulSet asks for; `current` and `update` are names of revisions."""

    name: str
    replicas: int
    current: str
    update: str
    start: int = 0
    min_ready_s: float = 0
    parallel: bool = False
    partition: int | None = 0  # None: nothing said of rolling updates
    on_delete: bool = False
    current_replicas: int = 0

    def holds(self, ordinal: int) -> bool:
        """Whether a pod of that number is asked for."""
        return self.start <= ordinal < self.start + self.replicas

    def revision_of_new(self, ordinal: int) -> str:
        """The revision that a pod is made by."""
        if self.partition is not None:
            return self.current if ordinal < self.start + self.partition else self.update
        is_old = not self.on_delete and ordinal < self.start + self.current_replicas
        return self.current if is_old else self.update


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do now: numbers to make pods for, pods to delete, and pods to be put right (all that were reached)."""

    create: list[int] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    keep: list[Object] = field(default_factory=list)


def parse_name(pod: str) -> tuple[str, int]:
    """The StatefulSet and the number in a pod's name; empty and -1 where there are none."""
    found = _NAME.fullmatch(pod)
    return (found[1], int(found[2])) if found is not None and int(found[2]) < 2**31 else ("", -1)


def ordinal_of(pod: Object) -> int:
    """The number in a pod's name."""
    return parse_name(name_of(pod)[1])[1]


def plan(wish: Wish, present: Sequence[Object], now: float) -> Steps:
    """Return the next steps with the `present` pods of a StatefulSet that is not being deleted."""
    steps = Steps()
    by_ordinal = {ordinal_of(pod): pod for pod in present}
    replicas = {ordinal: by_ordinal.get(ordinal) for ordinal in range(wish.start, wish.start + wish.replicas)}
    condemned = [by_ordinal[each] for each in sorted(by_ordinal, reverse=True) if not wish.holds(each)]
    for ordinal, pod in replicas.items():
        if _tend(wish, ordinal, pod, steps, now) and not wish.parallel:
            return steps
    first = _first_unavailable(wish, [*replicas.values(), *reversed(condemned)], now)
    for pod in condemned:
        if _condemn(wish, pod, steps, first, now) and not wish.parallel:
            return steps
    if not wish.on_delete:
        _replace(wish, replicas, steps, now)
    return steps


def _tend(wish: Wish, ordinal: int, pod: Object | None, steps: Steps, now: float) -> bool:
    """Note what one pod that is asked for needs; return whether those after it must wait."""
    if pod is None:
        steps.create.append(ordinal)
        return True
    if pods.is_terminal(pod):
        if not is_deleting(pod):
            steps.delete.append(pod)
        return True
    if pods.phase_of(pod) == "Pending":
        steps.keep.append(pod)
    if is_deleting(pod) or not _is_available(wish, pod, now):
        return True
    steps.keep.append(pod)
    return False


def _condemn(wish: Wish, pod: Object, steps: Steps, first: Object | None, now: float) -> bool:
    """Note the end of one pod that is not asked for; return whether the others must wait."""
    if is_deleting(pod):
        return True
    # In order, a sick pod does not go before one that was sick with a lower number.
    if wish.parallel or _is_available(wish, pod, now) or pod is first:
        steps.delete.append(pod)
    return True


def _replace(wish: Wish, replicas: dict[int, Object | None], steps: Steps, now: float) -> None:
    """Note the end of the highest pod of an older revision, unless one above it is not available yet."""
    least = wish.start + (wish.partition or 0)
    gone = {name_of(pod)[1] for pod in steps.delete}
    for ordinal in sorted(replicas, reverse=True):
        pod = replicas[ordinal]
        if ordinal < least:
            return
        if pod is not None and not is_deleting(pod) and revision_of(pod) != wish.update:
            if name_of(pod)[1] not in gone:
                steps.delete.append(pod)
            return
        if pod is None and wish.revision_of_new(ordinal) != wish.update:
            return
        if pod is None or is_deleting(pod) or not _is_available(wish, pod, now):
            return


def _first_unavailable(wish: Wish, everyone: Sequence[Object | None], now: float) -> Object | None:
    for pod in everyone:
        if pod is not None and (is_deleting(pod) or not _is_available(wish, pod, now)):
            return pod
    return None


def _is_available(wish: Wish, pod: Object, now: float) -> bool:
    return pods.phase_of(pod) == "Running" and pods.is_available(pod, wish.min_ready_s, now)


def revision_of(pod: Object) -> str:
    """The name of the revision that a pod was made by."""
    return labels_of(pod).get(POD_REVISION, "")


def count(wish: Wish, present: Sequence[Object], now: float) -> dict[str, int]:
    """The counts of a StatefulSet's status."""
    staying = [pod for pod in present if not is_deleting(pod)]
    ready = [pod for pod in present if pods.phase_of(pod) == "Running" and pods.is_ready(pod)]
    return {
        "replicas": len(present),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pods.is_available(pod, wish.min_ready_s, now) for pod in ready),
        "currentReplicas": sum(revision_of(pod) == wish.current for pod in staying),
        "updatedReplicas": sum(revision_of(pod) == wish.update for pod in staying),
    }
