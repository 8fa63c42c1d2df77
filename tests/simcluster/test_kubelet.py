"""Pods as real processes: start, restart, end, and what of them is shown."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubelets import Node, running, state_of

from simcluster.errors import BadRequest, NotFound, PlainError, StatusError
from simcluster.profile import FAST
from simcluster.tokens import TokenIssuer

T = TypeVar("T")
# Ends on SIGTERM with 0, and says what it saw.
POLITE = ["trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.02; done"]
CATCHER = """
import os, signal, sys, time
signal.signal(15, lambda *_: (os.write(1, b'term\\n'), {0}))  # print would fail in the midst of the print below
print('up', flush=True)
while True: time.sleep(60)
"""


def on_node(tmp_path: Path, scenario: Callable[[Node], Awaitable[T]], **profile: float) -> T:
    """What the scenario returns, run on a fresh node; nothing of it is left running afterwards."""

    async def run() -> T:
        async with running(tmp_path, replace(FAST, **profile)) as node:  # type: ignore[arg-type]
            return await scenario(node)

    return asyncio.run(asyncio.wait_for(run(), 60))


def terminated(pod: Any) -> Any:
    return state_of(pod).get("terminated")


def test_pod_runs_and_its_status_says_so(tmp_path: Path) -> None:
    """An address of its own, the environment that was declared, Running and Ready, events for people."""

    async def scenario(node: Node) -> tuple[Any, str, list[str]]:
        env = [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "W", "value": "world"},
        ]
        node.create(args=['echo "$0 $POD_IP"; exec sleep 60', "hello $(W)"], env=env)
        pod = await node.until_running()
        await node.until_logged("hello")
        reasons = [node.events(reason)[0] for reason in ("Pulled", "Created", "Started")]
        return pod, await node.log(), reasons

    pod, log, events = on_node(tmp_path, scenario)
    assert log == f"hello world {pod['status']['podIP']}\n"
    assert events == [
        'Container image "shell:1" already present on machine and can be accessed by the pod',
        "Container created",
        "Container started",
    ]
    assert {each["type"]: each["status"] for each in pod["status"]["conditions"]}["Ready"] == "True"
    assert pod["status"]["podIP"].split(".")[2] == "128"


def test_environment_is_clean_and_leads_to_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this process leaks in; HOME, TMPDIR and cwd are the pod's; the token is its own, mode 0600."""
    monkeypatch.setenv("LEAK", "1")

    async def scenario(node: Node) -> tuple[Any, dict[str, str], str, TokenIssuer, int]:
        node.create(args=["env; echo the end; exec sleep 60"])
        pod = await node.until_running()
        await node.until_logged("the end")
        lines = (await node.log()).splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        token = Path(found["KUBECONFIG"]).with_name("token")
        return pod, found, token.read_text(), node.tokens, token.stat().st_mode & 0o777

    pod, found, token, issuer, mode = on_node(tmp_path, scenario)
    assert set(found) == {
        "PATH", "HOME", "TMPDIR", "LANG", "HOSTNAME", "KUBECONFIG", "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS", "GRPC_DNS_AUTHORITY", "PWD",
    }  # fmt: skip
    assert found["HOME"] == found["PWD"]
    assert found["HOME"].endswith(f"default_p_{pod['metadata']['uid']}/work")
    bearer, _ = issuer.verify(token, now=time.time())
    assert (bearer.user, bearer.pod, bearer.pod_uid) == (
        "system:serviceaccount:default:default", "p", pod["metadata"]["uid"],
    )  # fmt: skip
    assert mode == 0o600


