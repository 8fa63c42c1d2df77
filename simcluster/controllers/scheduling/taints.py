"""Taints of nodes and tolerations of pods: pure.

Source: k8s.io/component-helpers scheduling/corev1/helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
# The effects that keep a new pod away.
REPELLING = ("NoSchedule", "NoExecute")


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether a pod's toleration covers a taint."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def find_untolerated(
    taints: Iterable[Object], tolerations: Sequence[Object], effects: Sequence[str] = REPELLING
) -> Object | None:
    """The first taint with one of the effects that no toleration covers; None if there is none."""
    for taint in taints:
        if taint["effect"] in effects and not any(tolerates(each, taint) for each in tolerations):
            return taint
    return None


def tolerated_for(taints: Sequence[Object], tolerations: Sequence[Object]) -> float | None:
    """For how many seconds a pod may stay under NoExecute taints: inf for ever, None if it must go at once.

    Of the tolerations that cover a taint, the shortest counts (tainteviction, getMinTolerationTime).
    """
    if any(find_untolerated([taint], tolerations, ("NoExecute",)) is not None for taint in taints):
        return None
    limits = [
        max(0.0, float(each["tolerationSeconds"]))
        for each in tolerations
        if each.get("tolerationSeconds") is not None and any(tolerates(each, taint) for taint in taints)
    ]
    return min(limits, default=float("inf"))
