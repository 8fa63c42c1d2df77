"""`python -m simcluster up`: a cluster in this process, until it is told to stop.

The rules it keeps: it stops on SIGINT and SIGTERM, and when the process that asked for it (`parent`) ends;
when it has stopped, nothing of it is left. Only what the first answer needs is imported before that answer.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from simcluster import named_kubeconfig, profile, schema
from simcluster.assembly import Cluster, Settings, start
from simcluster.directory import Directory, open_directory, remove_abandoned
from simcluster.kubelet import descent
from simcluster.kubelet.images import Images
from simcluster.network.choice import LOOPBACK, Choice, choose

if TYPE_CHECKING:
    from simcluster.network.fabric import Fabric

_log = logging.getLogger("simcluster")
# What a cluster makes and drops is trees without cycles, gone by themselves: looking for cycles as often as
# Python does by itself took an eighth of the processor.
_COLLECTED = (10_000, 20, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command, read. `ready_fd` and `parent` are for programs that start a cluster."""

    images: Images
    version: str
    profile: str
    slice_size: int = 2
    nodes: int = 1
    status_only_nodes: int = 0
    network: str = LOOPBACK
    kubeconfig: Path | None = None
    directory: Path | None = None
    seed: int | None = None
    port: int = 0
    ready_fd: int | None = None
    parent: int | None = None

    def __post_init__(self) -> None:
        if self.nodes + self.status_only_nodes == 0:
            raise ValueError(
                "no nodes\n  allowed: --nodes 0 together with --status-only-nodes N, or --nodes N"
            )


def choose_version(wanted: str | None) -> str:
    """The minor of a version such as `v1.36` or `1.36.3`, the newest for None; ValueError if it is not
    known.
    """
    if wanted is None:
        return schema.versions()[-1]
    minor = "v" + ".".join(wanted.removeprefix("v").split(".")[:2])
    known = schema.versions()
    if minor not in known:
        raise ValueError(f'unknown Kubernetes version "{wanted}"\n  known versions: {", ".join(known)}')
    return minor


def run(options: Options) -> int:
    """Run a cluster to its end; returns the exit code."""
    for path in remove_abandoned():
        print(f"removed {path}: its cluster had been killed", file=sys.stderr)  # noqa: T201 -- a command's word
    directory = open_directory(options.directory)
    try:
        _log_to(directory.path / "log")
        ground = _prepare_ground(options)
        return _run_loop(_serve(options, directory, ground))
    finally:
        descent.kill_descendants()
        if options.kubeconfig is not None:
            named_kubeconfig.remove(options.kubeconfig, directory.path)
        directory.close()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What has to be there before anything runs in this process: its network."""

    choice: Choice
    fabric: Fabric | None = None
    outside: socket.socket | None = None
    owner_outside: socket.socket | None = None


def _prepare_ground(options: Options) -> _Ground:
    """Choose the network and enter it; OSError if the API can not be reached at its port."""
    choice = choose(options.network)
    _log.info("network %s (%s)", choice.name, choice.reason)
    if choice.name == LOOPBACK:
        return _Ground(choice)
    # Not at the top: nobody else needs it.
    from simcluster.network.fabric import enter

    # Before this process leaves the network in which its user is.
    outside, owner = (socket.create_server(("127.0.0.1", port)) for port in (options.port, 0))
    return _Ground(choice, enter(), outside, owner)


def _run_loop(work: object) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)  # type: ignore[arg-type]
    return uvloop.run(work)  # type: ignore[arg-type]


def _log_to(path: Path) -> None:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


async def _serve(options: Options, directory: Directory, ground: _Ground) -> int:
    descent.adopt_orphans()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.parent is not None:
        _watch_parent(options.parent, stop.set)
    kubeconfig = directory.path / "kubeconfig" if options.kubeconfig is None else options.kubeconfig
    cluster = await start(_settings(options, directory, kubeconfig, ground))
    try:
        _announce(cluster, kubeconfig, options, ground.choice, sys.stdout)
        gc.freeze()
        gc.set_threshold(*_COLLECTED)
        gc.enable()
        cluster.prepare()
        return await _wait(cluster, stop)
    finally:
        _log.info("stopping")
        await cluster.stop()


def _settings(options: Options, directory: Directory, kubeconfig: Path, ground: _Ground) -> Settings:
    return Settings(
        directory=directory.path,
        kubeconfig=kubeconfig.absolute(),
        version=options.version,
        profile=profile.choose(options.profile),
        images=options.images,
        nodes=options.nodes,
        status_only_nodes=options.status_only_nodes,
        slice_size=options.slice_size,
        seed=options.seed,
        port=options.port,
        fabric=ground.fabric,
        outside=ground.outside,
        owner_outside=ground.owner_outside,
    )


async def _wait(cluster: Cluster, stop: asyncio.Event) -> int:
    """Wait until someone stops the cluster, or until it can start no process any more."""
    stopped, gone = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(_watch_spawner(cluster))
    await asyncio.wait((stopped, gone), return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        gone.cancel()
        return 0
    stopped.cancel()
    gone.result()
    print("simcluster: the process that starts all others was killed; stopping", file=sys.stderr)  # noqa: T201
    return 1


async def _watch_spawner(cluster: Cluster) -> None:
    """Return when no process can be started any more; raise what kept the cluster from working at all."""
    workings = await cluster.workings()
    await workings.spawner.gone.wait()


def _watch_parent(parent: int, end: Callable[[], None]) -> None:
    """Call `end` when the parent process ends. Its number can not have passed to another: it is ours to wait
    for.
    """
    handle = os.pidfd_open(parent)
    asyncio.get_running_loop().add_reader(handle, end)
    if os.getppid() != parent:
        end()


def _announce(cluster: Cluster, kubeconfig: Path, options: Options, choice: Choice, out: TextIO) -> None:
    """Say that the cluster answers: to a program by its pipe, to a person in words."""
    _log.info("ready at %s", cluster.server.url)
    if options.ready_fd is not None:
        with open(options.ready_fd, "w") as pipe:  # noqa: PTH123 -- a descriptor has no path
            pipe.write(f"{kubeconfig.absolute()}\n")
        return
    known = ", ".join(sorted(options.images.given))
    kept = "" if options.directory is None else f" but {options.directory.absolute()}"
    lines = [
        f"Kubernetes {options.version}, simulated, at {cluster.server.url}",
        f"network: {choice.name} ({choice.reason})",
        f"images: {known if known else 'none; bind one with --image NAME=COMMAND'}",
        "",
        f"  export KUBECONFIG={shlex.quote(str(kubeconfig.absolute()))}",
        "  kubectl get nodes",
        "",
        f"Ctrl-C stops it and removes all of it{kept}.",
    ]
    print("\n".join(lines), file=out, flush=True)
