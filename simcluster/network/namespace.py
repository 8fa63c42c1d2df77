"""The network of namespaces: each pod in its own, with an address of 10.244.0.0/16.

The rules it keeps are `driver`'s. Servers that bind all addresses, and ports below 1024, work unchanged; DNS
is on port 53 of 10.96.0.10 and the API on port 443 of 10.96.0.1; ClusterIPs are rules of the kernel. What
differs from a real network: nobody outside the cluster reaches a pod but through the API, and no pod reaches
anything outside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from simcluster.controllers.loop import Context
from simcluster.faults.kinds import Dns
from simcluster.kubelet.spawner import Spawner
from simcluster.network.addresses import Pool
from simcluster.network.dns import DnsServer
from simcluster.network.driver import Place
from simcluster.network.fabric import DNS_ADDRESS, Fabric, node_address
from simcluster.network.kernel import KernelProxy

_DNS_PORT = 53
_PODS, _SERVICES = "10.244", "10.96"
_MOST_NODES = 250


class NamespaceNetwork:
    """A `driver.Network` over a fabric that this process is in."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.service_addresses = Pool([f"{_SERVICES}.{number}" for number in range(256)])
        self.service_addresses.allocate(DNS_ADDRESS)
        self.environment: Mapping[str, str] = {}
        self.resolver: str | None = DNS_ADDRESS
        self._dns: DnsServer | None = None
        self._proxy: KernelProxy | None = None

    def place(self, index: int, count: int) -> Place:
        """The place of one of `count` nodes; ValueError for more than there is room for."""
        if count > _MOST_NODES:
            raise ValueError(
                f"{count} nodes: the namespace network has room for {_MOST_NODES}\n"
                "  nodes that run no processes need none of it: --status-only-nodes N"
            )
        if index > 0:
            self._fabric.add_node(node_address(index))
        pods = Pool([f"{_PODS}.{index}"])
        pods.allocate(f"{_PODS}.{index}.1")  # a real node's own address on its pods' side
        return Place(node_address(index), f"{_PODS}.{index}.0/24", pods)

    def follow(self, context: Context, spawner: Spawner, directory: Path) -> None:  # noqa: ARG002 -- no process
        """Take Services and slices from this cluster."""
        self._dns = DnsServer.follow(context)
        self._proxy = KernelProxy(context)

    def disturb_names(self, fault: Dns) -> Callable[[], None]:
        """As `Network.disturb_names`; answers that are to be stale are those of this moment."""
        if self._dns is None:
            raise RuntimeError("the network follows no cluster yet; call follow() first")
        return self._dns.disturb(fault)

    async def start(self) -> None:
        """Serve names and Services."""
        if self._dns is None or self._proxy is None:
            raise RuntimeError("the network follows no cluster yet; call follow() before start()")
        await self._dns.start(DNS_ADDRESS, _DNS_PORT)
        self._proxy.start()

    async def stop(self) -> None:
        """Serve them no more."""
        if self._proxy is not None:
            await self._proxy.stop()
        if self._dns is not None:
            await self._dns.stop()
        self._fabric.close()

    def attach(self, address: str) -> int | None:
        """The namespace of a pod at that address."""
        return self._fabric.attach(address)

    def detach(self, address: str) -> None:
        """The pod is gone."""
        self._fabric.detach(address)

    async def silence(self, addresses: Collection[str]) -> None:
        """Have all packets from and to these addresses vanish."""
        if self._proxy is not None:
            await self._proxy.silence(addresses)

    async def thaw(self, addresses: Collection[str]) -> None:
        """Let these addresses be heard again."""
        if self._proxy is not None:
            await self._proxy.thaw(addresses)
