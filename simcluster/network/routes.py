"""Where connections to a Service may go: pure.

The rule it keeps is kube-proxy's (pkg/proxy/topology.go): an endpoint is usable if it is ready; if none is,
those that are serving while they terminate; if there is none of those either, connections are refused. An
absent condition counts as ready and serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

Object = dict[str, Any]
Address = tuple[str, int]

# On the loopback network pods get the API server's own address; nothing else has a reason to go by this Service.
_NOT_PROXIED = ("default", "kubernetes")
_AFFINITY_S = 10800  # the API's default


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One port of one Service: where clients connect to, and where that may lead."""

    namespace: str
    service: str
    address: str
    port: int
    backends: tuple[Address, ...]
    protocol: str = "TCP"
    affinity_s: int | None = None  # how long a client keeps its endpoint; None without session affinity

    @property
    def name(self) -> str:
        """What names this route for as long as its Service has this address and port."""
        suffix = "" if self.protocol == "TCP" else f"/{self.protocol}"
        return f"{self.namespace}/{self.service}/{self.address}:{self.port}{suffix}"


def find_routes(service: Object, slices: Iterable[Object]) -> list[Route]:
    """What a proxy of the loopback network serves: TCP, and not the API server, whose address pods are given."""
    metadata = service["metadata"]
    if (metadata["namespace"], metadata["name"]) == _NOT_PROXIED:
        return []
    return [
        replace(route, affinity_s=None)
        for route in find_all_routes(service, slices)
        if route.protocol == "TCP"
    ]


def find_all_routes(service: Object, slices: Iterable[Object]) -> list[Route]:
    """One route per port of a Service that has a cluster IP; backends are sorted, and may be none."""
    metadata, spec = service["metadata"], service["spec"]
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return []
    slices = list(slices)
    affinity_s = _find_affinity(spec)
    return [
        Route(
            metadata["namespace"],
            metadata["name"],
            spec["clusterIP"],
            port["port"],
            find_backends(slices, port.get("name", "")),
            port.get("protocol", "TCP"),
            affinity_s,
        )
        for port in spec.get("ports", ())
        if port.get("protocol", "TCP") in ("TCP", "UDP")
    ]


def _find_affinity(spec: Object) -> int | None:
    if spec.get("sessionAffinity") != "ClientIP":
        return None
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    return _AFFINITY_S if seconds is None else int(seconds)


def find_backends(slices: Iterable[Object], port_name: str) -> tuple[Address, ...]:
    """The usable endpoints for the port of that name, over all slices, each once."""
    ready: set[Address] = set()
    leaving: set[Address] = set()
    for each in slices:
        numbers = [port["port"] for port in each.get("ports") or () if (port.get("name") or "") == port_name]
        for endpoint in each.get("endpoints") or ():
            group = _usable_as(endpoint.get("conditions") or {}, ready, leaving)
            if group is not None:
                group.update((endpoint["addresses"][0], number) for number in numbers)
    return tuple(sorted(ready if ready else leaving))


def _usable_as(conditions: Object, ready: set[Address], leaving: set[Address]) -> set[Address] | None:
    if conditions.get("ready") in (None, True):
        return ready
    is_serving = conditions.get("serving") in (None, True)
    return leaving if is_serving and conditions.get("terminating") else None
