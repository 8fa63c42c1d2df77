"""A command that runs beside a container, with streams to talk to it: what `kubectl exec` asks for.

The rules it keeps: it has the container's environment and working directory, a process group of its own, and
ends with the container; with a terminal its output is one stream. Whoever reads its output sets the pace:
nothing is kept for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from simcluster.kubelet.instance import Instance
from simcluster.kubelet.spawner import Child
from simcluster.kubelet.terminals import Pipes, open_streams

_BLOCK = 32 * 1024
_WAITING = 16  # blocks that may wait for the reader


@dataclass(slots=True, eq=False)
class Execution:
    """A running command."""

    child: Child
    _pipes: Pipes
    _beside: contextlib.ExitStack
    _output: asyncio.Queue[tuple[int, bytes] | None] = field(default_factory=asyncio.Queue)

    @classmethod
    async def start(cls, instance: Instance, argv: list[str], *, stdin: bool, tty: bool) -> Execution:
        """Start a command beside a container; StartFailed if it can not be."""
        pipes, theirs = open_streams(stdin=stdin, tty=tty)
        command = instance.command
        try:
            child = await instance.spawner.spawn(
                argv,
                command.environment,
                command.cwd,
                theirs,
                declared=command.declared,
                tty=tty,
                room=instance.room,
            )
        except BaseException:
            pipes.close()
            raise
        finally:
            for descriptor in set(theirs):
                os.close(descriptor)
        stack = contextlib.ExitStack()
        stack.enter_context(instance.beside(child))
        execution = cls(child, pipes, stack)
        execution._follow()
        return execution

    def _follow(self) -> None:
        for descriptor in self._pipes.outputs:
            asyncio.get_running_loop().add_reader(descriptor, self._pump, descriptor)

    def _pump(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _BLOCK)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose other end is closed says EIO
            data = b""
        loop = asyncio.get_running_loop()
        if data:
            self._output.put_nowait((self._pipes.outputs[descriptor], data))
            if self._output.qsize() >= _WAITING:
                loop.remove_reader(descriptor)
            return
        loop.remove_reader(descriptor)
        self._pipes.close_output(descriptor)
        if not self._pipes.outputs:
            self._output.put_nowait(None)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it writes: (1 for stdout or 2 for stderr, data), until all its streams have ended."""
        while (piece := await self._output.get()) is not None:
            yield piece
            if self._output.empty():
                self._follow()

    async def write_stdin(self, data: bytes) -> None:
        """Give it input; what it does not read, because it has ended, is lost."""
        await self._pipes.write(data)

    async def close_stdin(self) -> None:
        """End its input."""
        await self._pipes.end_input()

    def resize(self, width: int, height: int) -> None:
        """Set the size of its terminal, if it has one."""
        self._pipes.resize(width, height)

    async def wait(self) -> int:
        """The exit code, 128 + n for a signal."""
        status = await self.child.wait()
        self._release()
        return status if status >= 0 else 128 - status

    async def kill(self) -> None:
        """End it, and read no more of it."""
        self.child.kill()
        self._release()
        self._output.put_nowait(None)

    def _release(self) -> None:
        for descriptor in self._pipes.outputs:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._pipes.close()
        self._beside.close()
