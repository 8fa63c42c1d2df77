"""Where the API server listens: at public doors, which faults may shut, and at the owner's, which is always open.

The rules it keeps: both demand the same credentials; a shut door refuses connections, or cuts them as soon as they are
made, and keeps its port, so that nobody else can take it meanwhile; what was connected through it is broken off.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from simcluster.apiserver.entrance import Entrance

_WAITING = 128  # connections that the kernel keeps for the server
_TRIES, _PAUSE_S = 200, 0.005


class Doors:
    """The doors of one server, from `open` to the end of its runner."""

    def __init__(self, runner: web.ServerRunner, tls: ssl.SSLContext, host: str) -> None:
        self._runner = runner
        self._tls = tls
        self._host = host
        self._public: list[_Door] = []
        self.port = 0
        self.owner_port = 0

    async def open(self, port: int, entrance: Entrance | None) -> None:
        """Listen at all of them; `port` is the public one's, 0 takes a free one."""
        if entrance is None:
            public = _bind(self._host, port)
            self.port, owner = public.getsockname()[1], _bind(self._host, 0)
            self._public = [_Door((self._host, self.port), None)]
            bound = [public]
        else:
            self.port, owner = entrance.outside.getsockname()[1], entrance.owner
            self._public = [_Door(entrance.inside, None), _Door(("", 0), entrance.outside)]
            bound = [_bind(*entrance.inside), entrance.outside.dup()]
        self.owner_port = owner.getsockname()[1]
        for door, each in zip(self._public, bound, strict=True):
            door.site = await self._serve(each)
        await self._serve(owner)

    def is_owner(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether a connection was made to the owner's door."""
        name = None if transport is None else transport.get_extra_info("sockname")
        return name is not None and name[1] == self.owner_port

    async def shut(self, *, cuts: bool) -> Callable[[], Awaitable[None]]:
        """Shut the public doors; returns what opens them again."""
        for door in self._public:
            if door.site is not None:
                await door.site.stop()
                door.site = None
        self._break_off()
        holders, cutting = [], []
        for door in self._public:
            holder = await door.take()
            holders.append(holder)
            if cuts or door.kept is not None:
                cutting.append(await asyncio.get_running_loop().create_server(_Cut, sock=holder))

        async def reopen() -> None:
            for server in cutting:
                server.close()
            for door, holder in zip(self._public, holders, strict=True):
                is_taken = cuts or door.kept is not None
                # What is bound and does not listen refuses; from now on it listens.
                door.site = await self._serve(await door.take() if is_taken else holder)

        return reopen

    async def _serve(self, bound: socket.socket) -> web.BaseSite:
        bound.listen(_WAITING)
        site = web.SockSite(self._runner, bound, ssl_context=self._tls, backlog=_WAITING)
        await site.start()
        return site

    def _break_off(self) -> None:
        server = self._runner.server
        for connection in server.connections if server is not None else ():
            if connection.transport is not None and not self.is_owner(connection.transport):
                connection.transport.abort()


@dataclass(slots=True)
class _Door:
    """A public door. One that is `kept` is of another network and can not be made again: it never stops to listen."""

    address: tuple[str, int]
    kept: socket.socket | None
    site: web.BaseSite | None = None

    async def take(self) -> socket.socket:
        """Its socket: a loop may take a moment to let go of one that was closed."""
        if self.kept is not None:
            return self.kept.dup()
        for _ in range(_TRIES):
            try:
                return _bind(*self.address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            await asyncio.sleep(_PAUSE_S)
        raise OSError(errno.EADDRINUSE, f"port {self.address[1]} of {self.address[0]} is not free again")


class _Cut(asyncio.Protocol):
    """Breaks each connection off as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.abort()  # type: ignore[attr-defined] # every transport of a socket has it


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.settimeout(0)
        bound.bind(address)
    except OSError as error:
        bound.close()
        told = "" if error.strerror is None else error.strerror.lower()
        raise OSError(error.errno, f"port {port} of {host}: {told}") from None
    return bound
