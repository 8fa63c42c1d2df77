"""The TLS side of the API server: TLS 1.2 or newer, client certificates asked for but not required."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from simcluster.certificates import Authority, KeyPair


def make_tls(authority: Authority, pair: KeyPair) -> ssl.SSLContext:
    """Return a context that shows a certificate and checks those of clients against the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.certificate.decode())
    # OpenSSL reads keys from files only; this one is readable by its owner alone, and gone at once.
    with tempfile.TemporaryDirectory(prefix="simcluster-") as folder:
        file = Path(folder) / "server.pem"
        file.touch(mode=0o600)
        file.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(file)
    return context
