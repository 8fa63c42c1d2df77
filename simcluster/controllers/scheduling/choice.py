"""Which node a pod goes to: pure, but for what it remembers.

The rule it keeps: a choice is what it would be if every node were looked at anew; what was found out about a node is
used again only for a pod that asks the same, and only while nothing on that node has changed.

Sources: scheduler/schedule_one.go, framework/types.go (FitError).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from simcluster.controllers.scheduling import scores
from simcluster.controllers.scheduling.accounts import Accounts, NodeAccount
from simcluster.controllers.scheduling.asks import Ask, Requirements, Spread
from simcluster.controllers.scheduling.filters import Refusal, refuse_for_ever, refuse_now
from simcluster.controllers.scheduling.preemption import tell
from simcluster.controllers.scheduling.topology import HOSTNAME, count_pods, make_check, weigh_affinity

VolumeCheck = Callable[[NodeAccount], Refusal | None]
NO_NODES = "no nodes available to schedule pods"
_REMEMBERED = 64
_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Choice:
    """The name of a node; or None and why no node takes the pod, in the order of the accounts' nodes."""

    node: str | None
    refusals: tuple[Refusal, ...] = ()

    def explain(self) -> str:
        """Why there is none, in the scheduler's words."""
        if not self.refusals:
            return NO_NODES
        reasons = Counter(reason for refusal in self.refusals for reason in refusal.reasons)
        return tell(len(self.refusals), reasons)


class Chooser:
    """Chooses nodes. `alike` in its methods selects the pods that belong together with the new one, by default."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._rankings: dict[tuple[bytes, Requirements], _Ranking] = {}

    def choose(
        self, ask: Ask, rng: random.Random, alike: Requirements = (), check: VolumeCheck | None = None
    ) -> Choice:
        """Return the node for a pod; between equals chance decides. `check` says what its volumes refuse."""
        ranking = self._rank(ask, alike)
        refusals = ranking.refusals(check)
        fitting = [index for index, refusal in enumerate(refusals) if refusal is None]
        if not fitting:
            return Choice(None, tuple(each for each in refusals if each is not None))
        totals = ranking.score(fitting)
        best = max(totals)
        return Choice(
            self._accounts.nodes[
                rng.choice([i for i, t in zip(fitting, totals, strict=True) if t == best])
            ].name
        )

    def may_fit(self, ask: Ask, node: NodeAccount) -> bool:
        """Whether the node might take the pod now, as far as that shows on the node alone."""
        return node.is_known and refuse_for_ever(ask, node) is None and refuse_now(ask, node) is None

    def _rank(self, ask: Ask, alike: Requirements) -> _Ranking:
        key = (ask.key, alike)
        ranking = self._rankings.pop(key, None) or _Ranking(ask, alike, self._accounts)
        self._rankings[key] = ranking
        if len(self._rankings) > _REMEMBERED:
            del self._rankings[next(iter(self._rankings))]
        ranking.refresh()
        return ranking


class _Ranking:
    """What is known of each node for pods that ask the same; lists in the order of the accounts' nodes."""

    def __init__(self, ask: Ask, alike: Requirements, accounts: Accounts) -> None:
        self._ask = ask
        self._accounts = accounts
        self._spreads, self._needs_labels = ask.soft_spreads, True
        if not ask.says_spread:
            # What the scheduler does unasked for pods of one Service or owner.
            usual = (Spread(HOSTNAME, 3, alike), Spread(_ZONE, 5, alike))
            self._spreads, self._needs_labels = (usual if alike else ()), False
        self._shape = -1

    def refresh(self) -> None:
        """Look again at what has changed."""
        nodes = self._accounts.nodes
        if self._shape != self._accounts.shape:
            self._shape = self._accounts.shape
            self._look_at_nodes(nodes)
        for index, node in enumerate(nodes):
            if node.version != self._versions[index]:
                self._versions[index] = node.version
                self._now[index] = refuse_now(self._ask, node)
                self._room[index] = scores.score_room(self._ask, node)
                for spread, domains in zip(self._spreads, self._domains, strict=True):
                    domains.counts[index] = count_pods(node, self._ask.group.namespace, spread.selector)

    def _look_at_nodes(self, nodes: list[NodeAccount]) -> None:
        ask, number = self._ask, len(nodes)
        self._ever = [refuse_for_ever(ask, node) for node in nodes]
        self._disliked = [scores.count_disliked(ask, node) for node in nodes]
        self._preferred = [scores.weigh_preferred(ask, node) for node in nodes]
        self._images = scores.score_images(ask, nodes)
        self._now: list[Refusal | None] = [None] * number
        self._room = [0] * number
        self._domains = [scores.Domains(ask, each, nodes) for each in self._spreads]
        self._versions = [-1] * number

    def refusals(self, volumes: VolumeCheck | None) -> list[Refusal | None]:
        """Each node's, or None for one that takes the pod."""
        found = [ever or now for ever, now in zip(self._ever, self._now, strict=True)]
        nodes = self._accounts.nodes
        for check in (volumes, make_check(self._ask, self._accounts)):
            if check is not None:
                found = [
                    check(node) if refusal is None else refusal
                    for node, refusal in zip(nodes, found, strict=True)
                ]
        return found

    def score(self, fitting: list[int]) -> list[int]:
        """The scores of the nodes at these places."""
        totals = [self._room[index] for index in fitting]
        parts: list[tuple[int, list[int]]] = []
        if any(self._disliked):
            raw = [self._disliked[index] for index in fitting]
            parts.append((scores.TAINTS, scores.normalize(raw, is_reversed=True)))
        if any(self._preferred):
            raw = [self._preferred[index] for index in fitting]
            parts.append((scores.NODE_AFFINITY, scores.normalize(raw)))
        if self._images is not None:
            parts.append((1, [self._images[index] for index in fitting]))
        if self._spreads:
            total = len(self._accounts.nodes)
            spread = scores.score_spread(self._domains, fitting, total, needs_labels=self._needs_labels)
            parts.append((scores.SPREAD, spread))
        if self._accounts.affine or self._ask.is_affine:
            nodes = [self._accounts.nodes[index] for index in fitting]
            weights = weigh_affinity(self._ask, self._accounts, nodes)
            if weights is not None:
                parts.append((scores.POD_AFFINITY, scores.normalize_between(weights)))
        for weight, part in parts:
            totals = [total + weight * each for total, each in zip(totals, part, strict=True)]
        return totals
