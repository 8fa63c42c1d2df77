"""The zygote: the one process from which all others of a cluster are started.

It has imported grpc and the modules of the bound images, and forks for each Python program: ten pods serve
gRPC in well under 0.3 s, where an interpreter each would need 0.3 s of CPU each. Other programs are forked
and exec'd.

The rules it keeps:
- It forks only while it has a single thread; a module whose import starts one is left out (it re-executes
  itself without that module before it serves anything), and programs of that module get a fresh interpreter.
- When the other end of its socket closes, because the cluster ended in whatever way, it kills every
  descendant and ends.
- A process's group ends with the process, as a container ends with its PID 1.

It speaks over a SEQPACKET socket: requests in, with descriptors attached; reports out (see `spawner`, the
other end). It knows nothing of pods and imports the standard library alone by itself.
"""

from __future__ import annotations

import argparse
import concurrent.futures.thread  # noqa: F401 -- for those who use it
import contextlib
import gc
import importlib
import json
import logging
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcluster.kubelet import descent, interpreter, rooms

_IMPORT_S = 20.0
_DESCRIPTORS = 5  # stdin, stdout, stderr, maybe a network namespace, and the file that holds the request
_DEFAULT_SIGNALS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Python ignores these; other programs expect the default.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(slots=True)
class _Zygote:
    """What the serving loop holds: its socket, and the processes it started."""

    control: socket.socket
    wakeups: tuple[socket.socket, socket.socket]
    numbers: dict[int, int] = field(default_factory=dict)  # pid → the number it was asked for under

    def report(self, **message: Any) -> None:
        self.control.send(json.dumps(message).encode())


def preload(modules: Sequence[str]) -> str | None:
    """Import the modules; the name of the first that started a thread or did not come to its end, or None.

    A module that can not be imported is passed over: the program that needs it will fail and say so in its
    log. So is one whose import would be its run.
    """
    for name in modules:
        try:
            with contextlib.suppress(Exception, SystemExit), _limited():
                interpreter.remember(name)
                if interpreter.is_guarded(name):
                    importlib.import_module(name)
        except _TooLongError:
            sys.stderr.write(f"{name} was imported for {_IMPORT_S:g} s without an end: it is not preloaded\n")
            return name
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            return name
    return None


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise _TooLongError where the block, somebody's module, waits for what does not come here."""

    def end(_number: int, _frame: object) -> None:
        raise _TooLongError

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _IMPORT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


class _TooLongError(BaseException):
    """The import of a module does not end; no Exception, which the module might catch."""


def warm_up() -> None:
    """Do once what else nearly every program would do at its start, each for itself: what `argparse`, `logging` and
    `concurrent.futures` import and compile when they are first used.
    """
    logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(prog="", description="An example.")
    parser.add_argument("--number", type=int, default=1, metavar="N", help="one (default: %(default)s)")
    parser.parse_args(["--number", "2"])
    parser.format_help()


def _become_child(zygote: _Zygote, request: dict[str, Any], descriptors: list[int], parent: int) -> None:
    """Turn a fresh fork into the process asked for, up to the point where its program starts."""
    os.setsid()
    descent.bind_to_parent(parent)
    signal.set_wakeup_fd(-1)
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for held in (zygote.control, *zygote.wakeups):
        held.close()
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    if request["room"] is not None:
        rooms.furnish(rooms.read_room(request["room"]), descriptors[3] if len(descriptors) > 3 else None)
    for descriptor in descriptors:
        os.close(descriptor)
    if request["tty"]:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(argv: list[str], problem: int) -> None:
    """Replace this process by the program; writes why to `problem` when that fails."""
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        os.execve(argv[0], argv, os.environ)  # noqa: S606 -- the program of the pod, as an argument list
    except OSError as error:
        _give_up(error, problem)


def _give_up(error: OSError, problem: int) -> None:
    text = error.strerror if error.strerror is not None else str(error)
    os.write(problem, text.encode())
    os._exit(127)


