"""What the pods on all nodes mean for a new one: spreading, affinity and anti-affinity. Pure.

The rule it keeps: pods with the same labels are counted together, so the cost depends on how many kinds of pods
there are, not on how many pods. Sources: scheduler/framework/plugins/podtopologyspread, interpodaffinity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from simcluster.controllers.scheduling.accounts import Accounts, NodeAccount
from simcluster.controllers.scheduling.asks import Ask, Group, PodTerm, Requirements, Spread
from simcluster.controllers.scheduling.filters import Refusal, is_matched
from simcluster.controllers.scheduling.taints import find_untolerated

HOSTNAME = "kubernetes.io/hostname"
_SKEWED = Refusal(("node(s) didn't match pod topology spread constraints",), is_final=False)
_NO_LABEL = Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",))
_NOT_NEAR = Refusal(("node(s) didn't match pod affinity rules",))
_NOT_APART = Refusal(("node(s) didn't match pod anti-affinity rules",), is_final=False)
_OTHERS_APART = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), is_final=False)
# What an existing pod's required affinity to the new one weighs (hardPodAffinityWeight).
_HARD_WEIGHT = 1
_NOTHING: Mapping[str, str] = {}

Topologies = Counter[tuple[str, str]]
Check = Callable[[NodeAccount], Refusal | None]


def count_pods(node: NodeAccount, namespace: str, selector: Requirements | None) -> int:
    """How many pods that stay a selector finds on a node; one without conditions finds none."""
    if not selector:
        return 0
    return sum(
        number
        for group, number in node.groups.items()
        if group.namespace == namespace and group.matches(selector)
    )


def counts_for(ask: Ask, spread: Spread, node: NodeAccount) -> bool:
    """Whether a node is one of those that a constraint looks at."""
    if spread.honours_affinity and not is_matched(ask, node):
        return False
    return not spread.honours_taints or find_untolerated(node.taints, ask.tolerations) is None


def make_check(ask: Ask, accounts: Accounts) -> Check | None:
    """What refuses a node for what is on others; None if nothing could."""
    checks = []
    if ask.spreads:
        checks.append(_make_spread_check(ask, accounts))
    if ask.near or ask.apart or accounts.affine:
        checks.append(_make_affinity_check(ask, accounts))

    def check(node: NodeAccount) -> Refusal | None:
        return next((found for one in checks if (found := one(node)) is not None), None)

    return check if checks else None


def _make_spread_check(ask: Ask, accounts: Accounts) -> Check:
    namespace = ask.group.namespace
    topologies = [each.topology for each in ask.spreads]
    counts: list[Counter[str]] = [Counter() for _ in ask.spreads]
    for node in accounts.nodes:
        if any(topology not in node.labels for topology in topologies):
            continue
        for spread, counted in zip(ask.spreads, counts, strict=True):
            if counts_for(ask, spread, node):
                counted[node.labels[spread.topology]] += count_pods(node, namespace, spread.selector)
    least = [
        min(counted.values(), default=2**31 - 1) if len(counted) >= spread.least_domains else 0
        for spread, counted in zip(ask.spreads, counts, strict=True)
    ]

    def check(node: NodeAccount) -> Refusal | None:
        for spread, counted, fewest in zip(ask.spreads, counts, least, strict=True):
            value = node.labels.get(spread.topology)
            if value is None:
                return _NO_LABEL
            own = 1 if ask.group.matches(spread.selector) else 0
            if counted[value] + own - fewest > spread.most_skew:
                return _SKEWED
        return None

    return check


def _make_affinity_check(ask: Ask, accounts: Accounts) -> Check:
    others, near, apart = _tally_others(ask, accounts), Counter(), Counter()  # type: Topologies, Topologies, Topologies
    if ask.near or ask.apart:
        _tally_own(ask, accounts, near, apart)
    own_labels = accounts.namespaces.get(ask.group.namespace, _NOTHING)
    # The first of those that want to be near each other has nobody to be near to.
    is_first = not near and all(term.matches(ask.group, own_labels) for term in ask.near)

    def check(node: NodeAccount) -> Refusal | None:
        labels = node.labels
        if not all(term.topology in labels for term in ask.near):
            return _NOT_NEAR
        if not is_first and any(near[term.topology, labels[term.topology]] <= 0 for term in ask.near):
            return _NOT_NEAR
        if any(apart[term.topology, labels.get(term.topology, "")] > 0 for term in ask.apart):
            return _NOT_APART
        if others and any(others[pair] > 0 for pair in labels.items()):
            return _OTHERS_APART
        return None

    return check


def _tally_others(ask: Ask, accounts: Accounts) -> Topologies:
    """Where pods are that do not want this one near them."""
    found: Topologies = Counter()
    labels = accounts.namespaces.get(ask.group.namespace, _NOTHING)
    for node in accounts.nodes:
        for held in node.affine.values():
            for term in held.ask.apart:
                if term.matches(ask.group, labels):
                    _tally(found, term, node, 1)
    return found


def _tally_own(ask: Ask, accounts: Accounts, near: Topologies, apart: Topologies) -> None:
    """Where pods are that this one wants to be near to, or apart from."""
    for node in accounts.nodes:
        for other, number in node.every.items():
            labels = accounts.namespaces.get(other.namespace, _NOTHING)
            if ask.near and all(term.matches(other, labels) for term in ask.near):
                for term in ask.near:
                    _tally(near, term, node, number)
            for term in ask.apart:
                if term.matches(other, labels):
                    _tally(apart, term, node, number)


def _tally(counter: Topologies, term: PodTerm, node: NodeAccount, number: int) -> None:
    value = node.labels.get(term.topology)
    if value is not None:
        counter[term.topology, value] += number


def weigh_affinity(ask: Ask, accounts: Accounts, nodes: Iterable[NodeAccount]) -> list[int] | None:
    """What soft affinities, the pod's and those of others, say of each node; None if they say nothing."""
    weights: Topologies = Counter()
    group = ask.group
    own_labels = accounts.namespaces.get(group.namespace, _NOTHING)
    for node in accounts.nodes:
        if ask.rather_near or ask.rather_apart:
            for other, number in node.every.items():
                _weigh_group(
                    ask, other, accounts.namespaces.get(other.namespace, _NOTHING), node, number, weights
                )
        for held in node.affine.values():
            theirs = held.ask
            for terms, sign in ((theirs.rather_near, 1), (theirs.rather_apart, -1)):
                for term in terms:
                    if term.matches(group, own_labels):
                        _tally(weights, term, node, sign * term.weight)
            for term in theirs.near:
                if term.matches(group, own_labels):
                    _tally(weights, term, node, _HARD_WEIGHT)
    if not weights:
        return None
    return [sum(weights[pair] for pair in node.labels.items()) for node in nodes]


def _weigh_group(
    ask: Ask, other: Group, labels: Mapping[str, str], node: NodeAccount, number: int, weights: Topologies
) -> None:
    for terms, sign in ((ask.rather_near, 1), (ask.rather_apart, -1)):
        for term in terms:
            if term.matches(other, labels):
                _tally(weights, term, node, sign * term.weight * number)
