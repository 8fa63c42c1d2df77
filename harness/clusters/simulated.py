"""Own it: the simulated cluster, as a child process that dies with this one.

Rule: this is the only module of the harness that knows the simulation. It makes and removes it; everything
else goes through its API like anybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.clusters import Say
from harness.clusters.leases import Lease
from harness.errors import ClusterError
from harness.images import Image

DEFAULT_VERSION = "v1.36"


class SimulatedCluster:
    """A cluster in one process, on this machine, with pods as processes."""

    backend = "sim"
    context: str | None = None

    def __init__(self, version: str | None, lease: Lease) -> None:
        self.name = lease.prefix
        self.kubeconfig = Path()
        self._version = DEFAULT_VERSION if version is None else version
        self._lease = lease
        self._cluster: object | None = None

    def start(self, images: Sequence[Image], say: Say) -> None:
        """Start the simulation with the command of each image. Raises ClusterError."""
        try:
            import simcluster
        except ImportError as error:
            raise ClusterError(
                f"the simulated cluster can not be imported: {error}\n  pip install 'kube-grpc[simcluster]'"
            ) from None
        say("starting the simulated cluster")
        commands = {image.name: image.command for image in images if image.command is not None}
        folder = self._lease.folder()
        cluster = simcluster.Cluster(
            images=commands, kubernetes_version=self._version, profile="faithful", directory=folder
        )
        self._cluster = cluster
        try:
            cluster.start()
        except simcluster.StartError as error:
            raise ClusterError(f"the simulated cluster did not start: {error}") from None
        self.kubeconfig = Path(cluster.kubeconfig)

    def stop(self) -> None:
        """End the simulation and all its pods."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.stop()  # type: ignore[attr-defined]  # simcluster.Cluster, imported only where it is used
