"""Borrow it: a cluster of a kubeconfig, by the context that was named.

Rule: namespaces are made and removed, nothing else is touched; and a namespace is removed only if it
carries the label of the run that made it. The current context is never used.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from harness.clusters import Breakable, Say
from harness.clusters.leases import Lease, Thing
from harness.errors import ApiError, ClusterError
from harness.images import Image
from harness.kube import NAMESPACES, Kube

RUN_LABEL = "kube-grpc.dev/run"


class ExistingCluster:
    """Somebody's cluster, reached through a context of the kubeconfig in KUBECONFIG or ~/.kube/config."""

    backend = "kubeconfig"
    advice: str | None = None

    def __init__(self, context: str, lease: Lease) -> None:
        self._lease = lease
        self.name = context
        self.context: str | None = context
        self.kubeconfig = default_kubeconfig()

    def start(self, images: Sequence[Image], say: Say) -> None:
        """See that the cluster answers. Images must be there already. Raises ClusterError."""
        if not self.kubeconfig.is_file():
            raise ClusterError(
                f"{self.kubeconfig}: there is no such file\n  set KUBECONFIG to the kubeconfig of the cluster"
            )
        say(f"reaching the cluster of context {self.name}")
        asyncio.run(_reach(self.kubeconfig, self.context, self._lease.folder()))
        names = ", ".join(image.name for image in images)
        if names:
            say(f"a borrowed cluster must be able to pull its images: {names}")

    @property
    def breakable(self) -> Breakable | None:
        """Nothing of it is broken: it is somebody else's."""
        return None

    def stop(self) -> None:
        """Nothing: namespaces are removed by the runs that made them."""


def default_kubeconfig() -> Path:
    """The first file of KUBECONFIG, or ~/.kube/config."""
    paths = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return Path(paths[0]) if paths else Path.home() / ".kube" / "config"


def remove_namespace(thing: Thing, run: str) -> None:
    """Delete a namespace that a dead run has left on a borrowed cluster. Raises ClusterError."""
    if thing.kubeconfig is None:
        raise ClusterError("the ledger does not say on which cluster")
    asyncio.run(_remove(thing, run))


async def _remove(thing: Thing, run: str) -> None:
    async with await Kube.connect(thing.kubeconfig or "", thing.context) as kube:
        await delete_own_namespace(kube, thing.name, run)


async def delete_own_namespace(kube: Kube, name: str, run: str) -> None:
    """Delete a namespace if it carries this run's label; one that is gone already is fine."""
    path = NAMESPACES.path(None, name)
    try:
        found = await kube.get(path)
    except ApiError as error:
        if error.status == 404:
            return
        raise
    if (found["metadata"].get("labels") or {}).get(RUN_LABEL) != run:
        raise ClusterError(f"namespace {name} was not made by run {run}; it is left alone")
    await kube.delete(path)


async def _reach(kubeconfig: Path, context: str | None, scratch: Path) -> None:
    try:
        async with await Kube.connect(kubeconfig, context, scratch) as kube:
            await kube.version()
    except OSError as error:
        raise ClusterError(f"the cluster of context {context} does not answer: {error}") from None
