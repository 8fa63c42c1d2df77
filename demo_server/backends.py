"""From EndpointSlices to the addresses behind a backend. Pure.

The rule it keeps: the addresses are the union over all slices of the Service, each once. Usable is what
kube-proxy would use: endpoints that are ready (nil means ready), and only if there is none of those,
endpoints that still serve while they terminate.

Slices carry the *target* port under the *name* of the Service's port, so a backend port given by name needs
no look at the Service. A port given by number could be looked up only there; it is served where the Service
has a single port, and is a problem in words otherwise. That keeps `services` out of the gateway's Role.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from demo_server.ingress_rules import Backend, Object

SERVICE_LABEL = "kubernetes.io/service-name"

Address = tuple[str, int]
"""IP address and port."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a backend's calls go, sorted; `problem` says in words why there is nothing to find, if so."""

    addresses: tuple[Address, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Endpoint:
    address: Address
    ready: bool
    fallback: bool


def resolve_backend(backend: Backend, slices: Iterable[Object]) -> Resolved:
    """The usable addresses of one backend among the slices of its namespace."""
    mine = [each for each in slices if _labels(each).get(SERVICE_LABEL) == backend.service]
    # One family only: a dual-stack pod is in slices of both and would get a double share.
    family = "IPv4" if any(each.get("addressType") == "IPv4" for each in mine) else "IPv6"
    mine = [each for each in mine if each.get("addressType") == family]
    names = {port.get("name") or "" for each in mine for port in each.get("ports") or ()}
    wanted = backend.port_name
    if wanted is None:
        if len(names) > 1:
            listed = ", ".join(sorted(names))
            problem = f"backend {backend}: the Service has several ports ({listed}); name one in the Ingress"
            return Resolved((), problem)
        wanted = next(iter(names), "")
    elif names and wanted not in names:
        listed = ", ".join(sorted(names))
        problem = f'backend {backend}: no port "{wanted}" in its EndpointSlices; there is {listed}'
        return Resolved((), problem)
    return Resolved(_usable(list(_read_endpoints(mine, wanted))))


def _usable(endpoints: list[_Endpoint]) -> tuple[Address, ...]:
    ready = {each.address for each in endpoints if each.ready}
    chosen = ready if ready else {each.address for each in endpoints if each.fallback}
    return tuple(sorted(chosen))


def _read_endpoints(slices: Iterable[Object], port_name: str) -> Iterator[_Endpoint]:
    for each in slices:
        ports = [
            port["port"]
            for port in each.get("ports") or ()
            if (port.get("name") or "") == port_name and port.get("port") is not None
        ]
        for endpoint in each.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            ready = conditions.get("ready") is not False
            serving = _first_set(conditions.get("serving"), conditions.get("ready")) is not False
            fallback = serving and conditions.get("terminating") is True
            for port in ports:
                yield _Endpoint((endpoint["addresses"][0], port), ready, fallback)


def _first_set(*values: object) -> object:
    return next((value for value in values if value is not None), None)


def _labels(slice_: Object) -> dict[str, Any]:
    labels = slice_["metadata"].get("labels")
    return {} if labels is None else dict(labels)
