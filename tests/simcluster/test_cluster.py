"""A whole cluster in its own process: started, used through kubectl, stopped, killed; nothing of it stays."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import simcluster
from simcluster.directory import open_directory, remove_abandoned
from simcluster.faults.commands import find_folder
from simcluster.kubelet.descent import find_descendants
from simcluster.named_kubeconfig import read_folder

POD = Path(__file__).with_name("greeter_pod.py")
IMAGES = {
    "greeter:test": [sys.executable, str(POD)],
    "sleeper:test": "sh -c 'setsid sleep 999 & exec sleep 998'",
}
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def deployment(replicas: int) -> dict[str, Any]:
    env = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in (("POD_IP", "status.podIP"), ("POD_NAME", "metadata.name"))
    ]
    probe = {"grpc": {"port": 50051}, "periodSeconds": 1}
    container = {"name": "server", "image": "greeter:test", "env": env, "readinessProbe": probe}
    template = {"metadata": {"labels": {"app": "g"}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "g"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "g"}, "spec": spec}


def service(name: str, **spec: Any) -> dict[str, Any]:
    usual = {"selector": {"app": "g"}, "ports": [{"name": "grpc", "port": 50051}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": usual | spec}


def sleeper() -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "sleeper:test"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sleeper"}, "spec": spec}


def kubectl(cluster: simcluster.Cluster, *arguments: str, given: Any = None) -> str:
    """The output of kubectl; AssertionError with its complaint if it fails."""
    found = subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=None if given is None else "\n".join(map(json.dumps, given)),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout


def handles_of(root: int, least: int = 1) -> list[int]:
    """Handles of a process and of all below it, as soon as there are so many: a daemon may still be on its way."""
    found: list[int] = []
    until = time.monotonic() + 20
    while len(find_descendants(root)) + 1 < least and time.monotonic() < until:
        select.select([], [], [], 0.05)
    for pid in {root, *find_descendants(root)}:
        try:
            found.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    return found


def count_alive(handles: list[int]) -> int:
    """How many of the processes do not end within ten seconds; closes the handles."""
    alive = [handle for handle in handles if not select.select([handle], [], [], 10)[0]]
    for handle in handles:
        os.close(handle)
    return len(alive)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """One cluster for the tests that only use it."""
    with simcluster.Cluster(IMAGES, seed=1) as running:
        yield running


@needs_kubectl
def test_ten_greeters_from_apply_to_ready(cluster: simcluster.Cluster) -> None:
    """Ten gRPC pods become Ready, by kubectl alone; names and addresses lead to all of them."""
    started_at = time.monotonic()
    kubectl(
        cluster,
        "apply",
        "-f",
        "-",
        given=[deployment(10), service("clusterip"), service("headless", clusterIP="None")],
    )
    kubectl(cluster, "rollout", "status", "deployment/g", "--timeout=60s")
    seconds = time.monotonic() - started_at
    pods = json.loads(kubectl(cluster, "get", "pods", "-l", "app=g", "-o", "json"))["items"]
    assert len({pod["status"]["podIP"] for pod in pods}) == 10
    authority = kubectl(
        cluster, "exec", pods[0]["metadata"]["name"], "--", "sh", "-c", "echo $GRPC_DNS_AUTHORITY"
    ).strip()
    names = {pod["metadata"]["name"] for pod in pods}
    assert ask(f"dns://{authority}/headless.default.svc.cluster.local:50051", 100) == names
    assert len(ask(f"dns://{authority}/clusterip.default.svc.cluster.local:50051", 100)) == 1
    kubectl(cluster, "delete", "deployment/g", "service/clusterip", "service/headless")
    # 2.1 s where nothing else runs, one of them the probe's period; a busy machine is slow, not wrong.
    assert seconds < 3 * max(1.0, os.getloadavg()[0])


def ask(target: str, calls: int) -> set[str]:
    """The names of the pods that answered, on one channel with round_robin."""
    config = '{"loadBalancingConfig": [{"round_robin": {}}]}'
    with grpc.insecure_channel(target, options=[("grpc.service_config", config)]) as channel:
        grpc.channel_ready_future(channel).result(10)
        call = channel.unary_unary("/test.Pod/Name", request_serializer=None, response_deserializer=None)
        found = {call(b"", timeout=10) for _ in range(calls)}
        until = time.monotonic() + 5
        while time.monotonic() < until and len(found) < 10 and "headless" in target:
            found.add(call(b"", timeout=10))  # connections to the other pods are still being made
        return {name.decode() for name in found}


@needs_kubectl
def test_stop_leaves_nothing(temporary: Path) -> None:
    """After `stop`: no process, not even a daemon of a pod, and no folder."""
    with simcluster.Cluster(IMAGES) as cluster:
        kubectl(cluster, "apply", "-f", "-", given=[sleeper(), deployment(1), service("s")])
        kubectl(cluster, "wait", "--for=condition=Ready", "pod/sleeper", "--timeout=30s")
        kubectl(cluster, "rollout", "status", "deployment/g", "--timeout=60s")
        handles = handles_of(cluster.pid, 6)
        folders = list(temporary.glob("simcluster-*"))
    assert len(handles) >= 6  # itself, the zygote, the two sleepers, the server, Envoy
    assert len(folders) == 1
    assert (count_alive(handles), list(temporary.glob("simcluster-*"))) == (0, [])


@needs_kubectl
def test_kill_9_leaves_nothing_running_and_the_next_start_tidies_up(temporary: Path) -> None:
    """kill -9 of the cluster ends all of it; its folder goes with the next start, which says so."""
    cluster = simcluster.Cluster(IMAGES)
    cluster.start()
    kubectl(cluster, "apply", "-f", "-", given=[sleeper(), deployment(1), service("s")])
    kubectl(cluster, "wait", "--for=condition=Ready", "pod/sleeper", "--timeout=30s")
    kubectl(cluster, "rollout", "status", "deployment/g", "--timeout=60s")
    handles, folder = handles_of(cluster.pid, 6), cluster.log.parent
    os.kill(cluster.pid, signal.SIGKILL)
    assert len(handles) >= 6
    assert count_alive(handles) == 0
    assert folder.exists()
    cluster.stop()
    with subprocess.Popen(
        [sys.executable, "-m", "simcluster", "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as next_one:
        assert next_one.stdout is not None
        for line in next_one.stdout:
            if line.startswith("Ctrl-C"):
                break
        next_one.send_signal(signal.SIGINT)
        errors = next_one.communicate(timeout=20)[1]
    assert errors == f"removed {folder}: its cluster had been killed\n"
    assert (next_one.returncode, folder.exists()) == (0, False)


def test_cluster_ends_with_the_program_that_started_it(temporary: Path) -> None:
    """kill -9 of the program: its cluster stops and removes its folder."""
    code = (
        "import simcluster, time; c = simcluster.Cluster(); c.start();"
        "print(c.pid, c.kubeconfig, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(simcluster.__file__).parents[1])},
    ) as program:  # fmt: skip
        assert program.stdout is not None
        pid, kubeconfig = program.stdout.readline().split()
        handles = handles_of(int(pid), 2)
        assert Path(kubeconfig).exists()
        program.kill()
    assert len(handles) >= 1
    assert count_alive(handles) == 0
    assert list(temporary.glob("simcluster-*")) == []


def test_death_of_the_zygote_ends_the_cluster(temporary: Path) -> None:
    """Without the process that starts all others a cluster is no cluster: it stops, and leaves nothing."""
    with simcluster.Cluster(IMAGES) as cluster:
        handles = handles_of(cluster.pid, 6)
        (zygote,) = _wait_for_children(cluster.pid)
        os.kill(zygote, signal.SIGKILL)
        assert count_alive(handles) == 0
    assert list(temporary.glob("simcluster-*")) == []


def _wait_for_children(pid: int) -> set[int]:
    until = time.monotonic() + 10
    while not (found := find_descendants(pid)) and time.monotonic() < until:
        time.sleep(0.01)  # it is started just after the API answers
    return found


def test_start_that_fails_says_why() -> None:
    """StartError has the words of the process."""
    with pytest.raises(simcluster.StartError) as failure:
        simcluster.Cluster({"x": "'"}).start()
    assert str(failure.value) == (
        "the simulated cluster ended while it started\n"
        '  simcluster: image "x=\'": No closing quotation\n'
        "    expected: NAME=COMMAND, for example 'greeter:dev=python -m demo_server.server'"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--image", "x"],
            "simcluster: image \"x\": expected NAME=COMMAND, for example 'greeter:dev=python -m demo_server.server'",
        ),
        (
            ["--kubernetes-version", "v1.9"],
            'simcluster: unknown Kubernetes version "v1.9"\n  known versions: v1.35, v1.36',
        ),
        (["--profile", "slow"], 'simcluster: unknown profile "slow"\n  known profiles: faithful, fast'),
        (
            ["--kubeconfig", "/no/such/place"],
            "simcluster: --kubeconfig: there is no folder /no/such\n  give the path of a file to be written",
        ),
        (
            ["--directory", os.devnull],
            "simcluster: --directory: /dev/null can not be made or written: File exists\n  give a folder of yours",
        ),
    ],
)  # fmt: skip
def test_wrong_options_say_what_is_right(arguments: list[str], message: str) -> None:
    """Exit code 2, and the allowed values."""
    found = subprocess.run(
        [sys.executable, "-m", "simcluster", "up", *arguments], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr.strip()) == (1 if "--directory" in arguments else 2, message)


def test_port_that_is_taken_is_told() -> None:
    """The message is a line, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = subprocess.run(
            [sys.executable, "-m", "simcluster", "up", "--port", str(taken.getsockname()[1])],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert found.returncode == 1
    assert re.match(r"simcluster: port [0-9]+ of 127.0.0.1: address already in use", found.stderr)


def test_kubeconfig_of_another_cluster_is_not_written_over(tmp_path: Path) -> None:
    """It may be the only way to a real cluster: it is left as it is, and the message says what to do."""
    path = tmp_path / "config"
    path.write_text("clusters:\n- name: prod\n  cluster: {server: https://prod}\n")
    command = [sys.executable, "-m", "simcluster", "up", "--kubeconfig", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr == (
        f"simcluster: --kubeconfig: {path} is there already, and is not a simulated cluster's; it is left as it is\n"
        "  name a file of its own, and set KUBECONFIG to it\n"
    )
    assert "https://prod" in path.read_text()


def test_kubeconfig_of_a_cluster_that_runs_is_not_written_over(temporary: Path) -> None:
    """Who works with it would be on another cluster at once. Paths are shown as a shell takes them."""
    path = temporary / "my config"
    command = [sys.executable, "-m", "simcluster", "up", "--kubeconfig", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"  export KUBECONFIG='{path}'\n" in process.stdout
        before = path.read_text()
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert path.read_text() == before
        process.terminate()
    assert found.returncode == 2
    assert re.match(
        rf"simcluster: --kubeconfig: {path} is of a simulated cluster that runs, in {temporary}/.*; it is left as it is"
        "\n  stop that cluster, or name another file\n",
        found.stderr,
    )


def test_directory_that_can_not_be(tmp_path: Path) -> None:
    """The option is named with what the system says."""
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "simcluster", "up", "--directory", str(tmp_path / "file")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (
        1,
        f"simcluster: --directory: {tmp_path}/file can not be made or written: File exists\n"
        "  give a folder of yours\n",
    )


def test_kubeconfig_that_was_named_goes_with_its_cluster(temporary: Path) -> None:
    """It leads nowhere any more; one that another cluster has written there since stays."""
    path, other = temporary / "config", temporary / "other"
    for place, is_taken in ((path, False), (path, True)):
        command = [sys.executable, "-m", "simcluster", "up", "--kubeconfig", str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = next(line for line in process.stdout if "export" in line)
            assert told == f"  export KUBECONFIG={place}\n"
            other.write_bytes(path.read_bytes())
            assert read_folder(place) is not None
            if is_taken:
                path.write_text(path.read_text().replace(str(temporary), "/another"))
            process.terminate()
        assert path.exists() == is_taken
    with pytest.raises(ValueError, match="that cluster does not run any more"):
        find_folder(other)


@pytest.mark.parametrize("text", ["", "a: [", "clusters: 5", "clusters: [{name: a}]", "[]", "\x00"])
def test_a_file_that_is_no_kubeconfig_of_a_simulated_cluster(tmp_path: Path, text: str) -> None:
    """Whatever stands in it, a fault is refused in one line."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not the kubeconfig of a simulated cluster"):
        find_folder(path)


@pytest.mark.parametrize(
    ("program", "missing", "extra"), [("simcluster", "orjson", "simcluster"), ("harness", "rich", "harness")]
)
def test_without_its_extra_a_program_says_what_to_install(program: str, missing: str, extra: str) -> None:
    """`pip install kube-grpc` brings the balancer alone; the other programs name the extra that they need."""
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv[1:] = ['up'];"
        f"runpy.run_module({program!r}, run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.endswith(f"  pip install 'kube-grpc[{extra}]'\n")
    assert "Traceback" not in found.stderr


def test_cluster_that_does_not_run_has_no_kubeconfig() -> None:
    """The message says what to do; a second start is refused."""
    stopped = simcluster.Cluster()
    with pytest.raises(
        RuntimeError, match=r"the cluster does not run; call start\(\) or use it as a context manager"
    ):
        _ = stopped.kubeconfig
    with simcluster.Cluster() as cluster, pytest.raises(RuntimeError, match="the cluster runs already"):
        cluster.start()


def test_named_directory_is_kept_and_belongs_to_one(tmp_path: Path) -> None:
    """Two clusters can not share a folder; it stays when they are gone."""
    folder = tmp_path / "mine"
    with simcluster.Cluster(directory=folder):
        with pytest.raises(simcluster.StartError, match="is the folder of a running cluster"):
            simcluster.Cluster(directory=folder).start()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "log").exists()


def test_only_abandoned_folders_are_removed(temporary: Path) -> None:
    """A folder whose owner lives stays, and so does one that is no cluster's."""
    alive = open_directory(None)
    dead = open_directory(None)
    shutil.copytree(dead.path, temporary / f"simcluster-{os.getuid()}-dead")
    (temporary / f"simcluster-{os.getuid()}-other").mkdir()
    assert remove_abandoned() == [temporary / f"simcluster-{os.getuid()}-dead"]
    assert alive.path.exists()
    dead.close()
    alive.close()
    assert [path.name for path in temporary.iterdir()] == [f"simcluster-{os.getuid()}-other"]


def test_admin_files_are_private(cluster: simcluster.Cluster) -> None:
    """The kubeconfig holds a key: nobody else reads it."""
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert cluster.kubeconfig.parent.stat().st_mode & 0o777 == 0o700


def test_launcher_costs_its_user_nothing() -> None:
    """`import simcluster` brings in neither the simulation nor its libraries."""
    code = "import sys, simcluster; print({'aiohttp', 'grpc', 'orjson', 'simcluster.up'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_first_answer_needs_no_heavy_imports() -> None:
    """Neither grpc nor kubernetes nor rich nor h2 is imported by the cluster's own process."""
    code = (
        "import sys, simcluster.__main__, simcluster.up;"
        "print({'grpc', 'kubernetes', 'rich', 'h2'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
