"""What a cluster asks of its network, whoever provides it.

The rule it keeps: a pod has an address of its own that no other pod had lately; a Service has another;
connections to a Service follow its EndpointSlices. `loopback` provides it with 127.0.0.0/8 and no privilege.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Addresses(Protocol):
    """Gives out addresses, each to one holder at a time."""

    def allocate(self, wanted: str | None) -> str:
        """A free address, or exactly the wanted one; ValueError says why not."""
        ...

    def release(self, address: str) -> None:
        """Take an address back."""
        ...


class Network(Protocol):
    """One cluster's network, from `start` to `stop`."""

    @property
    def pod_addresses(self) -> Addresses:
        """The addresses of pods."""
        ...

    @property
    def service_addresses(self) -> Addresses:
        """The cluster IPs of Services."""
        ...

    @property
    def node_address(self) -> str:
        """The address of the cluster's node."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What every pod's environment has to say for the network to work."""
        ...

    async def start(self) -> None:
        """Serve names and Services."""
        ...

    async def stop(self) -> None:
        """Serve them no more and give the addresses back."""
        ...
