"""StatefulSets, DaemonSets, Jobs and drains as people use them: kubectl, a whole cluster, pods that are processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import simcluster

IMAGES = {
    "sleeper:test": "sh -c 'trap exit TERM; while :; do sleep 0.05; done'",
    "index:test": "sh -c 'echo index $JOB_COMPLETION_INDEX; exit 0'",
    "failing:test": "sh -c 'exit 3'",
    "resolver:test": [sys.executable, "-c", "import time; time.sleep(600)"],
}


def programs() -> list[str]:
    """The kubectl programs there are: those of KUBECTL, else the one on PATH."""
    listed = os.environ.get("KUBECTL")
    found = shutil.which("kubectl")
    if listed is not None:
        return [path for path in listed.split(os.pathsep) if path]
    return [] if found is None else [found]


pytestmark = pytest.mark.skipif(not programs(), reason="kubectl is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """One cluster for all tests of this module."""
    with simcluster.Cluster(IMAGES, seed=1) as running:
        yield running


class Kubectl:
    """One kubectl; `run` returns what it says."""

    def __init__(self, program: str, cluster: simcluster.Cluster) -> None:
        self._command = [program, "--kubeconfig", str(cluster.kubeconfig)]

    def run(self, *arguments: str, given: Any = None, fails: bool = False) -> str:
        """The output; AssertionError with all that it said if it fails, or does not where it should."""
        text = None if given is None else "\n".join(json.dumps(each) for each in given)
        done = subprocess.run(
            [*self._command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
        )
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stdout + (done.stderr if fails else "")

    def get(self, *arguments: str) -> Any:
        """What `kubectl get -o json` shows."""
        return json.loads(self.run("get", *arguments, "-o", "json"))


@pytest.fixture(params=programs())
def kubectl(request: pytest.FixtureRequest, cluster: simcluster.Cluster) -> Kubectl:
    """Each kubectl there is."""
    return Kubectl(request.param, cluster)


def pod_template(app: str, image: str, **spec: Any) -> dict[str, Any]:
    """A template of one container."""
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": image}], **spec},
    }


def workload(kind: str, name: str, image: str = "sleeper:test", **spec: Any) -> dict[str, Any]:
    """A StatefulSet, DaemonSet or Deployment."""
    selector = {"matchLabels": {"app": name}}
    wanted = {"selector": selector, "template": pod_template(name, image, terminationGracePeriodSeconds=5)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": wanted | spec}


def test_a_stateful_set_is_rolled_out_undone_and_scaled(kubectl: Kubectl) -> None:
    """Names that last and are known to DNS; `rollout status`, `history` and `undo` work; the last pod goes first."""
    headless = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 5000, "name": "p"}]},
    }
    kubectl.run(
        "apply", "-f", "-", given=[headless, workload("StatefulSet", "web", serviceName="web", replicas=2)]
    )
    kubectl.run("rollout", "status", "statefulset/web", "--timeout=50s")
    assert kubectl.run("get", "pods", "-l", "app=web", "-o", "name").split() == ["pod/web-0", "pod/web-1"]
    kubectl.run("wait", "--for=jsonpath={.endpoints[1].conditions.ready}=true", "endpointslice",
                "-l", "kubernetes.io/service-name=web", "--timeout=20s")  # fmt: skip
    [piece] = kubectl.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    assert sorted(each["hostname"] for each in piece["endpoints"]) == ["web-0", "web-1"]
    kubectl.run("set", "env", "statefulset/web", "COLOR=red")
    kubectl.run("rollout", "status", "statefulset/web", "--timeout=50s")
    assert "COLOR" in json.dumps(kubectl.get("pod", "web-0")["spec"])
    assert [
        line.split()[0] for line in kubectl.run("rollout", "history", "statefulset/web").split("\n")[2:4]
    ] == ["1", "2"]
    kubectl.run("rollout", "undo", "statefulset/web")
    kubectl.run("rollout", "status", "statefulset/web", "--timeout=50s")
    assert "COLOR" not in json.dumps(kubectl.get("pod", "web-0")["spec"])
    kubectl.run("scale", "statefulset/web", "--replicas=1")
    kubectl.run("wait", "--for=delete", "pod/web-1", "--timeout=30s")
    assert kubectl.run("get", "statefulset", "web", "--no-headers").split()[:2] == ["web", "1/1"]
    kubectl.run("delete", "statefulset/web", "service/web", "--cascade=foreground")
    assert kubectl.run("get", "pods", "-l", "app=web", "-o", "name") == ""


def test_a_daemon_set_runs_on_the_node_and_is_rolled_out(kubectl: Kubectl) -> None:
    """`rollout status`, `history` and `undo` work on it, and its columns are filled."""
    kubectl.run("apply", "-f", "-", given=[workload("DaemonSet", "agent")])
    kubectl.run("rollout", "status", "daemonset/agent", "--timeout=50s")
    assert kubectl.run("get", "daemonset", "agent", "--no-headers").split()[:6] == [
        "agent",
        "1",
        "1",
        "1",
        "1",
        "1",
    ]
    kubectl.run("set", "env", "daemonset/agent", "COLOR=red")
    kubectl.run("rollout", "status", "daemonset/agent", "--timeout=50s")
    kubectl.run("rollout", "undo", "daemonset/agent", "--to-revision=1")
    kubectl.run("rollout", "status", "daemonset/agent", "--timeout=50s")
    [pod] = [
        each
        for each in kubectl.get("pods", "-l", "app=agent")["items"]
        if "deletionTimestamp" not in each["metadata"]
    ]
    assert "env" not in pod["spec"]["containers"][0]
    assert pod["metadata"]["labels"]["pod-template-generation"] == "3"
    kubectl.run("delete", "daemonset/agent")
    kubectl.run("wait", "--for=delete", "pod", "-l", "app=agent", "--timeout=30s")


def job(name: str, image: str, **spec: Any) -> dict[str, Any]:
    """A Job."""
    wanted = {"template": pod_template(name, image, restartPolicy="Never")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": wanted | spec}


def test_a_job_is_waited_for_and_its_pods_told_their_index(kubectl: Kubectl) -> None:
    """`wait` for both ends; the environment of each pod has its index; columns and logs as on a real cluster."""
    spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
    kubectl.run(
        "apply",
        "-f",
        "-",
        given=[job("good", "index:test", **spec), job("bad", "failing:test", backoffLimit=0)],
    )
    kubectl.run("wait", "--for=condition=complete", "job/good", "--timeout=40s")
    kubectl.run("wait", "--for=condition=failed", "job/bad", "--timeout=40s")
    pods = kubectl.get("pods", "-l", "job-name=good")["items"]
    said = {kubectl.run("logs", pod["metadata"]["name"]).strip() for pod in pods}
    assert said == {"index 0", "index 1", "index 2"}
    assert kubectl.run("get", "job", "good", "--no-headers").split()[:3] == ["good", "Complete", "3/3"]
    assert kubectl.run("get", "job", "bad", "--no-headers").split()[:3] == ["bad", "Failed", "0/1"]
    kubectl.run("delete", "job", "good", "bad")
    kubectl.run("wait", "--for=delete", "pod", "-l", "job-name=good", "--timeout=30s")


def test_a_drain_waits_for_the_budget(kubectl: Kubectl) -> None:
    """What the budget holds back is asked for again and again; without it the node is emptied."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "held"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}},
    }
    kubectl.run("apply", "-f", "-", given=[budget, workload("Deployment", "held")])
    kubectl.run("rollout", "status", "deployment/held", "--timeout=50s")
    kubectl.run("wait", "--for=jsonpath={.status.currentHealthy}=1", "pdb/held", "--timeout=20s")
    [node] = kubectl.run("get", "nodes", "-o", "name").split()
    try:
        said = kubectl.run("drain", node, "--ignore-daemonsets", "--timeout=1s", fails=True)
        assert "Cannot evict pod as it would violate the pod's disruption budget." in said
        kubectl.run("delete", "pdb/held")
        assert f"{node} drained" in kubectl.run("drain", node, "--ignore-daemonsets", "--timeout=40s")
    finally:
        kubectl.run("uncordon", node)
    kubectl.run("rollout", "status", "deployment/held", "--timeout=50s")
    kubectl.run("delete", "deployment/held")
    kubectl.run("wait", "--for=delete", "pod", "-l", "app=held", "--timeout=30s")


