"""Rollouts by `kubectl` on a whole cluster with pods that are processes; with each kubectl of `KUBECTL`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from simcluster.cluster import Cluster

listed = os.environ.get("KUBECTL", shutil.which("kubectl") or "")
PROGRAMS = [path for path in listed.split(os.pathsep) if path]
TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "sleep:1"}]},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One cluster; each test deletes what it made."""
    with Cluster({"sleep:1": "sleep 991", "sleep:2": "sleep 992"}) as running:
        yield running


class Kubectl:
    """One program on the cluster."""

    def __init__(self, program: str, cluster: Cluster, home: Path) -> None:
        self._command = [program, "--kubeconfig", str(cluster.kubeconfig)]
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(self, *arguments: str, given: object = None, fails: bool = False) -> str:
        """Return what it prints; AssertionError if it does not end as expected."""
        done = subprocess.run(
            [*self._command, *arguments],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=120,
            check=False,
        )
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout


@pytest.fixture(params=PROGRAMS if PROGRAMS else [None])
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[Kubectl]:
    """Each kubectl there is, with the Deployment rolled out."""
    if request.param is None:
        pytest.skip("no kubectl: set KUBECTL, or install one on PATH")
    running = Kubectl(request.param, cluster, tmp_path)
    running.run("apply", "-f", "-", given=DEPLOYMENT)
    running.run("rollout", "status", "deployment/web", "--timeout=60s")
    yield running
    running.run("delete", "deployment", "web", "--cascade=foreground", "--timeout=60s")


def image_of(kubectl: Kubectl) -> str:
    return kubectl.run("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def test_a_rollout_is_undone(kubectl: Kubectl) -> None:
    """history lists the revisions and what each was; undo goes back, and the revision it went to is the newest."""
    kubectl.run("set", "image", "deployment/web", "c=sleep:2")
    assert "successfully rolled out" in kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
    history = kubectl.run("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    assert "sleep:1" in kubectl.run("rollout", "history", "deployment/web", "--revision=1")
    assert kubectl.run("rollout", "undo", "deployment/web") == "deployment.apps/web rolled back\n"
    kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
    assert image_of(kubectl) == "sleep:1"
    history = kubectl.run("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]
    assert "skipped rollback" in kubectl.run("rollout", "undo", "deployment/web", "--to-revision=3")


def test_a_paused_rollout_waits(kubectl: Kubectl) -> None:
    """While it is paused nothing rolls and undo is refused; resumed, it goes on."""
    kubectl.run("rollout", "pause", "deployment/web")
    kubectl.run("set", "image", "deployment/web", "c=sleep:2")
    refused = kubectl.run("rollout", "undo", "deployment/web", "--to-revision=1", fails=True)
    assert "you cannot rollback a paused deployment" in refused
    images = "jsonpath={.items[*].spec.containers[0].image}"
    assert kubectl.run("get", "pods", "-l", "app=web", "-o", images) == "sleep:1 sleep:1"
    kubectl.run("rollout", "resume", "deployment/web")
    kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
    assert set(
        kubectl.run("get", "rs", "-l", "app=web", "-o", "jsonpath={.items[*].spec.replicas}").split()
    ) == {
        "0",
        "2",
    }


def test_waits_end_when_what_is_waited_for_is_there(kubectl: Kubectl) -> None:
    """For a condition, a JSON path and a deletion."""
    assert "condition met" in kubectl.run(
        "wait", "--for=condition=Available", "deployment/web", "--timeout=60s"
    )
    kubectl.run("scale", "deployment/web", "--replicas=3")
    told = kubectl.run("wait", "--for=jsonpath={.status.readyReplicas}=3", "deployment/web", "--timeout=60s")
    assert told == "deployment.apps/web condition met\n"
    name = kubectl.run("get", "pods", "-l", "app=web", "-o", "name").split()[0]
    kubectl.run("delete", name, "--wait=false")
    assert "condition met" in kubectl.run("wait", "--for=delete", name, "--timeout=60s")
    described = kubectl.run("describe", "deployment", "web")
    assert "ScalingReplicaSet" in described
    assert "ScalingReplicaSet" in kubectl.run("events", "--for", "deployment/web")
