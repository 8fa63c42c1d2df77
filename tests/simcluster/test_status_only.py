"""Pods without processes: how they are asked for, what becomes of them, what they cost."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubelets import Node, running

from simcluster.errors import BadRequest
from simcluster.kubelet.images import BindingError, Images, parse_binding
from simcluster.network.addresses import imagined_place
from simcluster.profile import FAST

T = TypeVar("T")
Object = dict[str, Any]
IDLE = {"image": "idle:1"}


def on_node(tmp_path: Path, scenario: Callable[[Node], Awaitable[T]], **profile: float) -> T:
    """What the scenario returns, run on a fresh node."""

    async def run() -> T:
        async with running(tmp_path, replace(FAST, **profile)) as node:  # type: ignore[arg-type]
            return await scenario(node)

    return asyncio.run(asyncio.wait_for(run(), 60))


def conditions(pod: Object) -> dict[str, str]:
    """The conditions' statuses."""
    return {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}


def phase_is(phase: str) -> Callable[[Object], bool]:
    """Whether a pod has that phase."""
    return lambda pod: pod.get("status", {}).get("phase") == phase


def test_pod_is_ready_with_one_write_and_no_process(tmp_path: Path) -> None:
    """An address, conditions, containers that run; init containers count as done, probes as passed."""

    async def scenario(node: Node) -> tuple[Object, int, set[int], int]:
        probe = {"exec": {"command": ["false"]}}
        containers = [{"name": "c", **IDLE, "readinessProbe": probe, "startupProbe": probe}]
        created = node.create(containers=containers, initContainers=[{"name": "i", **IDLE}])
        writes = node.registry.watch("pods", "default", int(created["metadata"]["resourceVersion"]))
        pod = await node.until(phase_is("Running"))
        count = len(writes.take())
        return pod, count, node.processes(), len(node.kubelet._workers)

    pod, writes, processes, workers = on_node(tmp_path, scenario)
    assert (writes, processes, workers) == (1, set(), 0)
    assert {conditions(pod)[kind] for kind in ("Ready", "ContainersReady", "Initialized")} == {"True"}
    assert pod["status"]["podIP"].startswith("127.")
    [main], [init] = pod["status"]["containerStatuses"], pod["status"]["initContainerStatuses"]
    assert main["ready"]
    assert main["started"]
    assert "running" in main["state"]
    assert init["state"]["terminated"]["exitCode"] == 0


