"""Own it: the simulated cluster, as a child process that dies with this one.

Rule: this is the only module of the harness that knows the simulation. It makes and removes it; everything
else goes through its API like anybody's.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.clusters import Breakable, Say
from harness.clusters.leases import Lease
from harness.errors import ClusterError
from harness.images import Image
from harness.settings import AUTO

DEFAULT_VERSION = "v1.36"
_LOOPBACK = "loopback"
_REMEDY = (
    "name it in the hook pytest_k8s_images of a conftest.py: harness.images.Image('NAME', command=(...))"
)
_ADVICE = (
    "on the loopback network of the simulated cluster a server binds its pod's own address (status.podIP), and whole\n"
    "  names are asked of the DNS server in GRPC_DNS_AUTHORITY; with --k8s-network=namespace programs run as they are"
)


@functools.cache  # it takes a process
def choose_network(wanted: str | None) -> tuple[str, str]:
    """The network for what was asked for, and why. `auto` is tried by the simulation, in a process of its own."""
    if wanted is None:
        return _LOOPBACK, "the default"
    if wanted != AUTO:
        return wanted, "asked for"
    command = [sys.executable, "-m", "simcluster", "network"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    name, _, reason = said.partition(" ")
    return (name, reason.strip("()")) if name else (_LOOPBACK, "auto: the simulation could not be asked")


class SimulatedCluster:
    """A cluster in one process, on this machine, with pods as processes."""

    backend = "sim"
    context: str | None = None

    def __init__(self, version: str | None, network: str | None, lease: Lease, nodes: int = 1) -> None:
        self.name = lease.prefix
        self.kubeconfig = Path()
        self._version = DEFAULT_VERSION if version is None else version
        self._network: Any = network
        self._lease = lease
        self._nodes = nodes
        self.advice = _ADVICE if choose_network(network)[0] == _LOOPBACK else None
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
            images=commands, kubernetes_version=self._version, profile="faithful", directory=folder,
            network=self._network, nodes=self._nodes,
        )  # fmt: skip
        cluster.remedy = _REMEDY
        self._cluster = cluster
        try:
            cluster.start()
        except simcluster.StartError as error:
            raise ClusterError(f"the simulated cluster did not start: {error}") from None
        # The owner's door: the measurement goes on while the API is broken for everybody else.
        self.kubeconfig = Path(cluster.owner_kubeconfig)

    @property
    def breakable(self) -> Breakable | None:
        """The simulation's faults."""
        return None if self._cluster is None else _Faults(self._cluster)

    def stop(self) -> None:
        """End the simulation and all its pods."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.stop()  # type: ignore[attr-defined]  # simcluster.Cluster, imported only where it is used


class _Faults:
    """A `Breakable`: every fault of it ends with this process, at the latest."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def begin(self, kind: str, fields: dict[str, Any], for_s: float | None) -> str:
        """Begin a fault and return its id; ClusterError says why it can not be."""
        import simcluster

        try:
            return str(self._cluster.faults.begin(kind, for_s, **fields).id)
        except simcluster.FaultRefused as error:
            raise ClusterError(str(error)) from None

    def undo(self, number: str) -> None:
        """End a fault, if it holds still."""
        self._cluster.faults.undo(number)
