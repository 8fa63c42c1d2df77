"""The clusters that are measured: the simulated one and, where its programs are there, etcd with kube-apiserver.

The rule it keeps: both are started, reached and stopped the same way, as a program would; what one run started ends
with it. Programs are looked for in KUBEBUILDER_ASSETS (as envtest has it) and then on PATH; kwok needs, beside its
program there, the folder of stage files that KWOK_STAGES names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simcluster import Cluster

_TOKEN = "bench"  # noqa: S105 -- of an API server that lives for seconds on loopback
_START_S = 60.0
_POLL_S = 0.002
IMAGE = "bench:1"
# Beside the pods to be measured, each node must hold what else there is.
_PODS_PER_NODE = 1_100


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster that answers: where, as whom, and the processes that it is."""

    name: str
    url: str
    tls: ssl.SSLContext
    headers: dict[str, str] = field(default_factory=dict)
    pids: tuple[int, ...] = ()
    kubeconfig: Path | None = None

    def fetch(self, path: str) -> bytes:
        """GET a path and return the body; OSError if it is refused."""
        request = urllib.request.Request(self.url + path, headers=self.headers)  # noqa: S310 -- https, of our own
        with urllib.request.urlopen(request, context=self.tls, timeout=60) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body


@contextlib.contextmanager
def start_simulated(*, nodes: int = 1, images: dict[str, str] | None = None) -> Iterator[Running]:
    """A simulated cluster; with more than one node, their pods of IMAGE are status only."""
    given: dict[str, Any] = {} if nodes == 1 else {"nodes": nodes}
    with Cluster(images if images is not None else {IMAGE: "status-only"}, **given) as cluster:
        yield read_kubeconfig(cluster.kubeconfig, (cluster.pid,))


def read_kubeconfig(path: Path, pids: tuple[int, ...]) -> Running:
    """A cluster by the kubeconfig of its administrator, with a client certificate in it."""
    config = yaml.safe_load(path.read_text())
    user, target = config["users"][0]["user"], config["clusters"][0]["cluster"]
    tls = ssl.create_default_context(cadata=_decode(target["certificate-authority-data"]))
    with tempfile.NamedTemporaryFile("w") as pair:  # OpenSSL reads certificates from files only
        pair.write(_decode(user["client-certificate-data"]) + _decode(user["client-key-data"]))
        pair.flush()
        tls.load_cert_chain(pair.name)
    return Running("simcluster", target["server"], tls, {}, pids, path)


def _decode(data: str) -> str:
    import base64

    return base64.b64decode(data).decode()


@dataclass(frozen=True, slots=True)
class Peers:
    """The peers' programs, each None where it is not on this machine."""

    etcd: str | None
    apiserver: str | None
    kwok: str | None
    stages: Path | None

    @property
    def has_control_plane(self) -> bool:
        """Whether etcd and kube-apiserver can be started."""
        return self.etcd is not None and self.apiserver is not None

    @property
    def has_kwok(self) -> bool:
        """Whether pods can be run beside them as status only."""
        return self.has_control_plane and self.kwok is not None and self.stages is not None


