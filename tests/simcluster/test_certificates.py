"""The cluster's authority issues what TLS accepts, and nothing else is accepted."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest

from simcluster.certificates import Authority, KeyPair, read_subject

NOW = datetime.datetime.now(tz=datetime.UTC)
AUTHORITY = Authority(NOW)
SERVER = AUTHORITY.issue_server(["kubernetes.default.svc"], ["127.0.0.1"], NOW)


def load(context: ssl.SSLContext, pair: KeyPair, folder: Path) -> None:
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context.load_cert_chain(folder / "pair.pem")


def shake_hands(folder: Path, authority: Authority, name: str, client: KeyPair | None) -> bytes | None:
    """Connect a client that trusts `authority` to a server that asks for certificates of AUTHORITY.

    Returns the client's certificate as the server saw it (DER).
    """
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=AUTHORITY.certificate.decode())
    serving.verify_mode = ssl.CERT_OPTIONAL
    load(serving, SERVER, folder)
    calling = ssl.create_default_context(cadata=authority.certificate.decode())
    if client is not None:
        load(calling, client, folder)
    seen: list[bytes | None] = []
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(theirs, server_side=True) as connection:
                seen.append(connection.getpeercert(binary_form=True))
                connection.sendall(b"x")
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with calling.wrap_socket(ours, server_hostname=name) as connection:
            if connection.recv(1) != b"x":
                raise ConnectionError("refused")
    finally:
        ours.close()
        thread.join(5)
    return seen[0]


@pytest.mark.parametrize("name", ["kubernetes.default.svc", "127.0.0.1"])
def test_a_server_is_known_by_each_of_its_names(tmp_path: Path, name: str) -> None:
    """DNS names and addresses both verify."""
    assert shake_hands(tmp_path, AUTHORITY, name, None) is None


def test_a_server_is_not_known_by_another_name(tmp_path: Path) -> None:
    """Negative control: the name is really checked."""
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(tmp_path, AUTHORITY, "example.test", None)


def test_a_client_is_read_from_its_certificate(tmp_path: Path) -> None:
    """CN is the user, each O a group."""
    client = AUTHORITY.issue_client("kubernetes-admin", ["system:masters", "ops"], NOW)

    seen = shake_hands(tmp_path, AUTHORITY, "127.0.0.1", client)

    assert seen is not None
    assert read_subject(seen) == ("kubernetes-admin", ("system:masters", "ops"))


def test_a_client_of_another_authority_is_refused(tmp_path: Path) -> None:
    """A certificate that this cluster did not issue does not get in."""
    stranger = Authority(NOW).issue_client("kubernetes-admin", ["system:masters"], NOW)

    with pytest.raises((ssl.SSLError, OSError)):
        shake_hands(tmp_path, AUTHORITY, "127.0.0.1", stranger)


def test_a_server_of_another_authority_is_refused(tmp_path: Path) -> None:
    """A client that trusts another cluster does not talk to this one."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tmp_path, Authority(NOW), "127.0.0.1", None)
