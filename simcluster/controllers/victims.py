"""Which pods a ReplicaSet deletes when it has too many.

The rule it keeps: the order of ActivePodsWithRanks in pkg/controller/controller_utils.go. Pure: pods and an
instant in, pods out. Ages count by power of two, so that equal ones fall to the uid, which is chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from simcluster.controllers import pods
from simcluster.controllers.metadata import annotations_of, created_at, uid_of
from simcluster.store import Object

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def choose(candidates: Sequence[Object], related: Iterable[Object], count: int, now: float) -> list[Object]:
    """Return the `count` pods to delete.

    `related` are the pods of all ReplicaSets of the same owner: who shares a node with more of them goes
    sooner. `now` is in seconds since the epoch.
    """
    if count >= len(candidates):
        return list(candidates)
    crowd = Counter(pods.node_of(pod) for pod in related if pods.is_active(pod))

    def compare(first: Object, second: Object) -> int:
        return _compare(first, second, crowd, now)

    return sorted(candidates, key=cmp_to_key(compare))[:count]


def _compare(first: Object, second: Object, crowd: Counter[str], now: float) -> int:
    left, right = _rank(first, crowd), _rank(second, crowd)
    if left != right:
        return -1 if left < right else 1
    if pods.is_ready(first):
        order = _compare_ages(first, second, pods.ready_since(first), pods.ready_since(second), now)
        if order != 0:
            return order
    left_restarts, right_restarts = _restarts(first), _restarts(second)
    if left_restarts != right_restarts:
        return -1 if left_restarts > right_restarts else 1
    return _compare_ages(first, second, created_at(first), created_at(second), now)


def _rank(pod: Object, crowd: Counter[str]) -> tuple[bool, int, bool, int, int]:
    node = pods.node_of(pod)
    return node != "", _PHASES.get(pods.phase_of(pod), 0), pods.is_ready(pod), _cost(pod), -crowd[node]


def _cost(pod: Object) -> int:
    text = annotations_of(pod).get(DELETION_COST, "0")
    digits = text[1:] if text[:1] == "-" else text
    # As strict as the real one: no plus sign, no leading zeros; what cannot be read counts as 0.
    is_number = digits.isascii() and digits.isdecimal() and (digits == "0" or digits[0] != "0")
    cost = int(text) if is_number else 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _restarts(pod: Object) -> tuple[int, int]:
    status = pod.get("status") or {}
    sidecars = {
        container["name"]
        for container in pod["spec"].get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    regular = [each.get("restartCount", 0) for each in status.get("containerStatuses") or ()]
    beside = [
        each.get("restartCount", 0)
        for each in status.get("initContainerStatuses") or ()
        if each["name"] in sidecars
    ]
    return max(regular, default=0), max(beside, default=0)


def _compare_ages(
    first: Object, second: Object, first_at: float | None, second_at: float | None, now: float
) -> int:
    """Younger first, by power of two of the age; an unknown age counts as youngest."""
    if first_at == second_at:
        return 0
    if first_at is None or second_at is None:
        return -1 if first_at is None else 1
    left, right = _magnitude(now - first_at), _magnitude(now - second_at)
    if left == right:
        return -1 if uid_of(first) < uid_of(second) else 1
    return left - right


def _magnitude(age_s: float) -> int:
    nanoseconds = round(age_s * 1e9)
    return math.floor(math.log2(nanoseconds)) if nanoseconds > 0 else -1
