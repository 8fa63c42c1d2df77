"""Every command and every example of the README, run.

The two set-up commands install the project, so CI runs them itself, as they stand in the README, and a test holds that
it does. The others are run here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch

import simcluster
from harness.scenario import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVER = [sys.executable, "-m", "demo_server.server"]


def commands() -> list[str]:
    """The indented lines that are commands, without their comments."""
    lines = re.findall(r"^    ((?:python|pytest|\.venv|python3) .*)$|^    (\.venv/.*)$", README, re.MULTILINE)
    return [re.sub(r"\s+# .*$", "", first or second) for first, second in lines]


def command(start: str) -> list[str]:
    """The one command that starts so, as arguments, with this interpreter."""
    (found,) = [each for each in commands() if each.startswith(start)]
    argv = shlex.split(found)
    head = {"python": [sys.executable], "pytest": [sys.executable, "-m", "pytest"]}
    return head[argv[0]] + argv[1:]


def fenced(language: str, holds: str = "") -> str:
    """The one example in that language that holds a certain text."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (example,) = [each for each in found if holds in each]
    return str(example)


@pytest.fixture
def cluster() -> Iterator[simcluster.Cluster]:
    with simcluster.Cluster(images={"greeter:dev": SERVER}) as running:
        yield running


def read_manifest(name: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "manifests" / name).read_text(encoding="utf-8"))
    (found,) = [
        each for each in documents if each["kind"] == kind and each["metadata"]["name"] != "greeter-headless"
    ]
    return dict(found)


def deploy_greeter(api: client.ApiClient) -> None:
    """The Greeter of manifests/, behind a Service called `greeter`, ready."""
    client.AppsV1Api(api).create_namespaced_deployment("default", read_manifest("greeter.yaml", "Deployment"))
    service = read_manifest("services.yaml", "Service")
    service["metadata"] = {"name": "greeter"}
    client.CoreV1Api(api).create_namespaced_service("default", service)
    follow = watch.Watch()
    for event in follow.stream(
        client.AppsV1Api(api).list_namespaced_deployment, "default", timeout_seconds=30, _request_timeout=40
    ):
        if event["object"].status.ready_replicas == 3:
            return
    raise AssertionError("the Greeter was not ready within 30 s")


def test_every_command_is_known_here() -> None:
    """A command that is added to the README must be added to this file."""
    starts = [
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest --k8s",
        ".venv/bin/tox",
        "python -m kube_grpc rbac greeter.default:50051",
        "pytest --k8s",
        "pytest --k8s --k8s-backend kind --k8s-version v1.36.3",
        "pytest --k8s --k8s-backend kubeconfig --k8s-context staging",
        "python -m harness judge k8s-report",
        "python -m simcluster up --image greeter:dev='python -m demo_server.server'",
    ]

    assert commands() == starts


def test_the_commands_that_need_a_machine_are_run_by_ci_as_they_stand() -> None:
    """CI takes them out of the README; it has no copy that could differ."""
    found = subprocess.run(
        [ROOT / ".ci" / "readme"], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert found == [commands()[0], commands()[1], commands()[4]]
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").count(".ci/readme") == 1


def test_the_role_is_printed() -> None:
    """The least right, for the namespace in the target."""
    shown = subprocess.run(command("python -m kube_grpc"), capture_output=True, text=True, check=True).stdout
    role, binding = yaml.safe_load_all(shown)

    assert role["rules"] == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    ]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "default"


def test_the_balancer_example_calls_each_pod(cluster: simcluster.Cluster) -> None:
    """The Python example, its last line three times: three pods."""
    deploy_greeter(config.new_client_from_config(str(cluster.kubeconfig)))
    example = fenced("python", "kube_grpc.connect").replace("from helloworld", "from demo_server.helloworld")
    *opening, call = example.strip().splitlines()
    program = "\n".join([*opening, "for _ in range(3):", f"    print({call.partition('  #')[0]}.message)"])

    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip

    assert len(set(shown.splitlines())) == 3
    assert all(re.fullmatch(r'"greeter-\S+" says: Hello world', line) for line in shown.splitlines())


def test_the_scenario_example_is_one() -> None:
    """The YAML example is read as it stands."""
    scenario = parse(fenced("yaml"), "README.md")

    assert [variant.name for variant in scenario.variants] == ["headless-rr", "pool"]
    assert len(scenario.expectations) == 4


def test_a_person_starts_and_stops_a_cluster(tmp_path: Path) -> None:
    """`up` says how to reach the cluster, which then answers; Ctrl-C ends it, and nothing stays."""
    process = subprocess.Popen(
        command("python -m simcluster"),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert process.stdout is not None
        said = (re.search(r"export KUBECONFIG=(\S+)", line) for line in process.stdout)
        path = next(found for found in said if found is not None)
        nodes = client.CoreV1Api(config.new_client_from_config(path[1])).list_node()
        assert [node.metadata.name for node in nodes.items] == ["simcluster-node"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_one_has_is_borrowed_and_its_run_judged_again(tmp_path: Path) -> None:
    """The two commands on a cluster whose context is called `staging`: same verdicts, and no namespace stays."""
    images = {
        f"greeter{name}:dev": [sys.executable, "-m", f"demo_server.{program}"] for name, program in PROGRAMS
    }
    with simcluster.Cluster(images=images, profile="faithful") as running:
        shown = yaml.safe_load(running.kubeconfig.read_text(encoding="utf-8"))
        shown["contexts"][0]["name"] = "staging"
        shown.pop("current-context", None)
        (tmp_path / "kubeconfig").write_text(json.dumps(shown), encoding="utf-8")
        environment = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")}
        borrowed = subprocess.run(
            [*command("pytest --k8s --k8s-backend kubeconfig"), "-p", "no:cacheprovider", "-k", "service_deleted",
             f"--k8s-report={tmp_path / 'k8s-report'}"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert borrowed.returncode == 0, borrowed.stdout
        api = client.CoreV1Api(config.new_client_from_config(str(running.kubeconfig)))
        left = [
            each for each in api.list_namespace().items if each.metadata.name.startswith("service-deleted")
        ]
        assert [each.status.phase for each in left] in ([], ["Terminating"])
    judged = subprocess.run(
        command("python -m harness judge"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    report = json.loads((tmp_path / "k8s-report" / "report.json").read_text(encoding="utf-8"))
    assert (report["backend"], judged.returncode) == ("kubeconfig", 0), judged.stdout
    assert "service_deleted pass" in judged.stdout


PROGRAMS = (("", "server"), ("-client", "client"), ("-gateway", "gateway"))


def test_the_test_example_passes(pytester: pytest.Pytester) -> None:
    """The example of a test with a cluster of its own is a test that passes."""
    pytester.makepyfile(fenced("python", "pytest.mark.simcluster"))

    pytester.runpytest_subprocess("-p", "simcluster.fixtures").assert_outcomes(passed=1)
