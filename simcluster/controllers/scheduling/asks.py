"""What a pod asks of its node, read from its spec once for all pods that ask the same: pure.

The rule it keeps: two pods with one `Ask` can not be told apart by the scheduler, so what was found out for one
holds for the other. Sources: k8s.io/component-helpers resource/helpers.go (PodRequests), scheduler/framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any, TypeVar

import orjson

from simcluster.schema.quantities import parse
from simcluster.selectors import Requirement, from_label_selector

Object = Mapping[str, Any]
Requirements = tuple[Requirement, ...]
V = TypeVar("V")
# What a container that asks for nothing counts as in scores (scheduler/util/pod_resources.go).
_USUAL = {"cpu": 100, "memory": 200 * 1024 * 1024}
_READ = (
    "affinity", "containers", "initContainers", "nodeSelector", "overhead", "preemptionPolicy", "priority",
    "resources", "tolerations", "topologySpreadConstraints",
)  # fmt: skip
_REMEMBERED = 4096
_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!exists",
    "Gt": "gt",
    "Lt": "lt",
}


@dataclass(frozen=True, eq=False)
class Group:
    """Pods with the same namespace and labels; nearly always there is one object for all of them."""

    namespace: str
    labels: Mapping[str, str]

    def matches(self, requirements: Requirements | None) -> bool:
        """Whether a selector selects these pods; None selects nothing."""
        return requirements is not None and all(each.matches(self.labels) for each in requirements)


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """A term of a node affinity; one without any condition matches nothing."""

    labels: Requirements
    names: Requirements
    weight: int = 0

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node fulfils it."""
        if not self.labels and not self.names:
            return False
        by_name = {"metadata.name": name}
        return all(each.matches(labels) for each in self.labels) and all(
            each.matches(by_name) for each in self.names
        )


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A term of a pod affinity or anti-affinity; `selector` None matches nothing."""

    topology: str
    selector: Requirements | None
    namespaces: frozenset[str]
    namespace_selector: Requirements | None
    weight: int = 0

    def matches(self, group: Group, namespace_labels: Mapping[str, str]) -> bool:
        """Whether pods of that group are meant."""
        by_labels = self.namespace_selector is not None and all(
            each.matches(namespace_labels) for each in self.namespace_selector
        )
        return (by_labels or group.namespace in self.namespaces) and group.matches(self.selector)


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread constraint."""

    topology: str
    most_skew: int
    selector: Requirements | None
    least_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """All that the scheduler knows of a pod, but for its name. `required_nodes` None means any node."""

    key: bytes
    group: Group
    priority: int
    may_preempt: bool
    requests: Mapping[str, int]  # cpu in thousandths; all others in units
    usual: Mapping[str, int]  # the same, for containers that say nothing too: cpu and memory
    ports: frozenset[tuple[str, str, int]]
    images: tuple[str, ...]
    tolerations: tuple[Object, ...]
    node_selector: Mapping[str, str]
    required_nodes: tuple[NodeTerm, ...] | None
    preferred_nodes: tuple[NodeTerm, ...]
    near: tuple[PodTerm, ...]
    apart: tuple[PodTerm, ...]
    rather_near: tuple[PodTerm, ...]
    rather_apart: tuple[PodTerm, ...]
    spreads: tuple[Spread, ...]
    soft_spreads: tuple[Spread, ...]
    says_spread: bool

    @property
    def is_affine(self) -> bool:
        """Whether it has any term about other pods."""
        return bool(self.near or self.apart or self.rather_near or self.rather_apart)


class AskReader:
    """Reads pods; remembers what it read."""

    def __init__(self) -> None:
        self._asks: dict[bytes, Ask] = {}
        self._groups: dict[bytes, Group] = {}

    def read(self, pod: Object) -> Ask:
        """What a pod asks for."""
        metadata, spec = pod["metadata"], pod["spec"]
        namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
        group_key = orjson.dumps((namespace, labels), option=orjson.OPT_SORT_KEYS)
        key = group_key + orjson.dumps({name: spec[name] for name in _READ if name in spec})
        ask = self._asks.pop(key, None)
        if ask is None:
            group = self._groups.pop(group_key, None) or Group(namespace, labels)
            _remember(self._groups, group_key, group)
            ask = _read(key, group, spec)
        _remember(self._asks, key, ask)
        return ask


def _remember(memory: dict[bytes, V], key: bytes, value: V) -> None:
    """Keep a value as the one that was used last; the one that was not used for the longest goes."""
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]


