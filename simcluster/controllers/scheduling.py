"""Which node a pod goes to: pure.

The rule it keeps: a node must be asked for by nobody else's rules (name, selector, taints, cordon); of those left
the one with the fewest pods wins, chance decides between equals. The reasons are worded as kube-scheduler words
them. Not weighed: resources, affinity, topology spread.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.controllers.metadata import labels_of, matches_labels
from simcluster.store import Object

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_NO_MATCH = "node(s) didn't match Pod's node affinity/selector"
_CORDONED = "node(s) were unschedulable"
_TAINTED = "node(s) had untolerated taint(s)"


@dataclass(frozen=True, slots=True)
class Choice:
    """The name of a node, or None and the reason in words."""

    node: str | None
    message: str


def choose(pod: Object, nodes: Sequence[Object], load: Mapping[str, int], rng: random.Random) -> Choice:
    """Return the node for a pod; `load` is the number of pods by name of the node."""
    if not nodes:
        return Choice(None, "no nodes available to schedule pods")
    refusals = {node["metadata"]["name"]: refusal(pod, node) for node in nodes}
    fitting = [name for name, reason in refusals.items() if reason is None]
    if not fitting:
        return Choice(None, _explain(Counter(reason for reason in refusals.values() if reason is not None)))
    least = min(load.get(name, 0) for name in fitting)
    node = rng.choice(sorted(name for name in fitting if load.get(name, 0) == least))
    metadata = pod["metadata"]
    return Choice(node, f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}")


def refusal(pod: Object, node: Object) -> str | None:
    """Why a node does not take a pod, in the scheduler's words; None if it does."""
    tolerations = pod["spec"].get("tolerations") or ()
    if node["spec"].get("unschedulable"):
        cordon = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
        if not any(tolerates(each, cordon) for each in tolerations):
            return _CORDONED
    for taint in _taints(node):
        if not any(tolerates(each, taint) for each in tolerations):
            return _TAINTED
    if not matches_labels(pod["spec"].get("nodeSelector") or {}, labels_of(node)):
        return _NO_MATCH
    return None


def _taints(node: Object) -> list[dict[str, Any]]:
    taints = [
        taint
        for taint in node["spec"].get("taints") or ()
        # The cordon has a reason of its own.
        if taint["effect"] in ("NoSchedule", "NoExecute") and taint["key"] != UNSCHEDULABLE
    ]
    ready = [each for each in (node.get("status") or {}).get("conditions") or () if each["type"] == "Ready"]
    if not ready or ready[0]["status"] != "True":
        taints.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    return taints


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether a pod's toleration covers a taint."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _explain(reasons: Counter[str]) -> str:
    total = reasons.total()
    counted = ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))
    return (
        f"0/{total} nodes are available: {counted}. no new claims to deallocate, preemption: 0/{total} nodes "
        f"are available: {total} Preemption is not helpful for scheduling."
    )
