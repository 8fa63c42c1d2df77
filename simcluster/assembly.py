"""A whole cluster in one process: store, registry and API server first, what works behind them after.

The rule it keeps: it answers as soon as it can; whatever the first answer does not need (controllers, kubelets, the
network, faults, and the modules of all of these) comes after that. Stopping ends every process and gives every address
back.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcluster import schema
from simcluster.apiserver.bootstrap import create_bootstrap_objects, create_default_class, publish
from simcluster.apiserver.server import ApiServer, serve, write_admin_kubeconfig
from simcluster.faults.door import Door
from simcluster.faults.remote import OWNER_KUBECONFIG
from simcluster.kubelet.images import Images
from simcluster.kubelet.node import IMAGINED, Description, measure_capacity, register, share_capacity
from simcluster.network.addresses import claim_block, imagined_place
from simcluster.network.driver import Network
from simcluster.network.loopback import LoopbackNetwork
from simcluster.profile import Profile
from simcluster.registry import Registry

if TYPE_CHECKING:
    from simcluster.apiserver.calls import Execution
    from simcluster.apiserver.entrance import Entrance
    from simcluster.kubelet.fleet import Fleet
    from simcluster.network.fabric import Fabric
    from simcluster.workings import Workings

_log = logging.getLogger(__name__)
_NODE = "simcluster-node"
_API_PORT, _SERVICE_PORT = 6443, 443
# What is imported after the first answer, in parts, so that a cluster that is stopped at once need not wait for all.
LATER = (
    "simcluster.kubelet.fleet",
    "simcluster.apiserver.streams",
    "simcluster.apiserver.proxying",
    "simcluster.network.dns",
    "simcluster.network.proxy",
    "simcluster.faults.admin",
    "simcluster.controllers.controllers",
    "simcluster.workings",
)
# While that goes on, who answers requests has the interpreter after so many seconds at most.
_SWITCH_S = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a cluster is to be like. `seed` None takes one from the system.

    `nodes` is the number of those that run processes, `status_only_nodes` of those that do not.
    """

    directory: Path
    kubeconfig: Path
    version: str
    profile: Profile
    images: Images
    nodes: int = 1
    status_only_nodes: int = 0
    slice_size: int = 2
    seed: int | None = None
    port: int = 0
    # Of a cluster with a namespace network: where this process is, and where users find the API.
    fabric: Fabric | None = None
    outside: socket.socket | None = None
    owner_outside: socket.socket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is there when the API answers. `chance` gives each part of the cluster its own source of chance, so that
    one part's use of it does not move another's.
    """

    settings: Settings
    clock: Callable[[], float]
    chance: Callable[[str], random.Random]
    server: ApiServer
    network: Network
    nodes: Sequence[Description]  # registered already
    door: Door


class Cluster:
    """A cluster that answers; `prepare` begins what works behind the API."""

    def __init__(self, ground: Ground) -> None:
        self.server = ground.server
        self._ground = ground
        self._is_stopping = False
        self._beginning: asyncio.Task[Workings | None] | None = None
        self.server.kubelet = _Coming(self.workings)

    def prepare(self) -> None:
        """Start what works behind the API, without waiting for it."""
        self._beginning = asyncio.create_task(self._begin())

    async def workings(self) -> Workings:
        """What works behind the API, as soon as it does; what kept it from starting is raised."""
        if self._beginning is None:
            raise RuntimeError("nothing works behind the API yet; call prepare() first")
        workings = await asyncio.shield(self._beginning)
        if workings is None:
            raise RuntimeError("the cluster was stopped before it had begun")
        return workings

    async def _begin(self) -> Workings | None:
        await asyncio.to_thread(self._load)
        if self._is_stopping:
            return None
        from simcluster import workings  # loaded just now

        return await workings.start(self._ground)

    def _load(self) -> None:
        """Import what the first answer did not need, beside the answers."""
        before_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        try:
            for name in LATER:
                if self._is_stopping:
                    return
                importlib.import_module(name)
        finally:
            sys.setswitchinterval(before_s)

    async def stop(self) -> None:
        """End every process at once, then stop listening."""
        self._is_stopping = True
        begun = [] if self._beginning is None else [self._beginning]
        # What kept it from beginning was told to who waited for that.
        found = await asyncio.gather(*begun, return_exceptions=True)
        running = [each for each in found if each is not None and not isinstance(each, BaseException)]
        await (running[0] if running else self._ground.network).stop()
        self._ground.door.close()
        await self.server.close()


class _Coming:
    """The kubelets of a cluster that begins: who asks them waits until they are there."""

    def __init__(self, workings: Callable[[], Awaitable[Workings]]) -> None:
        self._workings = workings

    async def _come(self) -> Fleet:
        return (await self._workings()).fleet

    async def logs(self, *where: str, **selection: Any) -> AsyncIterator[bytes]:
        return await (await self._come()).logs(*where, **selection)

    async def find_running(self, verb: str, *where: str) -> object:
        return await (await self._come()).find_running(verb, *where)

    async def execute(self, *what: Any, stdin: bool, tty: bool) -> Execution:
        return await (await self._come()).execute(*what, stdin=stdin, tty=tty)

    async def attach(self, *where: str, stdin: bool) -> Execution:
        return await (await self._come()).attach(*where, stdin=stdin)

    async def connect(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await (await self._come()).connect(namespace, pod, port)

    async def attend(self, node: str) -> bool:
        return await (await self._come()).attend(node)


async def start(settings: Settings, clock: Callable[[], float] = time.time) -> Cluster:
    """Start a cluster; it answers when this returns, its nodes are there and its kubeconfig is written. `prepare`
    starts the rest.
    """
    seed = settings.seed if settings.seed is not None else random.SystemRandom().randrange(2**32)
    _log.info("kubernetes %s, profile %s, seed %d", settings.version, settings.profile.name, seed)
    network, entrance = _make_network(settings)

    def chance(part: str) -> random.Random:
        return random.Random(f"{seed}/{part}")  # noqa: S311 -- repeatable on purpose

    catalogue = schema.load(settings.version)
    registry = Registry(catalogue, clock=clock, chance=chance("names"), addresses=network.service_addresses)
    create_bootstrap_objects(registry.acting_as("kube-apiserver"))
    create_default_class(registry)
    server = await serve(registry, port=settings.port, chance=chance("watches"), entrance=entrance)
    publish(registry, *server.published)
    nodes = list(_describe_nodes(settings, network, catalogue.version["gitVersion"]))
    of_kubelets = registry.acting_as("kubelet")
    for node in nodes:
        register(of_kubelets, node)
    folder = settings.directory
    door = Door(folder)
    write_admin_kubeconfig(server, settings.kubeconfig, folder=folder)
    write_admin_kubeconfig(server, folder / OWNER_KUBECONFIG, folder=folder, owner=True)
    return Cluster(
        Ground(
            settings=settings, clock=clock, chance=chance, server=server, network=network, nodes=nodes, door=door,
        )
    )  # fmt: skip


def _make_network(settings: Settings) -> tuple[Network, Entrance | None]:
    if settings.fabric is not None and settings.outside is not None and settings.owner_outside is not None:
        # Not at the top: clusters without such a network answer before these are there.
        from simcluster.apiserver.entrance import Entrance
        from simcluster.network.fabric import API_ADDRESS, node_address
        from simcluster.network.namespace import NamespaceNetwork

        inside, service = (node_address(0), _API_PORT), (API_ADDRESS, _SERVICE_PORT)
        return NamespaceNetwork(settings.fabric), Entrance(
            settings.outside, settings.owner_outside, inside, service
        )
    # Blocks are the machine's, not the cluster's: two clusters of one seed must not want the same one first.
    block = claim_block(random.Random())  # noqa: S311 -- spreads clusters
    return LoopbackNetwork(block), None


def _describe_nodes(settings: Settings, network: Network, version: str) -> Iterator[Description]:
    """All nodes: those with processes share the machine, the others need none."""
    has_processes = settings.nodes > 0
    capacity = share_capacity(measure_capacity(settings.directory), max(1, settings.nodes))
    for index in range(settings.nodes + settings.status_only_nodes):
        is_status_only = index >= settings.nodes
        yield Description(
            node=_NODE if index == 0 else f"{_NODE}-{index + 1}",
            version=version,
            place=imagined_place(index - settings.nodes)
            if is_status_only
            else network.place(index, settings.nodes),
            capacity=IMAGINED if is_status_only else capacity,
            is_control_plane=index == 0,
            is_status_only=is_status_only,
            is_repelling=is_status_only and has_processes,
        )