def find_peers() -> Peers:
    """Look for the peers' programs."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    path = os.pathsep.join(part for part in (assets, os.environ.get("PATH", os.defpath)) if part)
    stages = os.environ.get("KWOK_STAGES")
    return Peers(
        etcd=shutil.which("etcd", path=path),
        apiserver=shutil.which("kube-apiserver", path=path),
        kwok=shutil.which("kwok", path=path),
        stages=Path(stages) if stages else None,
    )


@contextlib.contextmanager
def start_control_plane(peers: Peers, *, kwok: bool = False) -> Iterator[Running]:
    """etcd and kube-apiserver, as envtest starts them; with the kwok controller if asked for."""
    if peers.etcd is None or peers.apiserver is None:
        raise ValueError(
            "etcd and kube-apiserver are not on this machine; KUBEBUILDER_ASSETS names their folder"
        )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        processes: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, processes)
        running = _start_servers(peers, folder, processes)
        _await_answer(running, processes)
        if kwok:
            processes.append(_start(_kwok_command(peers, running, folder), folder / "kwok.log"))
        yield Running(
            "etcd + kube-apiserver" + (" + kwok" if kwok else ""), running.url, running.tls, running.headers,
            tuple(process.pid for process in processes), running.kubeconfig,
        )  # fmt: skip


def _start_servers(peers: Peers, folder: Path, processes: list[subprocess.Popen[bytes]]) -> Running:
    clients, members, port = _free_ports(3)
    etcd = f"http://127.0.0.1:{clients}"
    processes.append(
        _start(
            [
                str(peers.etcd), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync",
                "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
                "--listen-peer-urls", f"http://127.0.0.1:{members}",
            ],
            folder / "etcd.log",
        )
    )  # fmt: skip
    (folder / "tokens.csv").write_text(f"{_TOKEN},admin,1,system:masters\n")
    _write_keys(folder)
    processes.append(
        _start(
            [
                str(peers.apiserver), "--etcd-servers", etcd, "--cert-dir", str(folder / "certs"),
                "--secure-port", str(port), "--bind-address", "127.0.0.1",
                "--service-account-issuer", "https://kubernetes.default.svc",
                "--service-account-key-file", str(folder / "sa.pub"),
                "--service-account-signing-key-file", str(folder / "sa.key"),
                "--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC",
                "--service-cluster-ip-range", "10.0.0.0/24",
                # As envtest: without controllers there is no ServiceAccount for a pod to have.
                "--disable-admission-plugins", "ServiceAccount",
            ],
            folder / "apiserver.log",
        )
    )  # fmt: skip
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    url = f"https://127.0.0.1:{port}"
    return Running("", url, tls, {"Authorization": f"Bearer {_TOKEN}"}, (), _write_kubeconfig(folder, url))


def _write_keys(folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (folder / "sa.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    (folder / "sa.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _write_kubeconfig(folder: Path, url: str) -> Path:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "bench", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(config))
    return path


def _kwok_command(peers: Peers, running: Running, folder: Path) -> list[str]:
    stages = peers.stages
    if peers.kwok is None or stages is None:
        raise ValueError("kwok is not on this machine; it is looked for on PATH, its stages in KWOK_STAGES")
    files = [stages / "node/fast", stages / "node/heartbeat-with-lease", stages / "pod/fast"]
    texts = [
        path.read_text()
        for each in files
        for path in sorted(each.glob("*.yaml"))
        if "kustom" not in path.name
    ]
    config = folder / "kwok.yaml"
    config.write_text("\n---\n".join(texts))
    return [
        peers.kwok, "--kubeconfig", str(running.kubeconfig), "--manage-all-nodes=true",
        "--config", str(config), "--cidr", "10.64.0.0/14", "--node-lease-duration-seconds", "40",
    ]  # fmt: skip


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def _await_answer(running: Running, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    give_up_at = time.monotonic() + _START_S
    while True:
        try:
            running.fetch("/api/v1/namespaces/default")
        except OSError:
            dead = [each.args for each in processes if each.poll() is not None]
            if dead or time.monotonic() > give_up_at:
                raise RuntimeError(f"the control plane did not start: {dead}") from None
            time.sleep(_POLL_S)
        else:
            return


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listeners]


def make_node(name: str) -> dict[str, Any]:
    """A node that somebody else looks after."""
    resources = {"cpu": "1k", "memory": "1Ti", "pods": str(_PODS_PER_NODE)}
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": resources, "allocatable": resources},
    }  # fmt: skip


def make_pod(name: str, node: str | None) -> dict[str, Any]:
    """A small pod; with a node it needs no scheduler."""
    spec: dict[str, Any] = {
        "containers": [{"name": "app", "image": IMAGE}],
        "automountServiceAccountToken": False,
    }
    if node is not None:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "bench"}},
    }  # fmt: skip
