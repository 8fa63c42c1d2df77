"""Logs and commands in containers over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.stream
import kubernetes.watch
from api_process import Plain, Running, pod


def test_logs_are_what_the_kubelet_gives(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """With every option passed on."""
    cluster.node.lines = [b"one\n", b"two\n"]

    assert core.read_namespaced_pod_log(bound_pod, namespace) == "one\ntwo\n"
    core.read_namespaced_pod_log(
        bound_pod, namespace, tail_lines=1, since_seconds=5, timestamps=True, limit_bytes=9, previous=True
    )
    assert cluster.node.asked == {
        "namespace": namespace,
        "pod": "p",
        "container": "c",
        "follow": False,
        "previous": True,
        "since_s": 5,
        "since_at": None,
        "tail_lines": 1,
        "timestamps": True,
        "limit_bytes": 9,
    }


def test_followed_logs_come_as_they_are_written(
    cluster: Running, plain: Plain, namespace: str, bound_pod: str
) -> None:
    """A line written later reaches a client that waits."""
    cluster.node.lines = [b"one\n"]
    answer = plain.open("GET", f"/api/v1/namespaces/{namespace}/pods/{bound_pod}/log?follow=true")
    assert answer.readline() == b"one\n"
    cluster.node.lines.append(b"two\n")
    cluster.call(cluster.node.more.set)
    assert answer.readline() == b"two\n"
    answer.close()


def test_which_container_is_meant_must_be_clear(plain: Plain, namespace: str) -> None:
    """The real texts; the annotation decides where it is given."""
    two = pod("two", initContainers=[{"name": "i", "image": "i"}])
    two["spec"]["containers"].append({"name": "d", "image": "i"})
    path = f"/api/v1/namespaces/{namespace}/pods"
    plain.ask("POST", path, two)

    assert plain.ask("GET", f"{path}/two/log")[1]["message"] == (
        "a container name must be specified for pod two, choose one of: [c d] or one of the init containers: [i]"
    )
    assert (
        plain.ask("GET", f"{path}/two/log?container=x")[1]["message"]
        == "container x is not valid for pod two"
    )
    annotation = {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "d"}}}
    plain.ask("PATCH", f"{path}/two", annotation, Content_Type="application/merge-patch+json")
    assert plain.ask("GET", f"{path}/two/log")[0] == 204
    assert plain.ask("GET", f"{path}/two/exec?command=ls&stdout=1")[1]["message"] == (
        "pod two does not have a host assigned"
    )
    assert plain.ask("GET", f"{path}/two/log?tailLines=-1")[0] == 400


def run(core: kubernetes.client.CoreV1Api, namespace: str, *command: str, **more: Any) -> Any:
    options = {"stderr": True, "stdin": False, "stdout": True, "tty": False} | more
    return kubernetes.stream.stream(
        core.connect_get_namespaced_pod_exec, "p", namespace, command=list(command), **options
    )


def test_commands_run_with_output_and_exit_code(
    core: kubernetes.client.CoreV1Api, namespace: str, bound_pod: str
) -> None:
    """Both streams apart, and how it ended, through the client's WebSocket."""
    session = run(core, namespace, "sh", "-c", "echo out; echo err >&2; exit 3", _preload_content=False)
    session.run_forever(timeout=10)

    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)
    fine = run(core, namespace, "true", _preload_content=False)
    fine.run_forever(timeout=10)
    assert fine.returncode == 0


def test_a_command_is_given_its_input(
    core: kubernetes.client.CoreV1Api, namespace: str, bound_pod: str
) -> None:
    """What the client writes the command reads."""
    session = run(core, namespace, "head", "-n", "1", stdin=True, _preload_content=False)
    session.write_stdin("hello\n")
    session.run_forever(timeout=10)

    assert session.read_stdout() == "hello\n"


def test_a_command_ends_with_its_client(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """A client that closes its connection leaves no process behind."""
    session = run(core, namespace, "sleep", "600", _preload_content=False)
    process = cluster.node.commands[-1]._process
    session.close()
    ended = asyncio.run_coroutine_threadsafe(process.wait(), cluster.loop).result(10)

    assert ended == -9


def test_a_command_needs_a_websocket_and_something_to_do(
    plain: Plain, namespace: str, bound_pod: str
) -> None:
    """400 with the real texts."""
    path = f"/api/v1/namespaces/{namespace}/pods/p/exec"

    assert (
        plain.ask("GET", f"{path}?command=ls")[1]["message"]
        == "you must specify at least 1 of stdin, stdout, stderr"
    )
    assert plain.ask("GET", f"{path}?stdout=1")[0] == 400
    assert plain.ask("GET", f"{path}?stdout=1&command=ls")[1]["message"].startswith("unable to upgrade")
