"""Self-signed certificates for an Ingress host, and what is wrong with a certificate.

The rule it keeps: the authority that signs and the leaf that serves are two certificates; the authority's key
is thrown away as soon as it has signed, so nothing else can ever be signed with it. Time comes in as an
argument. Renewal is by deleting the Secret: the gateway may create Secrets, never change one.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = datetime.timedelta(days=365)
SKEW = datetime.timedelta(hours=1)
"""Backdated, because the clocks of a cluster differ."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A leaf, its key and the authority that signed it, PEM."""

    certificate: bytes
    authority: bytes
    key: bytes = field(repr=False)


def issue_certificate(hosts: Sequence[str], now: datetime.datetime) -> Issued:
    """A P-256 certificate for these DNS names, valid for a year from `now` (aware)."""
    if not hosts:
        raise ValueError("a certificate needs at least one host name")
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = _make_name("kube-grpc ingress gateway, self-signed authority")
    authority = (
        _begin(name, name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_make_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    leaf = (
        _begin(_make_name("kube-grpc ingress gateway"), name, key.public_key(), now)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_make_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return Issued(
        certificate=leaf.public_bytes(serialization.Encoding.PEM),
        authority=authority.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def find_fault(certificate: bytes, key: bytes, now: datetime.datetime) -> str | None:
    """Why this pair (PEM) can not serve now, in words; None if it can."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate)
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        # The error's own text could quote the key.
        return f"tls.crt or tls.key is not an unencrypted PEM ({type(error).__name__})"
    if leaf.public_key() != private.public_key():
        return "tls.key is not the key of tls.crt"
    if now < leaf.not_valid_before_utc:
        return f"tls.crt is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if now > leaf.not_valid_after_utc:
        return (
            f"tls.crt expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; delete the Secret to renew it"
        )
    return None


def leaf_der(certificate: bytes) -> bytes:
    """The first certificate of a PEM chain as DER, which is what a TLS peer shows."""
    return x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _make_name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _make_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
