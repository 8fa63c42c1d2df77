"""What the ingress gateway needs to know: its command line and environment. Pure, but for reading them."""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo_server.address import ListenAddress, default_address, parse_address

PORT = 8443
READY_PORT = 8081
INGRESS_CLASS = "kube-grpc"
GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespace` and `kubeconfig` None: found in the pod. `directory` None: a temporary folder."""

    listen: ListenAddress
    ready: ListenAddress
    ingress_class: str
    grace_s: float
    namespace: str | None = None
    kubeconfig: str | None = None
    directory: Path | None = None


def parse_settings(argv: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Settings from the command line, with defaults from the downward API's POD_IP."""
    parser = argparse.ArgumentParser(
        prog="python -m demo_server.gateway",
        description="An ingress gateway for gRPC: Envoy behind Ingress objects.",
    )
    parser.add_argument(
        "--listen",
        type=parse_address,
        default=default_address(environ, PORT),
        metavar="ADDR:PORT",
        help="TLS",
    )
    parser.add_argument(
        "--ready-port",
        type=_port,
        default=READY_PORT,
        metavar="PORT",
        help="GET /ready, on the address of --listen",
    )
    parser.add_argument("--ingress-class", default=INGRESS_CLASS, metavar="NAME", help="default: %(default)s")
    parser.add_argument("--namespace", metavar="NAME", help="default: the pod's own")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else the pod's service account"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help=f"for Envoy's files; default: below {tempfile.gettempdir()}",
    )
    parser.add_argument(
        "--grace", type=float, default=GRACE_S, metavar="S", help="for calls in flight at SIGTERM"
    )
    args = parser.parse_args(argv)
    return Settings(
        listen=args.listen,
        ready=ListenAddress(args.listen.host, args.ready_port),
        ingress_class=args.ingress_class,
        grace_s=args.grace,
        namespace=args.namespace,
        kubeconfig=args.kubeconfig,
        directory=args.directory,
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'"{text}" is not a port; give a number from 0 to 65535')
    return int(text)
