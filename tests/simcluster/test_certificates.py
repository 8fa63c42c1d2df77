"""The cluster's authority issues what TLS accepts, and nothing else is accepted."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from simcluster.certificates import Authority, KeyPair, Subject, read_subject

NOW = datetime.datetime.now(tz=datetime.UTC)
AUTHORITY = Authority(NOW)
SERVER = AUTHORITY.issue_server(["kubernetes.default.svc"], ["127.0.0.1"], NOW)


def load(context: ssl.SSLContext, pair: KeyPair, folder: Path) -> None:
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context.load_cert_chain(folder / "pair.pem")


def shake_hands(folder: Path, authority: Authority, name: str, client: KeyPair | None) -> Subject | None:
    """Connect a client that trusts `authority` to a server that asks for certificates of AUTHORITY.

    Returns the subject of the client's certificate as the server saw it, None if there was no certificate.
    """
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=AUTHORITY.certificate.decode())
    serving.verify_mode = ssl.CERT_OPTIONAL
    load(serving, SERVER, folder)
    calling = ssl.create_default_context(cadata=authority.certificate.decode())
    if client is not None:
        load(calling, client, folder)
    seen: list[Subject | None] = []
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(theirs, server_side=True) as connection:
                shown: Any = connection.getpeercert()
                seen.append(shown["subject"] if shown else None)
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


def read(pem: bytes) -> x509.Certificate:
    """A certificate as a strict reader takes it."""
    return x509.load_pem_x509_certificate(pem)


def usage(certificate: x509.Certificate) -> tuple[bool, bool, bool, bool]:
    """Whether its use is critical, and for what it is: data, certificates, lists of revoked ones."""
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    return found.critical, found.value.digital_signature, found.value.key_cert_sign, found.value.crl_sign


def test_an_authority_is_written_as_the_standard_has_it() -> None:
    """A reader of another hand finds all parts, and the signature is good."""
    made = read(AUTHORITY.certificate)
    made.verify_directly_issued_by(made)
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, None)
    assert usage(made) == (True, True, True, True)
    known = made.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert known == x509.SubjectKeyIdentifier.from_public_key(made.public_key())
    assert isinstance(made.signature_hash_algorithm, hashes.SHA256)
    assert made.not_valid_before_utc == (NOW - datetime.timedelta(minutes=5)).replace(microsecond=0)
    assert made.not_valid_after_utc == (NOW + datetime.timedelta(days=3650)).replace(microsecond=0)


def test_what_it_issues_is_written_as_the_standard_has_it() -> None:
    """Names, addresses, purpose and issuer are found by a reader of another hand; the key is the certificate's."""
    pair = AUTHORITY.issue_server(["a.test", "b.test"], ["127.0.0.1", "::1"], NOW)
    made = read(pair.certificate)
    made.verify_directly_issued_by(read(AUTHORITY.certificate))
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert usage(made) == (True, True, False, False)
    others = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert others.get_values_for_type(x509.DNSName) == ["a.test", "b.test"]
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    assert others.get_values_for_type(x509.IPAddress) == addresses
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    of_authority = read(AUTHORITY.certificate).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert issuer == x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_authority.value)
    key = serialization.load_pem_private_key(pair.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == made.public_key()
    assert read(pair.certificate).serial_number != read(SERVER.certificate).serial_number


def test_names_may_be_of_any_script() -> None:
    """A user of 30 letters in a group that is not ASCII comes out as he went in."""
    user, group = "ü" * 30, "группа"
    subject = read(AUTHORITY.issue_client(user, [group], NOW).certificate).subject
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == [group]


def test_a_clock_beyond_2050_is_written_in_the_long_form() -> None:
    """Certificates of a simulated far future are read back to the second."""
    now = datetime.datetime(2049, 6, 1, 12, 30, 15, tzinfo=datetime.UTC)
    made = read(Authority(now).certificate)
    assert made.not_valid_before_utc == now - datetime.timedelta(minutes=5)
    assert made.not_valid_after_utc == now + datetime.timedelta(days=3650)
