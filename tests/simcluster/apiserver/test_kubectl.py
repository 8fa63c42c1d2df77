"""`kubectl`, unmodified, against the API server. `KUBECTL` lists the programs; else it is the one on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_process import Running, run_server

from simcluster.apiserver import write_pod_kubeconfig
from simcluster.tokens import Bearer

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: greeter, labels: {app: greeter}}
spec:
  replicas: 2
  selector: {matchLabels: {app: greeter}}
  template:
    metadata: {labels: {app: greeter}}
    spec:
      containers:
      - name: server
        image: greeter:dev
        ports: [{containerPort: 50051, name: grpc}]
        env: [{name: COLOR, value: blue}]
---
apiVersion: v1
kind: Service
metadata: {name: greeter}
spec: {selector: {app: greeter}, ports: [{port: 50051, name: grpc}]}
"""


def programs() -> list[str]:
    listed = os.environ.get("KUBECTL")
    if listed is not None:
        return [path for path in listed.split(os.pathsep) if path]
    found = shutil.which("kubectl")
    return [] if found is None else [found]


PROGRAMS = programs()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of this module."""
    with run_server(tmp_path_factory.mktemp("api")) as running:
        yield running


class Kubectl:
    """One kubectl in one namespace."""

    def __init__(self, program: str, cluster: Running, namespace: str, home: Path) -> None:
        self.command = [program, "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECTL_EXTERNAL_DIFF": "diff -u"}

    def run(self, *arguments: str, text: str | None = None, fails: bool = False) -> str:
        done = subprocess.run(
            [*self.command, *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout


@pytest.fixture(params=PROGRAMS if PROGRAMS else [None])
def kubectl(request: pytest.FixtureRequest, cluster: Running, tmp_path: Path) -> Kubectl:
    """Each kubectl there is, in a new namespace."""
    if request.param is None:
        pytest.skip("no kubectl: set KUBECTL, or install one on PATH")
    name = f"t-{abs(hash(request.node.nodeid)) % 10**10}"
    cluster.call(cluster.registry.create, "namespaces", None, {"metadata": {"name": name}})
    return Kubectl(request.param, cluster, name, tmp_path)


def test_a_manifest_is_applied_changed_and_deleted(kubectl: Kubectl) -> None:
    """apply says created, unchanged, configured; diff shows what would change and changes nothing."""
    created = kubectl.run("apply", "-f", "-", text=MANIFEST)
    assert created == "deployment.apps/greeter created\nservice/greeter created\n"
    assert "unchanged" in kubectl.run("apply", "-f", "-", text=MANIFEST)
    red = MANIFEST.replace("blue", "red")
    shown = subprocess.run(
        [*kubectl.command, "diff", "-f", "-"],
        input=red,
        capture_output=True,
        text=True,
        env=kubectl.environment,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 1, shown.stderr
    assert "+          value: red" in shown.stdout
    configured = kubectl.run("apply", "-f", "-", text=red)
    assert configured == "deployment.apps/greeter configured\nservice/greeter unchanged\n"
    assert "deleted" in kubectl.run("delete", "-f", "-", text=red)
    assert "NotFound" in kubectl.run("get", "deployment", "greeter", fails=True)


def test_a_field_that_is_misspelt_is_refused(kubectl: Kubectl) -> None:
    """Validation is the server's and strict."""
    text = kubectl.run("apply", "-f", "-", text=MANIFEST.replace("replicas:", "replica:"), fails=True)

    assert 'strict decoding error: unknown field "spec.replica"' in text


def test_a_manifest_is_applied_by_the_server(kubectl: Kubectl) -> None:
    """Another manager's field is a conflict that kubectl explains; --force-conflicts takes it."""
    apply = ("apply", "--server-side", "-f", "-")
    created = kubectl.run(*apply, text=MANIFEST)
    assert created == "deployment.apps/greeter serverside-applied\nservice/greeter serverside-applied\n"
    red = MANIFEST.replace("blue", "red")

    refused = kubectl.run(*apply, "--field-manager=other", text=red, fails=True)
    assert (
        'conflict with "kubectl": .spec.template.spec.containers[name="server"].env[name="COLOR"].value'
        in refused
    )
    kubectl.run(*apply, "--field-manager=other", "--force-conflicts", text=red)

    assert "managedFields" not in kubectl.run("get", "deployment", "greeter", "-o", "yaml")
    shown = kubectl.run("get", "deployment", "greeter", "-o", "yaml", "--show-managed-fields")
    assert "manager: other" in shown
    assert kubectl.run("diff", "--server-side", "--field-manager=other", "-f", "-", text=red) == ""


