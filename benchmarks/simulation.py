"""What the simulated cluster needs and can do, beside a real control plane.

Each function measures one thing and returns its figures. Bounds are the project's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml

from benchmarks.clusters import Peers, Running, make_node, make_pod, start_control_plane, start_simulated
from benchmarks.load import PODS, connect, do_all, follow, read_revision, send
from benchmarks.processes import read_memory
from benchmarks.results import Bound, Figure, Series

Say = Callable[[str], None]
Start = Callable[[], contextlib.AbstractContextManager[Running]]
_CONTROL_PLANE = "etcd + kube-apiserver"
_WITH_KWOK = "etcd + kube-apiserver + kwok"
_SETTLING_S = 3.0
_AT_ONCE = 32
_PODS = 1_000
_MANY_PODS, _MANY_NODES = 10_000, 100
_WATCHERS, _CHANGES = 100, 1_000
_TIMEOUT_S = 300.0
_POLL_S = 0.05
_GREETER = Path(__file__).parent.parent / "manifests" / "greeter.yaml"


def measure_start(peers: Peers, rounds: int, say: Say) -> list[Figure]:
    """From starting the process to the first answered request, and the memory when it then idles."""
    figures: dict[str, list[list[float]]] = {"ours": [[], []], "theirs": [[], []]}
    targets: dict[str, Start] = {"ours": partial(start_simulated, images={})}
    if peers.has_control_plane:
        targets["theirs"] = partial(start_control_plane, peers)
    for number in range(rounds):
        for name, start in targets.items():
            say(f"start, round {number + 1} of {rounds}")
            begun_at = time.perf_counter()
            with start() as cluster:
                cluster.fetch("/api/v1/namespaces/default")
                figures[name][0].append(time.perf_counter() - begun_at)
                time.sleep(_SETTLING_S)  # idle is what is measured
                figures[name][1].append(read_memory(cluster.pids))
    start_s, idle = figures["ours"]
    theirs = [
        Series(tuple(values), unit) if values else None
        for values, unit in zip(figures["theirs"], ("s", "MB"), strict=True)
    ]
    return [
        Figure("start to first answered request", Series(tuple(start_s), "s"), Bound(0.5), _CONTROL_PLANE, theirs[0]),
        Figure("memory when idle, without a proxy", Series(tuple(idle), "MB"), Bound(80), _CONTROL_PLANE, theirs[1]),
    ]  # fmt: skip


def measure_pods(peers: Peers, rounds: int, say: Say) -> list[Figure]:
    """1 000 pods that are status only, created with 32 requests at once."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for number in range(rounds):
        say(f"pods, round {number + 1} of {rounds}")
        with start_simulated() as cluster:
            ours.append(asyncio.run(create_and_run(cluster, None)))
        if peers.has_kwok:
            with start_control_plane(peers, kwok=True) as cluster:
                theirs.append(asyncio.run(create_and_run(cluster, "node-0")))
    return [
        Figure(
            f"{_PODS} status-only pods, {_AT_ONCE} requests at once: {what}",
            Series(tuple(each[index] for each in ours), "a second"),
            Bound(limit, at_most=False),
            _WITH_KWOK,
            Series(tuple(each[index] for each in theirs), "a second") if theirs else None,
        )
        for index, (what, limit) in enumerate((("created", 1_500), ("Running", 1_000)))
    ]


async def create_and_run(cluster: Running, node: str | None) -> tuple[float, float]:
    """Pods a second created, and Running; without a scheduler a node must be named."""
    async with asyncio.timeout(_TIMEOUT_S), connect(cluster) as session:
        if node is not None:
            await _add_nodes(session, [node])
        revision = await read_revision(session, PODS)
        counting = asyncio.create_task(_await_running(session, _PODS, revision))
        begun_at = time.perf_counter()
        work = [
            partial(send, session, "POST", PODS, make_pod(f"pod-{number}", node)) for number in range(_PODS)
        ]
        created_s = await do_all(work, at_once=_AT_ONCE)
        running_at = await counting
        return _PODS / created_s, _PODS / (running_at - begun_at)


