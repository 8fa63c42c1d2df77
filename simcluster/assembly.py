"""A whole cluster in one process: store, registry, API server, controllers, kubelet and network, started and
stopped.

The rule it keeps: it answers as soon as it can; whatever needs time (controllers, images' modules, the proxy) is
started after that. Stopping ends every process and gives every address back.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from simcluster import schema
from simcluster.apiserver.bootstrap import create_bootstrap_objects, publish
from simcluster.apiserver.entrance import Entrance
from simcluster.apiserver.server import ApiServer, serve, write_admin_kubeconfig
from simcluster.controllers.events import Recorder
from simcluster.controllers.informers import Informers
from simcluster.controllers.loop import Context
from simcluster.faults.admin import AdminServer
from simcluster.faults.board import Board
from simcluster.faults.breaker import Breaker
from simcluster.faults.race import Race
from simcluster.faults.remote import OWNER_KUBECONFIG
from simcluster.kubelet.fleet import Fleet
from simcluster.kubelet.frost import Frost
from simcluster.kubelet.host import Host
from simcluster.kubelet.images import Images
from simcluster.kubelet.kubelet import Kubelet
from simcluster.kubelet.node import IMAGINED, measure_capacity, share_capacity
from simcluster.kubelet.spawner import Spawner
from simcluster.network.addresses import claim_block, imagined_place
from simcluster.network.driver import Network
from simcluster.network.fabric import API_ADDRESS, Fabric, node_address
from simcluster.network.loopback import LoopbackNetwork
from simcluster.network.namespace import NamespaceNetwork
from simcluster.profile import Profile
from simcluster.registry import Registry

if TYPE_CHECKING:
    from simcluster.controllers.controllers import Controllers

_log = logging.getLogger(__name__)
_NODE = "simcluster-node"
_API_PORT, _SERVICE_PORT = 6443, 443


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


@dataclass(slots=True)
class Cluster:
    """A running cluster."""

    server: ApiServer
    spawner: Spawner
    _manage: Callable[[], Awaitable[Controllers]]
    _fleet: Fleet
    _network: Network
    _informers: Informers
    _admin: AdminServer
    _controllers: Controllers | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def prepare(self) -> None:
        """Start what the first pod will need, without waiting for it."""
        self._tasks.append(asyncio.create_task(self._start_controllers()))
        self._tasks.append(asyncio.create_task(self.spawner.start()))

    async def _start_controllers(self) -> None:
        self._controllers = await self._manage()

    async def stop(self) -> None:
        """End every process at once, then stop listening."""
        await self._admin.stop()
        await self._fleet.stop()
        await self._network.stop()
        await self.spawner.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._controllers is not None:
            await self._controllers.close()
        self._informers.close()
        await self.server.close()


async def start(settings: Settings, clock: Callable[[], float] = time.time) -> Cluster:
    """Start a cluster; it answers when this returns, and its kubeconfig is written. `prepare` starts the rest."""
    seed = settings.seed if settings.seed is not None else random.SystemRandom().randrange(2**32)
    _log.info("kubernetes %s, profile %s, seed %d", settings.version, settings.profile.name, seed)
    network, entrance = _make_network(settings)

    def chance(part: str) -> random.Random:
        """One source of chance for each part, so that one part's use of it does not move another's."""
        return random.Random(f"{seed}/{part}")  # noqa: S311 -- repeatable on purpose

    catalogue = schema.load(settings.version)
    registry = Registry(catalogue, clock=clock, chance=chance("names"), addresses=network.service_addresses)
    create_bootstrap_objects(registry.acting_as("kube-apiserver"))
    server = await serve(registry, port=settings.port, chance=chance("watches"), entrance=entrance)
    publish(registry, *server.published)
    race = Race()

    async def manage() -> Controllers:
        # Their modules are a fifth of all that is imported, and the first answer needs none of them.
        module = await asyncio.to_thread(importlib.import_module, "simcluster.controllers.controllers")
        started: Controllers = module.start(
            registry.acting_as("kube-controller-manager"), settings.profile, rng=chance("controllers"),
            clock=clock, ca_certificate=server.authority.certificate.decode(), slice_size=settings.slice_size,
            race=race,
        )  # fmt: skip
        return started

    of_kubelets = registry.acting_as("kubelet")
    informers = Informers(of_kubelets)
    call_later = asyncio.get_running_loop().call_later
    context = Context(of_kubelets, informers, settings.profile, chance("node"), clock, call_later, race)
    spawner = Spawner(_modules_of(settings.images), stderr=_open_output(settings.directory))
    network.follow(context, spawner, settings.directory)
    await network.start()
    fleet = _make_fleet(settings, context, server, spawner, network)
    fleet.start()
    server.kubelet = fleet
    breaker = Breaker(server, fleet, network, race, chance("faults"), settings.slice_size)
    admin = AdminServer(Board(breaker.begin, clock))
    await admin.start(settings.directory)
    write_admin_kubeconfig(server, settings.kubeconfig, folder=settings.directory)
    write_admin_kubeconfig(
        server, settings.directory / OWNER_KUBECONFIG, folder=settings.directory, owner=True
    )
    return Cluster(server, spawner, manage, fleet, network, informers, admin)


def _make_network(settings: Settings) -> tuple[Network, Entrance | None]:
    if settings.fabric is not None and settings.outside is not None and settings.owner_outside is not None:
        inside, service = (node_address(0), _API_PORT), (API_ADDRESS, _SERVICE_PORT)
        return NamespaceNetwork(settings.fabric), Entrance(
            settings.outside, settings.owner_outside, inside, service
        )
    # Blocks are the machine's, not the cluster's: two clusters of one seed must not want the same one first.
    block = claim_block(random.Random())  # noqa: S311 -- spreads clusters
    return LoopbackNetwork(block), None


def _make_fleet(
    settings: Settings, context: Context, server: ApiServer, spawner: Spawner, network: Network
) -> Fleet:
    pods = settings.directory / "pods"
    pods.mkdir(mode=0o700, exist_ok=True)
    first = Host(
        node=_NODE,
        version=context.registry.catalogue.version["gitVersion"],
        registry=context.registry,
        informers=context.informers,
        profile=context.profile,
        rng=context.rng,
        clock=context.clock,
        call_later=context.call_later,
        recorder=Recorder(context.registry, "kubelet", clock=context.clock, host=_NODE),
        spawner=spawner,
        network=network,
        place=network.place(0, max(1, settings.nodes)),
        images=settings.images,
        directory=pods,
        endpoint={
            "url": "https://{}:{}".format(*server.pod_address),
            "authority": server.authority.certificate,
        },
        api=server.pod_address,
        tokens=server.issuer,
        capacity=share_capacity(measure_capacity(pods), max(1, settings.nodes)),
        race=context.race,
        import_roots=_find_import_roots(),
    )
    kubelets = [Kubelet(host) for host in _make_hosts(first, settings)]
    return Fleet(context.registry, context.informers, context.profile, context.call_later, kubelets)


def _make_hosts(first: Host, settings: Settings) -> Iterator[Host]:
    """All nodes: those with processes share the machine, the others need none."""
    total = settings.nodes + settings.status_only_nodes
    for index in range(total):
        name = first.node if index == 0 else f"{first.node}-{index + 1}"
        own = replace(
            first,
            node=name,
            recorder=Recorder(first.registry, "kubelet", clock=first.clock, host=name),
            frost=Frost(),
            is_control_plane=index == 0,
        )
        if index >= settings.nodes:
            place = imagined_place(index - settings.nodes)
            mixed = settings.nodes > 0
            yield replace(own, place=place, capacity=IMAGINED, is_status_only=True, is_repelling=mixed)
        else:
            yield own if index == 0 else replace(own, place=first.network.place(index, settings.nodes))


def _modules_of(images: Images) -> list[str]:
    """What the zygote imports: the images' modules, and grpc, which most of them need."""
    return ["grpc", *images.modules()] if images.has_python() else []


def _find_import_roots() -> list[str]:
    """Where modules come from beside the interpreter's own places: here, and PYTHONPATH."""
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    here = str(Path.cwd())
    return list(dict.fromkeys([here, *given] if here in sys.path else given))


def _open_output(directory: Path) -> int:
    """Where the zygote's own complaints go; it is this process's log file, too."""
    return os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