def test_killed_process_starts_again_with_the_same_address(tmp_path: Path) -> None:
    """SIGKILL from outside: exit code 137, restart count 1, the address stays, the previous log is kept."""

    async def scenario(node: Node) -> tuple[Any, Any, str, str]:
        node.create(args=["echo run $$$$; exec sleep 60"])
        before = await node.until_running()
        await node.until_logged("run")
        os.kill(node.pid(), signal.SIGKILL)
        after = await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
        await node.until_logged("run")
        return before, after, await node.log(previous=True), await node.log()

    before, after, previous, current = on_node(tmp_path, scenario)
    (status,) = after["status"]["containerStatuses"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert (status["lastState"]["terminated"]["exitCode"], status["lastState"]["terminated"]["reason"]) == (
        137,
        "Error",
    )
    assert state_of(after)["running"]
    assert previous.startswith("run ")
    assert previous != current


def test_crashing_container_backs_off(tmp_path: Path) -> None:
    """The first restart is at once; then it waits in CrashLoopBackOff, and the wait is as long as it says."""

    async def scenario(node: Node) -> tuple[Any, list[str], float]:
        node.create(args=["echo run; exit 3"])
        waiting = await node.until(
            lambda pod: state_of(pod).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        )
        waits_from = time.monotonic()
        await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 2)
        seconds = time.monotonic() - waits_from
        return waiting, node.events("BackOff"), seconds

    waiting, events, seconds = on_node(tmp_path, scenario, crash_backoff_s=0.4, crash_backoff_max_s=5)
    (status,) = waiting["status"]["containerStatuses"]
    uid = waiting["metadata"]["uid"]
    assert status["restartCount"] == 1
    assert (
        status["state"]["waiting"]["message"]
        == f"back-off 0.4s restarting failed container=c pod=p_default({uid})"
    )
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert waiting["status"]["phase"] == "Running"
    assert events == [f"Back-off restarting failed container c in pod p_default({uid})"]
    assert seconds >= 0.35


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (4, "Failed", "Error")])
def test_pod_that_does_not_restart_ends(tmp_path: Path, code: int, phase: str, reason: str) -> None:
    """With policy Never the phase follows from the exit code, and the log stays."""

    async def scenario(node: Node) -> tuple[Any, str]:
        node.create(args=[f"echo done; exit {code}"], restartPolicy="Never")
        pod = await node.until(lambda pod: pod.get("status", {}).get("phase") == phase)
        return pod, await node.log()

    pod, log = on_node(tmp_path, scenario)
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"], log) == (code, reason, "done\n")


def test_init_containers_run_in_order_before_the_others(tmp_path: Path) -> None:
    """One after the other, each to its end; a failed one is tried again."""

    async def scenario(node: Node) -> tuple[Any, str]:
        mark = "$HOME/marks"
        init = [
            {"name": "one", "image": "shell:1", "args": [f"echo one >> {mark}"]},
            {
                "name": "two",
                "image": "shell:1",
                "args": [f"test -e again || {{ touch again; exit 1; }}; echo two >> {mark}"],
            },
        ]
        main = [{"name": "c", "image": "shell:1", "args": [f"cat {mark}; exec sleep 60"]}]
        node.create(initContainers=init, containers=main)
        pod = await node.until_running()
        text = await node.until_logged("two")
        return pod, text.decode()

    pod, log = on_node(tmp_path, scenario)
    assert log == "one\ntwo\n"
    assert [each["restartCount"] for each in pod["status"]["initContainerStatuses"]] == [0, 1]


# --- What it waits for


def test_image_that_is_not_bound(tmp_path: Path) -> None:
    """ErrImagePull names what is bound, then backs off; the pod stays Pending."""

    async def scenario(node: Node) -> tuple[Any, Any]:
        node.create(image="nginx")
        first = await node.until(lambda pod: state_of(pod).get("waiting", {}).get("reason") == "ErrImagePull")
        then = await node.until(
            lambda pod: state_of(pod).get("waiting", {}).get("reason") == "ImagePullBackOff"
        )
        return first, then

    first, then = on_node(tmp_path, scenario, crash_backoff_s=10)
    assert state_of(first)["waiting"]["message"] == (
        'failed to pull image "nginx": docker.io/library/nginx:latest: not found: a simulated cluster runs images that '
        "are bound to commands; known images: idle:1, python:1, shell:1; bind one with --image 'nginx=COMMAND'"
    )
    assert then["status"]["phase"] == "Pending"


