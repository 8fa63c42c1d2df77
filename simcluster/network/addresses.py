"""The addresses of one cluster: a /16 of 127.0.0.0/8 that no other cluster on this machine holds, and its
pools.

The rules it keeps: a claim ends with the process that made it, however that ends; a released address is the
last to be given out again. Layout of 127.N.0.0/16: .0.x is the cluster's own (API, DNS, the first node), .1
to .63 ClusterIPs, .64 to .127 the other nodes, .128 to .255 pods, in equal parts for all nodes.

The claim is an abstract Unix socket: it needs no file, no port and no privilege, and lives in the same
network namespace as the addresses do. Linux only.
"""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from simcluster.network.driver import Place

FIRST_BLOCK, LAST_BLOCK = 16, 254
_SERVICE_SUBNETS = range(1, 64)
_NODE_SUBNETS = range(64, 128)
_POD_SUBNETS = range(128, 256)
# A node gets at least one subnet for its pods.
MOST_NODES = len(_POD_SUBNETS)
MOST_IMAGINED = 8192
_HOSTS = range(1, 255)


class NoBlockFree(Exception):  # noqa: N818 -- named for what happened
    """Every /16 is held by a running cluster."""


@dataclass(frozen=True, slots=True)
class Block:
    """A claimed 127.N.0.0/16; held until it is closed or the process ends."""

    number: int
    claim: socket.socket

    @property
    def dns_address(self) -> str:
        """Where the cluster's DNS is, as kubeadm puts it on the tenth address."""
        return f"127.{self.number}.0.10"

    def node_address(self, index: int) -> str:
        """The InternalIP of a node; the first has the index 0."""
        if index == 0:
            return f"127.{self.number}.0.100"
        subnet, host = divmod(index - 1, len(_HOSTS))
        return f"127.{self.number}.{_NODE_SUBNETS[subnet]}.{_HOSTS[host]}"

    def close(self) -> None:
        """Give the block back."""
        self.claim.close()


def claim_block(rng: random.Random) -> Block:
    """Claim a free block; the first to be tried is `rng`'s choice, so that a new cluster rarely follows a
    dead one.
    """
    count = LAST_BLOCK - FIRST_BLOCK + 1
    first = rng.randrange(count)
    for offset in range(count):
        number = FIRST_BLOCK + (first + offset) % count
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0simcluster/127.{number}.0.0/16")
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return Block(number, claim)
    raise NoBlockFree(
        f"all {count} address blocks 127.{FIRST_BLOCK}.0.0/16 to 127.{LAST_BLOCK}.0.0/16 are held by running "
        "simulated clusters of this machine\n  stop one: each is a process `python -m simcluster up`"
    )


class Pool:
    """Gives out the addresses of some /24 networks, named by their first three numbers, in order.

    A released one goes to the end of the queue.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._network = f"{networks[0]}.0 to {networks[-1]}.255"
        self._range = frozenset(networks)
        self._fresh = (f"{network}.{host}" for network in networks for host in _HOSTS)
        self._released: deque[str] = deque()
        self._held: set[str] = set()
        self._seen: set[str] = set()  # all that were ever held

    def allocate(self, wanted: str | None = None) -> str:
        """A free address, or exactly the wanted one; ValueError says why not."""
        if wanted is not None and wanted != "":
            return self._take(wanted)
        fresh = next((address for address in self._fresh if address not in self._seen), None)
        if fresh is None and not self._released:
            raise ValueError(f"no address left in {self._network}")
        return self._hold(self._released.popleft() if fresh is None else fresh)

    def _hold(self, address: str) -> str:
        self._held.add(address)
        self._seen.add(address)
        return address

    def _take(self, wanted: str) -> str:
        try:
            ipaddress.IPv4Address(wanted)
        except ValueError:
            raise ValueError(f'"{wanted}" is not an IPv4 address') from None
        subnet, _, host = wanted.rpartition(".")
        if subnet not in self._range or int(host) not in _HOSTS:
            raise ValueError(
                f"the provided IP is not in the valid range. The range of valid IPs is {self._network}"
            )
        if wanted in self._held:
            raise ValueError("provided IP is already allocated")
        if wanted in self._seen:
            self._released.remove(wanted)
        return self._hold(wanted)

    def release(self, address: str) -> None:
        """Take an address back; one that is not held is left alone."""
        if address in self._held:
            self._held.remove(address)
            self._released.append(address)


def pod_pool(block: Block, index: int = 0, count: int = 1) -> Pool:
    """The addresses of the pods of one of `count` nodes; ValueError for more nodes than MOST_NODES."""
    return Pool(_networks(block, _pod_subnets(index, count)))


def pod_cidr(block: Block, index: int, count: int) -> str:
    """The network that `pod_pool` gives a node's addresses from."""
    subnets = _pod_subnets(index, count)
    return f"127.{block.number}.{subnets[0]}.0/{25 - len(subnets).bit_length()}"


def _pod_subnets(index: int, count: int) -> range:
    if count > MOST_NODES:
        raise ValueError(
            f"{count} nodes: one address block has room for the pods of {MOST_NODES}\n"
            "  nodes that run no processes need none of it: --status-only-nodes N"
        )
    # A network's size is a power of two.
    size = MOST_NODES >> (count - 1).bit_length()
    return _POD_SUBNETS[index * size : (index + 1) * size]


def service_pool(block: Block) -> Pool:
    """The cluster IPs of a block."""
    return Pool(_networks(block, _SERVICE_SUBNETS))


def _networks(block: Block, subnets: range) -> list[str]:
    return [f"127.{block.number}.{subnet}" for subnet in subnets]


def imagined_place(index: int) -> Place:
    """The place of a node without processes: a /22 of 10.128.0.0/9 for its pods, an address of 172.18.0.0/16.

    Nobody can connect to these, so every cluster has the same. ValueError for more nodes than MOST_IMAGINED.
    """
    if index >= MOST_IMAGINED:
        raise ValueError(f"at most {MOST_IMAGINED} nodes can be status only")
    # Four networks of 256 each.
    networks = [f"10.{128 + number // 256}.{number % 256}" for number in range(4 * index, 4 * index + 4)]
    address = f"172.18.{1 + index // len(_HOSTS)}.{_HOSTS[index % len(_HOSTS)]}"
    return Place(address, f"{networks[0]}.0/22", Pool(networks))
