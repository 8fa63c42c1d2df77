"""What people do to nodes with kubectl: cordon, drain, taint, describe, delete; with each kubectl of `KUBECTL`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import simcluster

Object = dict[str, Any]
FIRST, SECOND, THIRD = "simcluster-node", "simcluster-node-2", "simcluster-node-3"
LISTED = os.environ.get("KUBECTL", shutil.which("kubectl") or "")
PROGRAMS = [path for path in LISTED.split(os.pathsep) if path]


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """Three nodes for all tests of this module; their pods are status only."""
    with simcluster.Cluster({"idle:1": "status-only"}, nodes=3, seed=1) as running:
        yield running


class Kubectl:
    """One kubectl in the namespace `default`."""

    def __init__(self, program: str, cluster: simcluster.Cluster) -> None:
        self._command = [program, "--kubeconfig", str(cluster.kubeconfig)]

    def run(self, *arguments: str, given: Any = None, fails: bool = False) -> str:
        """Its output; what it complains of if it is to fail."""
        done = subprocess.run(
            [*self._command, *arguments], input=None if given is None else json.dumps(given),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def get(self, *arguments: str) -> Any:
        """What `get -o json` says."""
        return json.loads(self.run("get", *arguments, "-o", "json"))

    def places(self) -> list[str]:
        """The nodes of the pods that are not being deleted."""
        pods = self.get("pods")["items"]
        return sorted(
            each["spec"].get("nodeName", "") for each in pods if "deletionTimestamp" not in each["metadata"]
        )


@pytest.fixture(params=PROGRAMS if PROGRAMS else [None])
def kubectl(request: pytest.FixtureRequest, cluster: simcluster.Cluster) -> Iterator[Kubectl]:
    """Each kubectl there is; what a test leaves behind is put away."""
    if request.param is None:
        pytest.skip("no kubectl: set KUBECTL, or install one on PATH")
    found = Kubectl(request.param, cluster)
    yield found
    found.run("uncordon", FIRST, SECOND, THIRD)
    found.run("delete", "deployment,pod,pdb", "--all", "--now")


def deployment(replicas: int, **spec: Any) -> Object:
    """Pods that ask for a tenth of a processor each."""
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m"}}
    container = {"name": "c", "image": "idle:1", "resources": resources}
    template = {"metadata": {"labels": {"app": "idle"}}, "spec": {"containers": [container]} | spec}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "idle"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "idle"}}, "template": template},
    }  # fmt: skip


def roll(kubectl: Kubectl, replicas: int, **spec: Any) -> None:
    """Have a Deployment that is ready."""
    kubectl.run("create", "-f", "-", given=deployment(replicas, **spec))
    kubectl.run("rollout", "status", "deployment/idle", "--timeout=60s")


def test_cordoned_node_gets_no_pod(kubectl: Kubectl) -> None:
    """It is shown as SchedulingDisabled, and takes pods again when it is uncordoned."""
    assert kubectl.run("cordon", FIRST, SECOND) == f"node/{FIRST} cordoned\nnode/{SECOND} cordoned\n"
    rows = [line.split()[:2] for line in kubectl.run("get", "nodes", "--no-headers").splitlines()]
    assert rows == [
        [FIRST, "Ready,SchedulingDisabled"],
        [SECOND, "Ready,SchedulingDisabled"],
        [THIRD, "Ready"],
    ]
    roll(kubectl, 4)
    assert kubectl.places() == [THIRD] * 4
    assert kubectl.run("uncordon", FIRST) == f"node/{FIRST} uncordoned\n"
    kubectl.run("scale", "deployment/idle", "--replicas=8")
    kubectl.run("rollout", "status", "deployment/idle", "--timeout=60s")
    assert kubectl.places() == [FIRST] * 4 + [THIRD] * 4


def test_drained_node_is_left_by_its_pods(kubectl: Kubectl) -> None:
    """They are evicted and replaced elsewhere; a pod of nobody's keeps it from being drained until that is forced."""
    roll(kubectl, 6)
    assert set(kubectl.places()) == {FIRST, SECOND, THIRD}
    said = kubectl.run("drain", SECOND, "--timeout=60s")
    assert said.splitlines()[0] == f"node/{SECOND} cordoned"
    assert said.splitlines()[-1] == f"node/{SECOND} drained"
    assert len(re.findall(r"^evicting pod default/idle-", said, re.MULTILINE)) == 2
    kubectl.run("rollout", "status", "deployment/idle", "--timeout=60s")
    assert set(kubectl.places()) == {FIRST, THIRD}
    own = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"},
        "spec": {"nodeName": THIRD, "containers": [{"name": "c", "image": "idle:1"}]},
    }  # fmt: skip
    kubectl.run("create", "-f", "-", given=own)
    refused = kubectl.run("drain", THIRD, fails=True)
    assert (
        "cannot delete Pods that declare no controller" in refused or "cannot delete cannot delete" in refused
    )
    kubectl.run("drain", THIRD, "--force", "--timeout=60s")
    assert set(kubectl.places()) <= {FIRST, ""}


