"""kubectl exec, attach, cp, port-forward and logs against a whole cluster, with real processes, on both networks, over
WebSocket and over plain SPDY.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.stream
import pytest
from namespaces import needs_namespaces

import simcluster

SERVER = Path(__file__).with_name("shouting_pod.py")
TRANSPORTS = ("websocket", "spdy")
IMAGES = {"shout:1": [sys.executable, str(SERVER)], "sh:1": ["sh", "-c", "sleep 600"]}


def programs() -> list[str]:
    listed = os.environ.get("KUBECTL")
    if listed is not None:
        return [path for path in listed.split(os.pathsep) if path]
    found = shutil.which("kubectl")
    return [] if found is None else [found]


pytestmark = pytest.mark.skipif(not programs(), reason="kubectl is not installed")


def pod(name: str, image: str, **container: Any) -> dict[str, Any]:
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    spec = {"containers": [{"name": "c", "image": image, "env": [address]} | container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Kubectl:
    """kubectl with the administrator's kubeconfig; `transport` is what it streams over, its own choice by default."""

    def __init__(self, program: str, kubeconfig: Path, transport: str | None = None) -> None:
        wants = "false" if transport == "spdy" else "true"
        chosen = [
            f"KUBECTL_{each}_WEBSOCKETS={wants}" for each in ("REMOTE_COMMAND", "PORT_FORWARD") if transport
        ]
        self.command = ["env", *chosen, program, "--kubeconfig", str(kubeconfig)]

    def run(self, *arguments: str, given: str | bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        sent = given.encode() if isinstance(given, str) else given
        return subprocess.run(
            [*self.command, *arguments], input=sent, capture_output=True, check=False, timeout=90
        )

    def __call__(self, *arguments: str, given: str | bytes | None = None) -> str:
        found = self.run(*arguments, given=given)
        assert found.returncode == 0, found.stderr.decode()
        return found.stdout.decode()


@pytest.fixture(scope="module", params=["loopback", pytest.param("namespace", marks=needs_namespaces)])
def cluster(request: pytest.FixtureRequest) -> Iterator[simcluster.Cluster]:
    """One on each network."""
    with simcluster.Cluster(IMAGES, network=request.param, seed=1) as running:
        kubectl = Kubectl(programs()[0], running.kubeconfig)
        shell = pod("sh", "sh:1")
        shell["spec"]["terminationGracePeriodSeconds"] = 0
        pods = [pod("shout", "shout:1"), shell]
        kubectl("apply", "-f", "-", given="\n".join(map(json.dumps, pods)))
        kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod", "--all")
        yield running


@pytest.fixture(params=[(program, each) for program in programs() or [""] for each in TRANSPORTS])
def kubectl(request: pytest.FixtureRequest, cluster: simcluster.Cluster) -> Kubectl:
    return Kubectl(request.param[0], cluster.kubeconfig, request.param[1])


def test_a_command_has_its_output_its_input_and_its_exit_code(kubectl: Kubectl) -> None:
    """Both streams apart; what goes in comes out; kubectl ends with the command's code."""
    ended = kubectl.run("exec", "sh", "--", "sh", "-c", "echo out; echo err >&2; exit 7")

    assert (ended.stdout, ended.stderr) == (b"out\n", b"err\ncommand terminated with exit code 7\n")
    assert ended.returncode == 7
    assert kubectl("exec", "-i", "sh", "--", "tr", "a-z", "A-Z", given="hello") == "HELLO"
    missing = kubectl.run("exec", "sh", "--", "nosuch")
    assert b'exec: "nosuch": executable file not found in $PATH' in missing.stderr
    assert missing.returncode == 1


def test_large_streams_pass_whole_in_both_directions(kubectl: Kubectl) -> None:
    """Eight megabytes in and out, byte for byte."""
    data = os.urandom(1 << 20) * 8

    assert kubectl.run("exec", "-i", "sh", "--", "cat", given=data).stdout == data


def test_a_reader_who_does_not_read_stops_the_writer(kubectl: Kubectl, tmp_path: Path) -> None:
    """A command that writes without end is held up, not stored."""
    counter = tmp_path / "written"
    lines = (
        "import os",
        "n = 0",
        "while True:",
        "    n += os.write(1, bytes(65536))",
        f"    open({str(counter)!r}, 'w').write(str(n))",
    )
    script = os.linesep.join(lines)
    reader = subprocess.Popen(
        [*kubectl.command, "exec", "sh", "--", "python", "-c", script], stdout=subprocess.PIPE
    )
    try:
        seen = -1
        # It stands still when two looks a moment apart see the same, with something written.
        until = time.monotonic() + 60
        while time.monotonic() < until:
            select.select([], [], [], 0.5)
            now = int(counter.read_text() or 0) if counter.exists() else 0
            if now and now == seen:
                break
            seen = now
        assert 0 < seen < 100 << 20
    finally:
        reader.kill()
        reader.communicate()


def test_a_terminal_has_the_size_of_the_clients_and_follows_it(kubectl: Kubectl) -> None:
    """kubectl exec -it on a real terminal: SIGWINCH goes through."""
    ours, theirs = pty.openpty()
    set_size(ours, 31, 97)
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"
    client = subprocess.Popen(
        [*kubectl.command, "exec", "-it", "sh", "--", "sh", "-c", script],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: take_terminal(theirs),
    )  # fmt: skip
    os.close(theirs)
    try:
        read_until(ours, b"31 97")
        set_size(ours, 40, 120)
        read_until(ours, b"40 120")
    finally:
        client.kill()
        client.wait()
        os.close(ours)


def set_size(terminal: int, rows: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def take_terminal(terminal: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def read_until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, f"{wanted!r} did not come, but {seen!r}"
        seen += os.read(terminal, 4096)
    return seen


def test_files_are_copied_in_and_out(kubectl: Kubectl, tmp_path: Path) -> None:
    """kubectl cp, a file and a folder, both ways."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").write_bytes(os.urandom(200_000))
    (source / "b").write_text("b")
    # Names of this test's own: the pod is that of all, and a copy to a folder that is there goes into it.
    copied, single = f"sh:{tmp_path.name}-copied", f"sh:{tmp_path.name}-single"
    kubectl("cp", str(source), copied)
    kubectl("cp", str(source / "a"), single)
    kubectl("cp", copied, str(target))
    kubectl("cp", single, str(tmp_path / "single"))

    assert {each.name: each.read_bytes() for each in target.iterdir()} == {
        each.name: each.read_bytes() for each in source.iterdir()
    }
    assert (tmp_path / "single").read_bytes() == (source / "a").read_bytes()


def test_one_attaches_to_what_runs_and_leaves_it_running(
    kubectl: Kubectl, cluster: simcluster.Cluster
) -> None:
    """What is written after attaching comes; the container goes on when the client has gone."""
    kubectl("delete", "pod", "echo", "--ignore-not-found", "--now")
    echo = pod("echo", "sh:1", stdin=True, command=["cat"])
    kubectl("apply", "-f", "-", given=json.dumps(echo))
    kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod", "echo")
    for word in ("one", "two"):
        client = subprocess.Popen(
            [*kubectl.command, "attach", "-i", "-q", "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(f"{word}\n".encode())
        client.stdin.flush()
        assert client.stdout.readline() == f"{word}\n".encode()
        client.kill()
        client.communicate()

    assert kubectl("logs", "echo") == "one\ntwo\n"
    assert "true" in kubectl("get", "pod", "echo", "-o", "jsonpath={.status.containerStatuses[0].ready}")


def test_a_client_whose_input_ends_hears_no_more(kubectl: Kubectl) -> None:
    """Its last words are answered; the container, which has no `stdinOnce`, goes on."""
    kubectl("delete", "pod", "parrot", "--ignore-not-found", "--now")
    kubectl("apply", "-f", "-", given=json.dumps(pod("parrot", "sh:1", stdin=True, command=["cat"])))
    kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod", "parrot")
    for word in ("one\n", "two\n"):
        assert kubectl("attach", "-i", "-q", "parrot", given=word) == word

    assert kubectl("logs", "parrot") == "one\ntwo\n"


def test_run_with_input_and_removal(kubectl: Kubectl) -> None:
    """kubectl run -i --rm: the input goes in, the output comes out, the pod goes."""
    found = kubectl.run(
        "run", "once", "-i", "--rm", "-q", "--image=sh:1", "--restart=Never", "--command", "--", "sh", "-c",
        "read line; echo got $line",
        given="word\n",
    )  # fmt: skip

    assert b"got word" in found.stdout, found.stderr
    assert kubectl.run("get", "pod", "once").returncode == 1


@contextlib.contextmanager
def forwarding(kubectl: Kubectl, *arguments: str) -> Iterator[int]:
    """A running port-forward, and its local port."""
    client = subprocess.Popen(
        [*kubectl.command, "port-forward", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert client.stdout is not None
        yield int(client.stdout.readline().split("127.0.0.1:")[1].split()[0])
    finally:
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=30)


def ask(port: int, text: bytes) -> bytes:
    """Say something on a connection, end it, and return the whole answer."""
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_kubectl_forwards_connections_to_a_pod(kubectl: Kubectl) -> None:
    """One after the other and large ones; to the pod's own address, though it is not this machine's 127.0.0.1."""
    with forwarding(kubectl, "pod/shout", ":8080") as port:
        large = b"x" * 3_000_000
        assert [ask(port, each) for each in (b"one", b"two", large)] == [b"ONE", b"TWO", large.upper()]


def test_connections_of_one_forward_live_side_by_side(kubectl: Kubectl) -> None:
    """Several are open at once and each gets its own answer; one to a port where nobody listens ends alone."""
    import socket

    with forwarding(kubectl, "pod/shout", ":8080") as port:
        open_ = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(5)]
        for number, each in enumerate(open_):
            each.sendall(f"n{number}".encode())
        assert [each.recv(100) for each in open_] == [f"N{number}".encode() for number in range(5)]
        for each in open_:
            each.close()
        assert ask(port, b"last") == b"LAST"


def test_a_port_where_nobody_listens_is_told(kubectl: Kubectl) -> None:
    """kubectl prints why, and the connection ends with no data."""
    client = subprocess.Popen(
        [*kubectl.command, "port-forward", "pod/shout", ":9"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdout is not None
        assert client.stderr is not None
        port = int(client.stdout.readline().split("127.0.0.1:")[1].split()[0])
        assert ask(port, b"") == b""
        said = client.stderr.readline()
    finally:
        client.kill()
        client.communicate()

    assert "failed to connect to shout:9: connection refused" in said


def test_a_python_client_forwards_a_port(cluster: simcluster.Cluster) -> None:
    """kubernetes.stream.portforward, on channels; where nobody listens it is told so."""
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))
    forward = kubernetes.stream.portforward(
        api.connect_get_namespaced_pod_portforward, "shout", "default", ports="8080,9"
    )
    connection = forward.socket(8080)
    connection.settimeout(30)
    connection.sendall(b"hello")

    assert connection.recv(5) == b"HELLO"
    other = forward.socket(9)
    other.settimeout(30)
    assert other.recv(1) == b""
    assert "failed to connect to shout:9: connection refused" in forward.error(9)


def test_logs_of_one_who_waits_and_of_one_who_was(kubectl: Kubectl) -> None:
    """Flags of kubectl logs, on a container that has ended and started again."""
    kubectl("delete", "pod", "twice", "--ignore-not-found", "--now")
    script = "echo a; echo b; echo c; test -f done && sleep 600; touch done"
    kubectl("apply", "-f", "-", given=json.dumps(pod("twice", "sh:1", command=["sh", "-c", script])))
    kubectl(
        "wait",
        "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
        "--timeout=60s",
        "pod",
        "twice",
    )

    assert kubectl("logs", "twice", "--previous", "--tail=1") == "c\n"
    assert (
        sorted(kubectl("logs", "twice", "--all-containers", "--prefix").split()[::2]) == ["[pod/twice/c]"] * 3
    )
    assert kubectl("logs", "twice", "--limit-bytes=3") == "a\nb"
    stamp, _, word = kubectl("logs", "twice", "--timestamps", "--tail=1").strip().partition(" ")
    assert (stamp[-1], word) == ("Z", "c")
    assert kubectl("logs", "twice", f"--since-time={stamp[:19]}Z").count("\n") == 3
    assert kubectl("logs", "twice", "--since=1h", "--tail=2").count("\n") == 2
    missing = kubectl.run("logs", "echo-not-there")
    assert b'pods "echo-not-there" not found' in missing.stderr


def test_the_roles_for_users_of_a_namespace_are_those_of_a_real_cluster(kubectl: Kubectl) -> None:
    """view, edit and admin, gathered from their parts; one of one's own joins in by its label; kubectl --as."""
    kubectl("create", "rolebinding", "viewer", "--clusterrole=view", "--user=ann")
    kubectl("create", "clusterrole", "deep", "--verb=get", "--resource=secrets")
    asked = ["auth", "can-i", "--as=ann", "get"]

    assert kubectl(*asked, "pods").strip() == "yes"
    assert kubectl.run(*asked, "secrets").stdout.strip() == b"no"
    kubectl("label", "clusterrole", "deep", "rbac.authorization.k8s.io/aggregate-to-view=true")
    kubectl("wait", '--for=jsonpath={.rules[?(@.resources[0]=="secrets")].verbs[0]}=get', "clusterrole/view")
    assert kubectl(*asked, "secrets").strip() == "yes"
    kubectl("delete", "clusterrole/deep", "rolebinding/viewer")


@pytest.mark.parametrize(
    ("verb", "text"),
    [
        (("exec", "absent", "--", "ls"), 'container not found ("c")'),
        (("attach", "absent"), "container c not found in pod absent_default"),
    ],
)
def test_a_container_that_does_not_run_is_told_in_the_second_try(
    kubectl: Kubectl, verb: tuple[str, ...], text: str
) -> None:
    """kubectl asks again in SPDY when a WebSocket is refused, and prints that answer: it has the reason, too."""
    kubectl("apply", "-f", "-", given=json.dumps(pod("absent", "absent:1")))
    waiting = "jsonpath={.status.containerStatuses[0].state.waiting.message}"
    kubectl("wait", f"--for={waiting}", "--timeout=60s", "pod/absent")
    found = kubectl.run(*verb)
    assert found.stderr.decode().endswith(f"error: unable to upgrade connection: {text}\n")


def test_a_debug_container_is_attached_to(kubectl: Kubectl) -> None:
    """`kubectl debug -i` puts a container into the running pod, talks to it and shows what it says."""
    script = ("sh", "-c", "read x; echo got $x")
    options = ("-i", "-q", "--image=sh:1", "--profile=general", "--target=c")
    ended = kubectl.run("debug", "sh", *options, "--", *script, given="this\n")

    status = json.loads(kubectl("get", "pod", "sh", "-o", "json"))["status"]
    assert (ended.returncode, b"got this" in ended.stdout) == (0, True), ended.stderr
    assert {each["state"]["terminated"]["exitCode"] for each in status["ephemeralContainerStatuses"]} == {0}
    assert [each["restartCount"] for each in status["containerStatuses"]] == [0]
