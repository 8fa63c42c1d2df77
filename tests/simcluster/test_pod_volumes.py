"""Volumes in the containers of real pods: what they hold, where they are, and how they change."""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubelets import Node, running, state_of

from simcluster.tokens import ISSUER

T = TypeVar("T")
ACCESS = "/var/run/secrets/kubernetes.io/serviceaccount"


def on_node(directory: Path, scenario: Callable[[Node], Awaitable[T]]) -> T:
    """Run a scenario on a node; skipped where nothing can be mounted."""

    async def run() -> T:
        async with running(directory) as node:
            await node.spawner.start()
            if node.spawner.mount_obstacle is not None:
                pytest.skip(node.spawner.mount_obstacle)
            return await scenario(node)

    return asyncio.run(run())


def config(node: Node, name: str = "cfg", **data: str) -> None:
    node.registry.create("configmaps", "default", {"metadata": {"name": name}, "data": data})


def mount(name: str, path: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path} | rest


def shell(script: str, *mounts: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"args": [script], "volumeMounts": list(mounts)} | rest


async def outcome(node: Node, name: str = "p") -> str:
    """All that the pod's container wrote, once it has ended."""
    await node.until(lambda pod: state_of(pod).get("terminated"), name)
    return await node.log(name)


def test_config_map_in_a_place_that_this_machine_does_not_have(tmp_path: Path) -> None:
    """Each key is a file, read-only, at the path of the mount; the machine has nothing there."""

    async def scenario(node: Node) -> str:
        config(node, **{"app.yaml": "a: 1", "b": "2"})
        node.create(
            **shell("cat /etc/my/app/app.yaml /etc/my/app/b; echo x 2>&1 > /etc/my/app/c", mount("v", "/etc/my/app")),
            volumes=[{"name": "v", "configMap": {"name": "cfg"}}], restartPolicy="Never",
        )  # fmt: skip
        return await outcome(node)

    text = on_node(tmp_path, scenario)
    assert text.startswith("a: 12")
    assert "Read-only file system" in text
    assert not Path("/etc/my").exists()


def test_items_modes_and_what_is_optional(tmp_path: Path) -> None:
    """Chosen keys under chosen names with chosen modes; an optional ConfigMap that is absent is an empty directory."""

    async def scenario(node: Node) -> str:
        config(node, a="A", b="B")
        items = [{"key": "a", "path": "deep/one", "mode": 0o400}]
        node.create(
            **shell("cd /v && find -L . -type f -perm 400 && ls /w | wc -l", mount("v", "/v"), mount("w", "/w")),
            volumes=[
                {"name": "v", "configMap": {"name": "cfg", "items": items, "defaultMode": 0o600}},
                {"name": "w", "configMap": {"name": "none", "optional": True}},
            ],
            restartPolicy="Never",
        )  # fmt: skip
        return await outcome(node)

    lines = on_node(tmp_path, scenario).splitlines()
    assert "./deep/one" in lines
    assert lines[-1] == "0"


def test_missing_config_map_holds_the_pod_until_it_is_there(tmp_path: Path) -> None:
    """The event has the kubelet's words; the container waits as ContainerCreating; the pod starts once it is there."""

    async def scenario(node: Node) -> tuple[list[str], dict[str, Any], dict[str, str]]:
        node.create(
            **shell("sleep 60", mount("v", "/v")), volumes=[{"name": "v", "configMap": {"name": "cfg"}}]
        )
        pod = await node.until(lambda pod: state_of(pod).get("waiting"))
        conditions = {each["type"]: each["status"] for each in pod["status"]["conditions"]}
        events = node.events("FailedMount")
        config(node, a="A")
        await node.until_running()
        return events, state_of(pod), conditions

    events, state, conditions = on_node(tmp_path, scenario)
    assert events == ['MountVolume.SetUp failed for volume "v" : configmap "cfg" not found']
    assert state == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions["PodReadyToStartContainers"] == "False"


def test_pod_that_waits_for_a_volume_can_be_deleted(tmp_path: Path) -> None:
    """It goes, though nothing of it ever ran."""

    async def scenario(node: Node) -> None:
        node.create(**shell("true", mount("v", "/v")), volumes=[{"name": "v", "secret": {"secretName": "s"}}])
        await node.until(lambda pod: state_of(pod).get("waiting"))
        node.registry.delete("pods", "default", "p")
        await node.until_gone()

    on_node(tmp_path, scenario)


