"""The cluster's end of the zygote: start a process, be told when it ends, send it signals.

The rule it keeps: every process of a cluster, pods, executions and proxies alike, is started here, so that
all of them end with the cluster. Nothing here blocks: requests wait in a queue while the zygote's socket is
full.

It does not know what the processes are for.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simcluster.kubelet import interpreter
from simcluster.kubelet.rooms import Room

_LOG = logging.getLogger(__name__)
_PYTHONS = frozenset({"python", "python3", sys.executable})


_ABSENT = 'exec: "{0}": stat {0}: no such file or directory'


class StartFailed(Exception):  # noqa: N818 -- named for what happened, as Kubernetes' own StartError
    """A program could not be started; the text says why, in a container run-time's words."""


class SpawnerEnded(Exception):  # noqa: N818 -- as above
    """The zygote is gone: no process can be started any more."""


@dataclass(slots=True, eq=False)
class Child:
    """One process, from its start to its exit."""

    number: int
    ended: asyncio.Future[int]
    started: asyncio.Future[int]  # its pid
    spawner: Spawner = field(repr=False)

    @property
    def pid(self) -> int:
        """The pid; it stays the process's own until it `has_ended`."""
        return self.started.result()

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self.ended.done()

    async def wait(self) -> int:
        """The exit code, negative for the signal that ended it. A waiter that is cancelled disturbs no
        other.
        """
        return await asyncio.shield(self.ended)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to all of its process group; nothing happens if it has ended."""
        if not self.has_ended:
            self.spawner.request(
                {
                    "operation": "signal",
                    "number": self.number,
                    "pid": self.pid,
                    "signal": number,
                    "group": group,
                }
            )

    def kill(self) -> None:
        """SIGKILL the process and its group."""
        self.signal(signal.SIGKILL, group=True)

    def catches(self, number: int) -> bool:
        """Whether the process has a handler for the signal. False if it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def resolve(
    argv: Sequence[str], environment: Mapping[str, str], cwd: Path, *, is_furnished: bool = False
) -> list[str]:
    """The argv with its program as a path: Python means this interpreter. StartFailed if there is none.

    `is_furnished`: a path may lead to what is mounted in the room alone, and is left for the start itself.
    """
    name = argv[0]
    if name in _PYTHONS:
        return [sys.executable, *argv[1:]]
    if is_furnished and "/" in name:
        return list(argv)
    found = shutil.which(
        name if "/" not in name else str(cwd / name), path=environment.get("PATH", os.defpath)
    )
    if found is None:
        text = _ABSENT if "/" in name else 'exec: "{0}": executable file not found in $PATH'
        raise StartFailed(text.format(name))
    return [found, *argv[1:]]


