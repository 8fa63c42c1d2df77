"""The certificates of the terminations: read from Secrets, made where an Ingress asks for that.

The rule it keeps: a Secret is only ever created, never changed; whoever creates it first wins, and everybody
serves what stands in the cluster. A key never reaches a log.
"""

import base64
import binascii
import datetime
import logging
from dataclasses import dataclass

from kubernetes import client
from kubernetes.client import ApiException

from demo_server.certificate import find_fault, issue_certificate
from demo_server.ingress_rules import Object, Termination
from demo_server.xds_resources import Certificate

TIMEOUT_S = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """A Secret's certificate, or in words why it has none that can serve."""

    certificate: Certificate | None
    problem: str | None = None


def read_secret(name: str, secret: Object, now: datetime.datetime) -> Read:
    """The certificate of a `kubernetes.io/tls` Secret. Pure."""
    data = secret.get("data") or {}
    missing = [key for key in ("tls.crt", "tls.key") if not data.get(key)]
    if missing:
        return Read(None, f"Secret {name} has no {' and no '.join(missing)}")
    try:
        chain, key = (base64.b64decode(data[each], validate=True) for each in ("tls.crt", "tls.key"))
    except binascii.Error:
        return Read(None, f"Secret {name}: tls.crt or tls.key is not base64")
    fault = find_fault(chain, key, now)
    if fault is not None:
        return Read(None, f"Secret {name}: {fault}")
    return Read(Certificate(chain.decode(), key.decode()))


def create_secret(
    api: client.CoreV1Api, namespace: str, wanted: Termination, now: datetime.datetime
) -> str | None:
    """Create the Secret with a fresh certificate; what went wrong in words, None where it exists now.

    That another gateway created it in the meantime is no error.
    """
    issued = issue_certificate(wanted.hosts, now)
    body = client.V1Secret(
        metadata=client.V1ObjectMeta(
            name=wanted.secret, labels={"app.kubernetes.io/managed-by": "kube-grpc-gateway"}
        ),
        type="kubernetes.io/tls",
        data={
            "tls.crt": _encode(issued.certificate),
            "tls.key": _encode(issued.key),
            "ca.crt": _encode(issued.authority),
        },
    )
    try:
        api.create_namespaced_secret(namespace, body, _request_timeout=TIMEOUT_S)
    except ApiException as error:
        if error.status == 409:
            log.info("Secret %s was created by another", wanted.secret)
            return None
        hint = "; the gateway's Role must let it create secrets" if error.status == 403 else ""
        return f"cannot create Secret {wanted.secret}: {error.status} {error.reason}{hint}"
    log.info("created Secret %s, self-signed for %s", wanted.secret, ", ".join(wanted.hosts))
    return None


def _encode(pem: bytes) -> str:
    return base64.b64encode(pem).decode("ascii")
