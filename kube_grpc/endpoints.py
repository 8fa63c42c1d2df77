"""From EndpointSlices to the full set of addresses of one Service. Pure.

Rule: the answer is always the whole set, folded from all slices by slice name; never a delta, never one
slice.

What is known of a Service is the slices that exist (`slices`) and those deleted since the Service last showed
life (`departed`). A slice that is added or changed, or a list that is not empty, is a sign of life and is
obeyed to the letter, an empty set included. Deletions alone are not obeyed: when a Service is deleted, its
slices are collected one after the other while its pods go on. So what was ready in a departed slice, and is
in no other slice, stays in the set as *orphaned*: kept while its connection lives, never opened again (see
`plan`). The EndpointSlice controller itself deletes a slice only after its endpoints went (they were not
ready by then) or moved to another slice, and keeps an empty one for a Service scaled to zero, so that the two
cases can be told apart.

Ports: slices carry the ports of pods (targetPort), not those of the Service, and the least-privilege Role
reads only slices. So: a Service with one port is that port, whatever number the target has. With several, a
name in the target matches the port's name and a number matches the pods' port number. A name always has to
match.

Does not talk to anybody; slices are the API's JSON objects (discovery.k8s.io/v1) and are never changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Slice = Mapping[str, Any]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that the Service lists, with the conditions it lists for it, and the zones that are to use it."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    orphaned: bool = False
    pod: str | None = None
    zones: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Identity: what a connection is made to."""
        return (self.address, self.port)

    @property
    def uri(self) -> str:
        """As gRPC writes it: `ipv4:10.0.0.1:50051`, `ipv6:[fd00::1]:50051`, or `dns:///name:50051` (see `fallback`)."""
        if self.address.startswith("dns:"):
            return f"{self.address}:{self.port}"
        if ":" in self.address:
            return f"ipv6:[{self.address}]:{self.port}"
        return f"ipv4:{self.address}:{self.port}"

    @property
    def is_active(self) -> bool:
        """Calls should go there."""
        return self.ready and not self.terminating

    @property
    def is_reserve(self) -> bool:
        """On its way out but still answering: for when nothing else serves."""
        return self.terminating and (self.serving or self.ready)


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """The full set, ordered by key. `slices` existing slices it came from; `notes` what a person should know
    of it.
    """

    endpoints: tuple[Endpoint, ...] = ()
    slices: int = 0
    notes: tuple[str, ...] = ()


Ports = tuple[tuple[str, int], ...]
# The pod's uid, "" where there is none, and what is known of it.
Listed = tuple[str, Endpoint]


class SliceRead:
    """One slice, and what was read of it: once, however often it is resolved with others."""

    __slots__ = ("_endpoints", "_raw", "family", "ports")

    def __init__(self, item: Slice) -> None:
        self.family: str | None = item.get("addressType")
        self.ports: Ports = tuple(_ports(item))
        self._raw = item.get("endpoints") or ()
        self._endpoints: dict[int, tuple[Listed, ...]] = {}

    def list_at(self, port: int) -> tuple[Listed, ...]:
        """Its endpoints, dialled at this port."""
        found = self._endpoints.get(port)
        if found is None:
            found = self._endpoints[port] = tuple((_uid(raw), _read(raw, port)) for raw in self._raw)
        return found


@dataclass(frozen=True, slots=True)
class Known:
    """All that the API has told of one Service: slices by name, and those gone since its last sign of life."""

    slices: Mapping[str, SliceRead] = field(default_factory=dict)
    departed: Mapping[str, SliceRead] = field(default_factory=dict)


def relist(known: Known, slices: Iterable[Slice]) -> Known:
    """A list replaces everything; an empty one counts as the deletion of all slices."""
    listed = {_name(item): SliceRead(item) for item in slices}
    if listed:
        return Known(listed)
    return Known({}, {**known.departed, **known.slices})


def fold(known: Known, event_type: str, item: Slice) -> Known:
    """Take in one watch event, "ADDED", "MODIFIED" or "DELETED", with the slice as the event carries it."""
    name = _name(item)
    if event_type == "DELETED":
        remaining = {key: value for key, value in known.slices.items() if key != name}
        return Known(remaining, {**known.departed, name: SliceRead(item)})
    return Known({**known.slices, name: SliceRead(item)})


def resolve(known: Known, port: int | str) -> EndpointSet:
    """The endpoints of all slices on the wanted port, each once, plus the orphaned ones."""
    ports, notes = _choose_ports(
        {item.ports for told in (known.slices, known.departed) for item in told.values()}, port
    )
    found = _unite(_endpoints(known.slices.values(), ports))
    left = (item for item in _endpoints(known.departed.values(), ports) if item.is_active)
    for key, endpoint in _unite(left).items():
        if key not in found:
            found[key] = replace(endpoint, orphaned=True)
    return EndpointSet(tuple(found[key] for key in sorted(found)), len(known.slices), notes)