async def _add_nodes(session: aiohttp.ClientSession, names: Sequence[str]) -> None:
    """Nodes for a cluster without a scheduler, as soon as whoever looks after them has them Ready."""
    path = "/api/v1/nodes"
    await do_all([partial(send, session, "POST", path, make_node(name)) for name in names], at_once=_AT_ONCE)
    while True:
        nodes = orjson.loads(await send(session, "GET", path))["items"]
        ready = [each for each in nodes if _is_ready(each)]
        if len(ready) >= len(names):
            return
        await asyncio.sleep(_POLL_S)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _await_running(session: aiohttp.ClientSession, count: int, revision: str) -> float:
    """When the last of so many pods was told to be Running. A server may end the watch of a slow client: then it is
    listed and watched anew.
    """
    while True:
        running: set[str] = set()
        if revision == "":
            page = orjson.loads(await send(session, "GET", PODS))
            revision = page["metadata"]["resourceVersion"]
            running = {
                each["metadata"]["name"] for each in page["items"] if each["status"]["phase"] == "Running"
            }
        if len(running) == count:
            return time.perf_counter()
        async with contextlib.aclosing(
            _named(follow(session, PODS, {"resourceVersion": revision}), b'"phase":"Running"')
        ) as names:
            async for name in names:
                running.add(name)
                if len(running) == count:
                    return time.perf_counter()
        revision = ""


async def _named(lines: AsyncIterator[bytes], mark: bytes) -> AsyncGenerator[str, None]:
    """The objects' names of those lines that have the mark."""
    async for line in lines:
        if mark in line:
            yield orjson.loads(line)["object"]["metadata"]["name"]


def measure_lists(peers: Peers, rounds: int, say: Say) -> list[Figure]:
    """10 000 pods on 100 nodes: listing all of them, memory, and what a write costs then and before."""
    say(f"{_MANY_PODS} pods on {_MANY_NODES} nodes")
    with start_simulated(nodes=_MANY_NODES) as cluster:
        ours = asyncio.run(_fill_and_list(cluster, rounds, has_nodes=True))
    theirs = None
    if peers.has_kwok:
        say(f"{_MANY_PODS} pods on {_MANY_NODES} nodes of the peer")
        with start_control_plane(peers, kwok=True) as cluster:
            theirs = asyncio.run(_fill_and_list(cluster, rounds, has_nodes=False))
    wanted = (
        (f"{_MANY_PODS} pods: list of all", "list", Bound(0.5)),
        (f"{_MANY_PODS} pods on {_MANY_NODES} nodes: memory", "memory", Bound(300)),
        ("a write before them", "before", None),
        ("a write beside them", "after", None),
        ("a write beside them, over one before", "growth", Bound(1.25)),
    )
    return [
        Figure(what, ours[name], bound, _WITH_KWOK, None if theirs is None else theirs[name])
        for what, name, bound in wanted
    ]


async def _fill_and_list(cluster: Running, rounds: int, *, has_nodes: bool) -> dict[str, Series]:
    async with asyncio.timeout(_TIMEOUT_S), connect(cluster) as session:
        before = await _time_writes(session, "before", rounds)
        if not has_nodes:
            await _add_nodes(session, [f"node-{number}" for number in range(_MANY_NODES)])
        revision = await read_revision(session, PODS)
        counting = asyncio.create_task(_await_running(session, _MANY_PODS, revision))
        pods = [
            make_pod(f"pod-{number}", None if has_nodes else f"node-{number % _MANY_NODES}")
            for number in range(_MANY_PODS)
        ]
        await do_all([partial(send, session, "POST", PODS, pod) for pod in pods], at_once=_AT_ONCE)
        await counting
        lists_s = []
        for _ in range(rounds):
            begun_at = time.perf_counter()
            found = await send(session, "GET", "/api/v1/pods")
            lists_s.append(time.perf_counter() - begun_at)
            _require(found.count(b'"phase":"Running"') == _MANY_PODS, "a list holds all pods")
        after = await _time_writes(session, "after", rounds)
        return {
            "list": Series(tuple(lists_s), "s"),
            "memory": Series((read_memory(cluster.pids),), "MB"),
            "before": Series(tuple(before), "ms"),
            "after": Series(tuple(after), "ms"),
            "growth": Series((statistics.median(after) / statistics.median(before),), ""),
        }


async def _time_writes(session: aiohttp.ClientSession, name: str, rounds: int) -> list[float]:
    """Milliseconds for one write, one after the other; medians of as many rounds."""
    path = "/api/v1/namespaces/default/configmaps"
    medians = []
    for round_number in range(rounds):
        times = []
        for number in range(100):
            body = {"metadata": {"name": f"{name}-{round_number}-{number}"}, "data": {"a": "b"}}
            begun_at = time.perf_counter()
            await send(session, "POST", path, body)
            times.append((time.perf_counter() - begun_at) * 1e3)
        medians.append(statistics.median(times))
    return medians


