"""The pytest fixtures, in runs of pytest of their own."""

from __future__ import annotations

import pytest

TWO_TESTS = """
import kubernetes.client

def names(cluster):
    found = kubernetes.client.CoreV1Api(cluster.client).list_namespaced_config_map("default").items
    return {each.metadata.name for each in found} - {"kube-root-ca.crt"}

def create(cluster, name):
    body = {"metadata": {"name": name}}
    kubernetes.client.CoreV1Api(cluster.client).create_namespaced_config_map("default", body)
"""


@pytest.fixture
def own_run(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")
    return pytester


def test_each_test_has_a_cluster_of_its_own(own_run: pytest.Pytester) -> None:
    """What one test leaves in `simcluster` another does not find."""
    own_run.makepyfile(
        TWO_TESTS
        + """
def test_first(simcluster):
    assert names(simcluster) == set()
    create(simcluster, "mine")
    assert names(simcluster) == {"mine"}

def test_second(simcluster):
    assert names(simcluster) == set()
"""
    )
    own_run.runpytest_subprocess().assert_outcomes(passed=2)


def test_the_session_has_one_cluster(own_run: pytest.Pytester) -> None:
    """What one test leaves in `simcluster_session` another finds."""
    own_run.makepyfile(
        TWO_TESTS
        + """
def test_first(simcluster_session):
    create(simcluster_session, "ours")

def test_second(simcluster_session):
    assert names(simcluster_session) == {"ours"}
"""
    )
    own_run.runpytest_subprocess().assert_outcomes(passed=2)


def test_workers_do_not_meet(own_run: pytest.Pytester) -> None:
    """With pytest-xdist each worker has clusters of its own, also for the session."""
    own_run.makepyfile(
        TWO_TESTS
        + """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_alone(simcluster, simcluster_session, worker_id, number):
    create(simcluster, "mine")
    assert names(simcluster) == {"mine"}
    create(simcluster_session, f"{worker_id}-{number}")
    assert all(name.startswith(worker_id) for name in names(simcluster_session))
"""
    )
    own_run.runpytest_subprocess("-n", "2").assert_outcomes(passed=4)


def test_options_come_from_the_mark_and_from_the_conftest(own_run: pytest.Pytester) -> None:
    """A mark's options are added to those of the conftest, and the nearest mark counts."""
    own_run.makeconftest(
        """
import pytest

@pytest.fixture(scope="session")
def simcluster_options():
    return {"kubernetes_version": "v1.36", "images": {"a:1": "true"}}
"""
    )
    own_run.makepyfile(
        """
import json
import pytest

@pytest.mark.simcluster(images={"sleeper:1": "sleep 999"})
class TestMarked:
    @pytest.mark.simcluster(profile="faithful")
    def test_marked(self, simcluster):
        command = open(f"/proc/{simcluster.pid}/cmdline").read().split("\\0")
        assert "sleeper:1=sleep 999" in command and "a:1=true" not in command
        assert command[command.index("--profile") + 1] == "faithful"
        assert command[command.index("--kubernetes-version") + 1] == "v1.36"
"""
    )
    own_run.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_wrong_option_is_named(own_run: pytest.Pytester) -> None:
    """An unknown option fails the test with those that are known; nothing is started."""
    own_run.makepyfile(
        """
import pytest

@pytest.mark.simcluster(image={"sleeper:1": "sleep 999"})
def test_marked(simcluster):
    pass

@pytest.mark.simcluster("v1.36")
def test_unnamed(simcluster):
    pass

@pytest.mark.simcluster(profile="slow")
def test_unknown(simcluster):
    pass

@pytest.mark.simcluster(images="web")
def test_text(simcluster):
    pass

@pytest.mark.simcluster(images={"web": ["python", 5]})
def test_number(simcluster):
    pass

@pytest.mark.simcluster(profile="faithful")
def test_other_fixture(simcluster_session):
    pass

@pytest.mark.simcluster(profile="faithful")
class TestSeveral:
    def test_without(self):
        pass
"""
    )
    result = own_run.runpytest_subprocess()
    result.assert_outcomes(errors=6, passed=1)
    result.stdout.fnmatch_lines(
        ["images: 'web' is not a mapping of names to commands", "  for example  images={*"]
    )
    result.stdout.fnmatch_lines(
        ["images: 'web': [[]'python', 5[]] is neither a command nor a list of its words"]
    )
    result.stdout.fnmatch_lines(["*test_other_fixture: the mark simcluster goes with the fixture simcluster"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.fnmatch_lines(['*unknown profile "slow"', "*known profiles: faithful, fast"])
    # Of a mistake in a mark nobody wants to see how a cluster is started.
    result.stdout.no_fnmatch_line("*subprocess.Popen*")
    result.stdout.fnmatch_lines(
        ["*unknown option of a simulated cluster: image*", "*known options: *images*"]
    )
    result.stdout.fnmatch_lines(["*the mark simcluster takes options by name only*"])


def test_an_image_that_is_not_bound(own_run: pytest.Pytester) -> None:
    """The pod's status says where it is bound: in the test's mark, or in the fixture for all."""
    own_run.makepyfile(
        """
import kubernetes.client
import kubernetes.watch

def message(cluster):
    core = kubernetes.client.CoreV1Api(cluster.client)
    spec = {"containers": [{"name": "a", "image": "shop:dev"}]}
    core.create_namespaced_pod("default", {"metadata": {"name": "a"}, "spec": spec})
    for event in kubernetes.watch.Watch().stream(core.list_namespaced_pod, "default", timeout_seconds=30):
        for status in event["object"].status.container_statuses or ():
            if status.state.waiting is not None and status.state.waiting.message:
                return status.state.waiting.message

def test_one(simcluster):
    remedy = "bind it with @pytest.mark.simcluster(images={'shop:dev': 'COMMAND'})"
    assert message(simcluster).endswith("known images: none; " + remedy)

def test_all(simcluster_session):
    remedy = "bind it in the fixture simcluster_options: return {'images': {'shop:dev': 'COMMAND'}}"
    assert message(simcluster_session).endswith("known images: none; " + remedy)
"""
    )
    own_run.runpytest_subprocess().assert_outcomes(passed=2)


def test_nothing_is_loaded_before_it_is_used(own_run: pytest.Pytester) -> None:
    """A run that uses no cluster loads neither the simulation nor the Kubernetes client."""
    own_run.makepyfile(
        """
import sys

def test_lean():
    heavy = {"aiohttp", "kubernetes", "simcluster.assembly", "simcluster.cluster"}
    assert not heavy & set(sys.modules)
"""
    )
    own_run.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_cluster_ends_with_its_test(own_run: pytest.Pytester) -> None:
    """Also after a test that fails, no process of the cluster is left."""
    own_run.makepyfile(
        """
import os
import pathlib
import pytest

PIDS = pathlib.Path("pids")

def test_fails(simcluster):
    PIDS.write_text(str(simcluster.pid))
    assert False

def test_gone():
    with pytest.raises(ProcessLookupError):
        os.kill(int(PIDS.read_text()), 0)
"""
    )
    own_run.runpytest_subprocess().assert_outcomes(passed=1, failed=1)
