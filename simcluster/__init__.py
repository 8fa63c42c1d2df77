"""A Kubernetes cluster simulated in one process: a real API over TLS, and pods that are real processes.

    with simcluster.Cluster(images={"greeter:dev": "python -m demo_server.server"}) as cluster:
        ...  # any Kubernetes client, with cluster.kubeconfig

For people: `python -m simcluster up`. For tests: the fixtures `simcluster` and `simcluster_session`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcluster.cluster import Cluster, StartError
    from simcluster.faults.remote import FaultRefused

__all__ = ["Cluster", "FaultRefused", "StartError"]


def __getattr__(name: str) -> Any:
    # Every pytest run imports this package for its fixtures, and few start a cluster.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from simcluster import cluster

    return getattr(cluster, name)
