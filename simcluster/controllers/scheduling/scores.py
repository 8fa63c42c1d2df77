"""Which of the nodes that could take a pod is best: pure.

The rule it keeps: the plug-ins' own scores, each from 0 to 100, in whole numbers as the scheduler reckons them, by
their weights. A part that says the same of all nodes is left out.

Sources: scheduler/framework/plugins (noderesources, imagelocality, podtopologyspread, helper/normalize_score.go),
weights of apis/config/v1/default_plugins.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, sqrt

from simcluster.controllers.scheduling.accounts import Accounts, NodeAccount
from simcluster.controllers.scheduling.asks import Ask, Spread
from simcluster.controllers.scheduling.taints import tolerates
from simcluster.controllers.scheduling.topology import HOSTNAME, counts_for

TAINTS, NODE_AFFINITY, SPREAD, POD_AFFINITY = 3, 2, 2, 2
_MOST = 100
_RESOURCES = ("cpu", "memory")
_MEBIBYTE = 1024 * 1024
# An image of this size counts, and one of so much for each container counts fully.
_IMAGE_LEAST, _IMAGE_MOST = 23 * _MEBIBYTE, 1000 * _MEBIBYTE

# How many pods alike a node has, by the place of the constraint that says which.
PodCounter = Callable[[NodeAccount, int], int]


def score_room(ask: Ask, node: NodeAccount) -> int:
    """NodeResourcesFit (least allocated) and NodeResourcesBalancedAllocation together."""
    free, counted = 0, 0
    for name in _RESOURCES:
        offered = node.offered.get(name, 0)
        if offered:
            counted += 1
            left = offered - node.usual[name] - ask.usual.get(name, 0)
            free += max(0, left) * _MOST // offered
    room = free // counted if counted else 0
    if not any(ask.requests.get(name) for name in _RESOURCES):
        return room
    before, after = _balance(ask, node, 0), _balance(ask, node, 1)
    return room + _MOST // 2 + int((_MOST // 2 + after - before) / 2)


def _balance(ask: Ask, node: NodeAccount, times: int) -> int:
    shares = [
        min(1.0, (node.taken[name] + times * ask.requests.get(name, 0)) / node.offered[name])
        for name in _RESOURCES
        if node.offered.get(name)
    ]
    mean = sum(shares) / len(shares) if shares else 0.0
    deviation = sqrt(sum((each - mean) ** 2 for each in shares) / len(shares)) if shares else 0.0
    if len(shares) == 2:
        deviation = abs((shares[0] - shares[1]) / 2)
    return int((1 - deviation) * _MOST)


def score_images(ask: Ask, nodes: Sequence[NodeAccount]) -> list[int] | None:
    """ImageLocality: what of the pod's images the nodes have already; None if nobody has any."""
    if not any(node.images for node in nodes):
        return None
    names = [each if ":" in each.rpartition("/")[2] else f"{each}:latest" for each in ask.images]
    having = {name: sum(name in node.images for node in nodes) for name in names}
    most = _IMAGE_MOST * len(names)
    found = []
    for node in nodes:
        size = sum(int(node.images.get(name, 0) * having[name] / len(nodes)) for name in names)
        size = min(max(size, _IMAGE_LEAST), most)
        found.append(_MOST * (size - _IMAGE_LEAST) // (most - _IMAGE_LEAST))
    return found


def count_disliked(ask: Ask, node: NodeAccount) -> int:
    """TaintToleration: the taints that only prefer, and that the pod does not tolerate."""
    tolerations = [each for each in ask.tolerations if each.get("effect") in (None, "", "PreferNoSchedule")]
    return sum(
        taint["effect"] == "PreferNoSchedule" and not any(tolerates(each, taint) for each in tolerations)
        for taint in node.taints
    )


def weigh_preferred(ask: Ask, node: NodeAccount) -> int:
    """NodeAffinity: the weights of the preferred terms that the node fulfils."""
    return sum(each.weight for each in ask.preferred_nodes if each.matches(node.name, node.labels))


def normalize(raw: Sequence[int], *, is_reversed: bool = False) -> list[int]:
    """Scale to 0..100 by the greatest."""
    most = max(raw, default=0)
    if most == 0:
        return [_MOST if is_reversed else 0] * len(raw)
    return [_MOST - _MOST * each // most if is_reversed else _MOST * each // most for each in raw]


def normalize_between(raw: Sequence[int]) -> list[int]:
    """Scale to 0..100 between the least and the greatest, as inter-pod affinity does."""
    least, most = min(raw, default=0), max(raw, default=0)
    if most == least:
        return [0] * len(raw)
    return [int(_MOST * ((each - least) / (most - least))) for each in raw]


def score_spread(
    ask: Ask,
    spreads: Sequence[Spread],
    accounts: Accounts,
    nodes: Sequence[NodeAccount],
    count: PodCounter,
    *,
    needs_labels: bool,
) -> list[int]:
    """PodTopologySpread, scaled: fewer pods alike in a node's domain are better.

    `needs_labels`: a node without one of the topologies gets nothing (constraints of the pod's own).
    """

    def is_ignored(node: NodeAccount) -> bool:
        return needs_labels and any(each.topology not in node.labels for each in spreads)

    scored = [node for node in nodes if not is_ignored(node)]
    raw = [0.0] * len(scored)
    for place, spread in enumerate(spreads):

        def count_here(node: NodeAccount, place: int = place) -> int:
            return count(node, place)

        found = _count_domains(ask, spread, accounts, scored, count_here, is_ignored)
        size = (
            len(scored)
            if spread.topology == HOSTNAME
            else len({node.labels.get(spread.topology) for node in scored})
        )
        weight = log(size + 2)
        for index, number in enumerate(found):
            if number is not None:
                raw[index] += number * weight + (spread.most_skew - 1)
    rounded = [int(each + 0.5) for each in raw]
    least, most = min(rounded, default=0), max(rounded, default=0)
    scaled = iter([_MOST * (most + least - each) // most if most else _MOST for each in rounded])
    return [0 if is_ignored(node) else next(scaled) for node in nodes]


def _count_domains(
    ask: Ask,
    spread: Spread,
    accounts: Accounts,
    scored: Sequence[NodeAccount],
    count: Callable[[NodeAccount], int],
    is_ignored: Callable[[NodeAccount], bool],
) -> list[int | None]:
    """How many pods alike each node's domain has; None for a node in none."""
    topology = spread.topology
    if not any(topology in node.labels for node in scored):
        return [None] * len(scored)
    if topology == HOSTNAME:
        return [count(node) if topology in node.labels else None for node in scored]
    totals = dict.fromkeys((node.labels.get(topology, "") for node in scored), 0)
    for node in accounts.nodes:
        value = node.labels.get(topology, "")
        if value in totals and not is_ignored(node) and counts_for(ask, spread, node):
            totals[value] += count(node)
    return [totals[node.labels[topology]] if topology in node.labels else None for node in scored]
