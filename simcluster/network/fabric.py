"""The network namespaces of a cluster: its own, in which this process is, and one for each pod.

The rules it keeps: they are held by processes and descriptors alone, so that the kernel removes them, with
their links, addresses and rules, when the cluster ends in whatever way. Every packet between pods is routed
through the cluster's namespace, as with kind's ptp plug-in: the source address stays the pod's own, and the
rules for Services see both directions.

Sockets that were opened before `enter` stay where they were: that is how a user outside reaches the API.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

from simcluster.kubelet import rooms
from simcluster.network.netlink import (
    LOOPBACK_LINK,
    Netlink,
    add_address,
    add_bridge,
    add_pair,
    add_route,
    raise_link,
    remove_route,
)
from simcluster.network.routes import Route
from simcluster.network.rules import NOWHERE, SERVICE_RANGE, render_base, render_change

POD_RANGE = "10.244.0.0/16"
NODE_PREFIX = "172.18.0"
DNS_ADDRESS, API_ADDRESS = "10.96.0.10", "10.96.0.1"
# What every pod's packets leave by; the cluster's namespace answers for it on every link.
_GATEWAY = "169.254.1.1"
_NOWHERE_LINK, _POD_LINK = 2, 2
_FIRST_PAIR = 1000
_SYSTEM_PATHS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


class Fabric:
    """The cluster's namespace; made by `enter`."""

    def __init__(self) -> None:
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._netlink = Netlink()
        self._indexes = itertools.count(_FIRST_PAIR)
        self._pods: dict[str, tuple[int, int]] = {}  # by address: namespace, link
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        node = node_address(0)
        self._netlink.ask([
            raise_link(LOOPBACK_LINK),
            add_bridge(_NOWHERE_LINK, NOWHERE),
            *(add_address(_NOWHERE_LINK, each) for each in (node, _GATEWAY, DNS_ADDRESS)),
            # Without a route a connection fails before any rule is asked.
            *(add_route(to, _NOWHERE_LINK, source=node) for to in (SERVICE_RANGE, POD_RANGE)),
        ])  # fmt: skip

    def add_node(self, address: str) -> None:
        """Have a further node's address."""
        self._netlink.ask([add_address(_NOWHERE_LINK, address)])

    def attach(self, address: str) -> int:
        """Make the namespace of a pod at that address; a descriptor of it, which `detach` closes. OSError."""
        try:
            rooms.unshare(rooms.NEW_NETWORK)
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            inside = Netlink()
        finally:
            rooms.enter(self._home)
        index = next(self._indexes)
        try:
            self._netlink.ask([
                add_pair(index, f"pod{index}", peer_index=_POD_LINK, peer_name="eth0", namespace=namespace),
                add_route(f"{address}/32", index, source=node_address(0)),
            ])  # fmt: skip
            inside.ask(
                [
                    raise_link(LOOPBACK_LINK),
                    raise_link(_POD_LINK),
                    add_address(_POD_LINK, address),
                    add_route(f"{_GATEWAY}/32", _POD_LINK),
                    add_route("0.0.0.0/0", _POD_LINK, gateway=_GATEWAY),
                ]
            )
        except BaseException:
            os.close(namespace)
            raise
        finally:
            inside.close()
        self._pods[address] = namespace, index
        return namespace

    def detach(self, address: str) -> None:
        """Lead nothing to the pod any more. The kernel removes its namespace when its processes have ended."""
        namespace, index = self._pods.pop(address)
        self._netlink.ask([remove_route(f"{address}/32", index)])
        os.close(namespace)

    def close(self) -> None:
        """Give up what is held."""
        for namespace, _ in self._pods.values():
            os.close(namespace)
        self._pods.clear()
        self._netlink.close()
        os.close(self._home)


def node_address(index: int) -> str:
    """The address of a node; the first has the index 0, and the API server besides."""
    return f"{NODE_PREFIX}.{index + 2}"


def find_nft() -> str | None:
    """The program `nft`; None if it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PATHS])
    return shutil.which("nft", path=path)


def enter() -> Fabric:
    """Move this process, which must have a single thread, into a network namespace that becomes the cluster's.

    Without privilege it is root of a user namespace from then on. There is no way back.
    """
    try:
        rooms.unshare(rooms.NEW_NETWORK)
    except PermissionError:
        rooms.own_users(uid=0, gid=0)
        rooms.unshare(rooms.NEW_NETWORK)
    return Fabric()


def find_obstacle() -> str | None:
    """Why there can be no namespace network on this machine, tried to the last rule; None if there can."""
    if find_nft() is None:
        return "the program nft is not installed (package nftables)"
    return rooms.try_out(_try)


def _try() -> None:
    fabric = enter()
    fabric.attach("10.244.0.2")
    backends = (("10.244.0.2", 80), ("10.244.0.3", 80))
    routes = [Route("", "", API_ADDRESS, 80, backends), Route("", "", API_ADDRESS, 81, backends, "UDP", 60)]
    routes.append(Route("", "", API_ADDRESS, 82, ()))
    run_nft(render_base() + render_change({}, {each.name: each for each in routes}))
    rooms.own_mounts()


def run_nft(text: str) -> None:
    """Load rules, all or none; OSError with what nft says if it refuses them."""
    nft = find_nft()
    if nft is None:
        raise FileNotFoundError("the program nft is not installed (package nftables)")
    done = subprocess.run([nft, "-f", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise OSError(f"nft: {said[0] if said else f'exit code {done.returncode}'}")
