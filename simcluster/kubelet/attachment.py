"""A client that listens and talks to a running container: what `kubectl attach` asks for.

The rules it keeps: it hears what is written from now on; a listener who is slow slows the container down, as in a
real container run-time; the container outlives whoever was attached. With `stdinOnce` the first who lets go takes
the container's input along; without it, a client with no more input soon hears no more either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from simcluster.kubelet.instance import Instance

_WAITING = 64  # pieces that may wait for the reader
# On a real node the end of what a client hears races with the container's answer to its last words; here that wins.
_LAST_WORDS_S = 0.1


class Attachment:
    """One client at a container, until the container ends or `kill` lets go of it."""

    def __init__(self, instance: Instance, *, stdin: bool, once: bool) -> None:
        self._instance = instance
        self._takes_input = stdin
        self._once = once
        self._pieces: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        instance.listeners.add(self)

    def take(self, piece: tuple[int, bytes] | None) -> None:
        """Take what the container writes."""
        self._pieces.put_nowait(piece)

    @property
    def is_full(self) -> bool:
        """Whether the container has to wait."""
        return self._pieces.qsize() >= _WAITING

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the container writes: (1 for stdout or 2 for stderr, data), until it has ended."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
            if self._pieces.empty():
                self._instance.follow()

    async def write_stdin(self, data: bytes) -> None:
        """Give the container input."""
        if self._takes_input:
            await self._instance.pipes.write(data)

    async def close_stdin(self) -> None:
        """The client has no more input; that ends the container's with `stdinOnce`, and else what the client hears."""
        if self._takes_input and self._once:
            await self._instance.pipes.end_input()
        elif self._takes_input:
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._pieces.put_nowait, None)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the container's terminal, if it has one."""
        self._instance.pipes.resize(width, height)

    async def wait(self) -> int:
        """Nothing is told of how the container ended."""
        self._instance.listeners.discard(self)
        return 0

    async def kill(self) -> None:
        """Let go."""
        self._instance.listeners.discard(self)
        self._instance.follow()
        await self.close_stdin()