def test_deleted_pod_goes_and_its_address_is_free_again(tmp_path: Path) -> None:
    """It is shown as ended before it goes, as one whose process ends on SIGTERM."""

    async def scenario(node: Node) -> tuple[list[str], Any]:
        node.create(**IDLE)
        pod = await node.until(phase_is("Running"))
        node.registry.delete("pods", "default", "p")
        seen: list[str] = []
        gone = await node.until(lambda pod: seen.append(pod["status"]["phase"]) or pod.get("gone"))
        assert gone["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        return seen, node.kubelet._host.place.pod_addresses.allocate(pod["status"]["podIP"])

    seen, address = on_node(tmp_path, scenario)
    assert seen[-2:] == ["Succeeded", "Succeeded"]
    assert address.startswith("127.")


def test_annotations_say_when_a_pod_ends(tmp_path: Path) -> None:
    """One completes by itself, as a Job's; one takes its time to stop, but no more than its grace."""

    async def scenario(node: Node) -> tuple[Object, float]:
        spec = {
            "nodeName": "simcluster-node",
            "restartPolicy": "Never",
            "containers": [{"name": "c", **IDLE}],
        }
        for name, annotation in (
            ("job", "simcluster/completes-after-s"),
            ("slow", "simcluster/stops-after-s"),
        ):
            metadata = {"name": name, "annotations": {annotation: "0.2" if name == "job" else "99"}}
            node.registry.create(
                "pods", "default", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
            )
        job = await node.until(phase_is("Succeeded"), "job")
        await node.until(phase_is("Running"), "slow")
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        node.registry.delete("pods", "default", "slow", grace_s=1)
        await node.until_gone("slow")
        return job, loop.time() - begun_at

    job, stopped_s = on_node(tmp_path, scenario)
    assert conditions(job)["Ready"] == "False"
    assert job["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert stopped_s >= 1.0


def test_readiness_gates_hold_for_them_too(tmp_path: Path) -> None:
    """Ready only when somebody has set the gate's condition."""

    async def scenario(node: Node) -> tuple[str, str]:
        node.create(**IDLE, readinessGates=[{"conditionType": "example.com/open"}])
        closed = conditions(await node.until(phase_is("Running")))["Ready"]
        copy = deepcopy(node.get())
        copy["status"]["conditions"].append({"type": "example.com/open", "status": "True"})
        node.registry.update("pods", "default", "p", copy, subresource="status")
        opened = await node.until(lambda pod: conditions(pod).get("Ready") == "True")
        return closed, conditions(opened)["Ready"]

    assert on_node(tmp_path, scenario) == ("False", "True")


def test_frozen_node_starts_none(tmp_path: Path) -> None:
    """They become Running when it goes on."""

    async def scenario(node: Node) -> tuple[str, str]:
        node.kubelet.freeze()
        node.create(**IDLE)
        for _ in range(20):
            await asyncio.sleep(0)
        held: str = node.get()["status"]["phase"]
        node.kubelet.thaw()
        found = await node.until(phase_is("Running"))
        return held, found["status"]["phase"]

    assert on_node(tmp_path, scenario) == ("Pending", "Running")


def test_there_is_nothing_to_read_or_to_run_in(tmp_path: Path) -> None:
    """Logs and commands are refused and say why; so is a pod that is half processes."""

    async def scenario(node: Node) -> str:
        node.create(**IDLE)
        await node.until(phase_is("Running"))
        for ask in (node.logs(), node.run("ls")):
            with pytest.raises(
                BadRequest, match='container "c" in pod "p" has no process: the pod is status only'
            ):
                await ask
        node.create(
            "mixed",
            containers=[{"name": "c", **IDLE}, {"name": "d", "image": "shell:1", "args": ["sleep 9"]}],
        )
        mixed = await node.until(
            lambda pod: (
                pod["status"]
                .get("containerStatuses", [{}])[0]
                .get("state", {})
                .get("waiting", {})
                .get("message")
            ),
            "mixed",
        )
        message: str = mixed["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        return message

    assert "it is bound to status-only, so it starts no process" in on_node(tmp_path, scenario)


def test_reserved_word_takes_no_arguments() -> None:
    """Alone it is a binding; with arguments it is a mistake."""
    images = Images.bind([parse_binding("idle:1=status-only")])
    assert images.are_status_only({"spec": {"containers": [{"image": "docker.io/library/idle:1"}]}})
    assert not images.are_status_only({"spec": {"containers": [{"image": "other"}]}})
    assert images.find("idle:1") is None
    with pytest.raises(BindingError, match='"status-only" takes no arguments'):
        parse_binding("idle:1=status-only --fast")


def test_nodes_without_processes_have_ranges_of_their_own() -> None:
    """A thousand addresses a node, none of them twice; the last node is refused with the number that fits."""
    places = [imagined_place(index) for index in (0, 1, 2, 255, 256, 8191)]
    networks = [ipaddress.ip_network(each.pod_cidr) for each in places]
    assert all(network.num_addresses == 1024 for network in networks)
    assert not any(one.overlaps(other) for one in networks for other in networks if one is not other)
    for place, network in zip(places, networks, strict=True):
        assert ipaddress.ip_address(place.pod_addresses.allocate(None)) in network
    assert len({each.address for each in places}) == len(places)
    with pytest.raises(ValueError, match="at most 8192 nodes"):
        imagined_place(8192)
