"""A Kubernetes cluster simulated in one process: a real API over TLS, and pods that are real processes.

    with simcluster.Cluster(images={"greeter:dev": "python -m demo_server.server"}) as cluster:
        ...  # any Kubernetes client, with cluster.kubeconfig

For people: `python -m simcluster up`.
"""

from simcluster.cluster import Cluster, StartError

__all__ = ["Cluster", "StartError"]
