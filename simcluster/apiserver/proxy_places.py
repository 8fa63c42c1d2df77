"""Where a request for a proxy goes: `[scheme:]name[:port]` of a pod or a Service, as an address to connect to.

The rules it keeps: a Service's port is named, or numbered as the Service numbers it; one of its ready endpoints is
chosen at random; nobody is led to this machine's own addresses.

Sources: kubernetes pkg/registry/core/pod/strategy.go (ResourceLocation), pkg/registry/core/service/storage
(ResourceLocation); k8s.io/apimachinery pkg/util/net/port_split.go; k8s.io/apiserver pkg/util/proxy.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass

from simcluster.errors import BadRequest, NotFound, StatusError
from simcluster.registry import Object, Registry

_SCHEMES = ("", "http", "https")
_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE_LABEL = "kubernetes.io/service-name"
# Addresses of this machine alone; a loopback network's pods are in 127.16.0.0/12 and beyond.
_OWN = tuple(
    ipaddress.ip_network(each) for each in ("127.0.0.0/12", "169.254.0.0/16", "::1/128", "fe80::/10")
)


@dataclass(frozen=True, slots=True)
class Place:
    """Who is to be called: `scheme` is http or https, `port` as it was given, empty for the scheme's own."""

    scheme: str
    host: str
    port: str


@dataclass(frozen=True, slots=True)
class Named:
    """What stands in a path: `[scheme:]name[:port]`."""

    scheme: str
    name: str
    port: str


def read_name(kind: str, said: str) -> Named:
    """Return the parts of a name in a path; BadRequest if it has none such. `kind` is pod, service or node."""
    parts = said.split(":")
    if len(parts) < 3:
        parts = ["", *parts, ""][:3]
    if len(parts) != 3 or parts[0] not in _SCHEMES or not parts[1]:
        raise BadRequest(f'invalid {kind} request "{said}"')
    return Named(*parts)


def find_pod(registry: Registry, namespace: str | None, said: str) -> Place:
    """Return where a pod is; without a port, the first that one of its containers names."""
    named = read_name("pod", said)
    pod = registry.get("pods", namespace, named.name)
    port = named.port
    if not port:
        listed = (each["ports"][0] for each in pod["spec"]["containers"] if each.get("ports"))
        port = next((str(each["containerPort"]) for each in listed), "")
    return Place(named.scheme or "http", require_allowed(pod.get("status", {}).get("podIP", "")), port)


def find_service(registry: Registry, namespace: str | None, said: str, chance: random.Random) -> Place:
    """Return where one endpoint of a Service is; StatusError 503 if it has none."""
    named = read_name("service", said)
    port = named.port
    if port.lstrip("+-").isdecimal():
        service = registry.get("services", namespace, named.name)
        names = [
            each.get("name", "") for each in service["spec"].get("ports", ()) if each["port"] == int(port)
        ]
        if not names:
            raise unavailable(f'no service port {int(port)} found for service "{named.name}"')
        port = names[0]
    slices = [
        each
        for each in registry.list(_SLICES, namespace)[0]
        if each["metadata"].get("labels", {}).get(_SERVICE_LABEL) == named.name
    ]
    if not slices:
        raise NotFound("services", named.name)
    if not any(each.get("endpoints") for each in slices):
        raise unavailable(f'no endpoints available for service "{named.name}"')
    found = [place for each in slices for place in _list_places(each, port)]
    if not found:
        raise unavailable(f'no endpoints available for service "{said}"')
    host, number = chance.choice(found)
    return Place(named.scheme or "http", require_allowed(host), number)


def _list_places(each: Object, port: str) -> Iterator[tuple[str, str]]:
    """Yield the addresses of a slice's ready endpoints, with the port of a name."""
    numbers = [
        str(one["port"]) for one in each.get("ports") or () if one.get("name", "") == port and "port" in one
    ]
    for endpoint in each.get("endpoints") or ():
        if numbers and endpoint.get("conditions", {}).get("ready") is not False:
            yield endpoint["addresses"][0], numbers[0]


def require_allowed(host: str) -> str:
    """Return an address that somebody may be led to; BadRequest if it is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if (
        address is None
        or address.is_multicast
        or address.is_unspecified
        or any(address in own for own in _OWN)
    ):
        raise BadRequest("address not allowed")
    return host


def unavailable(text: str) -> StatusError:
    """Return the refusal for somebody who can not be reached now."""
    return StatusError(text, code=503, reason="ServiceUnavailable")
