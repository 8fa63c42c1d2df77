"""What a cluster asks of its network, whoever provides it.

The rule it keeps: a pod has an address of its own that no other pod had lately; a Service has another;
connections to a Service follow its EndpointSlices. `loopback` provides it with 127.0.0.0/8 and no privilege,
`namespace` with a network namespace for each pod.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from simcluster.controllers.loop import Context
    from simcluster.faults.kinds import Dns
    from simcluster.kubelet.spawner import Spawner


class Addresses(Protocol):
    """Gives out addresses, each to one holder at a time."""

    def allocate(self, wanted: str | None) -> str:
        """A free address, or exactly the wanted one; ValueError says why not."""
        ...

    def release(self, address: str) -> None:
        """Take an address back."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node is in the network: its own address, and the range that its pods have theirs from."""

    address: str
    pod_cidr: str
    pod_addresses: Addresses


class Network(Protocol):
    """One cluster's network, from `start` to `stop`."""

    def place(self, index: int, count: int) -> Place:
        """The place of one of `count` nodes, the first of which has the index 0; asked once for each."""
        ...

    @property
    def service_addresses(self) -> Addresses:
        """The cluster IPs of Services."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What every pod's environment has to say for the network to work."""
        ...

    @property
    def resolver(self) -> str | None:
        """The DNS server for the pods' resolv.conf; None where DNS can not be on port 53."""
        ...

    def follow(self, context: Context, spawner: Spawner, directory: Path) -> None:
        """Take Services and slices from this cluster; what has files or processes has them from there."""
        ...

    def attach(self, address: str) -> int | None:
        """A descriptor of the network namespace of a pod at that address, until `detach`; None if it shares
        this machine's.
        """
        ...

    def detach(self, address: str) -> None:
        """The pod is gone."""
        ...

    async def silence(self, addresses: Collection[str]) -> None:
        """Have all packets from and to these addresses vanish, without FIN or RST, as those of a dead node.

        Does nothing on a network that can not.
        """
        ...

    async def thaw(self, addresses: Collection[str]) -> None:
        """Let these addresses be heard again; connections that outlasted the silence go on."""
        ...

    def disturb_names(self, fault: Dns) -> Callable[[], None]:
        """Have the cluster's DNS fail as the fault says; returns what ends that."""
        ...

    async def start(self) -> None:
        """Serve names and Services."""
        ...

    async def stop(self) -> None:
        """Serve them no more and give the addresses back."""
        ...
