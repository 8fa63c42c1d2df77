"""A whole cluster on the network of namespaces: servers that know nothing of it, and nothing left of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from namespaces import needs_namespaces
from test_cluster import count_alive, handles_of, kubectl, needs_kubectl

import simcluster
from simcluster.kubelet.descent import find_descendants

pytestmark = [needs_namespaces, needs_kubectl]
SERVER = """
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{socket.gethostname()} {self.client_address[0]}".encode())
http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler).serve_forever()
"""
IMAGES = {"web:1": [sys.executable, "-c", SERVER], "python:1": [sys.executable, "-c"], "sh:1": ["sh", "-c"]}
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"


def pod(name: str, image: str, *args: str, **container: Any) -> dict[str, Any]:
    one = {"name": "c", "image": image, "args": list(args)} | container
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [one]},
    }


def service(name: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


WEB = pod("web", "web:1", readinessProbe={"httpGet": {"port": 80}, "periodSeconds": 1})
CLIENT = pod("client", "sh:1", "exec sleep 999")


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """A server and a client pod, ready."""
    with simcluster.Cluster(IMAGES, network="namespace", seed=1) as running:
        kubectl(running, "apply", "-f", "-", given=[WEB, CLIENT, service("web"), service("nobody")])
        kubectl(running, "wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=60s")
        yield running


def run(cluster: simcluster.Cluster, *command: str) -> str:
    return kubectl(cluster, "exec", "client", "--", *command).strip()


def test_server_on_all_addresses_and_port_80_is_reached_by_name(cluster: simcluster.Cluster) -> None:
    """By the short name of its Service, unchanged; it sees the client's own address."""
    own = json.loads(kubectl(cluster, "get", "pod", "client", "-o", "json"))["status"]["podIP"]
    assert own.startswith("10.244.0.")
    for url in ("http://web", "http://web.default.svc.cluster.local:80/x"):
        assert run(cluster, sys.executable, "-c", FETCH, url) == f"web {own}"


def test_service_without_endpoints_refuses(cluster: simcluster.Cluster) -> None:
    """Connection refused, at once."""
    code = (
        "import socket\n"
        "try: socket.create_connection(('nobody', 80), 5)\n"
        "except OSError as error: print(type(error).__name__)"
    )
    assert run(cluster, sys.executable, "-c", code) == "ConnectionRefusedError"


def test_pod_has_its_own_names(cluster: simcluster.Cluster) -> None:
    """Host name, resolv.conf and hosts file are the pod's; this machine keeps its own."""
    before = Path("/etc/resolv.conf").read_text()
    assert run(cluster, "hostname") == "client"
    shown = run(cluster, "cat", "/etc/resolv.conf").splitlines()
    assert shown[0].startswith("search default.svc.cluster.local svc.cluster.local cluster.local")
    assert shown[1:] == ["nameserver 10.96.0.10", "options ndots:5"]
    assert run(cluster, "cat", "/etc/hosts").splitlines()[-1].split()[1] == "client"
    assert Path("/etc/resolv.conf").read_text() == before


def test_api_is_at_its_service(cluster: simcluster.Cluster) -> None:
    """https://kubernetes.default.svc, whose certificate says so."""
    code = (
        "import os, ssl, urllib.request as u, yaml, base64\n"
        "c = yaml.safe_load(open(os.environ['KUBECONFIG']))['clusters'][0]['cluster']\n"
        "context = ssl.create_default_context(cadata=base64.b64decode(c['certificate-authority-data']).decode())\n"
        "print(c['server'], u.urlopen('https://kubernetes.default.svc/livez', context=context, timeout=5).read())"
    )
    assert run(cluster, sys.executable, "-c", code) == "https://10.96.0.1:443 b'ok'"


def test_clients_find_the_api_as_in_any_cluster(cluster: simcluster.Cluster) -> None:
    """`load_incluster_config` of the official client works unchanged: token, authority, address."""
    code = (
        "from kubernetes import client, config\n"
        "config.load_incluster_config()\n"
        "try: client.CoreV1Api().list_namespaced_pod('default', _request_timeout=5)\n"
        "except client.ApiException as error: print(error.status, 'serviceaccount:default:default' in error.body)"
    )
    assert run(cluster, sys.executable, "-c", code) == "403 True"


def test_logs_and_probes_reach_pods(cluster: simcluster.Cluster) -> None:
    """The kubelet's probe made the pod ready, and its requests came from the node."""
    assert 'GET / HTTP/1.1" 200' in kubectl(cluster, "logs", "web")
    assert "172.18.0.2" in kubectl(cluster, "logs", "web")


def network_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def networks() -> set[str]:
    """The network namespaces of all processes."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add(network_of(int(entry.name)))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_nothing_of_the_network_is_left(is_killed: bool) -> None:
    """After a stop, and after kill -9: no process, and so no namespace, link or rule."""
    cluster = simcluster.Cluster(IMAGES, network="namespace")
    cluster.start()
    kubectl(cluster, "apply", "-f", "-", given=[CLIENT, service("nobody")])
    kubectl(cluster, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    pids = {cluster.pid, *find_descendants(cluster.pid)}
    used = {network_of(pid) for pid in pids} - {network_of(os.getpid())}
    handles = handles_of(cluster.pid)
    if is_killed:
        os.kill(cluster.pid, signal.SIGKILL)
    else:
        cluster.stop()
    alive = count_alive(handles)
    cluster.stop()
    assert len(used) == 2  # the cluster's and the pod's
    assert alive == 0
    assert not used & networks()
    assert not list(Path("/run/netns").glob("*simcluster*"))


def test_two_clusters_have_the_same_addresses_and_do_not_meet(cluster: simcluster.Cluster) -> None:
    """Each has its own 10.244.0.2; a name of one is none of the other's."""
    with simcluster.Cluster(IMAGES, network="namespace") as other:
        kubectl(other, "apply", "-f", "-", given=[CLIENT])
        kubectl(other, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
        assert run(other, "sh", "-c", "getent hosts web || echo unknown") == "unknown"
        assert run(cluster, "sh", "-c", "getent hosts web || echo unknown") != "unknown"


def test_unknown_network_is_told() -> None:
    """Exit code 2, and the known ones."""
    command = [sys.executable, "-m", "simcluster", "up", "--network", "vpn"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.strip()) == (
        2,
        'simcluster: unknown network "vpn"\n  known networks: auto, loopback, namespace',
    )