def test_missing_secret_is_waited_for(tmp_path: Path) -> None:
    """CreateContainerConfigError with the real text; it starts as soon as the Secret is there."""

    async def scenario(node: Node) -> tuple[Any, str, float]:
        env = [{"name": "CA", "valueFrom": {"secretKeyRef": {"name": "tls", "key": "ca.crt"}}}]
        node.create(args=['echo "$CA"; exec sleep 60'], env=env)
        waiting = await node.until(
            lambda pod: state_of(pod).get("waiting", {}).get("reason") == "CreateContainerConfigError"
        )
        created_at = time.monotonic()
        node.registry.create("secrets", "default", {"metadata": {"name": "other"}})
        node.registry.create(
            "secrets", "default", {"metadata": {"name": "tls"}, "stringData": {"ca.crt": "PEM"}}
        )
        await node.until_running()
        seconds = time.monotonic() - created_at
        return waiting, (await node.until_logged("PEM")).decode(), seconds

    waiting, log, seconds = on_node(tmp_path, scenario)
    assert state_of(waiting)["waiting"]["message"] == 'secret "tls" not found'
    assert log == "PEM\n"
    assert seconds < 5  # woken, where a real kubelet looks again after up to 15 s


@pytest.mark.parametrize(
    ("container", "reason", "message"),
    [
        ({"image": "x", "imagePullPolicy": "Never"}, "ErrImageNeverPull",
         'Container image "x" is not present with pull policy of Never'),
    ],
    ids=["never pulled"],
)  # fmt: skip
def test_what_can_never_start_says_why(tmp_path: Path, container: Any, reason: str, message: str) -> None:
    """The waiting state has the reason and the words."""

    async def scenario(node: Node) -> Any:
        node.create(**container, volumes=[{"name": "v", "emptyDir": {}}])
        return await node.until(lambda pod: state_of(pod).get("waiting", {}).get("reason") == reason)

    assert state_of(on_node(tmp_path, scenario))["waiting"]["message"] == message


def test_mount_where_nothing_can_be_mounted(tmp_path: Path) -> None:
    """On a machine without mount namespaces the waiting state says so, and what can be done instead."""

    async def scenario(node: Node) -> Any:
        await node.spawner.start()
        node.spawner.mount_obstacle = "unshare: Operation not permitted"
        node.create(
            args=[""],
            volumeMounts=[{"name": "v", "mountPath": "/data"}],
            volumes=[{"name": "v", "emptyDir": {}}],
        )
        reason = "CreateContainerConfigError"
        return await node.until(lambda pod: state_of(pod).get("waiting", {}).get("reason") == reason)

    assert state_of(on_node(tmp_path, scenario))["waiting"]["message"] == (
        "volumeMounts /data: nothing can be mounted on this machine (unshare: Operation not permitted), except an "
        "emptyDir at the container's workingDir; pass data by env, envFrom or args"
    )


def test_program_that_does_not_exist(tmp_path: Path) -> None:
    """A terminated state with StartError and code 128, as containerd's."""

    async def scenario(node: Node) -> Any:
        node.create(command=["no-such-program"], restartPolicy="Never")
        return await node.until(lambda pod: terminated(pod))

    found = terminated(on_node(tmp_path, scenario))
    assert (found["exitCode"], found["reason"]) == (128, "StartError")
    assert found["message"].endswith('exec: "no-such-program": executable file not found in $PATH')


# --- Probes at work


def test_readiness_shows_at_once_and_goes_on_while_the_pod_ends(tmp_path: Path) -> None:
    """Ready follows the probe both ways, and still does while the pod is terminating."""

    async def scenario(node: Node) -> list[bool]:
        probe = {"exec": {"command": ["test", "-e", "ready"]}, "periodSeconds": 1, "failureThreshold": 1}
        node.create(
            image="python:1",
            args=[CATCHER.format("None")],
            readinessProbe=probe,
            terminationGracePeriodSeconds=30,
        )
        pod = await node.until_running()
        seen = [pod["status"]["containerStatuses"][0]["ready"]]
        await node.run("touch", "ready")
        await node.until(lambda pod: pod["status"]["containerStatuses"][0]["ready"])
        seen.append(True)
        node.registry.delete("pods", "default", "p")
        await node.until_logged("term")
        await node.run("rm", "ready")
        pod = await node.until(lambda pod: not pod["status"]["containerStatuses"][0]["ready"])
        seen.append("deletionTimestamp" in pod["metadata"] and bool(state_of(pod).get("running")))
        return seen

    assert on_node(tmp_path, scenario) == [False, True, True]


