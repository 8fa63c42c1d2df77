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

_BLOCK = 32 * 1024
_STDOUT, _STDERR = 1, 2
_WAITING = 16  # blocks that may wait for the reader


@dataclass(slots=True, eq=False)
class Execution:
    """A running command."""

    child: Child
    _stdin: int | None
    _pipes: dict[int, int]  # descriptor → channel
    _beside: contextlib.ExitStack
    _output: asyncio.Queue[tuple[int, bytes] | None] = field(default_factory=asyncio.Queue)
    _open: int = 0

    @classmethod
    async def start(cls, instance: Instance, argv: list[str], *, stdin: bool, tty: bool) -> Execution:
        """Start a command beside a container; StartFailed if it can not be."""
        ours, theirs = _open_terminal() if tty else _open_pipes(stdin=stdin)
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
            for descriptor in {descriptor for descriptor in ours if descriptor is not None}:
                os.close(descriptor)
            raise
        finally:
            for descriptor in set(theirs):
                os.close(descriptor)
        stack = contextlib.ExitStack()
        stack.enter_context(instance.beside(child))
        written, out, error = ours
        pipes = {out: _STDOUT} if error is None else {out: _STDOUT, error: _STDERR}
        execution = cls(child, written, pipes, stack)
        execution._follow()
        return execution

    def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)
            loop.add_reader(descriptor, self._pump, descriptor)
        self._open = len(self._pipes)

    def _pump(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _BLOCK)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose other end is closed says EIO
            data = b""
        loop = asyncio.get_running_loop()
        if data:
            self._output.put_nowait((self._pipes[descriptor], data))
            if self._output.qsize() >= _WAITING:
                loop.remove_reader(descriptor)
            return
        loop.remove_reader(descriptor)
        if descriptor != self._stdin:
            os.close(descriptor)
        del self._pipes[descriptor]
        if not self._pipes:
            self._output.put_nowait(None)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it writes: (1 for stdout or 2 for stderr, data), until all its streams have ended."""
        loop = asyncio.get_running_loop()
        while (piece := await self._output.get()) is not None:
            yield piece
            if self._output.empty():
                for descriptor in self._pipes:
                    loop.add_reader(descriptor, self._pump, descriptor)

    async def write_stdin(self, data: bytes) -> None:
        """Give it input; what it does not read, because it has ended, is lost."""
        loop = asyncio.get_running_loop()
        while data and self._stdin is not None:
            try:
                data = data[os.write(self._stdin, data) :]
            except BlockingIOError:
                writable: asyncio.Future[None] = loop.create_future()
                loop.add_writer(self._stdin, _settle, writable)
                try:
                    await writable
                finally:
                    loop.remove_writer(self._stdin)
            except OSError:
                return

    async def close_stdin(self) -> None:
        """End its input. A terminal has no end of input of its own: it gets the key for it."""
        if self._stdin in self._pipes:
            await self.write_stdin(b"\x04")
        elif self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    async def wait(self) -> int:
        """The exit code, 128 + n for a signal."""
        status = await self.child.wait()
        self._beside.close()
        await self._release()
        return status if status >= 0 else 128 - status

    async def kill(self) -> None:
        """End it, and read no more of it."""
        self.child.kill()
        loop = asyncio.get_running_loop()
        for descriptor in tuple(self._pipes):
            loop.remove_reader(descriptor)
            if descriptor != self._stdin:
                os.close(descriptor)
        self._pipes.clear()
        self._output.put_nowait(None)
        self._beside.close()
        await self._release()

    async def _release(self) -> None:
        if self._stdin is not None and self._stdin not in self._pipes:
            os.close(self._stdin)
            self._stdin = None


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _open_pipes(*, stdin: bool) -> tuple[tuple[int | None, int, int | None], tuple[int, int, int]]:
    """Our ends (input, output, errors) and the command's three streams."""
    written: int | None = None
    if stdin:
        read, written = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(written, False)
    else:
        read = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    out, out_end = os.pipe2(os.O_CLOEXEC)
    error, error_end = os.pipe2(os.O_CLOEXEC)
    return (written, out, error), (read, out_end, error_end)


def _open_terminal() -> tuple[tuple[int | None, int, int | None], tuple[int, int, int]]:
    """A terminal: our end is input and output at once, the command's is all three streams."""
    ours, theirs = os.openpty()
    return (ours, ours, None), (theirs, theirs, theirs)