def test_a_deployment_is_paused_undone_and_scaled(kubectl: Kubectl) -> None:
    """`pause` holds a change back, `undo` is refused meanwhile, `resume` lets it go; any revision comes back."""
    kubectl.run("apply", "-f", "-", given=[workload("Deployment", "d", replicas=2)])
    kubectl.run("rollout", "status", "deployment/d", "--timeout=50s")
    kubectl.run("set", "env", "deployment/d", "COLOR=red")
    kubectl.run("rollout", "status", "deployment/d", "--timeout=50s")
    kubectl.run("rollout", "pause", "deployment/d")
    kubectl.run("set", "env", "deployment/d", "COLOR=blue")
    assert "you cannot rollback a paused deployment" in kubectl.run(
        "rollout", "undo", "deployment/d", fails=True
    )
    assert len(kubectl.get("rs", "-l", "app=d")["items"]) == 2
    kubectl.run("rollout", "resume", "deployment/d")
    kubectl.run("rollout", "status", "deployment/d", "--timeout=50s")
    kubectl.run("rollout", "undo", "deployment/d", "--to-revision=1")
    kubectl.run("rollout", "status", "deployment/d", "--timeout=50s")
    assert "env" not in kubectl.get("deployment", "d")["spec"]["template"]["spec"]["containers"][0]
    shown = kubectl.run("rollout", "history", "deployment/d").split("\n")[2:]
    assert [line.split()[0] for line in shown if line] == ["2", "3", "4"]
    assert "COLOR" in kubectl.run("rollout", "history", "deployment/d", "--revision=2")
    kubectl.run("delete", "deployment/d", "--cascade=orphan")
    assert len(kubectl.get("rs", "-l", "app=d")["items"]) == 3
    kubectl.run("delete", "rs", "-l", "app=d")
    kubectl.run("wait", "--for=delete", "pod", "-l", "app=d", "--timeout=30s")


