"""Clusters of several nodes, in processes of their own: used through kubectl."""

import ipaddress
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import simcluster

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
IMAGES = {"shell:1": "sh -c"}


def kubectl(cluster: simcluster.Cluster, *arguments: str, given: Any = None) -> str:
    """The output of kubectl; AssertionError with its complaint if it fails."""
    found = subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=None if given is None else "\n".join(map(json.dumps, given)),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout


def items(cluster: simcluster.Cluster, *arguments: str) -> list[Any]:
    """The objects that `kubectl get` finds."""
    found: list[Any] = json.loads(kubectl(cluster, "get", *arguments, "-o", "json"))["items"]
    return found


def pod(name: str, node: str) -> dict[str, Any]:
    """A pod that says its node's name and stays."""
    container = {"name": "c", "image": "shell:1", "args": [f"echo on {node}; exec sleep 600"]}
    metadata = {"name": name, "labels": {"app": "said"}}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def replicated(name: str, replicas: int, image: str) -> dict[str, Any]:
    """A Deployment."""
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": image}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }  # fmt: skip


@pytest.fixture(scope="module")
def three() -> Iterator[simcluster.Cluster]:
    """Three nodes, for the tests that leave them as they are."""
    with simcluster.Cluster(IMAGES, nodes=3, seed=1) as running:
        yield running


@needs_kubectl
def test_three_nodes_share_the_machine(three: simcluster.Cluster) -> None:
    """Each is Ready with an address, a range for its pods, a share of the machine; the first is the control plane."""
    nodes = items(three, "nodes")
    assert [each["metadata"]["name"] for each in nodes] == [
        "simcluster-node", "simcluster-node-2", "simcluster-node-3",
    ]  # fmt: skip
    roles = ["node-role.kubernetes.io/control-plane" in each["metadata"]["labels"] for each in nodes]
    assert roles == [True, False, False]
    assert len({each["status"]["addresses"][0]["address"] for each in nodes}) == 3
    assert len({each["spec"]["podCIDR"] for each in nodes}) == 3
    assert len({json.dumps(each["status"]["capacity"]) for each in nodes}) == 1
    for each in nodes:
        assert {one["type"]: one["status"] for one in each["status"]["conditions"]}["Ready"] == "True"


@needs_kubectl
def test_logs_and_commands_go_to_the_node_of_the_pod(three: simcluster.Cluster) -> None:
    """A pod on each node: its address is of its node's range, its status has its node's, and its log is its own."""
    nodes = {each["metadata"]["name"]: each for each in items(three, "nodes")}
    kubectl(three, "apply", "-f", "-", given=[pod(f"on-{name}", name) for name in nodes])
    kubectl(three, "wait", "--for=condition=Ready", "pod", "-l", "app=said")
    for found in items(three, "pods", "-l", "app=said"):
        name, node = found["metadata"]["name"], nodes[found["spec"]["nodeName"]]
        status = found["status"]
        assert ipaddress.ip_address(status["podIP"]) in ipaddress.ip_network(node["spec"]["podCIDR"])
        assert status["hostIP"] == node["status"]["addresses"][0]["address"]
        assert kubectl(three, "logs", name) == f"on {node['metadata']['name']}\n"
        assert kubectl(three, "exec", name, "--", "echo", "hello") == "hello\n"


@needs_kubectl
def test_nodes_without_processes_take_any_image() -> None:
    """Pods of an image that nobody knows run there, with addresses of the nodes' own ranges; no node has processes."""
    with simcluster.Cluster(nodes=0, status_only_nodes=20) as cluster:
        kubectl(cluster, "create", "-f", "-", given=[replicated("app", 100, "nobody/knows:1")])
        kubectl(cluster, "rollout", "status", "deployment/app", "--timeout=60s")
        nodes = {each["metadata"]["name"]: each for each in items(cluster, "nodes")}
        pods = items(cluster, "pods")
        assert (len(nodes), len({each["status"]["podIP"] for each in pods})) == (20, 100)
        # What belongs together is spread evenly.
        counts = Counter(each["spec"]["nodeName"] for each in pods)
        assert set(counts.values()) == {5}
        for each in pods:
            network = ipaddress.ip_network(nodes[each["spec"]["nodeName"]]["spec"]["podCIDR"])
            assert ipaddress.ip_address(each["status"]["podIP"]) in network
        kubectl(cluster, "delete", "deployment/app")
        kubectl(cluster, "wait", "--for=delete", "pod", "--all", "--timeout=60s")


