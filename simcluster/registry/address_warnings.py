"""What writers are told of addresses and networks that are written in an odd way. Pure.

Source: k8s.io/apimachinery pkg/util/validation/ip.go (GetWarningsForIP, GetWarningsForCIDR).
"""

from __future__ import annotations

import ipaddress


def warn_of_address(text: str, at: str) -> list[str]:
    """Return what is odd about an IP address; nothing of what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return []
    if isinstance(address, ipaddress.IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [f'{at}: non-standard IP address "{text}" is invalid: use "{address.ipv4_mapped}"']
    if str(address) == text:
        return []
    return [f'{at}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")']


def warn_of_network(text: str, at: str) -> list[str]:
    """Return what is odd about a range of addresses; nothing of what is none."""
    try:
        given = ipaddress.ip_interface(text)
    except ValueError:
        return []
    network = given.network
    if given.ip != network.network_address:
        single = f"{given.ip}/{given.max_prefixlen}"
        return [
            f'{at}: CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{single}"?)'
        ]
    if isinstance(given, ipaddress.IPv4Interface) or str(network) == text:
        return []
    return [f'{at}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")']
