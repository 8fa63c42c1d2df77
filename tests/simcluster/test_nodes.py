"""Clusters of several nodes, in processes of their own: used through kubectl."""

import ipaddress
import json
import shutil
import subprocess
from collections.abc import Iterator
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
