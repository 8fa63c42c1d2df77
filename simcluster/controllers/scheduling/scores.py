"""Which of the nodes that could take a pod is best: pure.

The rule it keeps: the plug-ins' own scores, each from 0 to 100, in whole numbers as the scheduler reckons them, by
their weights. A part that says the same of all nodes is left out.

Sources: scheduler/framework/plugins (noderesources, imagelocality, podtopologyspread, helper/normalize_score.go),
weights of apis/config/v1/default_plugins.go.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from math import log, sqrt

from simcluster.controllers.scheduling.accounts import NodeAccount
from simcluster.controllers.scheduling.asks import Ask, Spread
from simcluster.controllers.scheduling.taints import tolerates
from simcluster.controllers.scheduling.topology import HOSTNAME, counts_for

TAINTS, NODE_AFFINITY, SPREAD, POD_AFFINITY = 3, 2, 2, 2
_MOST = 100
_RESOURCES = ("cpu", "memory")
_MEBIBYTE = 1024 * 1024
# An image of this size counts, and one of so much for each container counts fully.
_IMAGE_LEAST, _IMAGE_MOST = 23 * _MEBIBYTE, 1000 * _MEBIBYTE


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
    domains: Sequence[Domains], fitting: Sequence[int], total: int, *, needs_labels: bool
) -> list[int]:
    """PodTopologySpread, scaled: fewer pods alike in a node's domain are better.

    `fitting` are the places of the nodes to be scored, of `total`. `needs_labels`: a node without one of the
    topologies gets nothing, nor is it counted (constraints of the pod's own).
    """
    ignored: set[int] = set()
    if needs_labels:
        ignored = {place for each in domains for place in range(total) if each.values[place] is None}
    scored = [place for place in fitting if place not in ignored] if ignored else fitting
    raw = [0.0] * len(scored)
    for each in domains:
        found, size = each.count(scored, ignored)
        weight, least = log(size + 2), each.most_skew - 1
        raw = [
            sum_ if number is None else sum_ + number * weight + least
            for sum_, number in zip(raw, found, strict=True)
        ]
    rounded = [int(each + 0.5) for each in raw]
    lowest, most = min(rounded, default=0), max(rounded, default=0)
    scaled = [_MOST * (most + lowest - each) // most if most else _MOST for each in rounded]
    if not ignored:
        return scaled
    following = iter(scaled)
    return [0 if place in ignored else next(following) for place in fitting]


class Domains:
    """The domains of one constraint: each node's value of its topology; `counts` is how many pods alike it has."""

    def __init__(self, ask: Ask, spread: Spread, nodes: Sequence[NodeAccount]) -> None:
        self.most_skew = spread.most_skew
        self.values = [node.labels.get(spread.topology) for node in nodes]
        self._is_own = spread.topology == HOSTNAME
        self._is_counted = [counts_for(ask, spread, node) for node in nodes]
        self._is_anywhere = any(value is not None for value in self.values)
        self._is_everywhere = None not in self.values
        self.counts = [0] * len(nodes)

    def count(self, scored: Sequence[int], ignored: Container[int]) -> tuple[list[int | None], int]:
        """How many pods alike the domain of each node has, None without one; and how many domains there are."""
        values, counts = self.values, self.counts
        if not self._is_anywhere:
            return [None] * len(scored), 1
        if self._is_own and self._is_everywhere:
            return [counts[place] for place in scored], len(scored)
        if self._is_own:
            return [None if values[place] is None else counts[place] for place in scored], len(scored)
        totals = dict.fromkeys((values[place] for place in scored), 0)
        for place, value in enumerate(values):
            if value in totals and self._is_counted[place] and place not in ignored:
                totals[value] += counts[place]
        return [None if values[place] is None else totals[values[place]] for place in scored], len(totals)
