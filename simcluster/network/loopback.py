"""The network that needs no privilege: pods and Services on addresses of 127.0.0.0/8.

The rules it keeps are `driver`'s. What differs from a real network: ports below 1024 need root, DNS has a
port of its own (pods are told by GRPC_DNS_AUTHORITY), and a server that binds 0.0.0.0 binds every pod's
address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from simcluster.network.addresses import Block, pod_cidr, pod_pool, service_pool
from simcluster.network.driver import Place

if TYPE_CHECKING:
    from simcluster.controllers.loop import Context
    from simcluster.faults.kinds import Dns
    from simcluster.kubelet.spawner import Spawner
    from simcluster.network.dns import DnsServer
    from simcluster.network.proxy import ServiceProxy

_log = logging.getLogger(__name__)


class LoopbackNetwork:
    """A `driver.Network` over a claimed block of addresses, which it gives back when it is stopped."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.service_addresses = service_pool(block)
        self.environment: Mapping[str, str] = {}
        self.resolver: str | None = None
        self._dns: DnsServer | None = None
        self._proxy: ServiceProxy | None = None

    def place(self, index: int, count: int) -> Place:
        """The place of one of `count` nodes; ValueError if the block has no room for so many."""
        block = self._block
        return Place(block.node_address(index), pod_cidr(block, index, count), pod_pool(block, index, count))

    def follow(self, context: Context, spawner: Spawner, directory: Path) -> None:
        """Take Services and slices from this cluster; Envoy's files go into a folder of `directory`."""
        # Not at the top: addresses are given out before these are there.
        from simcluster.network.dns import DnsServer
        from simcluster.network.proxy import ServiceProxy

        self._dns = DnsServer.follow(context)
        self._proxy = ServiceProxy(context, spawner, directory / "proxy")

    def disturb_names(self, fault: Dns) -> Callable[[], None]:
        """As `Network.disturb_names`; answers that are to be stale are those of this moment."""
        if self._dns is None:
            raise RuntimeError("the network follows no cluster yet; call follow() first")
        return self._dns.disturb(fault)

    async def start(self) -> None:
        """Serve names and Services; `environment` is known from then on."""
        if self._dns is None or self._proxy is None:
            raise RuntimeError("the network follows no cluster yet; call follow() before start()")
        port = await self._dns.start(self._block.dns_address)
        authority = f"{self._block.dns_address}:{port}"
        _log.info("DNS at %s", authority)
        self.environment = {"GRPC_DNS_AUTHORITY": authority}
        self._proxy.start()

    def attach(self, address: str) -> int | None:  # noqa: ARG002 -- nothing has to be made for it
        """Pods share this machine's network."""
        return None

    def detach(self, address: str) -> None:
        """Nothing was made for it."""

    async def silence(self, addresses: Collection[str]) -> None:
        """Nothing: the addresses are this machine's own, and its kernel answers for them."""

    async def thaw(self, addresses: Collection[str]) -> None:
        """Nothing, as above."""

    async def stop(self) -> None:
        """Serve them no more and give the addresses back."""
        if self._proxy is not None:
            await self._proxy.stop()
        if self._dns is not None:
            await self._dns.stop()
        self._block.close()
