"""What is on stage: waiting for conditions over facts, victims by seed, and words about what is not ready."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import StepError
from harness.faults import Faults
from harness.kube import Kube
from harness.runner import namespace_name
from harness.samples import Sample
from harness.scenario import Kill, parse
from harness.scene import Scene, is_hopeless, trouble
from harness.stage import Stage, describe, describe_unsettled
from harness.steps import busiest, choose

SCENARIO = "variants: [pool]\nseed: {seed}\nsteps: [{{wait: 1s}}]\nexpect: []\n"
KILL = Kill(None, 1, None, None, None, None, 60.0)


def pod(
    name: str, *, created: str = "2026-01-01T00:00:00Z", is_ready: bool = True, **status: Any
) -> dict[str, Any]:
    """A pod of the deployment `greeter`."""
    conditions = [{"type": "Ready", "status": str(is_ready)}]
    metadata = {"name": name, "labels": {"app": "greeter"}, "creationTimestamp": created}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions, **status}}


def test_a_pod_that_starts_again_and_again() -> None:
    """How it ended the last time is said."""
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    status = {"name": "server", "state": {"waiting": waiting}, "lastState": {"terminated": {"exitCode": 3}}}
    assert trouble([pod("a", is_ready=False, containerStatuses=[status])]) == [
        "pod a: Running: server waiting: CrashLoopBackOff, ended with exit code 3 (back-off 10s)"
    ]


def deployment(wanted: int, available: int, *, generation: int = 1, observed: int = 1) -> dict[str, Any]:
    """The deployment `greeter`."""
    return {
        "metadata": {"name": "greeter", "generation": generation},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": "greeter"}}},
        "status": {
            "observedGeneration": observed,
            "replicas": wanted,
            "updatedReplicas": wanted,
            "availableReplicas": available,
        },
    }


def endpoints(*pods: str, ready: bool | None = True, name: str = "one") -> dict[str, Any]:
    """A slice of the Service `greeter-clusterip`."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "greeter-clusterip"}},
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"name": each}}
            for each in pods
        ],
    }


@pytest.fixture
def scene() -> Scene:
    """A scene with a deployment of two ready pods."""
    made = Scene(lambda: 1.0)
    made.take_deployment(deployment(2, 2))
    for name in ("a", "b"):
        made.take_pod(pod(name))
    return made


def stage(scene: Scene, seed: str = "x") -> Stage:
    """A stage without a cluster, for what needs none."""
    given = parse(SCENARIO.format(seed=seed), Path("night.yaml"))
    return Stage(cast(Kube, None), "night", scene, given, Faults(None, scene))


def test_a_condition_that_comes_true(scene: Scene) -> None:
    """Whoever waits is woken by the fact that makes the condition true."""

    async def play() -> None:
        waiting = asyncio.create_task(scene.until(lambda: "c" in scene.pods, 5, str))
        await asyncio.sleep(0)
        scene.take_pod(pod("c"))
        await waiting

    asyncio.run(play())


@pytest.mark.parametrize(("of_calls", "looks"), [(False, 2), (True, 4)])
def test_a_condition_that_calls_do_not_change(scene: Scene, of_calls: bool, looks: int) -> None:
    """It is looked at again when the cluster changes, and not for each of many calls; others are looked at for all."""
    seen = []

    async def play() -> None:
        def is_met() -> bool:
            seen.append(len(scene.records))
            return "c" in scene.pods

        waiting = asyncio.create_task(scene.until(is_met, 5, str, of_calls=of_calls))
        for number in range(2):
            await asyncio.sleep(0)
            scene.take_sample("client", Sample("pool", number, 5.0, 0.1, "OK", "a", None), 6.0)
        await asyncio.sleep(0)
        scene.take_pod(pod("c"))
        await waiting

    asyncio.run(play())
    assert len(seen) == looks


