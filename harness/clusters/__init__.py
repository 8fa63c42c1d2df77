"""Clusters: own one (simulated, kind) or borrow one (existing), behind one small protocol.

Rule: only making a cluster, removing it and getting an image into it differ per kind; everything else goes
through the Kubernetes API and is the same for all. A cluster is started once a run and stopped whatever
happens.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.clusters.leases import KIND_CLUSTER, NAMESPACE, Lease, Remove
from harness.errors import ClusterError
from harness.images import Image
from harness.scenario import Shape
from harness.settings import AUTO, Settings

Say = Callable[[str], None]


class Breakable(Protocol):
    """What of a cluster can be broken on purpose, and mended."""

    def begin(self, kind: str, fields: dict[str, Any], for_s: float | None) -> str:
        """Begin a fault and return its id; ClusterError says why it can not be."""

    def undo(self, number: str) -> None:
        """End a fault, if it holds still."""


class Cluster(Protocol):
    """A cluster for one run.

    `backend` is sim, kind or kubeconfig; `kubeconfig` and `context` say how to reach it, once started.
    """

    backend: str
    name: str
    kubeconfig: Path
    context: str | None
    advice: str | None
    """What its pods' programs have to do that those of other clusters have not, for one that does not come up."""

    def start(self, images: Sequence[Image], say: Say) -> None:
        """Return when the cluster takes pods of these images. `say` is told what is being waited for.

        Raises ClusterError, after which `stop` must still be called.
        """

    @property
    def breakable(self) -> Breakable | None:
        """How it is broken; None where it can not be."""

    def stop(self) -> None:
        """Remove all that `start` made; safe to call at any time and more than once."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend (or the network of one) that a run uses, and why."""

    backend: str
    reason: str


def choose(settings: Settings) -> Choice:
    """The backend that was asked for.

    For `auto`, kind where it and a Docker engine answer, else the simulation.
    """
    if settings.backend != AUTO:
        return Choice(settings.backend, "asked for")
    if shutil.which("kind") is None:
        return Choice("sim", "auto: the kind program is not on PATH")
    trouble = _docker_trouble()
    if trouble is not None:
        return Choice("sim", f"auto: no Docker engine answers ({trouble})")
    return Choice("kind", "auto: kind is on PATH and a Docker engine answers")


def choose_network(choice: Choice, settings: Settings) -> Choice | None:
    """The network of a simulated cluster, and why; None for other backends."""
    if choice.backend != "sim":
        return None
    from harness.clusters.simulated import choose_network

    return Choice(*choose_network(settings.network))


def find_obstacle(shape: Shape, choice: Choice, settings: Settings) -> str | None:
    """Why no cluster of this shape can be had; None if one can."""
    if choice.backend != "sim" or shape.network is None:
        return None
    if settings.network not in (None, AUTO, shape.network):
        return f"it needs --k8s-network={shape.network}, not {settings.network}"
    from harness.clusters.simulated import choose_network

    found, reason = choose_network(AUTO)
    return None if found == shape.network else f"it needs the network {shape.network}: {reason}"


def make(choice: Choice, settings: Settings, lease: Lease, shape: Shape) -> Cluster:
    """The cluster of a choice, not yet started."""
    if choice.backend == "sim":
        from harness.clusters.simulated import (
            SimulatedCluster,
        )  # the simulation is an extra that may be missing

        network = settings.network if shape.network is None else shape.network
        return SimulatedCluster(settings.kubernetes_version, network, lease, shape.nodes)
    if choice.backend == "kind":
        from harness.clusters.kind import KindCluster

        return KindCluster(settings.kubernetes_version, lease, shape.nodes)
    from harness.clusters.existing import ExistingCluster

    if settings.context is None:
        raise ClusterError("a borrowed cluster needs --k8s-context")
    return ExistingCluster(settings.context, lease)


def removers() -> dict[str, Remove]:
    """How each kind of thing in a ledger is removed."""
    from harness.clusters.existing import remove_namespace
    from harness.clusters.kind import remove_cluster
    from harness.clusters.leases import FOLDER, remove_folder

    return {FOLDER: remove_folder, KIND_CLUSTER: remove_cluster, NAMESPACE: remove_namespace}


def _docker_trouble() -> str | None:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=3)
        try:
            client.ping()
        finally:
            client.close()
    except DockerException as error:
        return str(error).splitlines()[0][:120]
    return None
