"""ClusterIPs: keeps Envoy's routes in step with Services and their EndpointSlices.

The rules it keeps: a cluster without a Service that has endpoints runs no proxy; an address that can not be
bound is told as an event of its Service, and the others work.

Which endpoints are usable is decided in `routes`, when changes are followed in `following`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Collection
from pathlib import Path

from simcluster.controllers.loop import Context
from simcluster.kubelet.spawner import Child, Spawner
from simcluster.network.envoy import Envoy
from simcluster.network.following import Following
from simcluster.network.observed import Name
from simcluster.network.routes import Route, find_routes

_log = logging.getLogger(__name__)


class ServiceProxy:
    """Runs from `start` to `stop`; the Envoy process is started when it is first needed."""

    def __init__(self, context: Context, spawner: Spawner, directory: Path) -> None:
        self._recorder = context.recorder("kube-proxy")
        self._spawner = spawner
        self._directory = directory
        self._following = Following(context, self._sync)
        self._observed = self._following.observed
        self._envoy: Envoy | None = None
        self._routes: dict[Name, list[Route]] = {}
        self._written: list[Route] = []
        self._obstacles: dict[str, str | None] = {}  # by the name of a route
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow Services from now on."""
        self._following.start()

    async def stop(self) -> None:
        """Follow no more; the process ends with all others."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _sync(self, changed: Collection[Name]) -> None:
        for name in changed:
            service = self._observed.service(name)
            routes = [] if service is None else find_routes(service, self._observed.slices(name))
            self._routes[name] = [route for route in routes if self._can_bind(route)]
            if service is None:
                del self._routes[name]
                gone = f"{name[0]}/{name[1]}/"
                self._obstacles = {
                    key: why for key, why in self._obstacles.items() if not key.startswith(gone)
                }
        wanted = [route for routes in self._routes.values() for route in routes]
        if wanted == self._written:
            return
        self._written = wanted
        if self._envoy is not None:
            self._envoy.write(wanted)
        elif any(route.backends for route in wanted):
            self._envoy = Envoy(self._directory)
            self._envoy.prepare(wanted)
            self._running = asyncio.create_task(self._run(self._envoy))

    async def _run(self, envoy: Envoy) -> None:
        """Keep the process running. One that dies takes its connections along, as a node's proxy can not."""
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            while True:
                child: Child = await self._spawner.spawn(
                    envoy.command(), {}, self._directory, (nothing, nothing, nothing)
                )
                status = await child.wait()
                _log.warning("envoy ended with %d, see %s; starting it again", status, self._directory)
        finally:
            os.close(nothing)

    def _can_bind(self, route: Route) -> bool:
        """Whether this user may listen there, tried once; says why not in an event."""
        if route.name not in self._obstacles:
            obstacle = self._obstacles[route.name] = _find_obstacle(route)
            service = self._observed.service((route.namespace, route.service))
            if obstacle is not None and service is not None:
                self._recorder.record(service, "Warning", "FailedToBindPort", obstacle)
        return self._obstacles[route.name] is None


def _find_obstacle(route: Route) -> str | None:
    """Why nobody could listen at the route's address; None if one could."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((route.address, route.port))
        except PermissionError:
            return (
                f"port {route.port}: the cluster's loopback network runs without privilege and can not listen "
                "on ports below 1024; connections to it are refused\n"
                "  use a port from 1024 up, or run the cluster as root"
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return f"port {route.port}: another process listens on it at {route.address} or at all addresses"
    return None
