"""A node with a real kubelet, network and processes over a registry: for tests that make pods by hand."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcluster.controllers.events import Recorder
from simcluster.controllers.informers import Informers
from simcluster.controllers.loop import Context
from simcluster.kubelet.descent import find_descendants
from simcluster.kubelet.fleet import Fleet
from simcluster.kubelet.host import Host
from simcluster.kubelet.images import Images
from simcluster.kubelet.kubelet import Kubelet
from simcluster.kubelet.spawner import Spawner
from simcluster.network.addresses import claim_block
from simcluster.network.loopback import LoopbackNetwork
from simcluster.profile import FAST, Profile
from simcluster.registry import Registry
from simcluster.schema import load
from simcluster.tokens import TokenIssuer

Object = dict[str, Any]
NODE = "simcluster-node"
BINDINGS = [("shell:1", ("sh", "-c")), ("python:1", ("python", "-c")), ("idle:1", ("status-only",))]


@dataclass
class Node:
    """What tests do to a node."""

    registry: Registry
    kubelet: Kubelet
    spawner: Spawner
    directory: Path
    tokens: TokenIssuer

    def create(self, name: str = "p", **spec: Any) -> Object:
        """Create a pod that is bound to the node; `spec` without containers is one of `container`'s keywords."""
        if "containers" not in spec:
            keys = (
                "image",
                "command",
                "args",
                "env",
                "envFrom",
                "lifecycle",
                "ports",
                "imagePullPolicy",
                "volumeMounts",
            )
            probes = ("readinessProbe", "livenessProbe", "startupProbe")
            container = {key: spec.pop(key) for key in (*keys, *probes) if key in spec}
            spec["containers"] = [{"name": "c", "image": "shell:1"} | container]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"nodeName": NODE} | spec,
        }
        return self.registry.create("pods", "default", pod)

    def get(self, name: str = "p") -> Object:
        return self.registry.get("pods", "default", name)

    def status(self, name: str = "p") -> Object:
        return self.get(name).get("status", {})

    def container(self, name: str = "p") -> Object:
        """The status of the pod's only container."""
        found: Object = self.status(name)["containerStatuses"][0]
        return found

    async def until(
        self, condition: Callable[[Object], Any], name: str = "p", *, seconds: float = 20
    ) -> Object:
        """The pod, as soon as the condition holds of it; woken by its changes."""
        subscription = self.registry.watch("pods", "default")
        last: Object = {}
        try:
            async with asyncio.timeout(seconds):
                async for event in subscription:
                    if event.object["metadata"]["name"] == name:
                        last = event.object if event.type != "DELETED" else {"gone": True} | event.object
                        if condition(last):
                            return last
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {last.get('status')}") from None
        finally:
            subscription.close()
        raise AssertionError("the watch ended")

    async def until_gone(self, name: str = "p") -> Object:
        return await self.until(lambda pod: pod.get("gone"), name)

    async def until_running(self, name: str = "p") -> Object:
        return await self.until(lambda pod: state_of(pod).get("running"), name)

    async def until_logged(self, text: str, name: str = "p", container: str = "c") -> bytes:
        """The log up to where it has the text; woken by what is written."""
        seen = b""
        await self.until(lambda pod: {"running", "terminated"} & set(state_of(pod)), name)
        async with asyncio.timeout(20):
            async for piece in await self.logs(name, container, follow=True):
                seen += piece
                if text.encode() in seen:
                    return seen
        raise AssertionError(f"the log ended without {text!r}: {seen!r}")

    async def logs(self, name: str = "p", container: str = "c", **selection: Any) -> AsyncIterator[bytes]:
        usual = dict.fromkeys(("since_s", "since_at", "tail_lines", "limit_bytes"))
        flags = dict.fromkeys(("follow", "previous", "timestamps"), False)
        return await self.kubelet.logs("default", name, container, **usual | flags | selection)

    async def log(self, name: str = "p", container: str = "c", **selection: Any) -> str:
        pieces = await self.logs(name, container, **selection)
        return b"".join([piece async for piece in pieces]).decode()

    async def run(
        self, *command: str, name: str = "p", stdin: bytes | None = None, tty: bool = False
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command executed in the pod."""
        execution = await self.kubelet.execute(
            "default", name, "c", list(command), stdin=stdin is not None, tty=tty
        )
        if stdin is not None:
            await execution.write_stdin(stdin)
            await execution.close_stdin()
        texts = {1: b"", 2: b""}
        async for channel, data in execution.output():
            texts[channel] += data
        return await execution.wait(), texts[1].decode(), texts[2].decode()

    def pid(self, name: str = "p") -> int:
        """The main process of the pod's container."""
        uid = self.get(name)["metadata"]["uid"]
        return self.kubelet._workers[uid].instances["c"].child.pid

    def events(self, reason: str) -> list[str]:
        return [
            each["message"] for each in self.registry.list("events", "default")[0] if each["reason"] == reason
        ]

    def processes(self) -> set[int]:
        """All processes of pods."""
        process = self.spawner._process
        return set() if process is None else find_descendants(process.pid)

    def edit(self, resource: str, name: str, change: Callable[[Object], None]) -> None:
        copy = deepcopy(self.registry.get(resource, "default", name))
        change(copy)
        self.registry.update(resource, "default", name, copy)


def state_of(pod: Object, index: int = 0) -> Object:
    """The state of a container in a pod's status."""
    statuses = pod.get("status", {}).get("containerStatuses")
    found: Object = statuses[index]["state"] if statuses else {}
    return found


@asynccontextmanager
async def running(directory: Path, profile: Profile = FAST) -> AsyncIterator[Node]:
    """A node; ends with nothing running."""
    rng = random.Random(4)
    block = claim_block(random.Random())
    network = LoopbackNetwork(block)
    registry = Registry(load(), clock=time.time, chance=rng, addresses=network.service_addresses)
    for namespace in ("default", "kube-node-lease"):
        registry.create("namespaces", None, {"metadata": {"name": namespace}})
    registry.create("serviceaccounts", "default", {"metadata": {"name": "default"}})
    informers = Informers(registry)
    call_later = asyncio.get_running_loop().call_later
    context = Context(registry, informers, profile, rng, time.time, call_later)
    spawner = Spawner()
    network.follow(context, spawner, directory)
    await network.start()
    tokens = TokenIssuer()
    (directory / "pods").mkdir()
    host = Host(
        node=NODE, version="v1.36.3", registry=registry, informers=informers, profile=profile, rng=rng, clock=time.time,
        call_later=call_later, recorder=Recorder(registry, "kubelet", clock=time.time, host=NODE), spawner=spawner,
        network=network, place=network.place(0, 1), images=Images.bind(BINDINGS), directory=directory / "pods",
        endpoint={"url": "https://127.0.0.1:6443", "authority": b"CA"}, api=("127.0.0.1", 6443), tokens=tokens,
        capacity={"cpu": "2", "memory": "1Gi"},
    )  # fmt: skip
    kubelet = Kubelet(host)
    fleet = Fleet(registry, informers, profile, call_later, [kubelet])
    fleet.start()
    try:
        yield Node(registry, kubelet, spawner, directory / "pods", tokens)
    finally:
        await fleet.stop()
        await network.stop()
        await spawner.stop()
        informers.close()
