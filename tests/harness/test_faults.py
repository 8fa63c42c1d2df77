"""Faults of a scenario on a real simulated cluster: they hold, are told, and end whatever happens."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import Project

import simcluster
from harness.clusters.leases import open_lease
from harness.clusters.simulated import SimulatedCluster
from harness.errors import StepError
from harness.faults import Faults
from harness.history import Note
from harness.scene import Scene

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the simulation needs Linux")

BROKEN = """\
manifests: app
target: {service: greeter, replicas: 2}
load: {rate: 50/s, warm_up: 3, deadline: 200ms}
variants: [tcp]
steps:
  - wait: 500ms
  - {step}
  - wait: 2s
    name: held
expect:
  - variant: tcp
    phase: held
    errors: {errors}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCluster]:
    """A cluster as a run has it."""
    lease = open_lease(tmp_path_factory.mktemp("leases"))
    found = SimulatedCluster(None, None, lease)
    found.start([], lambda _: None)
    yield found
    found.stop()
    lease.close(is_kept=False)


def holding(cluster: SimulatedCluster) -> list[str]:
    running: Any = cluster._cluster
    assert isinstance(running, simcluster.Cluster)
    return [each["kind"] for each in running.faults.list()]


def test_what_was_begun_is_over_when_the_scenario_is(cluster: SimulatedCluster) -> None:
    """Newest first, each told in the history; one that was undone by a step is not undone again."""
    scene = Scene(lambda: 7.0)

    async def run() -> list[str]:
        faults = Faults(cluster.breakable, scene)
        await faults.begin("api_away", "api_away", {"how": "cut"}, None, "api away")
        await faults.begin("dns", "dns", {"how": "stale"}, None, "dns")
        await faults.begin("watch_stall", "watch_stall", {}, None, "watch stall")
        await faults.undo("dns")
        held = holding(cluster)
        await faults.close()
        return held

    assert asyncio.run(run()) == ["api_away", "watch_stall"]
    assert holding(cluster) == []
    assert scene.records == [Note(7.0, f"over: {text}") for text in ("dns", "watch stall", "api away")]


def test_a_fault_that_ends_by_time_is_told_once(cluster: SimulatedCluster) -> None:
    """The note comes with its end, and closing afterwards adds none."""
    scene = Scene(lambda: 7.0)

    async def run() -> None:
        faults = Faults(cluster.breakable, scene)
        await faults.begin("events_late", "events_late", {"delay_s": 0.0}, 0.05, "late")
        await scene.until(lambda: bool(scene.records), 20, lambda: "it did not end")
        await faults.close()

    asyncio.run(run())
    assert scene.records == [Note(7.0, "over: late")]
    assert holding(cluster) == []


def test_what_the_cluster_refuses_fails_the_step(cluster: SimulatedCluster) -> None:
    """With the cluster's words; and undoing what does not hold says what does."""

    async def run() -> None:
        faults = Faults(cluster.breakable, Scene(lambda: 7.0))
        with pytest.raises(StepError, match='unknown node "n9"'):
            await faults.begin("freeze", "freeze_node", {"node": "n9"}, None, "freeze")
        with pytest.raises(StepError, match="no dns holds; what holds: nothing"):
            await faults.undo("dns")
        with pytest.raises(StepError, match="needs the simulated cluster"):
            await Faults(None, Scene(lambda: 7.0)).begin("freeze", "freeze_pod", {}, None, "")

    asyncio.run(run())


def test_a_frozen_pod_fails_calls_and_one_that_is_not_does_not(tmp_path: Path) -> None:
    """The scenario with its fault meets what it expects; without the fault the same expectation fails it."""
    project = Project(tmp_path)
    bad = "{min: 2}"
    project.scenario(
        "frozen", BROKEN.replace("{step}", "freeze: {pods: 2, for: 1s}").replace("{errors}", bad)
    )
    project.scenario("whole", BROKEN.replace("{step}", "scale: 2").replace("{errors}", bad))
    code, output = project.run()

    assert code == 1, output
    assert "frozen pass on sim" in output
    assert "whole FAIL on sim" in output
    assert "note: over: freeze pod" in output


@pytest.mark.parametrize("end", ["a failing step", "Ctrl-C"])
def test_faults_are_over_however_the_scenario_ends(tmp_path: Path, end: str) -> None:
    """The history has the end of each, even if nobody came to it."""
    project = Project(tmp_path)
    last = "undo: dns" if end == "a failing step" else "wait: 10m"
    steps = f"steps: [{{api_refuse: {{code: 503}}}}, {{{last}}}]\nexpect: [{{variant: tcp, errors: 0}}]\n"
    project.scenario("broken", BROKEN[: BROKEN.index("steps:")] + steps)
    process = project.start()
    if end == "Ctrl-C":
        assert process.stdout is not None
        for line in process.stdout:
            if "step 2 of 2" in line:
                process.send_signal(signal.SIGINT)
                break
    output, _ = process.communicate(timeout=120)

    assert process.returncode != 0, output
    [history] = (tmp_path / "k8s-report").rglob("history*.jsonl")
    notes = [json.loads(line).get("text") for line in history.read_text().splitlines()]
    assert "over: api refuse (code 503)" in notes
    if end == "a failing step":
        assert "no dns holds; what holds: api_refuse" in output


def test_a_node_with_servers_stands_still_and_the_clients_go_on(tmp_path: Path) -> None:
    """Each scenario has a cluster with as many nodes as it needs; the frozen one is the servers'."""
    project = Project(tmp_path)
    step = "freeze: {node_of: greeter, for: 1s}"
    several = "cluster: {nodes: 2}\n" + BROKEN.replace("{step}", step).replace("{errors}", "{min: 2}")
    project.scenario("apart", several)
    project.scenario("single", BROKEN.replace("{step}", "scale: 2").replace("{errors}", "0"))
    code, output = project.run()

    assert code == 0, output
    assert output.index("single pass on sim") < output.index("apart pass on sim")
    assert "note: over: freeze node simcluster-node-2" in output
    steps = {each["name"]: each["steps"] for each in project.report()["scenarios"]}["apart"]
    assert [pod.split("-")[0] for pod in steps[1]["pods"]] == ["greeter", "greeter"]
    assert project.left_in_the_end() == []
