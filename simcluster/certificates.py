"""The cluster's certificate authority: what the API server shows, and what proves an administrator.

The rule it keeps: one authority a cluster, made at its start and never written anywhere but into the
kubeconfigs that need it; its key does not leave the process. Time is an argument.

It does not decide who may do what (`authorizer`) and issues nothing for pods (`tokens`).
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# As kubeadm: an authority for ten years, what it issues for one. Five minutes back, for a clock that is slow.
AUTHORITY_DAYS = 3650
ISSUED_DAYS = 365
_BACKDATED_S = 300


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority with its key in memory. `now` is an aware datetime."""

    def __init__(self, now: datetime.datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("kubernetes", ())
        lasts = datetime.timedelta(days=AUTHORITY_DAYS)
        builder = _unsigned(self._name, self._name, self._key.public_key(), now, lasts)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = builder.add_extension(self._identifier, critical=False)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM: what clients trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue_server(self, names: Sequence[str], addresses: Sequence[str], now: datetime.datetime) -> KeyPair:
        """Issue a certificate for a server known by DNS `names` and IP `addresses`."""
        others: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        others += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue(_subject("kube-apiserver", ()), ExtendedKeyUsageOID.SERVER_AUTH, now, others)

    def issue_client(self, user: str, groups: Sequence[str], now: datetime.datetime) -> KeyPair:
        """Issue a certificate that makes its holder `user` (CN) in `groups` (O), as Kubernetes reads them."""
        return self._issue(_subject(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, now, [])

    def _issue(
        self,
        subject: x509.Name,
        purpose: x509.ObjectIdentifier,
        now: datetime.datetime,
        others: list[x509.GeneralName],
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        lasts = datetime.timedelta(days=ISSUED_DAYS)
        builder = _unsigned(subject, self._name, key.public_key(), now, lasts)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier)
        builder = builder.add_extension(issuer, critical=False)
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


def read_subject(certificate: bytes) -> tuple[str, tuple[str, ...]]:
    """Return user (CN) and groups (O) of a DER certificate, as the API server's x509 authentication does."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return (str(names[0].value) if names else "", tuple(str(group.value) for group in groups))


def _subject(user: str, groups: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    lasts: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(seconds=_BACKDATED_S))
        .not_valid_after(now + lasts)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
