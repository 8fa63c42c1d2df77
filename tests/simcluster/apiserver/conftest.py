"""One API server for the tests of each module, and clients of it; each test has a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes.client
import kubernetes.config
import pytest
from api_process import Plain, Running, pod, run_server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of this module; each works in a namespace of its own."""
    with run_server(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def namespace(cluster: Running, request: pytest.FixtureRequest) -> str:
    """A new namespace, named for the test."""
    name = f"t-{abs(hash(request.node.name)) % 10**10}"
    cluster.call(cluster.registry.create, "namespaces", None, {"metadata": {"name": name}})
    cluster.call(cluster.registry.create, "serviceaccounts", name, {"metadata": {"name": "default"}})
    return name


@pytest.fixture(scope="module")
def client(cluster: Running) -> kubernetes.client.ApiClient:
    """The administrator's client."""
    return kubernetes.config.new_client_from_config(str(cluster.kubeconfig))


@pytest.fixture(scope="module")
def core(client: kubernetes.client.ApiClient) -> kubernetes.client.CoreV1Api:
    """The core API of the administrator."""
    return kubernetes.client.CoreV1Api(client)


@pytest.fixture(scope="module")
def plain(cluster: Running) -> Plain:
    """The administrator, without a library."""
    return Plain(cluster)


@pytest.fixture
def bound_pod(cluster: Running, namespace: str) -> str:
    """A pod on a node."""
    cluster.call(cluster.registry.create, "pods", namespace, pod())
    cluster.call(cluster.registry.bind, namespace, "p", "n1")
    return "p"