def test_a_daemon_set_follows_the_nodes_and_stays_in_a_drain() -> None:
    """One pod on each of three nodes; a drain leaves them and moves the others; a label takes a node out."""
    with simcluster.Cluster(IMAGES, seed=1, nodes=3) as running:
        kubectl = Kubectl(programs()[0], running)
        kubectl.run(
            "apply",
            "-f",
            "-",
            given=[workload("DaemonSet", "agent"), workload("Deployment", "d", replicas=6)],
        )
        kubectl.run("rollout", "status", "daemonset/agent", "--timeout=50s")
        kubectl.run("rollout", "status", "deployment/d", "--timeout=50s")
        nodes = kubectl.run("get", "nodes", "-o", "name").split()
        first = nodes[0].removeprefix("node/")
        kubectl.run("drain", first, "--ignore-daemonsets", "--timeout=40s")
        kubectl.run("rollout", "status", "deployment/d", "--timeout=50s")
        on_first = kubectl.get("pods", "--field-selector", f"spec.nodeName={first}")["items"]
        assert [pod["metadata"]["labels"]["app"] for pod in on_first] == ["agent"]
        kubectl.run("label", "nodes", *[each.removeprefix("node/") for each in nodes[1:]], "disk=fast")
        patch = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}}
        kubectl.run("patch", "daemonset/agent", "-p", json.dumps(patch))
        kubectl.run("rollout", "status", "daemonset/agent", "--timeout=50s")
        assert kubectl.run("get", "daemonset", "agent", "--no-headers").split()[1:6] == ["2"] * 5
