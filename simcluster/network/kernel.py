"""ClusterIPs in the kernel: keeps the rules of `nft` in step with Services and their EndpointSlices.

The rules it keeps: one load of rules at a time, each of what has changed since the one before; rules that the
kernel refuses are told in the log and all of them loaded anew with the next change. Nothing here cuts a
connection.

Which endpoints are usable is decided in `routes`, how it is written in `rules`, when in `following`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from simcluster.controllers.loop import Context
from simcluster.network.fabric import find_nft
from simcluster.network.following import Following
from simcluster.network.observed import Name
from simcluster.network.routes import Route, find_all_routes
from simcluster.network.rules import render_base, render_change, render_silence

_log = logging.getLogger(__name__)


class KernelProxy:
    """Runs from `start` to `stop`, over the network namespace that this process is in."""

    def __init__(self, context: Context) -> None:
        self._following = Following(context, self._on_change)
        self._wanted: dict[Name, list[Route]] = {}
        self._loaded: dict[str, Route] | None = None  # by name; None before the table is there
        self._silent: set[str] = set()
        self._loaded_silent: set[str] = set()
        self._is_dirty = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow Services from now on."""
        self._is_dirty.set()
        self._task = asyncio.create_task(self._run())
        self._following.start()

    async def stop(self) -> None:
        """Follow no more; the rules go with the namespace."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def silence(self, addresses: Collection[str]) -> None:
        """Have all packets from and to these addresses vanish; returns when they do."""
        self._silent |= set(addresses)
        await self._load()

    async def thaw(self, addresses: Collection[str]) -> None:
        """Let these addresses be heard again."""
        self._silent -= set(addresses)
        await self._load()

    def _on_change(self, changed: Collection[Name]) -> None:
        observed = self._following.observed
        for name in changed:
            service = observed.service(name)
            if service is None:
                self._wanted.pop(name, None)
            else:
                self._wanted[name] = find_all_routes(service, observed.slices(name))
        self._is_dirty.set()

    async def _load(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(done)
        self._is_dirty.set()
        await done

    async def _run(self) -> None:
        while True:
            await self._is_dirty.wait()
            self._is_dirty.clear()
            waiters, self._waiters = self._waiters, []
            try:
                await self._sync()
            except OSError as error:
                _log.exception("the rules for Services could not be loaded")
                self._loaded = None
                for waiter in waiters:
                    waiter.set_exception(error)
            else:
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

    async def _sync(self) -> None:
        """Load what differs between what is wanted and what is loaded."""
        wanted = {route.name: route for routes in self._wanted.values() for route in routes}
        silent = set(self._silent)
        text = ""
        if self._loaded is None:
            text, self._loaded, self._loaded_silent = render_base(), {}, set()
        text += render_change(self._loaded, wanted)
        for addresses, is_silent in (
            (silent - self._loaded_silent, True),
            (self._loaded_silent - silent, False),
        ):
            if addresses:
                text += render_silence(addresses, is_silent=is_silent)
        if text:
            await _run_nft(text)
        self._loaded, self._loaded_silent = wanted, silent


async def _run_nft(text: str) -> None:
    nft = find_nft()
    if nft is None:
        raise FileNotFoundError("the program nft is not installed any more (package nftables)")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(nft, "-f", "-", stdin=pipe, stdout=pipe, stderr=pipe)
    _, said = await process.communicate(text.encode())
    if process.returncode != 0:
        raise OSError(f"nft: {said.decode(errors='replace').strip()}")