def test_a_condition_that_does_not(scene: Scene) -> None:
    """After the time the error says what was waited for, and for how long."""
    with pytest.raises(StepError, match=r"^no c \(waited 0\.01 s\)$"):
        asyncio.run(scene.until(lambda: "c" in scene.pods, 0.01, lambda: "no c"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (deployment(2, 2), True),
        (deployment(2, 1), False),
        (deployment(2, 2, generation=2, observed=1), False),
        (deployment(2, 2, generation=2, observed=2), True),
    ],
)
def test_a_rollout_is_complete(scene: Scene, found: dict[str, Any], expected: bool) -> None:
    """When the controller has seen the latest change and every pod of it is available, not before."""
    scene.take_deployment(found)

    assert expected is scene.is_rolled_out("greeter")


def test_a_rollout_of_a_later_change(scene: Scene) -> None:
    """A deployment that has not shown the change that was made is not complete, whatever its status says."""
    assert not scene.is_rolled_out("greeter", generation=2)


@pytest.mark.parametrize(("observed", "expected"), [(1, False), (2, True)])
def test_a_rollout_has_begun(scene: Scene, observed: int, expected: bool) -> None:
    """Once the controller has taken up the change, however few pods are there; not before."""
    scene.take_deployment(deployment(2, 0, generation=2, observed=observed))

    assert expected is scene.is_taken_up("greeter", 2)


def test_settled(scene: Scene) -> None:
    """Settled is complete, nobody going, and the endpoints just these pods, over all slices."""
    scene.take_slice(endpoints("a"))
    assert not scene.is_settled("greeter", "greeter-clusterip")
    scene.take_slice(endpoints("b", ready=None, name="two"))
    assert scene.is_settled("greeter", "greeter-clusterip")
    going = pod("b")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z"
    scene.take_pod(going)
    assert not scene.is_settled("greeter", "greeter-clusterip")


def test_settled_without_the_service(scene: Scene) -> None:
    """A Service that is gone is not waited for."""
    assert scene.is_settled("greeter", "greeter-clusterip")


def test_the_same_seed_takes_the_same_place(scene: Scene) -> None:
    """Names are random, so a seed chooses by age.

    The second oldest stays the second oldest under other names.
    """
    other = Scene(lambda: 1.0)
    other.take_deployment(deployment(5, 5))
    scene.take_deployment(deployment(5, 5))
    scene.pods.clear()
    for age in range(5):
        created = f"2026-01-01T00:00:0{age}Z"
        scene.take_pod(pod(f"one-{age}", created=created))
        other.take_pod(pod(f"{9 - age}-other-{age}", created=created))
    chosen = {}
    for seed in map(str, range(20)):
        (first,) = choose(stage(scene, seed), KILL, 2)
        (second,) = choose(stage(other, seed), KILL, 2)
        assert first["metadata"]["creationTimestamp"] == second["metadata"]["creationTimestamp"]
        chosen[seed] = first["metadata"]["name"]

    assert len(set(chosen.values())) > 2


def test_too_few_pods_to_kill(scene: Scene) -> None:
    """Only ready pods that are not going are victims."""
    scene.take_pod(pod("b", is_ready=False))

    with pytest.raises(StepError, match=r"^2 ready pod\(s\) of greeter are needed, there are 1$"):
        choose(stage(scene), Kill(None, 2, None, None, None, None, 60.0), 1)


def test_the_node_with_most_pods(scene: Scene) -> None:
    """Only ready pods count; of several nodes with as many, the first by name."""
    for name, node, is_ready in (
        ("a", "n2", True),
        ("b", "n1", True),
        ("c", "n1", False),
        ("d", "n1", False),
    ):
        scene.take_pod({**pod(name, is_ready=is_ready), "spec": {"nodeName": node}})
    assert busiest(stage(scene), "greeter") == "n1"

    scene.take_pod({**pod("e"), "spec": {"nodeName": "n2"}})
    assert busiest(stage(scene), "greeter") == "n2"


def test_the_node_of_no_pod(scene: Scene) -> None:
    """Where nothing is ready there is none, and that is said."""
    scene.pods.clear()

    with pytest.raises(StepError, match="no pod of greeter is ready"):
        busiest(stage(scene), "greeter")


