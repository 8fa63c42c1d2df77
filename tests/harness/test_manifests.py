"""Reading manifests, and what of kustomize is refused rather than passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.deployment import prepare
from harness.errors import ManifestError
from harness.manifests import client_variant, load, load_file, with_load
from harness.scenario import parse

CLIENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: client-pool, labels: {app: client, kube-grpc.dev/variant: pool}}
spec:
  replicas: 2
  template: {spec: {containers: [{name: client, env: [{name: RATE, value: "10"}, {name: A, value: b}]}]}}
"""
SERVER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: greeter}
spec: {replicas: 3}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: greeter-clusterip}
"""
SCENARIO = """\
manifests: .
target: {replicas: 7}
load: {rate: 20/s, clients: 4, deadline: 250ms}
variants: {pool: {env: {PING_INTERVAL_S: "2"}}}
steps: [{wait: 1s}]
expect: []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A kustomization with a file and a folder, which has one of its own."""
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [server.yaml, clients, service.yaml]\n", encoding="utf-8"
    )
    (tmp_path / "server.yaml").write_text(SERVER, encoding="utf-8")
    (tmp_path / "service.yaml").write_text(SERVICE, encoding="utf-8")
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "kustomization.yml").write_text("resources: [pool.yaml]\n", encoding="utf-8")
    (tmp_path / "clients" / "pool.yaml").write_text(CLIENT + "---\n", encoding="utf-8")
    return tmp_path


def test_resources_of_resources(folder: Path) -> None:
    """Files and folders are read in their order; empty documents are none."""
    names = [found["metadata"]["name"] for found in load(folder)]
    assert names == ["greeter", "client-pool", "greeter-clusterip"]


def test_the_manifests_of_this_project() -> None:
    """They can be read, and have a client for each of the variants."""
    variants = {client_variant(found) for found in load(Path(__file__).parents[2] / "manifests")}

    policies = {f"pool-{name}" for name in ("random", "least-outstanding", "power-of-two", "consistent-hash")}
    ways = {"clusterip", "headless", "headless-rr", "ingress", "pool", "pool-poll", "pool-aio"}
    assert {None, *ways, *policies} == variants


def test_the_load_of_a_scenario(folder: Path) -> None:
    """Clients get the scenario's pods and variables, the target its size.

    Everything else stays as the file says.
    """
    plan = prepare(parse(SCENARIO, folder / "night.yaml"))

    (server, _), (client,) = plan.others, plan.clients
    assert server["spec"]["replicas"] == 7
    assert client["spec"]["replicas"] == 4
    assert {
        entry["name"]: entry["value"] for entry in client["spec"]["template"]["spec"]["containers"][0]["env"]
    } == {"A": "b", "RATE": "20", "DEADLINE_S": "0.25", "PING_INTERVAL_S": "2"}


def test_the_file_is_not_changed(folder: Path) -> None:
    """Giving a client its load leaves the object that was read alone."""
    client = yaml.safe_load(CLIENT)

    with_load(client, 9, (("RATE", "1"),))

    assert yaml.safe_load(CLIENT) == client


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "kustomization.yaml",
            "resources: [server.yaml]\nnamePrefix: x-\n",
            'kustomization.yaml: field "namePrefix" is not supported\n'
            "  known fields: apiVersion, kind, resources\n"
            "  write the objects out, or apply them by a step",
        ),
        (
            "kustomization.yaml",
            "resources: x\n",
            'kustomization.yaml: "resources" is missing\n  a list of files and folders',
        ),
        ("kustomization.yaml", "a: [", "kustomization.yaml:1: not YAML: expected the node content"),
        (
            "kustomization.yaml",
            "resources: ['https://example.test/x']\n",
            "kustomization.yaml: 'https://example.test/x' is not a path\n  remote resources are not read",
        ),
        ("kustomization.yaml", "resources: [.]\n", "kustomization.yaml: this kustomization includes itself"),
        ("kustomization.yaml", "resources: [none.yaml]\n", "none.yaml: can not be read: No such file"),
        ("server.yaml", "kind: [", "server.yaml:1: not YAML: expected the node content"),
        ("server.yaml", "- 5\n", "server.yaml: an object, and its metadata, are mappings"),
        ("server.yaml", "metadata: x\n", "server.yaml: an object, and its metadata, are mappings"),
        ("server.yaml", "kind: Secret\n", "server.yaml: an object without apiVersion, metadata"),
    ],
)
def test_manifests_that_can_not_be_used(folder: Path, name: str, content: str, message: str) -> None:
    """Each is refused with its file, and with what is allowed."""
    (folder / name).write_text(content, encoding="utf-8")

    with pytest.raises(ManifestError) as refused:
        load(folder)

    assert str(refused.value).startswith(f"{folder}/{message}")


def test_a_folder_without_a_kustomization(tmp_path: Path) -> None:
    """It is said what was looked for and where the folder comes from."""
    with pytest.raises(ManifestError) as refused:
        load(tmp_path)

    assert str(refused.value) == (
        f"{tmp_path}: no kustomization here\n"
        "  looked for kustomization.yaml, kustomization.yml, Kustomization\n"
        "  a scenario names its folder with `manifests:`"
    )


def test_a_variant_that_no_client_measures(folder: Path) -> None:
    """It is said which variants the manifests have."""
    with pytest.raises(ManifestError) as refused:
        prepare(parse(SCENARIO.replace("pool:", "pol:"), folder / "night.yaml"))

    assert str(refused.value) == (
        f"{folder}/night.yaml: no client measures the variant pol\n  clients in {folder}: pool\n"
        "  a client is a Deployment with the labels app: client and kube-grpc.dev/variant: pol"
    )


@pytest.mark.parametrize(
    ("target", "kind", "named"),
    [("deployment: greter", "Deployment", "greter"), ("service: web", "Service", "web")],
)
def test_a_target_that_is_not_there(folder: Path, target: str, kind: str, named: str) -> None:
    """Nothing would be seen of it, and what is not seen is not missed: it is refused, with those that there are."""
    with pytest.raises(ManifestError) as refused:
        prepare(parse(SCENARIO.replace("replicas: 7", target), folder / "night.yaml"))

    lines = str(refused.value).splitlines()
    assert lines[0] == f"{folder}/night.yaml: the target {kind} {named} is not in the manifests"
    assert lines[1].startswith(f"  known {kind}s in {folder}: ")
    assert lines[-1] == "  a scenario names its own with `target: {deployment: …, service: …}`"


def test_a_file_of_a_step_that_is_not_there(folder: Path) -> None:
    """It is said with the step's line, before there is a cluster."""
    with pytest.raises(ManifestError) as refused:
        prepare(parse(SCENARIO.replace("wait: 1s", "apply: more.yml"), folder / "night.yaml"))

    assert str(refused.value) == (
        f"{folder}/night.yaml:5: step 1: apply more.yml: {folder}/more.yml: can not be read: No such file or directory"
    )


