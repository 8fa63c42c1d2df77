"""What nodes offer and what is taken of it, kept up to date with each change of a pod or a node.

The rule it keeps: the cost of a change does not depend on how many pods and nodes there are; a pod counts on its
node from its binding until it ends, and a node that is not known (yet) keeps the account of its pods.

It decides nothing. Source: scheduler/framework/types.go (NodeInfo).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.controllers.scheduling.asks import Ask, Group, count

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """A pod on a node."""

    uid: str
    name: tuple[str, str]
    ask: Ask
    is_ending: bool = False
    started_at: str = ""  # RFC 3339, so later is greater


class NodeAccount:
    """One node. `version` rises with each change."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = 0
        self.is_known = False
        self.is_cordoned = False
        self.labels: Mapping[str, str] = {}
        self.taints: Sequence[Object] = ()
        self.offered: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self.pods: dict[str, Held] = {}
        self.taken: Counter[str] = Counter()
        self.usual: Counter[str] = Counter()
        self.ports: Counter[tuple[str, str, int]] = Counter()
        # Pods that stay, by their labels: what spreading and affinity count.
        self.groups: Counter[Group] = Counter()
        self.every: Counter[Group] = Counter()
        self.affine: dict[str, Held] = {}

    def describe(self, node: Object | None) -> None:
        """Take in the node's object; None means that it is gone."""
        self.version += 1
        self.is_known = node is not None
        if node is None:
            return
        spec, status = node["spec"], node.get("status") or {}
        self.labels = node["metadata"].get("labels") or {}
        self.is_cordoned = bool(spec.get("unschedulable"))
        self.taints = tuple(spec.get("taints") or ())
        offered = status.get("allocatable") or status.get("capacity") or {}
        self.offered = {name: count(name, quantity) for name, quantity in offered.items()}
        self.images = {
            name: image.get("sizeBytes", 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add(self, pod: Held) -> None:
        """A pod is on this node."""
        self.pods[pod.uid] = pod
        self._count(pod, 1)
        if pod.ask.is_affine:
            self.affine[pod.uid] = pod

    def remove(self, uid: str) -> None:
        """A pod is on this node no more."""
        self._count(self.pods.pop(uid), -1)
        self.affine.pop(uid, None)

    def _count(self, pod: Held, number: int) -> None:
        self.version += 1
        ask = pod.ask
        for name, amount in ask.requests.items():
            self.taken[name] += number * amount
        for name in ("cpu", "memory"):
            self.usual[name] += number * ask.usual.get(name, 0)
        for port in ask.ports:
            self.ports[port] += number
        _shift(self.every, ask.group, number)
        if not pod.is_ending:
            _shift(self.groups, ask.group, number)

    def has_port(self, wanted: tuple[str, str, int]) -> bool:
        """Whether a host port is taken already; 0.0.0.0 stands for every address."""
        address, protocol, number = wanted
        return any(
            times > 0
            and (used_by, used) == (protocol, number)
            and (address == other or "0.0.0.0" in (address, other))
            for (other, used_by, used), times in self.ports.items()
        )


class Accounts:
    """All nodes of a cluster. `shape` rises when nodes come, go or change; `namespaces` holds their labels."""

    def __init__(self) -> None:
        self.nodes: list[NodeAccount] = []
        self.shape = 0
        self.affine = 0
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._by_name: dict[str, NodeAccount] = {}
        self._places: dict[str, NodeAccount] = {}

    def node(self, name: str) -> NodeAccount:
        """The account of a node, known or not."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = NodeAccount(name)
        return found

    def put_node(self, name: str, node: Object | None) -> None:
        """A node is as its object says, or (None) is gone."""
        account = self.node(name)
        account.describe(node)
        self.shape += 1
        if node is None and not account.pods:
            del self._by_name[name]
        self.nodes = sorted(
            (each for each in self._by_name.values() if each.is_known), key=lambda one: one.name
        )

    def add_pod(self, node: str, pod: Held) -> None:
        """A pod is bound to a node; one that was counted already is counted anew."""
        self.remove_pod(pod.uid)
        account = self._places[pod.uid] = self.node(node)
        account.add(pod)
        self.affine += pod.ask.is_affine

    def remove_pod(self, uid: str) -> None:
        """A pod is on no node any more; one that was not counted is left alone."""
        account = self._places.pop(uid, None)
        if account is None:
            return
        self.affine -= account.pods[uid].ask.is_affine
        account.remove(uid)
        if not account.is_known and not account.pods:
            del self._by_name[account.name]

    def place_of(self, uid: str) -> NodeAccount | None:
        """The node that a pod is counted on."""
        return self._places.get(uid)


def _shift(counter: Counter[Group], group: Group, number: int) -> None:
    counter[group] += number
    if not counter[group]:
        del counter[group]
