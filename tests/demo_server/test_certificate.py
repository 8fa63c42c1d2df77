"""Self-signed certificates, and what is wrong with a certificate."""

import base64
import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from demo_server.certificate import VALIDITY, find_fault, issue_certificate, leaf_der
from demo_server.certificate_store import read_secret

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOST = "greeter.example.test"
MINUTE = datetime.timedelta(minutes=1)


def verify(leaf: bytes, authority: bytes, host: str, at: datetime.datetime) -> None:
    store = Store([x509.load_pem_x509_certificate(authority)])
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(host))
    verifier.verify(x509.load_pem_x509_certificate(leaf), [])


def test_issued_certificate_is_valid_for_its_host() -> None:
    """A strict verifier accepts the leaf for its host, now and until it expires."""
    issued = issue_certificate([HOST, "b.example.test"], NOW)
    verify(issued.certificate, issued.authority, HOST, NOW)
    verify(issued.certificate, issued.authority, "b.example.test", NOW + VALIDITY - MINUTE)
    assert find_fault(issued.certificate, issued.key, NOW) is None


def test_issued_certificate_is_valid_for_nothing_else() -> None:
    """Negative control: another host, another authority or another year is refused."""
    issued, other = issue_certificate([HOST], NOW), issue_certificate([HOST], NOW)
    for authority, host, at in (
        (issued.authority, "other.example.test", NOW),
        (other.authority, HOST, NOW),
        (issued.authority, HOST, NOW + VALIDITY + MINUTE),
    ):
        with pytest.raises(VerificationError):
            verify(issued.certificate, authority, host, at)


def test_leaf_is_no_authority() -> None:
    """The leaf can not sign, and the authority is another certificate with another key."""
    issued = issue_certificate([HOST], NOW)
    leaf, authority = (
        x509.load_pem_x509_certificate(each) for each in (issued.certificate, issued.authority)
    )
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is True
    assert leaf.public_key() != authority.public_key()


def test_real_handshake(tmp_path: Path) -> None:
    """A TLS client that trusts only the authority connects to a server with the leaf, and not for another name."""
    issued = issue_certificate([HOST], datetime.datetime.now(datetime.UTC))
    (tmp_path / "pair.pem").write_bytes(issued.certificate + issued.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tmp_path / "pair.pem")
    client_context = ssl.create_default_context(cadata=issued.authority.decode())

    def connect(name: str) -> bytes | None:
        ours, theirs = socket.socketpair()

        def answer() -> None:
            try:
                server_context.wrap_socket(theirs, server_side=True).close()
            except OSError:
                theirs.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with client_context.wrap_socket(ours, server_hostname=name) as secured:
                return secured.getpeercert(binary_form=True)
        finally:
            ours.close()
            thread.join()

    assert connect(HOST) == leaf_der(issued.certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect("other.example.test")


def test_no_host_is_refused() -> None:
    """A certificate for nobody is not made."""
    with pytest.raises(ValueError, match="a certificate needs at least one host name"):
        issue_certificate([], NOW)


def test_faults_are_said_in_words() -> None:
    """Text that is no PEM, a foreign key, and both ends of the validity."""
    issued, other = issue_certificate([HOST], NOW), issue_certificate([HOST], NOW)
    assert find_fault(b"x", issued.key, NOW) == "tls.crt or tls.key is not an unencrypted PEM (ValueError)"
    assert find_fault(issued.certificate, other.key, NOW) == "tls.key is not the key of tls.crt"
    early = find_fault(issued.certificate, issued.key, NOW - datetime.timedelta(days=1))
    assert early == "tls.crt is not valid before 2025-12-31 23:00 UTC"
    late = find_fault(issued.certificate, issued.key, NOW + VALIDITY + MINUTE)
    assert late == "tls.crt expired at 2027-01-01 00:00 UTC; delete the Secret to renew it"


def test_key_is_not_in_a_representation() -> None:
    """What is issued can be logged without its key."""
    assert "PRIVATE" not in repr(issue_certificate([HOST], NOW))


def test_secret_is_read() -> None:
    """A good Secret gives its pair."""
    issued = issue_certificate([HOST], NOW)
    pair = {"tls.crt": issued.certificate, "tls.key": issued.key}
    read = read_secret(
        "greeter-tls", {"data": {key: base64.b64encode(text).decode() for key, text in pair.items()}}, NOW
    )
    assert read.problem is None
    assert read.certificate is not None
    assert (read.certificate.chain.encode(), read.certificate.key.encode()) == (
        issued.certificate,
        issued.key,
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "Secret s has no tls.crt and no tls.key"),
        (None, "Secret s has no tls.crt and no tls.key"),
        ({"tls.crt": "eA=="}, "Secret s has no tls.key"),
        ({"tls.crt": "?", "tls.key": "?"}, "Secret s: tls.crt or tls.key is not base64"),
        (
            {"tls.crt": "eA==", "tls.key": "eA=="},
            "Secret s: tls.crt or tls.key is not an unencrypted PEM (ValueError)",
        ),
    ],
)
def test_unusable_secret_is_said_in_words(data: dict[str, str] | None, problem: str) -> None:
    """A Secret that can not serve says what is wrong, and never what stands in it."""
    read = read_secret("s", {"data": data}, NOW)
    assert (read.certificate, read.problem) == (None, problem)
