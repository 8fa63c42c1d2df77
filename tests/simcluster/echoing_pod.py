"""A pod that says what it was asked, echoes, breaks off and goes on for ever; see test_proxying."""

import http.server
import json
import os
import ssl
import threading
from typing import Any

GONE = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.read()
        match self.path:
            case "/echo":
                self.say(body)
            case "/gone":
                self.say(b"1" if GONE.is_set() else b"0")
            case "/half":
                self.begin(100)
                self.wfile.write(b"half")
                self.close_connection = True
            case "/endless":
                self.go_on()
            case _:
                self.say(json.dumps({"path": self.path, "headers": dict(self.headers.items())}).encode())

    do_GET = do_POST = answer  # noqa: N815 -- the names that the library calls

    def read(self) -> bytes:
        """The body, in pieces or of a known length."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def begin(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def say(self, body: bytes) -> None:
        self.begin(len(body))
        self.wfile.write(body)

    def go_on(self) -> None:
        """Write until nobody reads."""
        self.begin(1 << 50)
        try:
            while True:
                self.wfile.write(bytes(65536))
        except OSError:
            GONE.set()
            self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


server = http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler)
if "TLS" in os.environ:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{os.environ['TLS']}/certificate", f"{os.environ['TLS']}/key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