def _unite(endpoints: Iterable[Endpoint]) -> dict[Key, Endpoint]:
    found: dict[Key, Endpoint] = {}
    twins: dict[Key, list[Endpoint]] = {}
    for endpoint in endpoints:
        first = found.setdefault(endpoint.key, endpoint)
        if first is not endpoint:
            twins.setdefault(endpoint.key, [first]).append(endpoint)
    for key, listed in twins.items():
        found[key] = _merge(listed)
    return found


def _choose_ports(kinds: set[Ports], wanted: int | str) -> tuple[dict[Ports, int], tuple[str, ...]]:
    """Port number for each kind of slice. Whether the Service has one port or several is decided over all slices
    together, because a slice may carry only some of the ports (a named targetPort that not every pod has).
    """
    offered = [(kind, name, number) for kind in kinds for name, number in kind]
    names = {name for _, name, _ in offered}
    chosen: dict[Ports, int] = {}
    for kind, name, number in offered:
        is_only = isinstance(wanted, int) and len(names) == 1
        if is_only or wanted == (number if isinstance(wanted, int) else name):
            chosen.setdefault(kind, number)
    if chosen or not offered:
        return chosen, ()
    listing = ", ".join(sorted({f"{name or '(unnamed)'}={number}" for _, name, number in offered}))
    hint = "name the port of the Service" if isinstance(wanted, int) else "use one of these names"
    return {}, (f'no port matches "{wanted}": the slices have {listing} (name=port of the pods); {hint}',)


def _ports(item: Slice) -> Iterator[tuple[str, int]]:
    """Name and number of each TCP port. A null number means "any port" and can not be dialled."""
    for port in item.get("ports") or ():
        if port.get("port") is not None and port.get("protocol") in (None, "TCP"):
            yield port.get("name") or "", port["port"]


def _endpoints(slices: Iterable[SliceRead], ports: Mapping[Ports, int]) -> Iterator[Endpoint]:
    """IPv4 first; an IPv6 endpoint only for a pod that has none in IPv4, or a dual-stack pod would count
    twice.
    """
    by_family: dict[str | None, list[SliceRead]] = {"IPv4": [], "IPv6": []}
    for item in slices:
        if item.family in by_family and item.ports in ports:
            by_family[item.family].append(item)
    for item in by_family["IPv4"]:
        for _, endpoint in item.list_at(ports[item.ports]):
            yield endpoint
    if not by_family["IPv6"]:
        return
    seen = {uid for item in by_family["IPv4"] for uid, _ in item.list_at(ports[item.ports])}
    for item in by_family["IPv6"]:
        for uid, endpoint in item.list_at(ports[item.ports]):
            if not uid or uid not in seen:
                yield endpoint


def _read(raw: Mapping[str, Any], port: int) -> Endpoint:
    """Nil conditions as the API defines them: ready nil is ready, serving nil follows ready, terminating nil
    is no. Only the first address has a meaning (EndpointSlice API, field `addresses`).
    """
    conditions = raw.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    target = raw.get("targetRef") or {}
    return Endpoint(
        address=raw["addresses"][0],
        port=port,
        ready=ready,
        serving=ready if serving is None else serving,
        terminating=conditions.get("terminating") is True,
        pod=target.get("name") if target.get("kind") == "Pod" else None,
        zones=tuple(item["name"] for item in (raw.get("hints") or {}).get("forZones") or ()),
    )


def _merge(listed: list[Endpoint]) -> Endpoint:
    """An address listed more than once (it moves from slice to slice, or its IP is used again): the best state
    counts, as a stale copy that says ready costs one failed connection, and one that says gone would cost a
    pod.
    """
    ranked = sorted(listed, key=_rank, reverse=True)
    pod = next((each.pod for each in ranked if each.pod is not None), None)
    return ranked[0] if ranked[0].pod == pod else replace(ranked[0], pod=pod)


def _rank(endpoint: Endpoint) -> tuple[bool, bool, bool, bool, bool, str, tuple[str, ...]]:
    """Total order from useless to best. What follows the state only makes it independent of the order of slices."""
    state = (endpoint.is_active, endpoint.is_reserve, endpoint.ready, endpoint.serving)
    return (*state, not endpoint.terminating, endpoint.pod or "", endpoint.zones)


def _name(item: Slice) -> str:
    return str(item["metadata"]["name"])


def _uid(raw: Mapping[str, Any]) -> str:
    return str((raw.get("targetRef") or {}).get("uid") or "")
