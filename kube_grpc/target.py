"""The target of a channel: which Service, which port. Pure.

Rule: a target names a Service the way cluster DNS does, `name[.namespace[.svc[.cluster-domain]]]:port`, and
nothing is guessed: what is not of that shape is refused with the reason. The cluster domain is kept for the
authority only; it plays no part in discovery, which asks the Kubernetes API and not DNS.

Does not look up anything: the default namespace is an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kube_grpc.errors import TargetError

# RFC 1123 label, as metadata.name of a Namespace and (since relaxed validation) of a Service must be.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# IANA_SVC_NAME, as ServicePort.name must be: at most 15, at least one letter, no "--", no "-" at the ends.
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")

_SCHEME = "kubernetes://"
_ALLOWED = (
    '  allowed: "name.namespace.svc.cluster.local:50051", "name.namespace.svc:50051", "name.namespace:50051",\n'
    '    "name:50051" (namespace of the pod or of the kubeconfig context), "kubernetes:///name.namespace:50051";\n'
    "    a port is a number or a name"
)


@dataclass(frozen=True, slots=True)
class Target:
    """One Service and one of its ports.

    `port` is a number or the name that the Service gives the port; `domain` is the cluster domain as written,
    or None.
    """

    service: str
    namespace: str
    port: int | str
    domain: str | None = None

    def __str__(self) -> str:
        """Shortest unambiguous form, for messages and as the key of a pool."""
        return f"{self.service}.{self.namespace}:{self.port}"

    @property
    def authority(self) -> str:
        """What members are asked for as `:authority`, and what their certificate must be made out to."""
        host = f"{self.service}.{self.namespace}.svc"
        if self.domain is not None:
            host += f".{self.domain}"
        return f"{host}:{self.port}" if isinstance(self.port, int) else host


def parse(text: str, *, namespace: str | None = None) -> Target:
    """Read a target; `namespace` is used where the text has none. Raises TargetError."""
    given, text = text, _drop_scheme(text)
    if "://" in text or text.startswith(("dns:", "ipv4:", "ipv6:", "unix:")):
        _refuse(given, "has a scheme", f'leave out "{text[: text.index(":") + 1]}" and any slashes')
    host, colon, port = text.rpartition(":")
    if not colon:
        _refuse(given, "has no port", "append the port of the Service")
    labels = host.removesuffix(".").split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            _refuse(
                given,
                f'"{label}" is not a DNS label',
                "lower case letters, digits and inner hyphens, 1 to 63 characters",
            )
    if len(labels) > 2 and labels[2] != "svc":
        _refuse(
            given,
            f'"{labels[2]}" stands where "svc" is expected',
            "give the name of a Service, not of a host or an address",
        )
    if len(labels) == 1 and namespace is None:
        _refuse(given, "has no namespace, and none is known here", f'write "{labels[0]}.NAMESPACE:{port}"')
    return Target(
        service=labels[0],
        namespace=labels[1] if len(labels) > 1 else str(namespace),
        port=_read_port(given, port),
        domain=".".join(labels[3:]) if len(labels) > 3 else None,
    )


def has_namespace(text: str) -> bool:
    """Whether the text names a namespace itself, so that no default has to be found."""
    return "." in _drop_scheme(text).rpartition(":")[0].removesuffix(".")


def _drop_scheme(text: str) -> str:
    """The target without the scheme that resolvers in other languages have for it: `kubernetes:///name.namespace:port`,
    `kubernetes://namespace/name:port` and `kubernetes://name.namespace:port/` are read.
    """
    if not text.startswith(_SCHEME):
        return text
    authority, _, path = text.removeprefix(_SCHEME).partition("/")
    path = path.removesuffix("/")
    if not authority or not path:
        return authority + path
    name, colon, port = path.partition(":")
    return f"{name}.{authority}{colon}{port}"


def _read_port(text: str, port: str) -> int | str:
    if port.isascii() and port.isdecimal():
        if not 1 <= int(port) <= 65535:
            _refuse(text, f"port {port} is out of range", "1 to 65535")
        return int(port)
    if not _PORT_NAME.fullmatch(port):
        _refuse(text, f'"{port}" is neither a port number nor a port name', 'for example ":50051" or ":grpc"')
    return port


def _refuse(text: str, what: str, remedy: str) -> None:
    msg = f'target "{text}": {what}\n{_ALLOWED}\n  do: {remedy}'
    raise TargetError(msg)
