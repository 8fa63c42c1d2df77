"""Listen addresses of the demo's programs: `ADDR:PORT` in words and as a default.

The rule it keeps: nothing listens beyond loopback unless the user, or the pod's own address in POD_IP, says
so. It opens no socket.
"""

import argparse
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An IP address and a port (0 lets the kernel choose)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def default_address(environ: Mapping[str, str], port: int) -> ListenAddress:
    """The pod's own address (POD_IP of the downward API), or loopback where there is none."""
    pod_ip = environ.get("POD_IP", "")
    return ListenAddress(pod_ip if pod_ip else "127.0.0.1", port)


def parse_address(text: str) -> ListenAddress:
    """`ADDR:PORT`, the address IPv4 or bracketed IPv6. Raises ArgumentTypeError, for argparse."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        address = None
    if not colon or address is None or bracketed != (address.version == 6):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a listen address; give IP:PORT, such as 127.0.0.1:50051 or [::1]:50051'
        )
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f'"{port}" in "{text}" is not a port; give a number from 0 to 65535')
    return ListenAddress(str(address), int(port))
