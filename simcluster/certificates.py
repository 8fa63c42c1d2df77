"""The cluster's certificate authority: what the API server shows, and what proves an administrator.

The rule it keeps: one authority a cluster, made at its start and never written anywhere but into the
kubeconfigs that need it; its key does not leave the process. Time is an argument.

It does not decide who may do what (`authorizer`) and issues nothing for pods (`tokens`).
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from simcluster import der, keys

# As kubeadm: an authority for ten years, what it issues for one. Five minutes back, for a clock that is slow.
AUTHORITY_DAYS = 3650
ISSUED_DAYS = 365
_BACKDATED_S = 300
_SERIAL_BITS = 159
# RFC 5280: the attributes of names, and the extensions; RFC 5758: the signature.
_COMMON_NAME, _ORGANIZATION = der.identifier("2.5.4.3"), der.identifier("2.5.4.10")
_SUBJECT_KEY, _KEY_USAGE, _OTHER_NAMES = (der.identifier(f"2.5.29.{number}") for number in (14, 15, 17))
_CONSTRAINTS, _AUTHORITY_KEY, _PURPOSES = (der.identifier(f"2.5.29.{number}") for number in (19, 35, 37))
_SERVER, _CLIENT = der.identifier("1.3.6.1.5.5.7.3.1"), der.identifier("1.3.6.1.5.5.7.3.2")
_ECDSA_SHA256 = der.sequence(der.identifier("1.2.840.10045.4.3.2"))
# Bits 0 digitalSignature, 5 keyCertSign, 6 cRLSign.
_SIGNS_CERTIFICATES, _SIGNS_DATA = der.bits(b"\x86", 1), der.bits(b"\x80", 7)
# What a subject is as the ssl module shows it: attributes, each a name and a value.
Subject = Iterable[Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority with its key in memory. `now` is an aware datetime."""

    def __init__(self, now: datetime.datetime) -> None:
        self._key = keys.generate()
        self._name = _name("kubernetes", ())
        self._identifier = hashlib.sha1(keys.read_point(self._key), usedforsecurity=False).digest()
        extensions = (
            _extension(_CONSTRAINTS, der.sequence(der.true()), critical=True),
            _extension(_KEY_USAGE, _SIGNS_CERTIFICATES, critical=True),
            _extension(_SUBJECT_KEY, der.octets(self._identifier)),
        )
        self._certificate = self._sign(self._name, self._key, now, AUTHORITY_DAYS, extensions)

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM: what clients trust."""
        return self._certificate

    def issue_server(self, names: Sequence[str], addresses: Sequence[str], now: datetime.datetime) -> KeyPair:
        """Issue a certificate for a server known by DNS `names` and IP `addresses`."""
        others = [der.pack(0x82, name.encode("ascii")) for name in names]
        others += [der.pack(0x87, ipaddress.ip_address(address).packed) for address in addresses]
        known = _extension(_OTHER_NAMES, der.sequence(*others))
        return self._issue(_name("kube-apiserver", ()), _SERVER, now, known)

    def issue_client(self, user: str, groups: Sequence[str], now: datetime.datetime) -> KeyPair:
        """Issue a certificate that makes its holder `user` (CN) in `groups` (O), as Kubernetes reads them."""
        return self._issue(_name(user, groups), _CLIENT, now)

    def _issue(self, subject: bytes, purpose: bytes, now: datetime.datetime, *more: bytes) -> KeyPair:
        key = keys.generate()
        extensions = (
            _extension(_CONSTRAINTS, der.sequence(), critical=True),
            _extension(_KEY_USAGE, _SIGNS_DATA, critical=True),
            _extension(_PURPOSES, der.sequence(purpose)),
            _extension(_AUTHORITY_KEY, der.sequence(der.pack(0x80, self._identifier))),
            *more,
        )
        return KeyPair(self._sign(subject, key, now, ISSUED_DAYS, extensions), keys.write_private(key))

    def _sign(
        self,
        subject: bytes,
        key: ec.EllipticCurvePrivateKey,
        now: datetime.datetime,
        days: int,
        extensions: Iterable[bytes],
    ) -> bytes:
        """A certificate for the key, PEM (RFC 5280, 4.1)."""
        begins_at, ends_at = (
            now - datetime.timedelta(seconds=_BACKDATED_S),
            now + datetime.timedelta(days=days),
        )
        signed = der.sequence(
            der.pack(0xA0, der.integer(2)),  # version 3
            der.integer(secrets.randbits(_SERIAL_BITS) | 1),
            _ECDSA_SHA256,
            self._name,
            der.sequence(der.time(begins_at), der.time(ends_at)),
            subject,
            keys.write_public(key),
            der.pack(0xA3, der.sequence(*extensions)),
        )
        signature = self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return der.pem("CERTIFICATE", der.sequence(signed, _ECDSA_SHA256, der.bits(signature)))


def read_subject(subject: Subject) -> tuple[str, tuple[str, ...]]:
    """Return user (CN) and groups (O) of a certificate's subject, as the API server's x509 authentication does."""
    attributes = [attribute for part in subject for attribute in part]
    names = [value for name, value in attributes if name == "commonName"]
    groups = tuple(value for name, value in attributes if name == "organizationName")
    return (names[0] if names else "", groups)


def _name(user: str, groups: Sequence[str]) -> bytes:
    attributes = [*((_ORGANIZATION, group) for group in groups), (_COMMON_NAME, user)]
    return der.sequence(*(der.set_of(der.sequence(kind, der.text(value))) for kind, value in attributes))


def _extension(kind: bytes, content: bytes, *, critical: bool = False) -> bytes:
    return der.sequence(kind, der.true() if critical else b"", der.octets(content))