def test_change_of_a_config_map_is_seen_by_the_running_container(tmp_path: Path) -> None:
    """All keys change at once, through one link; a subPath keeps what it was; a removed key goes."""
    script = "cat /one; until [ -e /v/new ]; do sleep 0.02; done; readlink /v/new; cat /v/new /one; ls /v"

    async def scenario(node: Node) -> str:
        config(node, old="before\n")
        node.create(
            **shell(script, mount("v", "/v"), mount("v", "/one", subPath="old")),
            volumes=[{"name": "v", "configMap": {"name": "cfg"}}], restartPolicy="Never",
        )  # fmt: skip
        await node.until_logged("before")
        node.edit("configmaps", "cfg", lambda each: each.update(data={"new": "after\n"}))
        return await outcome(node)

    assert on_node(tmp_path, scenario) == "before\n..data/new\nafter\nbefore\nnew\n"


def test_empty_dir_is_shared_by_the_containers_of_a_pod(tmp_path: Path) -> None:
    """One writes, the other reads; it is the pod's own and goes with it."""
    writer = {"name": "a", "image": "shell:1", "args": ["echo hello > /shared/x; sleep 60"]}
    reader = {
        "name": "b",
        "image": "shell:1",
        "args": ["until [ -s /in/here/x ]; do sleep 0.02; done; cat /in/here/x"],
    }
    writer["volumeMounts"] = [mount("v", "/shared")]
    reader["volumeMounts"] = [mount("v", "/in/here", readOnly=True)]

    async def scenario(node: Node) -> str:
        node.create(containers=[reader, writer], volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}])
        await node.until_running()
        await node.until_logged("hello", container="b")
        return (await node.log(container="b")).splitlines()[0]

    assert on_node(tmp_path, scenario) == "hello"
    assert not Path("/shared").exists()


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="the directory around this Python is the machine's")
def test_volume_where_the_interpreter_lives_does_not_hide_it(tmp_path: Path) -> None:
    """A checkout in /work runs pods that have a volume at /work: Python is still there, all else is the volume's."""
    around = Path(sys.prefix).resolve().parent
    script = f"touch {around}/mine; ls -d {around}/* {sys.prefix}/bin; ls {around} | wc -l"

    async def scenario(node: Node) -> list[str]:
        volumes = [{"name": "v", "emptyDir": {}}]
        node.create(**shell(script, mount("v", str(around))), volumes=volumes, restartPolicy="Never")
        return (await outcome(node)).splitlines()

    *seen, count = on_node(tmp_path, scenario)
    assert f"{around}/mine" in seen
    assert f"{sys.prefix}/bin" in seen
    assert int(count) < len(list(around.iterdir()))
    assert not (around / "mine").exists()


def test_sub_path_of_an_empty_dir_is_made(tmp_path: Path) -> None:
    """Also one that is made of the environment."""
    env = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]

    async def scenario(node: Node) -> str:
        node.create(
            **shell("touch /x/f; find /all -type f", mount("v", "/x", subPathExpr="logs/$(POD)"), mount("v", "/all")),
            env=env,
            volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Never",
        )  # fmt: skip
        return await outcome(node)

    assert on_node(tmp_path, scenario) == "/all/logs/p/f\n"


def test_secret_and_downward_api_in_one_projected_volume(tmp_path: Path) -> None:
    """Each source with its own paths; labels as lines of quoted values."""
    fields = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {
            "path": "cpu",
            "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"},
        },
    ]
    sources = [{"secret": {"name": "s"}}, {"downwardAPI": {"items": fields}}]

    async def scenario(node: Node) -> str:
        secret = {"metadata": {"name": "s"}, "data": {"key": base64.b64encode(b"K").decode()}}
        node.registry.create("secrets", "default", secret)
        container = {"name": "c", "image": "shell:1", "resources": {"limits": {"cpu": "250m"}}}
        container |= shell(
            "cd /v; cat key; echo; cat labels; echo; cat name; echo; cat cpu", mount("v", "/v")
        )
        pod = {
            "metadata": {"name": "p", "labels": {"b": 'q"', "a": "1"}},
            "spec": {
                "nodeName": "simcluster-node", "containers": [container], "restartPolicy": "Never",
                "volumes": [{"name": "v", "projected": {"sources": sources}}],
            },
        }  # fmt: skip
        pod["metadata"]["labels"]["b"] = "q"
        node.registry.create("pods", "default", pod)
        return await outcome(node)

    assert on_node(tmp_path, scenario).splitlines() == ["K", 'a="1"', 'b="q"', "p", "250"]


