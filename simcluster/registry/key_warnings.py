"""What writers are told of a certificate and a key that do not belong together. Pure.

Source: crypto/tls of Go (X509KeyPair), by which kubernetes pkg/registry/core/secret/strategy.go looks at them.
"""

from __future__ import annotations

import base64
import re

_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(?:[A-Za-z0-9+/=\r\n]*)-----END \1-----", re.MULTILINE
)


def warn_of_pair(certificate: str, key: str) -> list[str]:
    """Return why a certificate and a key, each in base64 of PEM, are no pair; nothing if they are."""
    first, second = (base64.b64decode(each) for each in (certificate, key))
    found = _complain_certificate([each.decode() for each in _BLOCK.findall(first)])
    if found is None:
        found = _complain_key([each.decode() for each in _BLOCK.findall(second)])
    if found is None:
        found = _complain_pair(first, second)
    return [] if found is None else [f"tls: {found}" if not found.startswith("x509") else found]


def _complain_certificate(kinds: list[str]) -> str | None:
    if "CERTIFICATE" in kinds:
        return None
    if not kinds:
        return "failed to find any PEM data in certificate input"
    if len(kinds) == 1 and kinds[0].endswith("PRIVATE KEY"):
        swapped = "PEM inputs may have been switched"
        return (
            f"failed to find certificate PEM data in certificate input, but did find a private key; {swapped}"
        )
    listed = f"[{' '.join(kinds)}]"
    return (
        'failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the '
        f"following types: {listed}"
    )


def _complain_key(kinds: list[str]) -> str | None:
    if any(each == "PRIVATE KEY" or each.endswith(" PRIVATE KEY") for each in kinds):
        return None
    if not kinds:
        return "failed to find any PEM data in key input"
    if kinds == ["CERTIFICATE"]:
        return "found a certificate rather than a key in the PEM for the private key"
    listed = f"[{' '.join(kinds)}]"
    return (
        'failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: {listed}"
    )


def _complain_pair(certificate: bytes, key: bytes) -> str | None:
    # Few Secrets hold certificates, and no start-up should wait for it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return "failed to parse private key"
    own = private.public_key()
    if type(own) is not type(public):
        return "private key type does not match public key type"
    return None if own == public else "private key does not match public key"
