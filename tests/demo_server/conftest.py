"""Real Greeters and programs for the tests of the demo: processes that end with the test."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

WAIT_S = 20.0


@dataclass
class Program:
    """A running program of the demo; its standard error is read all the time, so that it never blocks."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, pattern: str, timeout_s: float = WAIT_S) -> re.Match[str]:
        """The first match of the pattern in a line of standard error."""

        def find() -> re.Match[str] | None:
            return next((found for line in list(self.lines) if (found := re.search(pattern, line))), None)

        with self.changed:
            self.changed.wait_for(lambda: find() or self.process.poll() is not None, timeout_s)
            found = find()
        assert found is not None, f"no {pattern!r} in:\n{''.join(self.lines)}"
        return found

    def log(self) -> str:
        return "".join(self.lines)

    def read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()


@dataclass
class GreeterProcess:
    """A Greeter server as a process."""

    program: Program
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.program.process


def count_connections(port: int) -> int:
    """Established connections of a local server's port; gRPC's sockets are in either table."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


Start = Callable[..., Program]
StartGreeter = Callable[..., GreeterProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `python -m MODULE ARGUMENT…` in the test's folder with a clean environment."""
    started: list[Program] = []
    threads: list[threading.Thread] = []

    def run(module: str, *arguments: str, **environ: str) -> Program:
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**clean, **environ},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        program = Program(process)
        thread = threading.Thread(target=program.read_errors, daemon=True)
        thread.start()
        started.append(program)
        threads.append(thread)
        return program

    yield run
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
        program.process.wait()
    for thread in threads:
        thread.join(WAIT_S)
    for program in started:
        for pipe in (program.process.stdout, program.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def start_greeter(start: Start) -> StartGreeter:
    """Start a Greeter on a port that the kernel chooses and wait until it listens."""

    def run(pod: str, *arguments: str, host: str = "127.0.0.1", port: int = 0) -> GreeterProcess:
        program = start("demo_server.server", "--listen", f"{host}:{port}", *arguments, POD_NAME=pod)
        found = program.wait_for(r"listens on \S+:(\d+)$")
        return GreeterProcess(program, host, int(found[1]))

    return run


@pytest.fixture
def connections() -> Callable[[int], int]:
    """How many connections a local server's port holds."""
    return count_connections


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Finds a port that nobody listens on."""

    def find() -> int:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return int(sock.getsockname()[1])

    return find
