"""The manifests as a person applies them, with kubectl alone: every variant answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import simcluster

MANIFESTS = Path(__file__).parents[2] / "manifests"
IMAGES = {
    "greeter:dev": [sys.executable, "-m", "demo_server.server"],
    "greeter-client:dev": [sys.executable, "-m", "demo_server.client"],
    "greeter-gateway:dev": [sys.executable, "-m", "demo_server.gateway"],
}
VARIANTS = ("clusterip", "headless", "headless-rr", "ingress", "pool", "pool-poll")
KUBECTLS = os.environ.get("KUBECTL", shutil.which("kubectl") or "").split(os.pathsep)


@pytest.mark.skipif(KUBECTLS == [""], reason="kubectl is not installed; KUBECTL may name several")
@pytest.mark.parametrize("kubectl", KUBECTLS)
def test_kubectl_apply_is_all_that_it_takes(kubectl: str) -> None:
    """`kubectl apply -k manifests/`, and each of the clients that run from the start is answered by a Greeter."""
    with simcluster.Cluster(images=IMAGES) as cluster:

        def run(*arguments: str) -> str:
            command = [kubectl, "--kubeconfig", str(cluster.kubeconfig), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout

        run("apply", "-k", str(MANIFESTS))
        run("wait", "--for=condition=Available", "deployment", "--all", "--timeout=90s")
        for variant in VARIANTS:
            follow = [
                kubectl,
                "--kubeconfig",
                str(cluster.kubeconfig),
                "logs",
                "-f",
                f"deployment/client-{variant}",
            ]
            assert "greeter-" in first_answer(follow)["pod"], variant
        again = run("apply", "-k", str(MANIFESTS)).splitlines()
        assert [line for line in again if not line.endswith(" unchanged")] == []


def first_answer(follow: list[str]) -> dict[str, str]:
    """The first answered call in a client's log; AssertionError if the log ends before."""
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("{") and (sample := json.loads(line))["code"] == "OK":
                    return dict(sample)
        finally:
            process.kill()
    raise AssertionError(f"no call was answered: {follow}")