def test_budget_slows_a_drain_down(kubectl: Kubectl) -> None:
    """A pod that its budget protects is not evicted; kubectl asks again until its time is over."""
    roll(kubectl, 3)
    kubectl.run("create", "poddisruptionbudget", "idle", "--selector=app=idle", "--min-available=3")
    kubectl.run("wait", "pdb/idle", "--for=jsonpath={.status.currentHealthy}=3", "--timeout=30s")
    refused = kubectl.run("drain", SECOND, "--timeout=1s", fails=True)
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused
    assert kubectl.places() == [FIRST, SECOND, THIRD]


def test_tainted_node_is_left_and_shunned(kubectl: Kubectl) -> None:
    """NoExecute sends pods away, NoSchedule keeps them away; a trailing minus takes a taint back."""
    roll(kubectl, 3)
    assert kubectl.run("taint", "node", FIRST, "k=v:NoExecute") == f"node/{FIRST} tainted\n"
    kubectl.run("wait", "--for=delete", "pod", "--field-selector", f"spec.nodeName={FIRST}", "--timeout=30s")
    kubectl.run("rollout", "status", "deployment/idle", "--timeout=60s")
    assert set(kubectl.places()) == {SECOND, THIRD}
    assert kubectl.run("taint", "node", FIRST, "k:NoExecute-") == f"node/{FIRST} untainted\n"
    assert "taints" not in kubectl.get("node", FIRST)["spec"]
    refused = kubectl.run("taint", "node", FIRST, "k=v:Never", fails=True)
    assert "invalid taint effect: Never" in refused


def test_node_is_described_with_what_its_pods_ask_for(kubectl: Kubectl) -> None:
    """Conditions, capacity, the pods and the sum of their requests and limits, events."""
    kubectl.run("cordon", FIRST, THIRD)
    roll(kubectl, 3)
    said = kubectl.run("describe", "node", SECOND)
    pods = re.search(r"Non-terminated Pods: +\((\d+) in total\)", said)
    cpu = re.search(r"^ +cpu +(\S+) \(.*\) +(\S+) ", said, re.MULTILINE)
    assert pods is not None
    assert pods[1] == "3"
    assert cpu is not None
    assert (cpu[1], cpu[2]) == ("300m", "600m")
    assert re.search(r"^ +memory +192Mi \(\d+%\) +0 \(0%\)", said, re.MULTILINE)
    assert re.search(r"Ready +True .* KubeletReady +kubelet is posting ready status", said)
    assert f"Node {SECOND} event: Registered Node {SECOND} in Controller" in said
    assert re.search(r"^ +HolderIdentity: +simcluster-node-2$", said, re.MULTILINE)


def test_wide_list_shows_addresses_and_versions(kubectl: Kubectl) -> None:
    """The columns of a real cluster; the first node is the control plane, the others have no role."""
    head, *rows = kubectl.run("get", "nodes", "-o", "wide").splitlines()
    assert re.split(r" {2,}", head) == [
        "NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION",
        "CONTAINER-RUNTIME",
    ]  # fmt: skip
    cells = [re.split(r" {2,}", row) for row in rows]
    assert [row[:3] for row in cells] == [
        [FIRST, "Ready", "control-plane"], [SECOND, "Ready", "<none>"], [THIRD, "Ready", "<none>"],
    ]  # fmt: skip
    assert len({row[5] for row in cells}) == 3


def test_metrics_are_absent(kubectl: Kubectl) -> None:
    """As on a cluster without a metrics server."""
    assert kubectl.run("top", "nodes", fails=True) == "error: Metrics API not available\n"
    assert kubectl.run("top", "pods", fails=True) == "error: Metrics API not available\n"


def test_deleted_node_takes_its_pods_along(kubectl: Kubectl) -> None:
    """They are removed and replaced elsewhere; the node stays away, since its kubelet does not register it again."""
    name = "other" + str(len(kubectl.get("nodes")["items"]))
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    kubectl.run("create", "-f", "-", given=made)
    lost = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lost"},
        "spec": {"nodeName": name, "containers": [{"name": "c", "image": "idle:1"}]},
    }  # fmt: skip
    kubectl.run("create", "-f", "-", given=lost)
    assert kubectl.run("delete", "node", name) == f'node "{name}" deleted\n'
    kubectl.run("wait", "--for=delete", "pod/lost", "--timeout=30s")
    assert name not in kubectl.run("get", "nodes", "-o", "name")
