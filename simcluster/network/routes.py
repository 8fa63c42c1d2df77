"""Where connections to a Service may go: pure.

The rule it keeps is kube-proxy's (pkg/proxy/topology.go): an endpoint is usable if it is ready; if none is,
those that are serving while they terminate; if there is none of those either, connections are refused. An
absent condition counts as ready and serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Address = tuple[str, int]

# Pods get the API server's own address; nothing else has a reason to go by this Service.
_NOT_PROXIED = ("default", "kubernetes")


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One port of one Service: where clients connect to, and where that may lead."""

    namespace: str
    service: str
    address: str
    port: int
    backends: tuple[Address, ...]

    @property
    def name(self) -> str:
        """What names this route for as long as its Service has this address and port."""
        return f"{self.namespace}/{self.service}/{self.address}:{self.port}"


def has_cluster_ip(service: Object) -> bool:
    """Whether connections to the Service are proxied at all."""
    metadata, spec = service["metadata"], service["spec"]
    if (metadata["namespace"], metadata["name"]) == _NOT_PROXIED or spec.get("type") == "ExternalName":
        return False
    return spec.get("clusterIP") not in (None, "", "None")


def find_routes(service: Object, slices: Iterable[Object]) -> list[Route]:
    """One route per TCP port of a Service that has a cluster IP; backends are sorted, and may be none."""
    if not has_cluster_ip(service):
        return []
    slices = list(slices)
    metadata, spec = service["metadata"], service["spec"]
    return [
        Route(
            metadata["namespace"],
            metadata["name"],
            spec["clusterIP"],
            port["port"],
            find_backends(slices, port.get("name", "")),
        )
        for port in spec.get("ports", ())
        if port.get("protocol", "TCP") == "TCP"
    ]


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
