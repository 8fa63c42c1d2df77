"""Says over HTTP whether the gateway is ready: `GET /ready` answers 200, or 503 with the reason.

The rule it keeps: it answers what it finds when it is asked, not what was intended. Ready is: Envoy shows, in
a real TLS handshake for an Ingress host, the very certificate of the Secret, valid now; and each backend has
had an endpoint in Envoy once. That endpoints go away later does not make a gateway unready: it then answers
UNAVAILABLE at once, which is the truth, and a refused connection would be none.
"""

import datetime
import http.server
import socket
import ssl
import threading
from collections.abc import Callable

from demo_server.address import ListenAddress
from demo_server.certificate import leaf_der

PATH = "/ready"
HANDSHAKE_S = 0.5


class ReadyServer:
    """Serves `find_reason` (None: ready) from threads of its own until closed."""

    def __init__(self, listen: ListenAddress, find_reason: Callable[[], str | None]) -> None:
        self._server = _Server(listen, find_reason)
        self.address = ListenAddress(listen.host, self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="readiness", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def find_tls_fault(listen: ListenAddress, host: str, certificate: bytes) -> str | None:
    """Why a TLS client that asks `listen` for `host` does not get this certificate (PEM); None if it does."""
    # Verification is by comparison with the Secret's own certificate, whoever signed it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((listen.host, listen.port), HANDSHAKE_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as secured,
        ):
            shown, protocol = secured.getpeercert(binary_form=True), secured.selected_alpn_protocol()
    except OSError as error:
        return f"no TLS for {host} on {listen}: {error}"
    if shown != leaf_der(certificate):
        return f"{host} is not served with the certificate of its Secret yet"
    return None if protocol == "h2" else f"{host} is served without HTTP/2"


def utc_now() -> datetime.datetime:
    """The wall clock, aware."""
    return datetime.datetime.now(datetime.UTC)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # A probe that comes while the last one is answered must not be refused.
    request_queue_size = 16

    def __init__(self, listen: ListenAddress, find_reason: Callable[[], str | None]) -> None:
        self.find_reason = find_reason
        if ":" in listen.host:
            self.address_family = socket.AF_INET6
        super().__init__((listen.host, listen.port), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0

    def do_GET(self) -> None:
        """Answer the probe."""
        if self.path != PATH:
            self._answer(404, f"there is only {PATH}")
            return
        reason = self.server.find_reason()
        self._answer(200 if reason is None else 503, "ready" if reason is None else reason)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """A probe each second is not news."""

    def _answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
