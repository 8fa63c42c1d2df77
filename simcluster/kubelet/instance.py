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

from simcluster.kubelet.logs import ContainerLog
from simcluster.kubelet.rooms import Room
from simcluster.kubelet.spawner import Child, Spawner

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: `declared` is the part of the environment that the pod itself asks for."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    declared: Mapping[str, str]
    cwd: Path
    room: Room | None = None
    network: int | None = None  # a descriptor of the network namespace


@dataclass(slots=True, eq=False)
class Instance:
    """A started container."""

    command: Command
    spawner: Spawner
    log: ContainerLog
    child: Child
    executions: set[Child] = field(default_factory=set)
    _halts: set[str] = field(default_factory=set)
    _pipes: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def start(cls, spawner: Spawner, command: Command, log: ContainerLog) -> Instance:
        """Start the command with its output going to the log; StartFailed if it can not be."""
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        out, out_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        error, error_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for end in (out_end, error_end):
            os.set_blocking(end, True)  # writers expect to block
        try:
            child = await spawner.spawn(
                command.argv,
                command.environment,
                command.cwd,
                (nothing, out_end, error_end),
                declared=command.declared,
                room=command.room,
                network=command.network,
            )
        except BaseException:
            os.close(out)
            os.close(error)
            raise
        finally:
            for end in (nothing, out_end, error_end):
                os.close(end)
        instance = cls(command, spawner, log, child)
        instance._follow("stdout", out)
        instance._follow("stderr", error)
        return instance

    def _follow(self, stream: str, pipe: int) -> None:
        self._pipes[stream] = pipe
        asyncio.get_running_loop().add_reader(pipe, self._pump, stream)

    def _pump(self, stream: str) -> bool:
        """Move what is there from a pipe to the log; whether there may be more."""
        pipe = self._pipes.get(stream)
        if pipe is None:
            return False
        try:
            data = os.read(pipe, _BLOCK)
        except BlockingIOError:
            return False
        if not data:
            self._close(stream)
            return False
        self.log.write(stream, data)
        return True

    def _close(self, stream: str) -> None:
        pipe = self._pipes.pop(stream)
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)

    async def wait(self) -> int:
        """The exit code as a container run-time tells it: 128 + n for a signal; all output is in the log
        then.
        """
        status = await self.child.wait()
        for execution in self.executions:
            execution.kill()
        for stream in tuple(self._pipes):
            while self._pump(stream):  # at most what the pipe holds: nobody is left to write
                continue
            if stream in self._pipes:  # held open by a process that left the group
                self._close(stream)
        self.log.close()
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
