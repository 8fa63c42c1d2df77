"""`kube_grpc rbac SERVICE…`, or `python -m kube_grpc`: prints the rights that a pool for these Services needs, as YAML
for kubectl apply.
"""

from __future__ import annotations

import argparse
import re
import sys

from kube_grpc import rbac
from kube_grpc import target as targets
from kube_grpc.errors import TargetError

_SERVICE_ACCOUNT = re.compile(r"(?:([a-z0-9][-a-z0-9]*):)?([a-z0-9][-.a-z0-9]*)")


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0, or 2 for a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="python -m kube_grpc", description="kube-grpc: gRPC over all pods of a Service"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    role = commands.add_parser("rbac", help="print the Role and RoleBinding that a pool needs")
    role.add_argument("services", nargs="+", metavar="SERVICE", help="name, name.namespace or a whole target")
    role.add_argument("-n", "--namespace", help="namespace of a SERVICE that names none")
    role.add_argument(
        "--service-account", default="default", metavar="[NAMESPACE:]NAME", help="who runs the client"
    )
    given = parser.parse_args(arguments)
    account = _SERVICE_ACCOUNT.fullmatch(given.service_account)
    if account is None:
        parser.error(f'--service-account "{given.service_account}": allowed: NAME or NAMESPACE:NAME')
    try:
        parsed = [
            targets.parse(item if ":" in item else f"{item}:1", namespace=given.namespace)
            for item in given.services
        ]
    except TargetError as error:
        parser.error(str(error))
    manifests = [
        rbac.write_role(namespace, f"system:serviceaccount:{account[1] or namespace}:{account[2]}")
        for namespace in sorted({item.namespace for item in parsed})
    ]
    sys.stdout.write("---\n".join(manifests))
    return 0


def run() -> None:
    """The program `kube_grpc`."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