def test_failed_liveness_restarts_the_container(tmp_path: Path) -> None:
    """The container is asked to end and starts again; its log and events tell why."""

    async def scenario(node: Node) -> tuple[Any, str, list[str], list[str]]:
        probe = {
            "exec": {"command": ["sh", "-c", "echo sick; exit 1"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        }
        node.create(
            image="python:1",
            args=[CATCHER.format("sys.exit(0)")],
            livenessProbe=probe | {"initialDelaySeconds": 1},
        )
        pod = await node.until(
            lambda pod: (
                pod.get("status", {}).get("containerStatuses", [{"restartCount": 0}])[0]["restartCount"] == 1
            )
        )
        return pod, await node.log(previous=True), node.events("Unhealthy"), node.events("Killing")

    pod, log, unhealthy, killing = on_node(tmp_path, scenario)
    assert log == "up\nterm\n"
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 0
    assert unhealthy == ["Liveness probe failed: sick\n"]
    assert "Container c failed liveness probe, will be restarted" in killing


def test_startup_probe_holds_back_the_others(tmp_path: Path) -> None:
    """Neither liveness nor readiness is asked before startup has succeeded; then readiness is asked at once."""

    async def scenario(node: Node) -> tuple[Any, Any, float]:
        startup = {"exec": {"command": ["test", "-e", "started"]}, "periodSeconds": 1, "failureThreshold": 30}
        other = {
            "exec": {"command": ["sh", "-c", "echo asked >> asked; test -e started"]},
            "periodSeconds": 30,
        }
        node.create(
            args=["echo up; exec sleep 60"], startupProbe=startup, livenessProbe=other | {"failureThreshold": 1},
            readinessProbe=other,
        )  # fmt: skip
        pod = await node.until_running()
        await node.until_logged("up")
        early = await node.run("sh", "-c", "cat asked || true")
        await node.run("touch", "started")
        touched_at = time.monotonic()
        await node.until(lambda pod: pod["status"]["containerStatuses"][0]["ready"])
        return pod, early[1], time.monotonic() - touched_at

    pod, early, seconds = on_node(tmp_path, scenario)
    (status,) = pod["status"]["containerStatuses"]
    assert (status["started"], status["ready"], early) == (False, False, "")
    assert seconds < 10  # the next startup probe, not the next period of readiness


# --- The end


def test_graceful_deletion_in_order(tmp_path: Path) -> None:
    """preStop, then SIGTERM, then the exit, then the terminal status, and only then the object goes."""

    async def scenario(node: Node) -> tuple[str, list[Any], list[str], set[int], list[Path]]:
        hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /proc/$(cat pid)/fd/1"]}}}
        node.create(args=["echo $$$$ > pid; " + POLITE[0]], lifecycle=hook)
        await node.until_logged("up")
        subscription = node.registry.watch("pods", "default", node.registry.revision)
        following = asyncio.ensure_future(_drain(await node.logs(follow=True)))
        node.registry.delete("pods", "default", "p")
        await node.until_gone()
        log = await following
        await asyncio.gather(*node.kubelet._tasks.values())
        subscription.close()
        return (
            log,
            subscription.take(),
            node.events("Killing"),
            node.processes(),
            list(node.directory.iterdir()),
        )

    log, events, killing, processes, left = on_node(tmp_path, scenario)
    assert log == "up\nhook\nterm\n"
    assert [each.type for each in events][-2:] == ["MODIFIED", "DELETED"]
    assert events[0].object["metadata"]["deletionTimestamp"]
    last = events[-2].object
    assert (last["status"]["phase"], terminated(last)["exitCode"]) == ("Succeeded", 0)
    assert (killing, processes, left) == (["Stopping container c"], set(), [])


async def _drain(pieces: Any) -> str:
    return b"".join([piece async for piece in pieces]).decode()


@pytest.mark.parametrize(
    ("grace_s", "least", "most"), [(3, 3, 8), (30, 0, 3)], ids=["ignores SIGTERM", "obeys"]
)
def test_grace_is_for_the_process(tmp_path: Path, grace_s: int, least: float, most: float) -> None:
    """One that ignores SIGTERM is killed when its grace is over (137); one that obeys ends at once."""
    reaction = "None" if least else "sys.exit(0)"

    async def scenario(node: Node) -> tuple[float, Any]:
        node.create(image="python:1", args=[CATCHER.format(reaction)], terminationGracePeriodSeconds=grace_s)
        await node.until_logged("up")
        started_at = time.monotonic()
        node.registry.delete("pods", "default", "p")
        pod = await node.until(lambda pod: terminated(pod))
        return time.monotonic() - started_at, pod

    seconds, pod = on_node(tmp_path, scenario)
    assert least <= seconds < most
    assert terminated(pod)["exitCode"] == (137 if least else 0)


def test_second_deletion_shortens_the_grace(tmp_path: Path) -> None:
    """A grace of 600 s, then one of 1 s: it is over after the two seconds that every container has at least."""

    async def scenario(node: Node) -> float:
        node.create(image="python:1", args=[CATCHER.format("None")], terminationGracePeriodSeconds=600)
        await node.until_logged("up")
        node.registry.delete("pods", "default", "p")
        await node.until_logged("term")
        started_at = time.monotonic()
        node.registry.delete("pods", "default", "p", grace_s=1)
        await node.until_gone()
        return time.monotonic() - started_at

    assert 1.9 <= on_node(tmp_path, scenario) < 10


def test_forced_deletion_ends_the_process_soon(tmp_path: Path) -> None:
    """The object goes at once, the process gets SIGTERM and two seconds; a new pod may come meanwhile."""

    async def scenario(node: Node) -> tuple[bool, float, Any]:
        node.create(image="python:1", args=[CATCHER.format("None")])
        await node.until_logged("up")
        handle = os.pidfd_open(node.pid())
        node.registry.delete("pods", "default", "p", grace_s=0)
        with pytest.raises(NotFound):
            node.get()
        started_at = time.monotonic()
        node.create(args=["exec sleep 60"])
        again = await node.until_running()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(handle, ended.set)
        was_alive = not ended.is_set()
        await ended.wait()
        loop.remove_reader(handle)
        os.close(handle)
        return was_alive, time.monotonic() - started_at, again

    was_alive, seconds, again = on_node(tmp_path, scenario)
    assert was_alive
    assert 1.5 < seconds < 10
    assert state_of(again)["running"]


@pytest.mark.parametrize(("shared", "quickly"), [(False, False), (True, True)], ids=["PID 1", "shared"])
def test_process_without_a_handler_is_a_pid_1(tmp_path: Path, shared: bool, quickly: bool) -> None:
    """SIGTERM does nothing to a PID 1 without a handler; with a shared process namespace it ends it (143)."""

    async def scenario(node: Node) -> tuple[float, Any]:
        node.create(
            args=["echo up; exec sleep 60"], shareProcessNamespace=shared, terminationGracePeriodSeconds=2
        )
        await node.until_logged("up")
        started_at = time.monotonic()
        node.registry.delete("pods", "default", "p")
        pod = await node.until(lambda pod: terminated(pod))
        return time.monotonic() - started_at, pod

    seconds, pod = on_node(tmp_path, scenario)
    assert terminated(pod)["exitCode"] == (143 if quickly else 137)
    assert (seconds < 1.9) == quickly


def test_deletion_before_the_start(tmp_path: Path) -> None:
    """A pod that is deleted while it is being started never starts a process."""

    async def scenario(node: Node) -> tuple[bool, set[int]]:
        node.create(args=["touch /started; sleep 60"])
        node.registry.delete("pods", "default", "p")
        gone = await node.until_gone()
        return "running" in state_of(gone), node.processes()

    assert on_node(tmp_path, scenario, pod_start_s=0.2, sigterm_jitter_s=0) == (False, set())


# --- Logs and commands


def test_logs_follow_through_the_end(tmp_path: Path) -> None:
    """A follower sees each line as it is written, on both streams, and ends with the container."""

    async def scenario(node: Node) -> tuple[str, str]:
        node.create(
            args=["mkfifo gate; echo one; read x < gate; echo $x >&2; printf end"], restartPolicy="Never"
        )
        await node.until_running()
        early = (await node.until_logged("one")).decode()
        following = asyncio.ensure_future(_drain(await node.logs(follow=True)))
        await node.run("sh", "-c", "echo two > gate")
        return early, await following

    assert on_node(tmp_path, scenario) == ("one\n", "one\ntwo\nend\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "w"}, 'container "c" in pod "w" is waiting to start: image can\'t be pulled'),
        ({"name": "p", "container": "x"}, "container x is not valid for pod p"),
        ({"name": "p", "previous": True}, 'previous terminated container "c" in pod "p" not found'),
    ],
)
def test_logs_that_are_not_there(tmp_path: Path, arguments: Any, message: str) -> None:
    """The kubelet's words, before anything is sent."""

    async def scenario(node: Node) -> str:
        node.create(args=["exec sleep 60"])
        node.create("w", image="absent")
        await node.until_running()
        await node.until(lambda pod: state_of(pod).get("waiting", {}).get("reason") == "ErrImagePull", "w")
        with pytest.raises(BadRequest) as failure:
            await node.log(**arguments)
        return str(failure.value)

    assert on_node(tmp_path, scenario, crash_backoff_s=30) == message


def test_commands_run_in_the_pod(tmp_path: Path) -> None:
    """With its environment and directory, separate streams, input, exit codes, and a terminal where asked."""

    async def scenario(node: Node) -> list[tuple[int, str, str]]:
        node.create(args=["exec sleep 60"], env=[{"name": "A", "value": "b"}])
        await node.until_running()
        return [
            await node.run("sh", "-c", 'echo $A; basename "$PWD"; echo bad >&2; exit 5'),
            await node.run("cat", stdin=b"x" * 300_000),
            await node.run(
                "python", "-c", "import sys; print(sys.stdin.read().upper(), end='')", stdin=b"piped"
            ),
            await node.run("sh", "-c", "kill -9 $$"),
            await node.run("sh", "-c", "test -t 0 && test -t 1 && tty | cut -c1-8", tty=True),
            await node.run("cat", stdin=b"typed\n", tty=True),
        ]

    plain, long, python, killed, terminal, typed = on_node(tmp_path, scenario)
    assert plain == (5, "b\nwork\n", "bad\n")
    assert (long[0], len(long[1])) == (0, 300_000)
    assert python == (0, "PIPED", "")
    assert killed[0] == 137
    assert terminal == (0, "/dev/pts\r\n", "")
    assert typed == (0, "typed\r\ntyped\r\n", "")


def test_command_ends_with_its_pod(tmp_path: Path) -> None:
    """A command that runs on is killed when the container ends."""

    async def scenario(node: Node) -> int:
        node.create(args=POLITE)
        await node.until_logged("up")
        execution = await node.kubelet.execute("default", "p", "c", ["sleep", "600"], stdin=False, tty=False)
        node.registry.delete("pods", "default", "p")
        return await execution.wait()

    assert on_node(tmp_path, scenario) == 137


def test_commands_that_can_not_run(tmp_path: Path) -> None:
    """No such program, no such container, and a container that is not running, each in the real words."""

    async def scenario(node: Node) -> list[str]:
        node.create(args=["exec sleep 60"])
        node.create("w", image="absent")
        node.create("e", args=["exit 0"], restartPolicy="Never")
        await node.until_running()
        await node.until(lambda pod: state_of(pod).get("waiting", {}).get("reason") == "ErrImagePull", "w")
        await node.until(lambda pod: pod.get("status", {}).get("phase") == "Succeeded", "e")
        texts = []
        for name, command in (("p", "no-such"), ("w", "true"), ("e", "true")):
            with pytest.raises((StatusError, PlainError)) as failure:
                await node.run(command, name=name)
            texts.append(re.sub("[0-9a-f]{64}", "ID", str(failure.value)))
        return texts

    assert on_node(tmp_path, scenario, crash_backoff_s=30) == [
        'error executing command in container: failed to exec in container: failed to start exec "ID": '
        "OCI runtime exec failed: exec failed: unable to start container process: exec: "
        '"no-such": executable file not found in $PATH: unknown',
        'container not found ("c")',
        'container not found ("c")',
    ]


def test_node_is_registered_and_its_lease_renewed(tmp_path: Path) -> None:
    """Ready, with capacity, address and version; the lease's time moves on."""

    async def scenario(node: Node) -> tuple[Any, str, str]:
        subscription = node.registry.watch("leases.coordination.k8s.io", "kube-node-lease")
        first = (await anext(subscription)).object["spec"]["renewTime"]
        second = (await anext(subscription)).object["spec"]["renewTime"]
        subscription.close()
        return node.registry.get("nodes", None, "simcluster-node"), first, second

    found, first, second = on_node(tmp_path, scenario, node_status_s=0.05)
    assert found["status"]["conditions"][-1]["type"] == "Ready"
    assert found["status"]["capacity"]["cpu"] == "2"
    assert found["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"
    assert first < second
