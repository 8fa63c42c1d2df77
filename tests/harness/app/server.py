"""A service for tests, with nothing but the standard library: answers each connection with its pod's name."""

from __future__ import annotations

import os
import signal
import socketserver
import sys
from pathlib import Path


class Greeter(socketserver.StreamRequestHandler):
    """One connection, one answer."""

    def handle(self) -> None:
        """Say who answers."""
        self.wfile.write(os.environ["POD_NAME"].encode())


class Server(socketserver.ThreadingTCPServer):
    """Takes its port even if the last process has just left it."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(0)
    )  # process 1 of a container has no default action for it
    Path("server.pid").write_text(str(os.getpid()), encoding="utf-8")
    with Server((os.environ["POD_IP"], 7000), Greeter) as server:
        server.serve_forever()