def test_access_to_the_api_is_where_clients_look_for_it(tmp_path: Path) -> None:
    """Token, authority and namespace; the token is the pod's own, good for an hour and a little."""
    script = f"cd {ACCESS}; cat namespace ca.crt; echo; cat token; ls -la | grep -c data"

    async def scenario(node: Node) -> str:
        node.create(args=[script], restartPolicy="Never")
        return await outcome(node)

    text = on_node(tmp_path, scenario)
    first, rest = text.splitlines()
    token = rest[:-1] if rest.endswith("4") else rest.rstrip("0123456789")
    assert first == "defaultCA"
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 3607
    assert claims["aud"] == [ISSUER]
    assert claims["kubernetes.io"]["pod"]["name"] == "p"


def test_pod_that_wants_no_token_has_none(tmp_path: Path) -> None:
    """automountServiceAccountToken: false."""

    async def scenario(node: Node) -> str:
        node.create(
            args=[f"cat {ACCESS}/token 2>&1"], restartPolicy="Never", automountServiceAccountToken=False
        )
        return await outcome(node)

    assert "No such file or directory" in on_node(tmp_path, scenario)


def test_token_is_renewed_when_most_of_its_time_is_over(tmp_path: Path) -> None:
    """A running container finds another token in the same place, before the first has ended."""
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "vault"}}

    async def scenario(node: Node) -> tuple[list[str], list[float]]:
        waits: list[float] = []
        renewals: list[Callable[[], None]] = []
        call_later = node.kubelet._host.call_later

        def remember(delay_s: float, action: Callable[[], None]) -> Any:
            if delay_s < 60:
                return call_later(delay_s, action)
            waits.append(delay_s)
            renewals.append(action)
            return call_later(delay_s, action)

        object.__setattr__(node.kubelet._host, "call_later", remember)
        node.create(
            **shell("cat /v/token; echo; sleep 999", mount("v", "/v")),
            volumes=[{"name": "v", "projected": {"sources": [source]}}],
        )  # fmt: skip
        await node.until_running()
        _, first, _ = await node.run("cat", "/v/token")
        await asyncio.sleep(1.1)  # tokens of one second are alike
        for renew in renewals[:]:
            renew()
        _, second, _ = await node.run("cat", "/v/token")
        return [first, second], waits

    (first, second), waits = on_node(tmp_path, scenario)
    assert first != second
    assert 480 in waits
    claims = json.loads(base64.urlsafe_b64decode(second.split(".")[1] + "=="))
    assert claims["aud"] == ["vault"]


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"hostPath": {"path": "/etc", "type": "Directory"}}, "hostPath type check failed: /etc is not a"),
        ({"nfs": {"server": "x", "path": "/"}}, "nfs: this cluster has no such storage; known volumes: configMap"),
        ({"configMap": {"name": "cfg", "items": [{"key": "b", "path": "b"}]}}, "configmap references non-existent"),
    ],
    ids=["no such directory", "storage", "missing key"],
)  # fmt: skip
def test_volume_that_can_not_be_had(volume: dict[str, Any], text: str, tmp_path: Path) -> None:
    """The pod waits, and an event says why."""

    async def scenario(node: Node) -> list[str]:
        config(node, a="A")
        node.create(**shell("true", mount("v", "/v")), volumes=[{"name": "v"} | volume])
        await node.until(lambda pod: state_of(pod).get("waiting"))
        return node.events("FailedMount")

    (message,) = on_node(tmp_path, scenario)
    assert message.startswith(f'MountVolume.SetUp failed for volume "v" : {text}')


def test_program_in_a_config_map_is_run_where_it_is_mounted(tmp_path: Path) -> None:
    """A script that no image has; the working directory is a volume; a command beside it sees the same."""

    async def scenario(node: Node) -> tuple[bytes, str, str]:
        config(node, **{"run.sh": "#!/bin/sh\npwd\nexec sleep 60\n"})
        node.create(
            containers=[{
                "name": "c", "image": "shell:1", "command": ["/scripts/run.sh"], "workingDir": "/data/w",
                "volumeMounts": [mount("s", "/scripts"), mount("d", "/data/w")],
            }],
            volumes=[{"name": "s", "configMap": {"name": "cfg", "defaultMode": 0o755}}, {"name": "d", "emptyDir": {}}],
        )  # fmt: skip
        logged = await node.until_logged("/data/w")
        _, listed, _ = await node.run("ls", "/scripts")
        _, where, _ = await node.run("pwd")
        return logged, listed, where

    assert on_node(tmp_path, scenario) == (b"/data/w\n", "run.sh\n", "/data/w\n")
