"""Who listens at a pod's address: with sockets of this machine."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from harness.errors import StepError
from harness.listeners import read_tables, refuse_shared

ADDRESS = "127.9.8.7"


def slices(port: int, *, ready: bool = True, address: str = ADDRESS) -> list[dict[str, Any]]:
    """One slice with one endpoint."""
    endpoint = {"addresses": [address], "conditions": {"ready": ready}, "targetRef": {"name": "web-1"}}
    return [{"ports": [{"port": port}, {"port": None}], "endpoints": [endpoint]}]


@pytest.mark.parametrize(
    ("family", "everywhere"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")], ids=["IPv4", "IPv6"]
)
def test_listener_at_all_addresses(family: int, everywhere: str) -> None:
    """It is refused with the pod, the port and what to do, unless the endpoint counts for nobody."""
    with socket.create_server((everywhere, 0), family=family) as server:
        port = server.getsockname()[1]
        with pytest.raises(StepError) as refused:
            refuse_shared("web", slices(port), read_tables())
        refuse_shared("web", slices(port, ready=False), read_tables())

    lines = str(refused.value).splitlines()
    assert lines[0] == f"pod web-1 of the Service web listens at all addresses, port {port}"
    assert "status.podIP" in lines[2]
    assert "--k8s-network=namespace" in lines[2]


def test_listener_at_the_pods_address() -> None:
    """It is as it should be, also where somebody else listens at all addresses: the nearer one is asked."""
    with socket.socket() as own, socket.socket() as other:
        for each in (own, other):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind((ADDRESS, 0))
        own.listen()
        other.bind(("0.0.0.0", own.getsockname()[1]))
        other.listen()
        refuse_shared("web", slices(own.getsockname()[1]), read_tables())


def test_pod_of_another_network() -> None:
    """Whoever listens at all addresses of this machine does not answer for a pod of the namespace network."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        refuse_shared("web", slices(server.getsockname()[1], address="10.244.0.7"), read_tables())


def test_nobody_listens() -> None:
    """A pod without a process, or one whose network is not this machine's, is none of its business."""
    with socket.create_server((ADDRESS, 0)) as server:
        port = server.getsockname()[1]
    refuse_shared("web", slices(port), read_tables())
    refuse_shared("web", slices(port), [])