def test_samples_that_come_twice(scene: Scene) -> None:
    """A log that is opened again repeats itself; a sample counts once."""
    sample = Sample("pool", 3, 5.0, 0.1, "OK", "a", None)

    assert [scene.take_sample("client", sample, 6.0) for _ in range(2)] == [True, False]
    assert scene.clients["client"].answered == 1


def test_a_client_that_has_told_all(scene: Scene) -> None:
    """All calls until an instant have arrived once a later one has and no number before it is missing."""
    for seq in (0, 1, 3):
        scene.take_sample("client", Sample("pool", seq, 10.0 + seq, 0.1, "OK", "a", None), 20.0)
    client = scene.clients["client"]

    assert not client.has_all_until(12.5)
    scene.take_sample("client", Sample("pool", 2, 12.0, 5.0, "OK", "a", None), 20.0)
    assert client.has_all_until(12.5)
    assert not client.has_all_until(13.5)


def test_words_for_what_is_not_ready(scene: Scene) -> None:
    """Counts of the deployment, and for each unready pod what its container waits for."""
    scene.take_deployment(deployment(2, 1))
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    statuses = [{"name": "server", "restartCount": 0, "state": waiting}]
    scene.take_pod(pod("b", is_ready=False, containerStatuses=statuses))

    assert describe(scene, "greeter") == (
        "deployment greeter is not complete: 2 wanted, 2 pods, 2 updated, 1 available\n"
        "  pod b: Running: server waiting: ImagePullBackOff (no such image)"
    )
    assert describe(scene, "web") == "there is no deployment web; there are greeter"


def test_a_service_that_selects_others(scene: Scene) -> None:
    """A deployment can be complete and not settled: a pod still goes, or its Service has other endpoints."""
    scene.take_deployment(deployment(2, 2))
    scene.take_slice(endpoints())

    assert describe_unsettled(scene, "greeter", "greeter-clusterip") == (
        "deployment greeter is complete, but the ready endpoints of Service greeter-clusterip are not its pods\n"
        "  endpoints: none; pods: a, b\n"
        "  does the Service's selector fit the labels of the pods?"
    )
    going = pod("b")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    scene.take_pod(going)
    assert describe_unsettled(scene, "greeter", "greeter-clusterip") == (
        "deployment greeter is complete, but pods of it are still going: b"
    )
    scene.take_deployment(deployment(2, 1))
    assert describe_unsettled(scene, "greeter", "web").startswith(
        "deployment greeter is not complete: 2 wanted"
    )


@pytest.mark.parametrize(
    ("reason", "restarts", "expected"),
    [
        ("ContainerCreating", 0, False),
        ("ImagePullBackOff", 0, True),
        ("ErrImageNeverPull", 0, True),
        ("CrashLoopBackOff", 0, False),
        ("CrashLoopBackOff", 1, True),
    ],
)
def test_a_pod_beyond_hope(reason: str, restarts: int, expected: bool) -> None:
    """An image that can not be had and a program that ended twice end the waiting.

    What may still come does not.
    """
    statuses = [{"name": "server", "restartCount": restarts, "state": {"waiting": {"reason": reason}}}]

    assert expected is is_hopeless(pod("a", is_ready=False, containerStatuses=statuses))


def test_how_a_container_ended() -> None:
    """Its exit code and reason are told."""
    statuses = [{"name": "server", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]

    assert trouble([pod("a", is_ready=False, containerStatuses=statuses)]) == [
        "pod a: Running: server terminated with exit code 137: OOMKilled"
    ]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("scale_up", "scale-up-0123abcd"),
        ("Night & Day [1.5]", "night-day-1-5-0123abcd"),
        ("ß", "scenario-0123abcd"),
        ("x" * 90, "x" * 54 + "-0123abcd"),
    ],
)
def test_a_namespace_for_a_scenario(scenario: str, expected: str) -> None:
    """Whatever a file is called, its namespace is a DNS-1123 label of at most 63 characters."""
    assert expected == namespace_name(scenario, "0123abcd")
    assert len(expected) <= 63