@needs_kubectl
def test_beside_nodes_with_processes_they_must_be_asked_for() -> None:
    """A taint keeps pods on the nodes that can run them; a toleration and the label lead to the others."""
    with simcluster.Cluster(IMAGES, nodes=1, status_only_nodes=2) as cluster:
        there = replicated("there", 2, "nobody/knows:1")
        there["spec"]["template"]["spec"] |= {
            "tolerations": [{"key": "simcluster/status-only", "operator": "Exists"}],
            "nodeSelector": {"simcluster/status-only": "true"},
        }
        here = replicated("here", 2, "shell:1")
        here["spec"]["template"]["spec"]["containers"][0]["args"] = ["exec sleep 600"]
        kubectl(cluster, "create", "-f", "-", given=[there, here])
        for name in ("there", "here"):
            kubectl(cluster, "rollout", "status", f"deployment/{name}", "--timeout=60s")
        nodes = {
            name: {each["spec"]["nodeName"] for each in items(cluster, "pods", "-l", f"app={name}")}
            for name in ("here", "there")
        }
        assert nodes == {"here": {"simcluster-node"}, "there": {"simcluster-node-2", "simcluster-node-3"}}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--nodes", "0"],
            "simcluster: no nodes\n  allowed: --nodes 0 together with --status-only-nodes N, or --nodes N\n",
        ),
        (
            ["--image", "idle:1=status-only now"],
            'simcluster: image "idle:1=status-only now": "status-only" takes no arguments',
        ),
    ],
)
def test_wrong_options_say_what_would_be_right(options: list[str], said: str) -> None:
    """With exit code 2, and before anything is started."""
    done = subprocess.run(
        [sys.executable, "-m", "simcluster", "up", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(said)


def database() -> dict[str, Any]:
    """A StatefulSet of one pod that adds its node's name to its data, and is ready once it has done so twice."""
    script = 'echo "$ON" >> /data/x; trap "exit 0" TERM; sleep 600 & wait'
    name = [{"name": "ON", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    probe = {"exec": {"command": ["sh", "-c", "test $(wc -l < /data/x) = 2"]}, "periodSeconds": 1}
    mounts = [{"name": "data", "mountPath": "/data"}]
    container = {"name": "c", "image": "shell:1", "args": [script], "env": name}
    container |= {"volumeMounts": mounts, "readinessProbe": probe}
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}}
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    spec = {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    spec |= {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": asked}]}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}


def await_pod(cluster: simcluster.Cluster, holds: Callable[[Any], Any]) -> Any:
    """The only pod, once it is there and `holds` of it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [each for each in items(cluster, "pods") if holds(each)]
        if found:
            return found[0]
    raise AssertionError(f"not within 30 s: {items(cluster, 'pods')}")


def refusal(pod: Any) -> str | None:
    """Why a pod is not scheduled."""
    found = [each for each in pod["status"].get("conditions", []) if each["type"] == "PodScheduled"]
    return found[0]["message"] if found and found[0]["status"] == "False" else None


@needs_kubectl
def test_a_pod_goes_where_its_data_is(tmp_path: Path) -> None:
    """A pod with a claim comes back to its node with its data, waits for that node, and leaves nothing in the end."""
    with simcluster.Cluster(IMAGES, nodes=2, directory=tmp_path) as cluster:
        kubectl(cluster, "create", "-f", "-", given=[database()])
        first = await_pod(cluster, lambda pod: pod["status"].get("phase") == "Running")
        node = first["spec"]["nodeName"]
        kubectl(cluster, "delete", "pod", "db-0")
        kubectl(cluster, "rollout", "status", "statefulset/db", "--timeout=30s")
        (data,) = (tmp_path / "nodes" / node).rglob("x")
        assert data.read_text() == f"{node}\n{node}\n"
        kubectl(cluster, "cordon", node)
        kubectl(cluster, "delete", "pod", "db-0")
        waiting = await_pod(cluster, refusal)
        text = "1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) were unschedulable."
        assert f"0/2 nodes are available: {text}" in str(refusal(waiting))
    assert not (tmp_path / "nodes").exists()