def test_client_side_and_server_side_apply_follow_each_other(kubectl: Kubectl) -> None:
    """What `kubectl apply` wrote is no conflict for `kubectl apply --server-side`, and the other way round."""
    kubectl.run("apply", "-f", "-", text=MANIFEST)
    kubectl.run("apply", "--server-side", "-f", "-", text=MANIFEST.replace("blue", "red"))
    assert "configured" in kubectl.run("apply", "-f", "-", text=MANIFEST.replace("blue", "green"))

    value = "{.spec.template.spec.containers[0].env[0].value}"
    assert kubectl.run("get", "deployment", "greeter", "-o", f"jsonpath={value}") == "green"


def test_an_object_is_edited_and_patched(kubectl: Kubectl, tmp_path: Path) -> None:
    """An editor's change is stored; all three types of patch change the object."""
    kubectl.run("apply", "-f", "-", text=MANIFEST)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/replicas: 2/replicas: 3/' \"$1\"\n")
    editor.chmod(0o755)
    kubectl.environment["KUBE_EDITOR"] = str(editor)
    assert "edited" in kubectl.run("edit", "deployment", "greeter")
    for kind, patch in (
        ("strategic", '{"metadata":{"labels":{"a":"1"}}}'),
        ("merge", '{"metadata":{"labels":{"b":"1"}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/c","value":"1"}]'),
    ):
        assert "patched" in kubectl.run("patch", "deployment", "greeter", "--type", kind, "-p", patch)

    shown = kubectl.run("get", "deployment", "greeter", "-o", "jsonpath={.spec.replicas} {.metadata.labels}")
    assert shown == '3 {"a":"1","app":"greeter","b":"1","c":"1"}'


def test_deployments_are_shown_scaled_and_changed(kubectl: Kubectl) -> None:
    """get with its columns, wide and as JSON path; scale, set image, label, annotate, patch, rollout restart."""
    kubectl.run("apply", "-f", "-", text=MANIFEST)
    header, row = kubectl.run("get", "deployments", "-o", "wide").splitlines()
    assert header.split() == [
        "NAME",
        "READY",
        "UP-TO-DATE",
        "AVAILABLE",
        "AGE",
        "CONTAINERS",
        "IMAGES",
        "SELECTOR",
    ]
    assert row.split()[:4] == ["greeter", "0/2", "0", "0"]
    kubectl.run("scale", "deployment/greeter", "--replicas=5")
    kubectl.run("set", "image", "deployment/greeter", "server=greeter:new")
    kubectl.run("label", "deployment", "greeter", "tier=front")
    kubectl.run("annotate", "deployment", "greeter", "note=x")
    kubectl.run("patch", "deployment", "greeter", "-p", '{"spec":{"minReadySeconds":1}}')
    kubectl.run("rollout", "restart", "deployment/greeter")
    path = "{.spec.replicas} {.spec.template.spec.containers[0].image} {.metadata.labels.tier} {.spec.minReadySeconds}"
    assert kubectl.run("get", "deployment", "greeter", "-o", f"jsonpath={path}") == "5 greeter:new front 1"
    assert "restartedAt" in kubectl.run("get", "deployment", "greeter", "-o", "yaml")
    told = kubectl.run("rollout", "status", "deployment/greeter", "--watch=false")
    assert told.startswith("Waiting for deployment spec update to be observed")


def test_a_rollout_is_waited_for(kubectl: Kubectl, cluster: Running) -> None:
    """rollout status and wait return once the status says so, and time out while it does not."""
    kubectl.run("apply", "-f", "-", text=MANIFEST)
    late = kubectl.run("wait", "--for=condition=Available", "deployment/greeter", "--timeout=1s", fails=True)
    assert "timed out" in late
    namespace = kubectl.command[-1]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
    condition = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "x"}
    status = {"status": {**counts, "observedGeneration": 1, "conditions": [condition]}}
    patch = cluster.registry.patch
    arguments = ("deployments.apps", namespace, "greeter", status, "merge")
    timer = threading.Timer(0.5, lambda: cluster.call(patch, *arguments, subresource="status"))
    timer.start()
    assert "successfully rolled out" in kubectl.run(
        "rollout", "status", "deployment/greeter", "--timeout=20s"
    )
    assert "condition met" in kubectl.run(
        "wait", "--for=condition=Available", "deployment/greeter", "--timeout=20s"
    )
    timer.join()


