"""Why one node does not take a pod, whatever is on the other nodes: pure.

The rule it keeps: the checks are asked in the scheduler's order and the first that fails gives the reasons, in its
words. Sources: scheduler/framework/plugins (nodeunschedulable, tainttoleration, nodeaffinity, nodeports,
noderesources).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simcluster.controllers.scheduling.accounts import NodeAccount
from simcluster.controllers.scheduling.asks import Ask
from simcluster.controllers.scheduling.taints import UNSCHEDULABLE, find_untolerated, tolerates


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node does not take a pod; `is_final`: nor would it if other pods made room."""

    reasons: tuple[str, ...]
    is_final: bool = True


_CORDONED = Refusal(("node(s) were unschedulable",))
_TAINTED = Refusal(("node(s) had untolerated taint(s)",))
NOT_MATCHED = Refusal(("node(s) didn't match Pod's node affinity/selector",))
# Named by its name in another node's place: the scheduler does not even look at this one.
_NOT_NAMED = Refusal(("node(s) didn't satisfy plugin(s) [NodeAffinity]",))
_NO_PORT = Refusal(("node(s) didn't have free ports for the requested pod ports",), is_final=False)


def refuse_for_ever(ask: Ask, node: NodeAccount) -> Refusal | None:
    """What of the node itself keeps the pod away; pods do not change it."""
    if ask.required_nodes and not _is_named(ask, node):
        return _NOT_NAMED
    for check in (_refuse_cordoned, _refuse_tainted, _refuse_unmatched):
        refusal = check(ask, node)
        if refusal is not None:
            return refusal
    return None


def refuse_now(ask: Ask, node: NodeAccount) -> Refusal | None:
    """What the pods on the node keep from the pod: ports and resources."""
    if ask.ports and any(node.has_port(port) for port in ask.ports):
        return _NO_PORT
    return refuse_resources(ask, node)


Check = Callable[[Ask, NodeAccount], Refusal | None]


def _is_named(ask: Ask, node: NodeAccount) -> bool:
    """Whether the node is one of those that the pod names, if it names any (as a DaemonSet's pods do)."""
    named: set[str] = set()
    for term in ask.required_nodes or ():
        names = [each.values for each in term.names if each.operator == "in"]
        if not names:
            return True
        named |= frozenset.intersection(*names)
    return node.name in named


def _refuse_cordoned(ask: Ask, node: NodeAccount) -> Refusal | None:
    cordon = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if node.is_cordoned and not any(tolerates(each, cordon) for each in ask.tolerations):
        return _CORDONED
    return None


def _refuse_tainted(ask: Ask, node: NodeAccount) -> Refusal | None:
    return None if find_untolerated(node.taints, ask.tolerations) is None else _TAINTED


def is_matched(ask: Ask, node: NodeAccount) -> bool:
    """Whether the node is one that the pod's selector and affinity allow."""
    labels = node.labels
    if any(labels.get(key) != value for key, value in ask.node_selector.items()):
        return False
    terms = ask.required_nodes
    return terms is None or any(each.matches(node.name, labels) for each in terms)


def _refuse_unmatched(ask: Ask, node: NodeAccount) -> Refusal | None:
    return None if is_matched(ask, node) else NOT_MATCHED


def refuse_resources(ask: Ask, node: NodeAccount) -> Refusal | None:
    """Which resources are short, all of them."""
    offered, taken = node.offered, node.taken
    reasons, is_final = [], False
    if len(node.pods) + 1 > offered.get("pods", 0):
        reasons.append("Too many pods")
    for name, amount in ask.requests.items():
        if amount > 0 and amount > offered.get(name, 0) - taken[name]:
            reasons.append(f"Insufficient {name}")
            is_final = is_final or amount > offered.get(name, 0)
    return Refusal(tuple(reasons), is_final) if reasons else None
