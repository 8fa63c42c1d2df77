"""Who listens at the addresses of pods that share this machine's network.

Rule: on the loopback network of a simulated cluster a server that binds all addresses also answers for every other pod
at that port, so that no figure would be about the pod that it names; such a run is refused. Pure but for
`read_tables`.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import StepError

_LISTEN = "0A"
_TABLES = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
Object = dict[str, Any]


def refuse_shared(service: str, slices: Iterable[Object], tables: Iterable[str]) -> None:
    """StepError for an address of a Service that only a listener at all addresses answers for."""
    listeners = set(_listeners(tables))
    for address, port, pod in _endpoints(slices):
        if not ipaddress.ip_address(address).is_loopback:
            continue  # of the namespace network: what listens here is somebody else's
        if (address, port) not in listeners and (None, port) in listeners:
            raise StepError(
                f"pod {pod} of the Service {service} listens at all addresses, port {port}\n"
                "  on the loopback network of the simulated cluster it answers for other pods, too\n"
                "  bind the pod's own address (an env from the field status.podIP), or run with --k8s-network=namespace"
            )


def read_tables() -> list[str]:
    """The kernel's tables of TCP sockets in this network; none where there is no such thing."""
    return [Path(name).read_text(encoding="ascii") for name in _TABLES if Path(name).exists()]


def _listeners(tables: Iterable[str]) -> Iterator[tuple[str | None, int]]:
    """Address and port of each listening socket; None for all addresses."""
    for table in tables:
        for line in table.splitlines()[1:]:
            place, _, state = line.split()[1:4]
            if state == _LISTEN:
                address, _, port = place.partition(":")
                yield _address(address), int(port, 16)


def _address(text: str) -> str | None:
    # Words of the machine's byte order, as the kernel prints them (net/ipv4/tcp_ipv4.c, get_openreq4).
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    found = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return None if found.is_unspecified else str(found)


def _endpoints(slices: Iterable[Object]) -> Iterator[tuple[str, int, str]]:
    for found in slices:
        ports = [each["port"] for each in found.get("ports") or [] if each.get("port") is not None]
        for entry in found.get("endpoints") or []:
            if (entry.get("conditions") or {}).get("ready") is not False:
                pod = (entry.get("targetRef") or {}).get("name", "without a name")
                yield from ((address, port, pod) for address in entry["addresses"] for port in ports)
