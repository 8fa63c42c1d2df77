"""One run of one container: its process, its output, and the commands executed beside it.

The rules it keeps: SIGTERM goes to the main process alone, and only if it has a handler for it or shares its
process namespace: without one, the kernel drops it for the PID 1 that it would be in a real container. When
the main process ends, its group and all executions are killed, and what was written is read to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from simcluster.kubelet.logs import ContainerLog
from simcluster.kubelet.rooms import Room
from simcluster.kubelet.spawner import Child, Spawner
from simcluster.kubelet.terminals import STDERR, STDOUT, Pipes, open_streams

_BLOCK = 64 * 1024
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: `declared` is the part of the environment that the pod itself asks for."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    declared: Mapping[str, str]
    cwd: Path
    room: Room | None = None
    network: int | None = None  # a descriptor of the network namespace
    stdin: bool = False
    tty: bool = False


class Listener(Protocol):
    """Somebody who wants what a container writes, from now on."""

    def take(self, piece: tuple[int, bytes] | None) -> None:
        """Take a piece, (1 for stdout or 2 for stderr, data); None: there is no more."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether it has enough for now."""
        ...


@dataclass(slots=True, eq=False)
class Instance:
    """A started container."""

    command: Command
    spawner: Spawner
    log: ContainerLog
    child: Child
    pipes: Pipes
    executions: set[Child] = field(default_factory=set)
    listeners: set[Listener] = field(default_factory=set)
    _halts: set[str] = field(default_factory=set)

    @classmethod
    async def start(cls, spawner: Spawner, command: Command, log: ContainerLog) -> Instance:
        """Start the command with its output going to the log; StartFailed if it can not be."""
        pipes, theirs = open_streams(stdin=command.stdin, tty=command.tty)
        try:
            child = await spawner.spawn(
                command.argv,
                command.environment,
                command.cwd,
                theirs,
                declared=command.declared,
                room=command.room,
                network=command.network,
                tty=command.tty,
            )
        except BaseException:
            pipes.close()
            raise
        finally:
            for end in set(theirs):
                os.close(end)
        instance = cls(command, spawner, log, child, pipes)
        instance.follow()
        return instance

    def follow(self) -> None:
        """Read what it writes, now and on."""
        for descriptor in self.pipes.outputs:
            asyncio.get_running_loop().add_reader(descriptor, self._pump, descriptor)

    def _pause(self) -> None:
        """Read nothing until somebody who listens has caught up and calls `follow`."""
        for descriptor in self.pipes.outputs:
            asyncio.get_running_loop().remove_reader(descriptor)

    def _pump(self, descriptor: int) -> bool:
        """Move what is there from a pipe to the log and to listeners; whether there may be more."""
        if descriptor not in self.pipes.outputs:
            return False
        try:
            data = os.read(descriptor, _BLOCK)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose other end is closed says EIO
            data = b""
        channel = self.pipes.outputs[descriptor]
        if not data:
            self._close(descriptor)
            return False
        self.log.write(_NAMES[channel], data)
        for listener in self.listeners:
            listener.take((channel, data))
        if any(listener.is_full for listener in self.listeners):
            self._pause()
        return True

    def _close(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        self.pipes.close_output(descriptor)

    async def wait(self) -> int:
        """The exit code as a container run-time tells it: 128 + n for a signal; all output is in the log
        then.
        """
        status = await self.child.wait()
        for execution in self.executions:
            execution.kill()
        for descriptor in tuple(self.pipes.outputs):
            while self._pump(descriptor):  # at most what the pipe holds: nobody is left to write
                continue
            if descriptor in self.pipes.outputs:  # held open by a process that left the group
                self._close(descriptor)
        self.pipes.close()
        self.log.close()
        for listener in self.listeners:
            listener.take(None)
        return status if status >= 0 else 128 - status

    def terminate(self, stop_signal: int, *, is_shared: bool) -> None:
        """Ask it to end. `is_shared`: the pod shares one process namespace, so its PID 1 is another
        process.
        """
        if is_shared or self.child.catches(stop_signal):
            self.child.signal(stop_signal)

    def halt(self, reason: str) -> None:
        """Stop its processes where they are, until `resume` was told every reason for which they were.

        Its sockets stay open and silent: the kernel still takes what is sent, nobody reads it.
        """
        self._halts.add(reason)
        self._signal_all(signal.SIGSTOP)

    def resume(self, reason: str) -> None:
        """Let its processes go on, unless there is another reason for which they stand."""
        if reason in self._halts:
            self._halts.remove(reason)
            if not self._halts:
                self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        for child in (self.child, *self.executions):
            child.signal(number, group=True)

    def kill(self) -> None:
        """End it."""
        self.child.kill()

    async def run(self, argv: list[str], timeout_s: float) -> tuple[int, str]:
        """Run a command beside it to its end: exit code and output. TimeoutError, and it is killed, when it
        is late.
        """
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        out, out_end = os.pipe2(os.O_CLOEXEC)
        try:
            command = self.command
            child = await self.spawner.spawn(
                argv, command.environment, command.cwd, (nothing, out_end, out_end),
                declared=command.declared, room=self.room,
            )  # fmt: skip
        except BaseException:
            os.close(out)
            raise
        finally:
            os.close(nothing)
            os.close(out_end)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(out, "rb", buffering=0)
        )
        with self.beside(child), contextlib.closing(transport):
            try:
                async with asyncio.timeout(timeout_s):
                    output = await reader.read()
                    return await child.wait(), output.decode(errors="replace")
            finally:
                child.kill()

    @property
    def room(self) -> Room | None:
        """The room for a process beside it: its own."""
        return None if self.command.room is None else Room(beside=self.child.pid)

    @contextlib.contextmanager
    def beside(self, child: Child) -> Iterator[None]:
        """Have a process end with this container, while the context lasts."""
        self.executions.add(child)
        if self.child.has_ended:
            child.kill()
        try:
            yield
        finally:
            self.executions.discard(child)


def signal_number(name: str) -> int:
    """The number of a signal by its name, such as SIGTERM."""
    return signal.Signals[name].value
