"""What a node says of itself, and its heart."""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubelets import NODE, running

from simcluster.kubelet.fleet import Fleet
from simcluster.kubelet.node import make_conditions, share_capacity
from simcluster.profile import FAST


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"cpu": "4", "memory": "4194304Ki", "pods": "110", "ephemeral-storage": "1000Ki"}),
        (2, {"cpu": "2", "memory": "2097152Ki", "pods": "110", "ephemeral-storage": "500Ki"}),
        (3, {"cpu": "1333m", "memory": "1398101Ki", "pods": "110", "ephemeral-storage": "333Ki"}),
    ],
)
def test_nodes_share_processors_and_memory(count: int, expected: dict[str, str]) -> None:
    """In equal parts, rounded down; how many pods a node takes is not divided."""
    whole = {"cpu": "4", "memory": "4194304Ki", "pods": "110", "ephemeral-storage": "1000Ki"}
    assert share_capacity(whole, count) == expected


def test_condition_keeps_its_time_while_its_status_stays() -> None:
    """Only what changed has a new transition time; a condition that somebody else added stays."""
    first = make_conditions(1000.0)
    first[3] = first[3] | {"status": "Unknown"}
    other = {"type": "FrequentRestart", "status": "False"}
    again = {each["type"]: each for each in make_conditions(2000.0, [*first, other])}
    assert again["MemoryPressure"]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert again["MemoryPressure"]["lastHeartbeatTime"] != first[0]["lastHeartbeatTime"]
    assert (again["Ready"]["status"], again["Ready"]["lastTransitionTime"]) == (
        "True",
        "1970-01-01T00:33:20Z",
    )
    assert again["FrequentRestart"] == other


def test_status_that_somebody_else_wrote_is_put_right_with_the_next_beat(tmp_path: Path) -> None:
    """A Ready condition written Unknown is True again; a deleted node stays away, while its kubelet beats on."""

    async def scenario() -> None:
        async with running(tmp_path, replace(FAST, node_status_s=0.01)) as node:
            registry = node.registry
            copy = deepcopy(registry.get("nodes", None, NODE))
            copy["status"]["conditions"][-1]["status"] = "Unknown"
            changes = registry.watch("nodes", None, registry.revision)
            registry.update("nodes", None, NODE, copy, subresource="status")
            assert [ready_of((await anext(changes)).object) for _ in range(2)] == ["Unknown", "True"]
            registry.delete("nodes", None, NODE)
            leases = registry.watch("leases.coordination.k8s.io", "kube-node-lease", registry.revision)
            for _ in range(3):
                await anext(leases)
            assert registry.list("nodes")[0] == []

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_all_nodes_beat_once_in_an_interval_even_if_their_time_is_late() -> None:
    """Twelve nodes: a tenth of them at a time; after a pause in which nothing ran, all of them at once, and once."""

    class Heart:
        def __init__(self, node: str) -> None:
            self.node = node

        def beat(self) -> None:
            beaten.append(self.node)

    class Clock:
        now = 1000.0

        def clock(self) -> float:
            return self.now

    beaten: list[str] = []
    rings: list[Callable[[], None]] = []
    clock = Clock()
    hearts: Any = [Heart(str(number)) for number in range(12)]

    def call_later(_delay_s: float, ring: Callable[[], None]) -> Any:
        rings.append(ring)

    fleet = Fleet(clock, None, replace(FAST, node_status_s=1.0), call_later, hearts)  # type: ignore[arg-type]
    fleet._wait()
    for _ in range(10):
        clock.now += 0.1001
        rings.pop()()
    assert sorted(beaten, key=int) == [str(number) for number in range(12)]
    beaten.clear()
    clock.now += 60
    rings.pop()()
    assert sorted(beaten, key=int) == [str(number) for number in range(12)]
    beaten.clear()
    rings.pop()()
    assert beaten == []


def ready_of(node: dict[str, Any]) -> str:
    found: str = next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready")
    return found
