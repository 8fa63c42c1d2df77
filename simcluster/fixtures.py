"""pytest fixtures: `simcluster`, a cluster of its own for each test, and `simcluster_session`, one for all of a run.

    @pytest.mark.simcluster(images={"greeter:dev": "python -m demo_server.server"})
    def test_rollout(simcluster):
        apps = kubernetes.client.AppsV1Api(simcluster.client)

The rule it keeps: at its top it imports pytest and the standard library alone, since every pytest run on a machine that
has this package loads it; a cluster is started only for a test that asks for one, and ends with it whatever happens.
Workers of pytest-xdist each have clusters of their own. It decides nothing about clusters.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from simcluster.cluster import Cluster

MARK = "simcluster"
_REMEDY = "bind it with @pytest.mark.simcluster(images={'NAME': 'COMMAND'})"
_REMEDY_OF_ALL = "bind it in the fixture simcluster_options: return {'images': {'NAME': 'COMMAND'}}"


class RunningCluster:
    """A cluster that runs, and a client of it; anything else is asked of `cluster`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._client: ApiClient | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)

    @property
    def client(self) -> ApiClient:
        """A `kubernetes.client.ApiClient` with all rights; made when it is first asked for."""
        if self._client is None:
            from kubernetes import config

            self._client = config.new_client_from_config(str(self.cluster.kubeconfig))
        return self._client

    def close(self) -> None:
        """Close the client, not the cluster."""
        if self._client is not None:
            self._client.close()


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers", f"{MARK}(**options): options of simcluster.Cluster for the test's own simulated cluster"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose own mark changes nothing, because it uses another fixture, or none."""
    if any(mark.name == MARK for mark in item.own_markers) and "simcluster" not in getattr(
        item, "fixturenames", ()
    ):
        pytest.fail(
            f"{item.nodeid}: the mark {MARK} goes with the fixture simcluster\n"
            "  the options of simcluster_session are those of the fixture simcluster_options",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def simcluster_options() -> dict[str, Any]:
    """Options of `simcluster.Cluster` for all clusters of a run; override it in a conftest.py."""
    return {}


@pytest.fixture
def simcluster(
    request: pytest.FixtureRequest, simcluster_options: dict[str, Any]
) -> Iterator[RunningCluster]:
    """A simulated cluster for this test alone; `@pytest.mark.simcluster(images={…})` adds to its options."""
    given: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):  # the nearest one counts
        if mark.args:
            pytest.fail(f"{request.node.nodeid}: the mark {MARK} takes options by name only", pytrace=False)
        given |= mark.kwargs
    yield from _run(request, simcluster_options | given, _REMEDY)


@pytest.fixture(scope="session")
def simcluster_session(
    request: pytest.FixtureRequest, simcluster_options: dict[str, Any]
) -> Iterator[RunningCluster]:
    """A simulated cluster for the whole run (of each worker): tests share what is in it."""
    yield from _run(request, simcluster_options, _REMEDY_OF_ALL)


def _run(request: pytest.FixtureRequest, options: dict[str, Any], remedy: str) -> Iterator[RunningCluster]:
    from simcluster.cluster import Cluster, StartError

    known = list(inspect.signature(Cluster).parameters)
    unknown = sorted(options.keys() - set(known))
    if unknown:
        pytest.fail(
            f"{request.node.nodeid}: unknown option of a simulated cluster: {', '.join(unknown)}\n"
            f"  known options: {', '.join(sorted(known))}",
            pytrace=False,
        )
    refusal = ""
    try:
        cluster = Cluster(**options)
        cluster.remedy = remedy
        cluster.start()
    except (StartError, TypeError) as error:
        refusal = str(error)
    if refusal:  # not in the handler: pytest would show both
        pytest.fail(refusal, pytrace=False)
    with ExitStack() as ends:
        ends.callback(cluster.stop)
        running = RunningCluster(cluster)
        ends.callback(running.close)
        yield running
