"""Each Kubernetes minor that there is data for: complete, small, quick to load, and served as itself."""

from __future__ import annotations

import random
from importlib import resources
from pathlib import Path

import kubernetes.client
import kubernetes.config
import pytest

from simcluster.apiserver.openapi import OpenApi
from simcluster.cluster import Cluster
from simcluster.registry import Registry
from simcluster.schema import Form, Protobuf, Report, decode, load, versions

VERSIONS = versions()
# What a minor may cost in the package.
MOST_BYTES = 30_000


@pytest.mark.parametrize("version", VERSIONS)
def test_a_minor_is_small(version: str) -> None:
    """Its data stays within what a package can carry for each."""
    packed = (resources.files("simcluster.schema") / f"{version}.json.xz").read_bytes()
    assert len(packed) < MOST_BYTES


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_a_minor_is_read_and_numbered(version: str) -> None:
    """Each kind reads an object with nothing but a name, and has a number for each field; protobuf carries it."""
    catalogue = load(version)
    protobuf = Protobuf(catalogue)
    assert catalogue.version["gitVersion"].startswith(f"{version}.")
    for resource in catalogue:
        report = Report()
        obj = decode(resource.type, {"metadata": {"name": "x"}}, report)
        assert report.unknown == []
        head = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": obj["metadata"]}
        assert protobuf.decode(protobuf.encode(head), resource.kind) == head
    for name, numbers in catalogue.numbers.items():
        assert len(numbers) == len(catalogue.types.named(name).fields)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_of_a_minor_can_be_made(version: str) -> None:
    """References lead somewhere, lists and maps have elements; OpenAPI can be written of all of it."""
    catalogue = load(version)
    for name in catalogue.schemas:
        for field in catalogue.types.named(name).fields.values():
            if field.type.form in (Form.LIST, Form.MAP):
                assert field.type.item is not None
    openapi = OpenApi(catalogue)
    assert all(openapi.v3(where) for where in openapi.places)
    assert openapi.v2_protobuf()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_deployment_of_a_minor_is_filled_in(version: str) -> None:
    """Rules and defaults hold in every version: a Deployment is made, filled in and read."""
    registry = Registry(load(version), clock=lambda: 1_800_000_000.0, chance=random.Random(1))
    registry.create("namespaces", None, {"metadata": {"name": "default"}})
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    registry.create("deployments.apps", "default", {"metadata": {"name": "d"}, "spec": spec})
    assert registry.get("deployments.apps", "default", "d")["spec"]["progressDeadlineSeconds"] == 600


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cluster_is_of_the_minor_that_is_asked_for(version: str, tmp_path: Path) -> None:
    """`--kubernetes-version` chooses; the API and its node say so."""
    with Cluster(kubernetes_version=version, directory=tmp_path) as cluster:
        client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
        assert kubernetes.client.VersionApi(client).get_code().git_version.startswith(f"{version}.")
        nodes = kubernetes.client.CoreV1Api(client).list_node().items
        assert nodes[0].status.node_info.kubelet_version.startswith(f"{version}.")


def test_minors_differ_where_kubernetes_does() -> None:
    """What a version has not got is not there: kinds of v1.36 that v1.35 lacks, if both are known."""
    if not {"v1.35", "v1.36"} <= set(VERSIONS):
        pytest.skip("there is data for one of the two minors only")
    old, new = set(load("v1.35").schemas), set(load("v1.36").schemas)
    assert new - old