def _read(key: bytes, group: Group, spec: Object) -> Ask:
    affinity = spec.get("affinity") or {}
    nodes = affinity.get("nodeAffinity") or {}
    near, apart = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution")
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    spreads = spec.get("topologySpreadConstraints") or ()
    return Ask(
        key=key,
        group=group,
        priority=spec.get("priority") or 0,
        may_preempt=spec.get("preemptionPolicy") != "Never",
        requests=count_requests(spec, {}),
        usual=count_requests(spec, _USUAL),
        ports=frozenset(_read_ports(every)),
        images=tuple(each.get("image", "") for each in every),
        tolerations=tuple(spec.get("tolerations") or ()),
        node_selector=spec.get("nodeSelector") or {},
        required_nodes=None
        if required is None
        else tuple(read_node_term(each) for each in required.get("nodeSelectorTerms") or ()),
        preferred_nodes=tuple(
            read_node_term(each["preference"], each["weight"])
            for each in nodes.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        near=_read_pod_terms(near, group),
        apart=_read_pod_terms(apart, group),
        rather_near=_read_weighted(near, group),
        rather_apart=_read_weighted(apart, group),
        spreads=tuple(_read_spread(each, group) for each in spreads if _is_hard(each)),
        soft_spreads=tuple(_read_spread(each, group) for each in spreads if not _is_hard(each)),
        says_spread=bool(spreads),
    )


@lru_cache(maxsize=1024)
def count(name: str, quantity: str) -> int:
    """A quantity as a whole number: thousandths of a processor, units of anything else; rounded up."""
    return ceil(parse(str(quantity)) * (1000 if name == "cpu" else 1))


def count_requests(spec: Object, usual: Mapping[str, int]) -> dict[str, int]:
    """What a pod asks for of each resource; a container that does not say counts as `usual`."""
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for each in spec.get("initContainers") or ():
        asked = _read_requests(each, usual)
        if each.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = sidecars
        else:
            _add(asked, sidecars)
        peak = _exceed(peak, asked)
    total = dict(sidecars)
    for each in spec["containers"]:
        _add(total, _read_requests(each, usual))
    total = _exceed(total, peak)
    whole = (spec.get("resources") or {}).get("requests") or {}
    total |= {name: count(name, quantity) for name, quantity in whole.items()}
    _add(total, {name: count(name, quantity) for name, quantity in (spec.get("overhead") or {}).items()})
    return total


def _read_requests(container: Object, usual: Mapping[str, int]) -> dict[str, int]:
    resources = container.get("resources") or {}
    # What is limited and not asked for is asked for up to the limit.
    said = (resources.get("limits") or {}) | (resources.get("requests") or {})
    return dict(usual) | {name: count(name, quantity) for name, quantity in said.items()}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def _exceed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _read_ports(containers: Iterable[Object]) -> Iterable[tuple[str, str, int]]:
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"]


def read_node_term(term: Object, weight: int = 0) -> NodeTerm:
    """Read a term of a node affinity."""

    def read(key: str) -> Requirements:
        return tuple(
            Requirement(each["key"], _OPERATORS[each["operator"]], frozenset(each.get("values") or ()))
            for each in term.get(key) or ()
        )

    return NodeTerm(read("matchExpressions"), read("matchFields"), weight)


def _read_pod_terms(affinity: Object, group: Group) -> tuple[PodTerm, ...]:
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_read_pod_term(each, group) for each in required)


def _read_weighted(affinity: Object, group: Group) -> tuple[PodTerm, ...]:
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_read_pod_term(each["podAffinityTerm"], group, each["weight"]) for each in preferred)


def _read_pod_term(term: Object, group: Group, weight: int = 0) -> PodTerm:
    selector = _read_selector(term.get("labelSelector"), term, group)
    by_labels = term.get("namespaceSelector")
    namespaces = frozenset(term.get("namespaces") or ())
    if by_labels is None and not namespaces:
        namespaces = frozenset({group.namespace})
    chosen = None if by_labels is None else from_label_selector(by_labels)
    return PodTerm(term["topologyKey"], selector, namespaces, chosen, weight)


def _read_selector(selector: Object | None, about: Object, group: Group) -> Requirements | None:
    """The selector of a term, with what `matchLabelKeys` and `mismatchLabelKeys` take from the pod itself."""
    if selector is None:
        return None
    own = group.labels
    more = [("in", key) for key in about.get("matchLabelKeys") or () if key in own]
    more += [("notin", key) for key in about.get("mismatchLabelKeys") or () if key in own]
    added = tuple(Requirement(key, operator, frozenset({own[key]})) for operator, key in more)
    return from_label_selector(selector) + added


def _is_hard(constraint: Object) -> bool:
    return bool(constraint["whenUnsatisfiable"] == "DoNotSchedule")


def _read_spread(constraint: Object, group: Group) -> Spread:
    return Spread(
        constraint["topologyKey"],
        constraint["maxSkew"],
        _read_selector(constraint.get("labelSelector"), constraint, group),
        constraint.get("minDomains") or 1,
        constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
        constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )
