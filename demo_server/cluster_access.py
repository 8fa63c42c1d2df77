"""How a program of the demo reaches the Kubernetes API, and which namespace it works in.

The rule it keeps: the first that is set wins: an explicit kubeconfig, the variable KUBECONFIG, the pod's
service account. `~/.kube/config` is never read by accident.
"""

from collections.abc import Mapping
from pathlib import Path

from kubernetes import client, config

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class AccessError(Exception):
    """There is no way to the API, or no namespace."""


def connect_api(environ: Mapping[str, str], kubeconfig: str | None = None) -> client.ApiClient:
    """A client of the Kubernetes API. Raises AccessError where nothing says how to reach it."""
    source = kubeconfig if kubeconfig is not None else environ.get("KUBECONFIG", "")
    configuration = client.Configuration()
    try:
        if source:
            config.load_kube_config(config_file=source, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        where = f"kubeconfig {source}" if source else "the pod's service account"
        raise AccessError(
            f"no way to the Kubernetes API through {where}: {error}; run it in a pod with a service account, "
            "set KUBECONFIG, or give --kubeconfig FILE"
        ) from error
    # The watches and the creation of a certificate each hold a connection.
    configuration.connection_pool_maxsize = 16
    return client.ApiClient(configuration)


def find_namespace(environ: Mapping[str, str], namespace_file: Path = NAMESPACE_FILE) -> str:
    """The namespace of this pod: POD_NAMESPACE of the downward API, or the service account's."""
    name = environ.get("POD_NAMESPACE", "")
    if name:
        return name
    try:
        return namespace_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise AccessError(
            "no namespace: set POD_NAMESPACE (metadata.namespace) or give --namespace"
        ) from error