def test_a_manifest_that_is_not_text(folder: Path) -> None:
    """It is refused with its name."""
    (folder / "server.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match=r"server\.yaml: not text\n  a manifest is YAML in UTF-8"):
        load(folder)


def test_a_client_of_no_variant(folder: Path) -> None:
    """A client Deployment without the label is refused with the label that it lacks."""
    (folder / "server.yaml").write_text(CLIENT.replace(", kube-grpc.dev/variant: pool", ""), encoding="utf-8")

    with pytest.raises(ManifestError) as refused:
        prepare(parse(SCENARIO, folder / "night.yaml"))

    assert str(refused.value) == (
        "Deployment client-pool: is a client of no variant\n  label it kube-grpc.dev/variant: <variant>"
    )


def test_a_client_without_its_container() -> None:
    """The container that makes the calls is found by its name."""
    with pytest.raises(
        ManifestError,
        match=r'^Deployment client-pool: no container is named "client"\n  its containers: main; ',
    ):
        with_load(yaml.safe_load(CLIENT.replace("name: client,", "name: main,")), 1, ())


def test_one_file_of_several_objects(tmp_path: Path) -> None:
    """A step's file may hold several objects."""
    (tmp_path / "two.yaml").write_text(f"{SERVER}---\n{CLIENT}", encoding="utf-8")

    assert len(load_file(tmp_path / "two.yaml")) == 2
