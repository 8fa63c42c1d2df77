"""What real pods show besides running: last words, deadlines, the order in which containers end, events."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubelets import Node, running, state_of

T = TypeVar("T")


def on_node(directory: Path, scenario: Callable[[Node], Awaitable[T]]) -> T:
    """Run a scenario on a node."""

    async def run() -> T:
        async with running(directory) as node:
            return await scenario(node)

    return asyncio.run(run())


async def exit_of(node: Node) -> dict[str, Any]:
    """How the pod's container ended."""
    pod = await node.until(lambda pod: state_of(pod).get("terminated"))
    found: dict[str, Any] = state_of(pod)["terminated"]
    return found


async def require_mounts(node: Node) -> None:
    await node.spawner.start()
    if node.spawner.mount_obstacle is not None:
        pytest.skip(node.spawner.mount_obstacle)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"args": ["echo bye > /dev/termination-log; exit 3"]}, "bye\n"),
        ({"args": ["echo here > /my/words; exit 3"], "terminationMessagePath": "/my/words"}, "here\n"),
        ({"args": ["echo lost; exit 3"]}, None),
        (
            {"args": ["echo logged; exit 3"], "terminationMessagePolicy": "FallbackToLogsOnError"},
            "logged\n",
        ),
        ({"args": ["echo fine; exit 0"], "terminationMessagePolicy": "FallbackToLogsOnError"}, None),
    ],
    ids=["file", "another path", "nothing", "log of a failure", "no log of a success"],
)  # fmt: skip
def test_last_words_of_a_container(container: dict[str, Any], message: str | None, tmp_path: Path) -> None:
    """What it wrote to its termination log is in its state; the machine's /dev has nothing of it."""

    async def scenario(node: Node) -> dict[str, Any]:
        await require_mounts(node)
        node.create(containers=[{"name": "c", "image": "shell:1"} | container], restartPolicy="Never")
        return await exit_of(node)

    assert on_node(tmp_path, scenario).get("message") == message
    assert not Path("/my").exists()


def test_last_words_are_cut(tmp_path: Path) -> None:
    """Four kilobytes, the last ones."""

    async def scenario(node: Node) -> dict[str, Any]:
        await require_mounts(node)
        script = "i=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done > /dev/termination-log"
        node.create(args=[script], restartPolicy="Never")
        return await exit_of(node)

    message = on_node(tmp_path, scenario)["message"]
    assert len(message) == 4096
    assert message.endswith("0123456789\n")


def test_pod_that_is_active_for_too_long_fails(tmp_path: Path) -> None:
    """Its containers are stopped, its phase is Failed with the reason; it is not started again."""

    async def scenario(node: Node) -> tuple[dict[str, Any], list[str]]:
        node.create(args=["trap 'exit 0' TERM; sleep 60 & wait"], activeDeadlineSeconds=1)
        pod = await node.until(lambda pod: pod.get("status", {}).get("phase") == "Failed")
        return pod["status"], node.events("DeadlineExceeded")

    status, events = on_node(tmp_path, scenario)
    text = "Pod was active on the node longer than the specified deadline"
    assert (status["reason"], status["message"]) == ("DeadlineExceeded", text)
    assert events == [text]
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_sidecars_end_after_what_uses_them_the_last_first(tmp_path: Path) -> None:
    """Main containers, then sidecars in reverse order, each once the one before it is gone."""
    log = tmp_path / "order"

    def container(name: str, **rest: Any) -> dict[str, Any]:
        script = f"trap 'sleep 0.1; echo {name} >> {log}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
        return {"name": name, "image": "shell:1", "args": [script]} | rest

    async def scenario(node: Node) -> list[str]:
        node.create(
            containers=[container("main")],
            initContainers=[
                container("first", restartPolicy="Always"),
                container("second", restartPolicy="Always"),
            ],
        )
        await node.until_running()
        await node.until_logged("up", container="main")
        node.registry.delete("pods", "default", "p")
        await node.until_gone()
        return log.read_text().split()

    assert on_node(tmp_path, scenario) == ["main", "second", "first"]


def test_image_that_can_not_be_pulled_is_told_as_a_real_kubelet_does(tmp_path: Path) -> None:
    """Pulling, what failed, the kind of failure; then the back-off names the image."""

    async def scenario(node: Node) -> tuple[list[str], list[str], str]:
        node.create(image="nginx")
        reason = "ImagePullBackOff"
        pod = await node.until(lambda pod: state_of(pod).get("waiting", {}).get("reason") == reason)
        return node.events("Pulling"), node.events("Failed"), state_of(pod)["waiting"]["message"]

    pulling, failed, message = on_node(tmp_path, scenario)
    assert pulling[0] == 'Pulling image "nginx"'
    assert failed[0].startswith('Failed to pull image "nginx": ')
    assert failed[1:] == ["Error: ErrImagePull", "Error: ImagePullBackOff"]
    assert message.startswith('Back-off pulling image "nginx": ErrImagePull: failed to pull image "nginx"')


def test_container_that_fails_its_liveness_probe_is_killed_with_one_event(tmp_path: Path) -> None:
    """The event says why."""

    async def scenario(node: Node) -> list[str]:
        probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
        node.create(args=["sleep 60"], livenessProbe=probe, terminationGracePeriodSeconds=1)
        await node.until(
            lambda pod: (pod.get("status", {}).get("containerStatuses") or [{}])[0].get("restartCount")
        )
        return node.events("Killing")

    assert set(on_node(tmp_path, scenario)) == {"Container c failed liveness probe, will be restarted"}