def test_a_watch_prints_what_happens(kubectl: Kubectl, cluster: Running) -> None:
    """`get -w` shows what is there, then each change, with the columns once."""
    kubectl.run("apply", "-f", "-", text=MANIFEST)
    watching = subprocess.Popen(
        [*kubectl.command, "get", "deployments", "-w"],
        stdout=subprocess.PIPE,
        text=True,
        env=kubectl.environment,
    )
    assert watching.stdout is not None
    try:
        shown = [watching.stdout.readline() for _ in range(2)]
        kubectl.run("scale", "deployment/greeter", "--replicas=7")
        shown.append(watching.stdout.readline())
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()
    assert [line.split()[:2] for line in shown] == [["NAME", "READY"], ["greeter", "0/2"], ["greeter", "0/7"]]


def test_logs_and_commands(kubectl: Kubectl, cluster: Running) -> None:
    """logs, logs -f and exec with output, input and exit code."""
    namespace = kubectl.command[-1]
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    cluster.call(cluster.registry.create, "pods", namespace, pod)
    cluster.call(cluster.registry.bind, namespace, "p", "n1")
    running = {
        "phase": "Running",
        "containerStatuses": [{"name": "c", "state": {"running": {}}, "ready": True}],
    }
    patch = cluster.registry.patch
    cluster.call(patch, "pods", namespace, "p", {"status": running}, "merge", subresource="status")
    cluster.node.lines = [b"one\n", b"two\n"]

    assert kubectl.run("logs", "p") == "one\ntwo\n"
    assert kubectl.run("exec", "p", "--", "echo", "hello") == "hello\n"
    assert kubectl.run("exec", "-i", "p", "--", "cat", text="input\n") == "input\n"
    assert "exit code 3" in kubectl.run("exec", "p", "--", "sh", "-c", "exit 3", fails=True)


def test_kinds_are_listed_and_explained(kubectl: Kubectl) -> None:
    """api-resources, api-versions and explain, from discovery and OpenAPI."""
    assert "deployments" in kubectl.run("api-resources", "--api-group=apps", "-o", "name")
    assert "networking.k8s.io/v1" in kubectl.run("api-versions").splitlines()
    explained = kubectl.run("explain", "deployment.spec.strategy")
    assert "rollingUpdate" in explained
    assert "<RollingUpdateDeployment>" in explained


def test_events_nodes_and_everything_can_be_got(kubectl: Kubectl, cluster: Running) -> None:
    """The kinds of the spine print without an error, also where there is nothing."""
    for kind in (
        "nodes",
        "pods",
        "services",
        "endpointslices",
        "ingresses",
        "events",
        "secrets",
        "configmaps",
    ):
        kubectl.run("get", kind, "-o", "wide")
    for kind in ("serviceaccounts", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "all"):
        kubectl.run("get", kind)
    assert "default" in kubectl.run("get", "namespaces")
    assert "cluster-admin" in kubectl.run("describe", "clusterrole", "cluster-admin")


def test_a_user_without_rights_is_told_so(kubectl: Kubectl, cluster: Running, tmp_path: Path) -> None:
    """kubectl shows the server's words: to a stranger, and to an account that has no role."""
    namespace = kubectl.command[-1]
    account = cluster.call(cluster.registry.create, "serviceaccounts", namespace, {"metadata": {"name": "a"}})
    bearer = Bearer(namespace, "a", account["metadata"]["uid"])
    token_file, path = tmp_path / "token", tmp_path / "kubeconfig"
    write_pod_kubeconfig(path, cluster.server.endpoint, token_file=token_file, namespace=namespace)
    other = Kubectl(kubectl.command[0], cluster, namespace, tmp_path)
    other.command[2] = str(path)

    token_file.write_text(cluster.server.issuer.mint(bearer, now=time.time()))
    forbidden = other.run("get", "pods", fails=True)
    assert (
        f'User "system:serviceaccount:{namespace}:a" cannot list resource "pods" in API group ""' in forbidden
    )
    token_file.write_text("x.y.z")
    stranger = other.run("get", "pods", fails=True)
    assert "Unauthorized" in stranger or "logged in" in stranger
