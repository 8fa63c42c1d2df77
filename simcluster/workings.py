"""What works behind the API of a running cluster: its network, its kubelets, its controllers, and its faults.

The rule it keeps: all of it is made after the API answers, and nothing here is imported before. What users have done
meanwhile is found and done. Stopping ends every process and gives every address back.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from simcluster.controllers import controllers
from simcluster.controllers.controllers import Controllers
from simcluster.controllers.events import Recorder
from simcluster.controllers.informers import Informers
from simcluster.controllers.loop import Context
from simcluster.faults.admin import AdminServer
from simcluster.faults.board import Board
from simcluster.faults.breaker import Breaker
from simcluster.faults.race import Race
from simcluster.kubelet.fleet import Fleet
from simcluster.kubelet.frost import Frost
from simcluster.kubelet.host import Host
from simcluster.kubelet.images import Images
from simcluster.kubelet.kubelet import Kubelet
from simcluster.kubelet.spawner import Spawner
from simcluster.network.driver import Network
from simcluster.node_files import NODES, NodeFiles

if TYPE_CHECKING:
    from simcluster.assembly import Ground


@dataclass(slots=True)
class Workings:
    """All of it, running."""

    spawner: Spawner
    fleet: Fleet
    _network: Network
    _informers: Informers
    _admin: AdminServer
    _controllers: Controllers
    _files: NodeFiles
    _zygote: asyncio.Task[None] = field(repr=False)

    async def stop(self) -> None:
        """End every process at once."""
        await self._admin.stop()
        await self.fleet.stop()
        await self._network.stop()
        await self.spawner.stop()
        await asyncio.gather(self._zygote, return_exceptions=True)
        await self._controllers.close()
        self._informers.close()
        self._files.clear()


async def start(ground: Ground) -> Workings:
    """Start all of it over a cluster that answers."""
    settings, server, network, chance = ground.settings, ground.server, ground.network, ground.chance
    race = Race()
    files = NodeFiles(settings.directory / NODES)
    # In a folder that the user named, an earlier cluster that was killed may have left some.
    files.clear()
    of_kubelets = server.registry.acting_as("kubelet")
    informers = Informers(of_kubelets)
    call_later = asyncio.get_running_loop().call_later
    context = Context(
        of_kubelets, informers, settings.profile, chance("node"), ground.clock, call_later, race
    )
    spawner = Spawner(_modules_of(settings.images), stderr=_open_output(settings.directory))
    # The first pod will need it; it is not waited for.
    zygote = asyncio.create_task(spawner.start())
    network.follow(context, spawner, settings.directory)
    await network.start()
    fleet = _make_fleet(ground, context, spawner)
    fleet.start()
    server.kubelet = fleet
    breaker = Breaker(server, fleet, network, race, chance("faults"), settings.slice_size)
    admin = AdminServer(Board(breaker.begin, ground.clock))
    await admin.start(ground.door)
    managed = controllers.start(
        server.registry.acting_as("kube-controller-manager"), settings.profile, rng=chance("controllers"),
        clock=ground.clock, ca_certificate=server.authority.certificate.decode(), slice_size=settings.slice_size,
        race=race, files=files,
    )  # fmt: skip
    return Workings(spawner, fleet, network, informers, admin, managed, files, zygote)


def _make_fleet(ground: Ground, context: Context, spawner: Spawner) -> Fleet:
    kubelets = [Kubelet(host) for host in _make_hosts(ground, context, spawner)]
    return Fleet(context.registry, context.informers, context.profile, context.call_later, kubelets)


def _make_hosts(ground: Ground, context: Context, spawner: Spawner) -> Iterator[Host]:
    settings, server = ground.settings, ground.server
    pods = settings.directory / "pods"
    pods.mkdir(mode=0o700, exist_ok=True)
    first = Host(
        node="", version="", place=ground.nodes[0].place,
        registry=context.registry,
        informers=context.informers,
        profile=context.profile,
        rng=context.rng,
        clock=context.clock,
        call_later=context.call_later,
        recorder=context.recorder("kubelet"),
        spawner=spawner,
        network=ground.network,
        images=settings.images,
        directory=pods,
        endpoint={
            "url": "https://{}:{}".format(*server.pod_address),
            "authority": server.authority.certificate,
        },
        api=server.pod_address,
        tokens=server.issuer,
        race=context.race,
        import_roots=_find_import_roots(),
        is_registered=True,
    )  # fmt: skip
    for node in ground.nodes:
        yield replace(
            first,
            node=node.node,
            version=node.version,
            place=node.place,
            capacity=node.capacity,
            is_control_plane=node.is_control_plane,
            is_status_only=node.is_status_only,
            is_repelling=node.is_repelling,
            recorder=Recorder(context.registry, "kubelet", clock=context.clock, host=node.node),
            frost=Frost(),
        )


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