@dataclass(slots=True, eq=False)
class Spawner:
    """Starts the zygote at `start`, or with the first process; `preload` names modules that it imports
    first.
    """

    preload: Sequence[str] = ()
    stderr: int | None = None  # a descriptor for what the zygote itself has to say
    unfit: frozenset[str] = frozenset()
    mount_obstacle: str | None = None  # why nothing can be mounted in rooms; known once it has started
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _control: socket.socket | None = None
    _process: asyncio.subprocess.Process | None = None
    _ready: asyncio.Future[None] | None = None
    _children: dict[int, Child] = field(default_factory=dict)
    _queue: deque[dict[str, Any]] = field(default_factory=deque)
    _descriptors: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _next: int = 0

    async def start(self) -> None:
        """Start the zygote and wait until it has imported what it is to import. Safe to call again."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(0)
            self._control = ours
            command = ["-m", "simcluster.kubelet.zygote", "--control", str(theirs.fileno())]
            for module in self.preload:
                command += ["--preload", module]
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr,
                    pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
            asyncio.get_running_loop().add_reader(ours, self._read)
        await asyncio.shield(self._ready)

    async def spawn(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        streams: tuple[int, int, int],
        *,
        declared: Mapping[str, str] | None = None,
        tty: bool = False,
        room: Room | None = None,
        network: int | None = None,
    ) -> Child:
        """Start `argv` with these three standard streams, which stay the caller's to close.

        `declared` is the part of the environment that the user asked for; it decides whether a Python program
        can be forked. `room` is what it is to see, `network` a descriptor of its network namespace.
        Raises StartFailed with the reason, SpawnerEnded if the zygote is gone.
        """
        command = resolve(argv, environment, cwd, is_furnished=room is not None and bool(room.mounts))
        program = None
        if command[0] == sys.executable:
            program = interpreter.parse(command, {} if declared is None else declared)
            if program is not None and program.kind == "module" and program.target in self.unfit:
                program = None
        await self.start()
        child = self._add_child()
        request = {
            "operation": "start", "number": child.number, "argv": command, "environment": dict(environment),
            "cwd": str(cwd), "tty": tty, "program": None if program is None else asdict(program),
            "room": None if room is None else asdict(room),
        }  # fmt: skip
        # Our own copies: the caller may close its own, should it be cancelled, before the queue has come to
        # them.
        passed = streams if network is None else (*streams, network)
        self._descriptors[child.number] = tuple(os.dup(each) for each in passed)
        self.request(request)
        try:
            await asyncio.shield(child.started)
        except StartFailed as failure:
            if str(failure).endswith(os.strerror(errno.ENOENT)) and "mount" not in str(failure):
                raise StartFailed(_ABSENT.format(argv[0])) from failure
            raise
        return child

    def _add_child(self) -> Child:
        loop = asyncio.get_running_loop()
        self._next += 1
        child = Child(self._next, loop.create_future(), loop.create_future(), self)
        # Nobody may be waiting any more when these end in an exception.
        for future in (child.started, child.ended):
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._children[child.number] = child
        return child

    def request(self, message: dict[str, Any]) -> None:
        """Queue one request for the zygote."""
        if self.gone.is_set() or self._control is None:
            raise SpawnerEnded("the process that starts all others has ended; see the cluster's log")
        self._queue.append(message)
        self._flush()

    def _flush(self) -> None:
        assert self._control is not None  # noqa: S101 -- for mypy: `request` has looked
        while self._queue:
            message = self._queue[0]
            streams = self._descriptors.get(message["number"], ()) if message["operation"] == "start" else ()
            body = os.memfd_create("request", os.MFD_CLOEXEC)
            try:
                os.write(body, json.dumps(message).encode())
                socket.send_fds(self._control, [b"request"], [*streams, body])
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._control, self._flush)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._end()
                return
            finally:
                os.close(body)
            self._queue.popleft()
            if streams:
                self._close(self._descriptors.pop(message["number"]))
        asyncio.get_running_loop().remove_writer(self._control)

    @staticmethod
    def _close(descriptors: tuple[int, ...]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    def _read(self) -> None:
        assert self._control is not None  # noqa: S101 -- for mypy: the reader is added after it
        while True:
            try:
                text = self._control.recv(65536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                text = b""
            if not text:
                self._end()
                return
            self._take_report(json.loads(text))

    def _take_report(self, report: dict[str, Any]) -> None:
        if "ready" in report:
            self.unfit = frozenset(report["unfit"])
            self.mount_obstacle = report["mounts"]
            for module in self.unfit:
                _LOG.warning(
                    "module %s starts a thread when it is imported; its pods start without a fork", module
                )
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        child = self._children[report["number"]]
        if "pid" in report:
            child.started.set_result(report["pid"])
        elif "problem" in report:
            del self._children[child.number]
            child.started.set_exception(StartFailed(f"fork/exec: {report['problem']}"))
        else:
            del self._children[child.number]
            child.ended.set_result(report["status"])

    def _end(self) -> None:
        """The zygote is gone: nothing that it started lives, and nothing can be started."""
        if self._control is None or self.gone.is_set():
            return
        self.gone.set()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control)
        loop.remove_writer(self._control)
        self._control.close()
        for descriptors in self._descriptors.values():
            self._close(descriptors)
        self._descriptors.clear()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(
                SpawnerEnded("the zygote ended while it started; see the cluster's log")
            )
        for child in self._children.values():
            if child.started.done():
                child.ended.set_result(-signal.SIGKILL)
            else:
                child.started.set_exception(SpawnerEnded("the zygote ended"))
        self._children.clear()

    async def stop(self) -> None:
        """Kill every process at once and wait until none is left."""
        if self._process is None:
            return
        self._end()
        await self._process.wait()