def _start(zygote: _Zygote, request: dict[str, Any], descriptors: list[int]) -> interpreter.Program | None:
    """Fork for one request. Returns a program in the child that has to run one, None in the zygote."""
    program = None if request["program"] is None else interpreter.Program(**request["program"])
    parent = os.getpid()
    outcome, problem = os.pipe2(os.O_CLOEXEC)
    # What a module printed when it was imported must not be printed by every fork again.
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(outcome)
        try:
            _become_child(zygote, request, descriptors, parent)
        except OSError as error:
            _give_up(error, problem)
        if program is None:
            _execute(request["argv"], problem)
        os.close(problem)
        return program
    os.close(problem)
    failure = os.read(
        outcome, select.PIPE_BUF
    )  # ends when the program runs, or with the reason why it does not
    os.close(outcome)
    if failure:
        os.waitpid(pid, 0)
        zygote.report(number=request["number"], problem=failure.decode())
    else:
        zygote.numbers[pid] = request["number"]
        zygote.report(number=request["number"], pid=pid)
    return None


def _signal(zygote: _Zygote, request: dict[str, Any]) -> None:
    """Send a signal to a process or its group. One that is not reaped yet can not be mistaken for another."""
    pid = request["pid"]
    if zygote.numbers.get(pid) != request["number"]:
        return  # it has ended, and its exit is on its way
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if request["group"] else os.kill)(pid, request["signal"])


def _reap(zygote: _Zygote) -> None:
    """Report every child that ended. Orphans adopted from ended containers are reaped in silence."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        pid = ended.si_pid
        if pid in zygote.numbers:
            # Before the leader is reaped, so that its number can belong to nobody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if pid in zygote.numbers:
            zygote.report(number=zygote.numbers.pop(pid), status=status)


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """One request and its descriptors; None when the other end has closed."""
    try:
        text, descriptors, _, _ = socket.recv_fds(control, 64, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not text:
        return None
    with open(descriptors.pop(), "rb") as file:  # noqa: PTH123 -- a descriptor has no path
        file.seek(0)
        return json.load(file), list(descriptors)


def serve(zygote: _Zygote) -> interpreter.Program | None:
    """Serve until the other end closes. Returns a program in a child that has to run one; else None."""
    poll = select.poll()
    poll.register(zygote.control, select.POLLIN)
    poll.register(zygote.wakeups[0], select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if zygote.wakeups[0].fileno() in ready:
            zygote.wakeups[0].recv(4096)
            _reap(zygote)
        if zygote.control.fileno() not in ready:
            continue
        received = _receive(zygote.control)
        if received is None:
            return None
        request, descriptors = received
        if request["operation"] == "signal":
            _signal(zygote, request)
            continue
        program = _start(zygote, request, descriptors)
        if program is not None:
            return program
        for descriptor in descriptors:
            os.close(descriptor)


def _listen_for_signals() -> tuple[socket.socket, socket.socket]:
    """A socket pair that becomes readable at each SIGCHLD. SIGINT and SIGTERM are for the cluster's own
    process.
    """
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.settimeout(0)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return reader, writer


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simcluster.kubelet.zygote")
    parser.add_argument("--control", type=int, required=True, help="number of the inherited socket")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE")
    parser.add_argument("--unfit", action="append", default=[], metavar="MODULE")
    return parser.parse_args()


def _find_mounts() -> str | None:
    """Enter a mount namespace, in which pods can have theirs; why not, if it can not be had."""
    try:
        rooms.own_mounts()
    except OSError as error:
        return str(error)
    return None


def main() -> None:
    """Preload, serve, and end with all descendants; in a child: run its program."""
    options = _parse_options()
    descent.bind_to_parent(os.getppid())  # nobody listens to the socket while somebody's modules are imported
    unfit = preload([name for name in options.preload if name not in options.unfit])
    if unfit is not None:
        again = ["-m", "simcluster.kubelet.zygote", *sys.argv[1:], "--unfit", unfit]
        os.execv(sys.executable, [sys.executable, *again])  # noqa: S606 -- itself, as an argument list
    descent.unbind_from_parent()
    control = socket.socket(fileno=options.control)
    control.set_inheritable(False)
    descent.adopt_orphans()
    mounts = _find_mounts()
    warm_up()
    zygote = _Zygote(control, _listen_for_signals())
    gc.collect()
    gc.freeze()
    program = None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        zygote.report(ready=True, unfit=options.unfit, mounts=mounts)
        program = serve(zygote)
    if program is None:
        descent.kill_descendants()
        return
    tempfile.tempdir = None  # it may have been asked before the fork, under another TMPDIR
    interpreter.run(program)


if __name__ == "__main__":
    main()
