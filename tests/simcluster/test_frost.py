"""Nodes and pods that stand still: nothing is answered, nothing is closed, nothing is written; then they go on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubelets import NODE, Node, running

from simcluster.errors import NotFound
from simcluster.profile import FAST

T = TypeVar("T")
# Answers every line with itself, on the pod's address.
ECHO = """
import os, socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True
server = Server((os.environ['POD_IP'], 7000), Echo)
print('up', flush=True)
server.serve_forever()
"""
POD_IP = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]


def on_node(tmp_path: Path, scenario: Callable[[Node], Awaitable[T]], **profile: float) -> T:
    async def run() -> T:
        async with running(tmp_path, replace(FAST, **profile)) as node:  # type: ignore[arg-type]
            return await scenario(node)

    return asyncio.run(asyncio.wait_for(run(), 60))


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def until(condition: Callable[[], bool]) -> None:
    """The kernel takes a moment to stop a process, and tells nobody."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- a process of another session tells nobody
            await asyncio.sleep(0.005)


def uid(node: Node, name: str = "p") -> str:
    found: str = node.get(name)["metadata"]["uid"]
    return found


async def start_echo(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    node.create(image="python:1", args=[ECHO], env=POD_IP)
    await node.until_logged("up")
    return await asyncio.open_connection(node.status()["podIP"], 7000)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float) -> bytes | None:
    """The answer to a line; None if there is none in time. No answer and the end of the connection are two things."""
    writer.write(b"hello\n")
    try:
        return await asyncio.wait_for(reader.readline(), wait_s)
    except TimeoutError:
        return None


def test_frozen_pod_keeps_its_connections_and_answers_nothing(tmp_path: Path) -> None:
    """What is sent to it gets neither answer, end nor reset; at the thaw it is answered."""

    async def scenario(node: Node) -> list[bytes | None]:
        reader, writer = await start_echo(node)
        found = [await ask(reader, writer, 20)]
        node.kubelet.freeze_pod(uid(node), "test")
        await until(lambda: process_state(node.pid()) == "T")
        found.append(await ask(reader, writer, 0.3))
        assert not reader.at_eof()
        node.kubelet.thaw_pod(uid(node), "test")
        found.append(await asyncio.wait_for(reader.readline(), 20))
        writer.close()
        return found

    assert on_node(tmp_path, scenario) == [b"hello\n", None, b"hello\n"]


def test_killed_pod_is_not_silent(tmp_path: Path) -> None:
    """Against the test above: the same connection to a pod that is killed comes to its end."""

    async def scenario(node: Node) -> bytes | None:
        reader, _writer = await start_echo(node)
        node.registry.delete("pods", "default", "p", grace_s=0)
        return await asyncio.wait_for(reader.readline(), 20)

    assert on_node(tmp_path, scenario) == b""


def test_frozen_pod_fails_its_probes_and_is_cured_by_the_restart(tmp_path: Path) -> None:
    """The kubelet goes on: a liveness probe that gets no answer ends the container, and the next one runs."""

    async def scenario(node: Node) -> str:
        program = "import http.server, os; http.server.test(bind=os.environ['POD_IP'], port=7001)"
        probe = {
            "httpGet": {"port": 7001},
            "periodSeconds": 1,
            "failureThreshold": 1,
            "initialDelaySeconds": 1,
        }
        node.create(
            image="python:1", args=[program], env=POD_IP, livenessProbe=probe, terminationGracePeriodSeconds=1
        )
        await node.until_running()
        node.kubelet.freeze_pod(uid(node), "test")
        await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 1)
        await node.until_running()
        return process_state(node.pid())

    assert on_node(tmp_path, scenario, crash_backoff_s=0.0) != "T"


def test_frozen_node_does_nothing_until_it_thaws(tmp_path: Path) -> None:
    """Its pods stand, a new pod is not started, a deleted one stays; the thaw does what was asked meanwhile."""

    async def scenario(node: Node) -> tuple[str, str, Any]:
        node.create("old", args=["exec sleep 60"], terminationGracePeriodSeconds=0)
        await node.until_running("old")
        pid = node.kubelet._workers[uid(node, "old")].instances["c"].child.pid
        node.kubelet.freeze()
        await until(lambda: process_state(pid) == "T")
        node.registry.delete("pods", "default", "old", grace_s=1)
        node.create("new", args=["exec sleep 60"])
        await asyncio.sleep(0.3)
        old, new = process_state(pid), node.status("new").get("phase", "Pending")
        node.kubelet.thaw()
        await node.until_gone("old")
        return old, new, (await node.until_running("new"))["status"]["phase"]

    assert on_node(tmp_path, scenario) == ("T", "Pending", "Running")


def test_frozen_node_renews_no_lease(tmp_path: Path) -> None:
    """The lease keeps its time while the node is frozen, and gets a new one after the thaw."""

    def renewed(node: Node) -> str:
        lease = node.registry.get("leases.coordination.k8s.io", "kube-node-lease", NODE)
        return str(lease["spec"]["renewTime"])

    async def scenario(node: Node) -> tuple[bool, bool]:
        first = renewed(node)
        await until(lambda: renewed(node) != first)
        node.kubelet.freeze()
        frozen = renewed(node)
        await asyncio.sleep(0.2)
        is_still = renewed(node) == frozen
        node.kubelet.thaw()
        await until(lambda: renewed(node) != frozen)
        return is_still, True

    assert on_node(tmp_path, scenario, node_status_s=0.02) == (True, True)


def test_commands_and_logs_of_a_frozen_node_wait(tmp_path: Path) -> None:
    """Who asks a frozen node for a command's run gets no answer before it thaws."""

    async def scenario(node: Node) -> tuple[bool, tuple[int, str, str]]:
        node.create(args=["exec sleep 60"])
        await node.until_running()
        node.kubelet.freeze()
        asked = asyncio.create_task(node.run("echo", "hi"))
        await asyncio.wait({asked}, timeout=0.2)
        is_waiting = not asked.done()
        node.kubelet.thaw()
        return is_waiting, await asked

    assert on_node(tmp_path, scenario) == (True, (0, "hi\n", ""))


def test_pod_that_is_frozen_with_its_node_and_by_itself_needs_both_thaws(tmp_path: Path) -> None:
    """Each end undoes its own beginning, in whatever order they come."""

    async def scenario(node: Node) -> list[str]:
        node.create(args=["exec sleep 60"])
        await node.until_running()
        pid, found = node.pid(), []
        node.kubelet.freeze_pod(uid(node), "test")
        node.kubelet.freeze()
        await until(lambda: process_state(pid) == "T")
        node.kubelet.thaw()
        await node.run("true")
        found.append(process_state(pid))
        node.kubelet.thaw_pod(uid(node), "test")
        await until(lambda: process_state(pid) == "S")  # first it runs, on its way to sleep
        return [*found, process_state(pid)]

    assert on_node(tmp_path, scenario) == ["T", "S"]


def test_pod_that_does_not_run_can_not_be_frozen(tmp_path: Path) -> None:
    """Freezing what is not there is told, thawing it is nothing."""

    async def scenario(node: Node) -> None:
        node.kubelet.thaw_pod("no such uid", "test")
        with pytest.raises(NotFound):
            node.kubelet.freeze_pod("no such uid", "test")

    on_node(tmp_path, scenario)
