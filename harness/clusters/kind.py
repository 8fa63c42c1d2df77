"""Own it: a kind cluster, made by the `kind` program, with images built by Docker and loaded into it.

Rule: the cluster's name carries the run's id and is written in its ledger before it is made; only that
cluster is ever deleted. `kind` is called with argument lists; no shell.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from harness.clusters import Breakable, Say
from harness.clusters.kind_nodes import Pauses, unpause
from harness.clusters.leases import KIND_CLUSTER, Lease, Thing, prefix_of
from harness.errors import ApiError, ClusterError
from harness.images import Build, Image
from harness.kube import DAEMON_SETS, DEPLOYMENTS, NODES, Kube

NODE_IMAGE = "kindest/node"
_CREATE_S = 600
_READY_S = 180
_POLL_S = 0.25
_REMEDY = (
    f"  another version: --k8s-version; those of `docker images {NODE_IMAGE}` need no download\n"
    "  without kind: --k8s-backend sim"
)


class KindCluster:
    """A Kubernetes in a container, or in one a node: then a control plane, and beside it `nodes` workers."""

    backend = "kind"
    context: str | None = None
    advice: str | None = None

    def __init__(self, version: str | None, lease: Lease, nodes: int = 1) -> None:
        self.name = lease.prefix
        self.kubeconfig = Path()
        self._version = version
        self._lease = lease
        self._nodes = nodes
        self._thing: Thing | None = None
        self._pauses = Pauses(self.name)

    def start(self, images: Sequence[Image], say: Say) -> None:
        """Build the images, make the cluster, load them, wait until its node, DNS and data plane are ready."""
        _find_kind()  # before what takes long
        folder = self._lease.folder()
        self.kubeconfig = folder / "kubeconfig"
        for prepare, group in groupby(images, key=lambda image: image.build.prepare if image.build else None):
            if prepare is not None:
                _build(prepare, list(group), folder, say)
        say("creating the kind cluster")
        self._thing = self._lease.add(Thing(KIND_CLUSTER, self.name))
        try:
            _kind(*self._create_arguments())
        except ClusterError as error:
            raise ClusterError(f"{error}\n{_REMEDY}") from None
        say("waiting for the node, DNS and the data plane")
        asyncio.run(_wait_until_ready(self.kubeconfig, folder))
        built = [image.name for image in images if image.build is not None]
        if built:
            say(f"loading {', '.join(built)}")
            _kind("load", "docker-image", *built, "--name", self.name)

    @property
    def breakable(self) -> Breakable | None:
        """Its nodes stand still when their containers are paused; a real cluster has no handle for the rest."""
        return self._pauses

    def stop(self) -> None:
        """Delete the cluster."""
        self._pauses.close()
        thing, self._thing = self._thing, None
        if thing is not None:
            remove_cluster(thing, self._lease.run)
            self._lease.cross_out(thing)

    def _create_arguments(self) -> list[str]:
        arguments = [
            "create",
            "cluster",
            "--name",
            self.name,
            "--kubeconfig",
            str(self.kubeconfig),
            "--wait",
            "120s",
        ]
        if self._version is not None:
            arguments += ["--image", f"{NODE_IMAGE}:{self._version}"]
        if self._nodes > 1:
            arguments += ["--config", str(self._write_config())]
        return arguments

    def _write_config(self) -> Path:
        roles = ["control-plane", *["worker"] * self._nodes]
        config = {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": role} for role in roles],
        }
        path = self._lease.folder() / "kind.json"  # which is YAML, too
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


def remove_cluster(thing: Thing, run: str) -> None:
    """Delete the kind cluster of a run. Raises ClusterError where it is not that run's."""
    if thing.name != prefix_of(run):
        raise ClusterError(f"kind cluster {thing.name} was not made by run {run}; it is left alone")
    unpause(thing.name)
    with tempfile.TemporaryDirectory(prefix=f"{prefix_of(run)}-") as folder:
        _kind("delete", "cluster", "--name", thing.name, "--kubeconfig", f"{folder}/kubeconfig")


def _find_kind() -> str:
    program = shutil.which("kind")
    if program is None:
        raise ClusterError(
            "the kind program is not on PATH\n"
            "  install it (https://kind.sigs.k8s.io), or run on the simulated cluster: --k8s-backend sim"
        )
    return program


def _kind(*arguments: str) -> None:
    _run([_find_kind(), *arguments], f"kind {arguments[0]} {arguments[1]}", _CREATE_S)


def _build(prepare: Iterable[str], images: Sequence[Image], folder: Path, say: Say) -> None:
    context = Path(tempfile.mkdtemp(dir=folder, prefix="images-"))
    say("preparing the folder that images are built from")
    try:
        _build_in(context, prepare, images, say)
    finally:
        shutil.rmtree(context, ignore_errors=True)


def _build_in(context: Path, prepare: Iterable[str], images: Sequence[Image], say: Say) -> None:
    import docker
    from docker.errors import BuildError, DockerException

    try:
        client = docker.from_env(timeout=_CREATE_S)  # it asks Docker for its version
        try:
            _run([*prepare, str(context)], "preparing the images", _CREATE_S)
            for image in images:
                say(f"building {image.name}")
                target = image.build.target if isinstance(image.build, Build) else None
                client.images.build(path=str(context), tag=image.name, target=target, rm=True, forcerm=True)
        finally:
            client.close()
    except BuildError as error:
        log = "".join(str(entry.get("stream", "")) for entry in error.build_log if isinstance(entry, dict))
        raise ClusterError(f"an image could not be built: {error}\n{_tail(log)}") from None
    except DockerException as error:
        raise ClusterError(f"Docker does not answer: {error}\n  without Docker: --k8s-backend sim") from None


def _run(command: Sequence[str], what: str, timeout_s: float) -> None:
    """Run a program.

    It ends with this process: an interrupt reaches both, and `run` kills it on any other exception.
    """
    try:
        done = subprocess.run(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{what} took more than {timeout_s:g} s") from None
    except OSError as error:
        raise ClusterError(f"{what}: {error}") from None
    if done.returncode != 0:
        raise ClusterError(f"{what} failed with exit code {done.returncode}:\n{_tail(done.stdout)}")


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-lines:])


async def _wait_until_ready(kubeconfig: Path, scratch: Path) -> None:
    """Nodes Ready, kube-proxy on each, DNS answering: what a pod needs to find and reach another."""
    waiting = "the API"
    try:
        async with asyncio.timeout(_READY_S), await Kube.connect(kubeconfig, None, scratch) as kube:
            while True:
                waiting = await _not_ready(kube)
                if not waiting:
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise ClusterError(f"the kind cluster was not ready within {_READY_S} s: {waiting}") from None


async def _not_ready(kube: Kube) -> str:
    try:
        nodes = (await kube.get(NODES.path(None)))["items"]
        proxy = (await kube.get(DAEMON_SETS.path("kube-system", "kube-proxy"))).get("status") or {}
        dns = (await kube.get(DEPLOYMENTS.path("kube-system", "coredns"))).get("status") or {}
    except (ApiError, OSError) as error:
        return str(error)
    conditions = [
        each for node in nodes for each in node["status"].get("conditions") or [] if each["type"] == "Ready"
    ]
    if not nodes or any(condition["status"] != "True" for condition in conditions):
        return "a node is not Ready"
    if proxy.get("numberReady", 0) < len(nodes):
        return "kube-proxy is not ready"
    if not dns.get("readyReplicas"):
        return "CoreDNS is not ready"
    return ""