def measure_watchers(peers: Peers, rounds: int, say: Say) -> list[Figure]:
    """100 watchers on 1 000 changes: how long after the answer to a write the last of them was told."""
    say(f"{_WATCHERS} watchers on {_CHANGES} changes")
    with start_simulated(images={}) as cluster:
        ours = [asyncio.run(_tell_all(cluster)) for _ in range(rounds)]
    theirs = None
    if peers.has_control_plane:
        with start_control_plane(peers) as cluster:
            theirs = Series(tuple(asyncio.run(_tell_all(cluster)) for _ in range(rounds)), "s")
    what = (
        f"{_WATCHERS} watchers, {_CHANGES} changes: a write's start to the last watcher told, 99th percentile"
    )
    return [Figure(what, Series(tuple(ours), "s"), Bound(0.1), _CONTROL_PLANE, theirs)]


async def _tell_all(cluster: Running) -> float:
    """Seconds from sending a write to the last watcher's line, 99th percentile over the changes."""
    path = "/api/v1/namespaces/default/configmaps"
    told: dict[bytes, list[float]] = {}
    everyone = asyncio.Event()
    async with asyncio.timeout(_TIMEOUT_S), connect(cluster) as session, asyncio.TaskGroup() as group:
        begin = b"watched-%d"
        revision = await read_revision(session, path)

        async def watch() -> None:
            async for line in follow(session, path, {"resourceVersion": revision}):
                mark = line.find(b'"count":"')
                if mark < 0:
                    continue
                number = line[mark + 9 : line.index(b'"', mark + 9)]
                times = told.setdefault(number, [])
                times.append(time.perf_counter())
                if len(times) == _WATCHERS:
                    everyone.set()

        watching = [group.create_task(watch()) for _ in range(_WATCHERS)]
        name = (begin % time.monotonic_ns()).decode()
        await send(session, "POST", path, {"metadata": {"name": name}, "data": {"count": "-1"}})
        await everyone.wait()
        lags = []
        for number in range(_CHANGES):
            everyone.clear()
            sent_at = time.perf_counter()
            body = {"data": {"count": str(number)}}
            await send(session, "PATCH", f"{path}/{name}", body, content_type="application/merge-patch+json")
            await everyone.wait()
            lags.append(max(told[str(number).encode()]) - sent_at)
        for each in watching:
            each.cancel()
        await send(session, "DELETE", f"{path}/{name}")
    return statistics.quantiles(lags, n=100)[98]


def measure_greeters(_peers: Peers, rounds: int, say: Say) -> list[Figure]:
    """200 Greeters, real processes, from the scaling to all of them Ready."""
    times_s = []
    for number in range(rounds):
        say(f"200 Greeters, round {number + 1} of {rounds}")
        with start_simulated(images={"greeter:dev": "python -m demo_server.server"}) as cluster:
            times_s.append(asyncio.run(scale_greeters(cluster, 200)))
    return [Figure("200 Greeters (processes), scaled up to all Ready", Series(tuple(times_s), "s"), Bound(3))]


async def scale_greeters(cluster: Running, replicas: int) -> float:
    """Seconds from the scaling to as many Ready Greeters."""
    path = "/apis/apps/v1/namespaces/default/deployments"
    async with asyncio.timeout(_TIMEOUT_S), connect(cluster) as session:
        await send(session, "POST", path, _make_greeters())
        # The first start imports what all later ones share.
        await _scale_to(session, path, 1)
        return await _scale_to(session, path, replicas)


async def _scale_to(session: aiohttp.ClientSession, path: str, replicas: int) -> float:
    """Seconds from the request to as many Ready replicas."""
    revision = await read_revision(session, path)
    begun_at = time.perf_counter()
    await send(
        session, "PATCH", f"{path}/greeter/scale", {"spec": {"replicas": replicas}},
        content_type="application/merge-patch+json",
    )  # fmt: skip
    async with contextlib.aclosing(follow(session, path, {"resourceVersion": revision})) as lines:
        async for line in lines:
            if orjson.loads(line)["object"].get("status", {}).get("readyReplicas") == replicas:
                return time.perf_counter() - begun_at
    raise RuntimeError("the watch ended before all replicas were Ready")


def _make_greeters() -> dict[str, Any]:
    """The Deployment of manifests/, with no replicas yet, and no requests that a small node could not grant."""
    documents = yaml.safe_load_all(_GREETER.read_text(encoding="utf-8"))
    found: dict[str, Any] = next(each for each in documents if each["kind"] == "Deployment")
    found["spec"]["replicas"] = 0
    for container in found["spec"]["template"]["spec"]["containers"]:
        container.pop("resources", None)
    return found


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 -- it reads as a sentence
    if not holds:
        raise RuntimeError(f"expected that {what}")
