"""HTTP and TLS over the registry: what `kubectl` and every other client of Kubernetes talks to."""

from simcluster.apiserver.bootstrap import create_bootstrap_objects, publish
from simcluster.apiserver.calls import Execution, Kubelet
from simcluster.apiserver.kubeconfigs import write_pod_kubeconfig
from simcluster.apiserver.server import ApiServer, serve, write_admin_kubeconfig

__all__ = [
    "ApiServer",
    "Execution",
    "Kubelet",
    "create_bootstrap_objects",
    "publish",
    "serve",
    "write_admin_kubeconfig",
    "write_pod_kubeconfig",
]
