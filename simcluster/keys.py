"""Key pairs on the curve P-256, and how they are written down.

It does not sign certificates (`certificates`) or tokens (`tokens`).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from simcluster import der

_COORDINATE = 32
_ALGORITHM = der.sequence(der.identifier("1.2.840.10045.2.1"), der.identifier("1.2.840.10045.3.1.7"))


def generate() -> ec.EllipticCurvePrivateKey:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def read_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key as an uncompressed point (SEC 1, 2.3.3)."""
    numbers = key.public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(_COORDINATE, "big") + numbers.y.to_bytes(_COORDINATE, "big")


def write_public(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The SubjectPublicKeyInfo, DER."""
    return der.sequence(_ALGORITHM, der.bits(read_point(key)))


def write_private(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as PKCS #8, PEM."""
    value = key.private_numbers().private_value.to_bytes(_COORDINATE, "big")
    point = der.pack(0xA1, der.bits(read_point(key)))
    private = der.sequence(der.integer(1), der.octets(value), point)
    return der.pem("PRIVATE KEY", der.sequence(der.integer(0), _ALGORITHM, der.octets(private)))
