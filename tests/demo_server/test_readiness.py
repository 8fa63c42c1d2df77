"""The readiness endpoint, asked as a kubelet asks."""

import datetime
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_server.address import ListenAddress
from demo_server.certificate import Issued, issue_certificate
from demo_server.readiness import ReadyServer, find_tls_fault

HOST = "greeter.example.test"
LOOPBACK = ListenAddress("127.0.0.1", 0)


def ask(address: ListenAddress, path: str = "/ready") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


@pytest.mark.parametrize(
    ("reason", "answer"), [(None, (200, "ready\n")), ("no TLS yet", (503, "no TLS yet\n"))]
)
def test_answer_is_what_is_found_now(reason: str | None, answer: tuple[int, str]) -> None:
    """Ready is 200; not ready is 503 with the reason."""
    server = ReadyServer(LOOPBACK, lambda: reason)
    try:
        assert ask(server.address) == answer
    finally:
        server.close()


def test_each_probe_asks_anew() -> None:
    """A gateway that stops being ready says so at the next probe."""
    reasons = iter([None, "stopping", None])
    server = ReadyServer(LOOPBACK, lambda: next(reasons))
    try:
        assert [ask(server.address)[0] for _ in range(3)] == [200, 503, 200]
        assert ask(server.address, "/other") == (404, "there is only /ready\n")
    finally:
        server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server.address)


@pytest.fixture
def issued() -> Issued:
    """A certificate for the host."""
    return issue_certificate([HOST], datetime.datetime.now(datetime.UTC))


def serve_tls(issued: Issued, directory: Path, protocols: list[str]) -> tuple[ListenAddress, socket.socket]:
    (directory / "pair.pem").write_bytes(issued.certificate + issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "pair.pem")
    context.set_alpn_protocols(protocols)
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            try:
                context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()

    threading.Thread(target=answer, daemon=True).start()
    return ListenAddress("127.0.0.1", listening.getsockname()[1]), listening


@pytest.fixture
def listening(issued: Issued, tmp_path: Path) -> Iterator[ListenAddress]:
    """A TLS server with the certificate and HTTP/2."""
    address, sock = serve_tls(issued, tmp_path, ["h2"])
    yield address
    sock.close()


def test_the_certificate_of_the_secret_is_no_fault(issued: Issued, listening: ListenAddress) -> None:
    """The right certificate with HTTP/2 is what a client needs."""
    assert find_tls_fault(listening, HOST, issued.certificate) is None


def test_another_certificate_is_a_fault(listening: ListenAddress) -> None:
    """Negative control: a valid certificate for the same host that is not the Secret's is not ready."""
    renewed = issue_certificate([HOST], datetime.datetime.now(datetime.UTC))
    fault = find_tls_fault(listening, HOST, renewed.certificate)
    assert fault == f"{HOST} is not served with the certificate of its Secret yet"


def test_no_http2_is_a_fault(issued: Issued, tmp_path: Path) -> None:
    """gRPC needs HTTP/2; a TLS server without it is not ready."""
    address, sock = serve_tls(issued, tmp_path, ["http/1.1"])
    try:
        assert find_tls_fault(address, HOST, issued.certificate) == f"{HOST} is served without HTTP/2"
    finally:
        sock.close()


def test_nobody_listening_is_a_fault(issued: Issued, free_port) -> None:
    """A refused connection is told with the address."""
    address = ListenAddress("127.0.0.1", free_port())
    fault = find_tls_fault(address, HOST, issued.certificate)
    assert fault is not None
    assert fault.startswith(f"no TLS for {HOST} on {address}: ")
