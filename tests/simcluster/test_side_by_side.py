"""Ten clusters on one machine, and clusters that are killed at bad moments."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dnslib
import kubernetes.client
import kubernetes.config
import kubernetes.stream
import kubernetes.watch
import pytest
import yaml
from test_cluster import count_alive, handles_of

import simcluster

SERVER = Path(__file__).with_name("shouting_pod.py")
IMAGES = {"shout:1": [sys.executable, str(SERVER)]}
_MANY = 10
_NAME = "shout.default.svc.cluster.local"


def pod() -> dict[str, Any]:
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    container = {"name": "c", "image": "shout:1", "env": [address], "readinessProbe": probe}
    metadata = {"name": "shout", "labels": {"app": "shout"}}
    return {"metadata": metadata, "spec": {"containers": [container]}}


def service() -> dict[str, Any]:
    return {
        "metadata": {"name": "shout"},
        "spec": {"selector": {"app": "shout"}, "ports": [{"port": 8080}]},
    }


def wait_until(
    api: kubernetes.client.CoreV1Api, list_: Callable[..., Any], holds: Callable[[Any], bool]
) -> Any:
    """Watch the objects of the default namespace until one holds."""
    watch = kubernetes.watch.Watch()
    for event in watch.stream(list_, "default", timeout_seconds=120):
        if holds(event["object"]):
            watch.stop()
            return event["object"]
    raise AssertionError("it did not come")


def is_ready(found: Any) -> bool:
    conditions = found.status.conditions or ()
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one cluster has of its own."""

    url: str
    authority: str
    pod: str
    service: str
    resolver: str
    resolved: list[str]
    answer: bytes
    pods: list[str]


def use(cluster: simcluster.Cluster) -> Seen:
    """Run a pod behind a Service, resolve it, talk to it."""
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))
    api.create_namespaced_service("default", service())
    api.create_namespaced_pod("default", pod())
    running = wait_until(api, api.list_namespaced_pod, is_ready)
    address = api.read_namespaced_service("shout", "default").spec.cluster_ip
    command = ["sh", "-c", "echo $GRPC_DNS_AUTHORITY"]
    authority = kubernetes.stream.stream(
        api.connect_get_namespaced_pod_exec, "shout", "default", command=command,
        stdin=False, stdout=True, stderr=True, tty=False,
    ).strip()  # fmt: skip
    config = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    pods = [each.metadata.name for each in api.list_pod_for_all_namespaces().items]
    return Seen(
        config["server"], config["certificate-authority-data"], running.status.pod_ip, address, authority,
        resolve(authority), talk(address), pods,
    )  # fmt: skip


def resolve(authority: str) -> list[str]:
    """The addresses of the Service's name, as the cluster's own DNS server has them."""
    host, _, port = authority.rpartition(":")
    reply = dnslib.DNSRecord.question(_NAME).send(host, int(port), timeout=30)
    return [str(each.rdata) for each in dnslib.DNSRecord.parse(reply).rr]


def talk(address: str) -> bytes:
    """What the pod behind a Service says; the proxy may still be starting."""
    until = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((address, 8080), timeout=30) as connection:
                connection.sendall(b"hello")
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(4096), b""))
        except OSError:
            assert time.monotonic() < until


def test_ten_clusters_side_by_side_do_not_meet() -> None:
    """Each has its own API, authority, addresses, names and pods, though all are asked for the same things."""
    clusters = [simcluster.Cluster(IMAGES, seed=1) for _ in range(_MANY)]
    try:
        with ThreadPoolExecutor(_MANY) as pool:
            list(pool.map(simcluster.Cluster.start, clusters))
            seen = list(pool.map(use, clusters))
        strangers = [cluster_of(clusters[0], other).list_namespace for other in clusters[1:]]
        for ask in strangers:
            with pytest.raises(Exception, match=r"certificate|Unauthorized|SSL"):
                ask()
    finally:
        with ThreadPoolExecutor(_MANY) as pool:
            list(pool.map(simcluster.Cluster.stop, clusters))

    for name in ("url", "authority", "pod", "service", "resolver"):
        assert len({getattr(each, name) for each in seen}) == _MANY, name
    assert [each.resolved for each in seen] == [[each.service] for each in seen]
    assert {each.answer for each in seen} == {b"HELLO"}
    assert [each.pods for each in seen] == [["shout"]] * _MANY


def cluster_of(one: simcluster.Cluster, other: simcluster.Cluster) -> kubernetes.client.CoreV1Api:
    """A client with the credentials of one cluster and the address of another."""
    client = kubernetes.config.new_client_from_config(str(one.kubeconfig))
    client.configuration.host = yaml.safe_load(other.kubeconfig.read_text())["clusters"][0]["cluster"][
        "server"
    ]
    client.configuration.retries = False
    return kubernetes.client.CoreV1Api(client)


# --- Killed


@dataclass(frozen=True, slots=True)
class Started:
    """A cluster in a process that a test may kill."""

    process: subprocess.Popen[bytes]
    directory: Path
    ready: int

    def wait_for_api(self) -> kubernetes.client.CoreV1Api:
        with open(self.ready) as pipe:  # noqa: PTH123 -- a descriptor has no path
            kubeconfig = pipe.read().strip()
        return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(kubeconfig))


def at_its_first_line(started: Started) -> list[str]:
    """While it starts: it has written its log, and nothing else yet."""
    until = time.monotonic() + 60
    while not any((started.directory / "log").parent.glob("log")):
        assert time.monotonic() < until
    return []


def when_it_answers(started: Started) -> list[str]:
    started.wait_for_api().list_namespace()
    return []


def while_a_pod_starts(started: Started) -> list[str]:
    api = started.wait_for_api()
    api.create_namespaced_pod("default", pod())
    wait_until(api, api.list_namespaced_pod, lambda found: found.spec.node_name is not None)
    return []


def in_an_exec(started: Started) -> list[str]:
    api, address = run_pod(started)
    session = kubernetes.stream.stream(
        api.connect_get_namespaced_pod_exec, "shout", "default", command=["sh", "-c", "echo up; sleep 600"],
        stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    assert session.readline_stdout(timeout=60) == "up"
    return [address]


def in_a_port_forward(started: Started) -> list[str]:
    api, address = run_pod(started)
    forward = kubernetes.stream.portforward(
        api.connect_get_namespaced_pod_portforward, "shout", "default", ports="8080"
    )
    connection = forward.socket(8080)
    connection.settimeout(60)
    connection.sendall(b"hello")
    assert connection.recv(5) == b"HELLO"
    return [address]


def run_pod(started: Started) -> tuple[kubernetes.client.CoreV1Api, str]:
    api = started.wait_for_api()
    api.create_namespaced_pod("default", pod())
    return api, wait_until(api, api.list_namespaced_pod, is_ready).status.pod_ip


@pytest.mark.parametrize(
    "moment", [at_its_first_line, when_it_answers, while_a_pod_starts, in_an_exec, in_a_port_forward]
)
def test_a_cluster_that_is_killed_leaves_nothing(
    moment: Callable[[Started], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9: all its processes end, and what it listened on is free."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ready, ready_end = os.pipe()
    directory = tmp_path / "cluster"
    image = f"shout:1={sys.executable} {SERVER}"
    command = [sys.executable, "-m", "simcluster", "up", "--image", image, "--directory", str(directory)]
    process = subprocess.Popen([*command, "--ready-fd", str(ready_end)], pass_fds=[ready_end])
    os.close(ready_end)
    try:
        addresses = moment(Started(process, directory, ready))
        handles = handles_of(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert handles
    assert count_alive(handles) == 0
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, 8080), timeout=10)
