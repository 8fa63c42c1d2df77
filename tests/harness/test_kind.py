"""What a run on a real kind cluster leaves behind, however it ends: nothing, or what the next run removes.

These need the kind program and a Docker engine; elsewhere they are skipped. CI has both.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.clusters.kind_nodes import Pauses, unpause
from harness.errors import ClusterError


def docker(*arguments: str) -> list[str]:
    """The lines that docker prints."""
    found = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return found.stdout.split("\n")[:-1]


def has_kind() -> bool:
    """Whether kind can be used here."""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=60).returncode == 0


pytestmark = pytest.mark.skipif(not has_kind(), reason="needs the kind program and a Docker engine")

VERSION = os.environ.get("KIND_VERSION", "v1.36.3")
TEST = """\
import pytest

@pytest.mark.k8s_scenarios("*.yaml")
def test_scenario(k8s_scenario):
    k8s_scenario.run()
"""
SCENARIO = """\
manifests: app
target: {service: greeter}
variants: [tcp]
steps: [{wait: 10m}]
expect: [{variant: tcp, errors: 0}]
"""


def restore_interrupt() -> None:
    """As in a terminal: a shell has its background jobs, and so all these tests, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Project:
    """A folder with one scenario; its temporary folders and ledgers are its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copytree(Path(__file__).parent / "app", path / "app")
        (path / "test_scenarios.py").write_text(TEST, encoding="utf-8")
        (path / "night.yaml").write_text(SCENARIO, encoding="utf-8")
        (path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (path / "tmp").mkdir()

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start pytest, in a group of its own."""
        own = {
            "TMPDIR": str(self.path / "tmp"),
            "XDG_STATE_HOME": str(self.path / "state"),
            "PYTHONUNBUFFERED": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "--k8s", "-p", "no:cacheprovider", *options],
            cwd=self.path, env={**os.environ, **own}, text=True, start_new_session=True,
            preexec_fn=restore_interrupt,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def on_kind(self) -> subprocess.Popen[str]:
        """Start pytest on kind."""
        return self.start("--k8s-backend=kind", f"--k8s-version={VERSION}")

    def ledgers(self) -> list[Path]:
        """What runs have written down and not crossed out."""
        return sorted((self.path / "state").rglob("*.json"))

    def left(self) -> list[str]:
        """Clusters of the runs of this project, folders and ledgers."""
        clusters = {
            thing["name"]
            for path in self.ledgers()
            for thing in json.loads(path.read_text(encoding="utf-8"))["things"]
        }
        return [*sorted(clusters), *map(str, self.ledgers()), *map(str, (self.path / "tmp").iterdir())]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one scenario."""
    return Project(tmp_path)


@pytest.fixture(autouse=True)
def containers() -> list[str]:
    """The kind containers that were there before."""
    return docker("ps", "-a", "-q", "--filter", "label=io.x-k8s.kind.cluster")


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the process says until a line has the text."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if text in line:
            return "".join(said)
    raise AssertionError("".join(said))


def nodes() -> list[str]:
    return docker("ps", "-a", "-q", "--filter", "label=io.x-k8s.kind.cluster")


def test_a_set_up_that_fails(project: Project, containers: list[str]) -> None:
    """Pods whose image nobody built: the run is red and says so; no cluster, folder or ledger stays."""
    output, _ = (process := project.on_kind()).communicate(timeout=300)

    assert process.returncode == 1, output
    assert "app-server:dev" in output
    assert (nodes(), project.left()) == (containers, []), output


def test_a_version_that_is_not_there(project: Project, containers: list[str]) -> None:
    """What kind says of it, which versions are here, and how to do without kind; nothing stays."""
    output, _ = project.start("--k8s-backend=kind", "--k8s-version=v0.0.1").communicate(timeout=300)

    assert "kind create cluster failed" in output
    assert "--k8s-version" in output
    assert "`docker images kindest/node`" in output
    assert "--k8s-backend sim" in output
    assert (nodes(), project.left()) == (containers, []), output


@pytest.mark.parametrize("moment", ["creating the kind cluster", "waiting for deployment"])
def test_an_interrupt(project: Project, containers: list[str], moment: str) -> None:
    """Ctrl-C while the cluster is made, and while it is used: nothing stays."""
    process = project.on_kind()
    said = read_until(process, moment)

    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == pytest.ExitCode.INTERRUPTED, said + output
    assert (nodes(), project.left()) == (containers, []), said + output


def test_a_node_that_is_paused() -> None:
    """It stands still until it is undone; no other cluster's node, and no pod, can be frozen."""
    name = f"pauses-{os.getpid()}"
    labels = ["--label", f"io.x-k8s.kind.cluster={name}"]
    image = f"kindest/node:{VERSION}"
    docker("run", "-d", "--privileged", "--name", name, *labels, "--entrypoint", "sleep", image, "600")
    try:
        pauses = Pauses(name)
        number = pauses.begin("freeze_node", {"node": name}, None)
        assert is_silent(name)
        pauses.undo(number)
        pauses.undo(number)
        assert not is_silent(name)

        pauses.begin("freeze_node", {"node": name}, 600.0)
        pauses.close()
        assert not is_silent(name)

        pauses.begin("freeze_node", {"node": name}, None)
        unpause(name)  # as the next run does after kill -9
        assert not is_silent(name)
        with pytest.raises(ClusterError, match=r"no node .* that runs"):
            Pauses("another").begin("freeze_node", {"node": name}, None)
        with pytest.raises(ClusterError, match="only a node can be frozen"):
            pauses.begin("freeze_pod", {"namespace": "a", "pod": "b"}, None)
    finally:
        docker("rm", "-f", name)


def is_silent(container: str) -> bool:
    """Whether it is paused, and its kernel refuses no connection, as that of a living node does."""
    (state,) = docker("inspect", "-f", "{{.State.Paused}} {{.NetworkSettings.IPAddress}}", container)
    is_paused, address = state.split()
    try:
        socket.create_connection((address, 9), timeout=1).close()
    except ConnectionRefusedError:
        is_cut = False
    except TimeoutError:
        is_cut = True
    assert is_cut is (is_paused == "true")
    return is_cut


def test_a_run_that_is_killed(project: Project, containers: list[str]) -> None:
    """After kill -9 the cluster is still there; the next run, on whatever backend, removes it and says so."""
    process = project.on_kind()
    read_until(process, "waiting for")
    process.kill()
    process.communicate(timeout=60)
    assert len(nodes()) == len(containers) + 1

    output, _ = project.start("--k8s-backend=sim").communicate(timeout=120)

    assert "k8s: removed kind-cluster kube-grpc-" in output
    assert ", left by a run that was killed" in output
    assert (nodes(), project.left()) == (containers, []), output
