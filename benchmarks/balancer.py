"""What the balancer costs, beside a bare channel to one pod and gRPC's own round_robin over the same pods.

The pods are echo servers in processes of their own (`echo`), their endpoints are in a simulated cluster, and who calls
is a process of its own (`callers`, `members`). Bounds are the project's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kubernetes import client, config

from benchmarks.callers import TASKS
from benchmarks.clusters import Peers, Running, start_simulated
from benchmarks.members import REPLACED
from benchmarks.results import Bound, Figure, Series

_PODS = 3
_MEMBERS = 1_000
# Calls a second beside those of the same turns. round_robin's are to be reached: 3 % are noise.
_LEAST_OF_BARE = 0.9
_LEAST_OF_ROUND_ROBIN = 0.97
_STYLES = {"sync": "one thread", "aio": f"{TASKS} tasks"}
_TIMEOUT_S = 600.0


def measure_calls(
    _peers: Peers, rounds: int, say: Callable[[str], None], *, slices: int = 15, slice_s: float = 0.2
) -> list[Figure]:
    """Unary calls, sync and aio: how many a second, how long, and what they cost the caller's processor."""
    figures = []
    with _start_pods() as pods, start_simulated() as cluster:
        targets = _publish(cluster, {"one": pods[:1], "all": pods})
        for style, how in _STYLES.items():
            found = []
            for number in range(rounds):
                say(f"calls, {style}, round {number + 1} of {rounds}")
                words = [style, str(slices), str(slice_s), *targets, *pods]
                found.append(_run("callers", words, {"KUBECONFIG": str(cluster.kubeconfig)}))
            figures += _compare(f"{style}, {how}", found)
    return figures


def _compare(how: str, found: Sequence[dict[str, dict[str, float]]]) -> list[Figure]:
    def of(kind: str, what: str, unit: str) -> Series:
        return Series(tuple(each[kind][what] for each in found), unit)

    def beside(ours: str, theirs: str, least: float | None, what: str) -> Figure:
        values = tuple(each[ours]["rate"] / each[theirs]["rate"] for each in found)
        bound = None if least is None else Bound(least, at_most=False)
        return Figure(f"{how}: calls a second, {what}", Series(values, "of its"), bound)

    many = f"{_PODS} pods"
    figures = [
        beside("pool_of_one", "bare", _LEAST_OF_BARE, "1 pod, beside a bare channel to it"),
        beside("pool", "round_robin", _LEAST_OF_ROUND_ROBIN, f"{many}, beside gRPC's round_robin"),
        beside("pool", "bare", None, f"{many}, beside a bare channel to 1"),
        beside("round_robin", "bare", None, f"{many}, gRPC's round_robin beside a bare channel to 1"),
    ]
    wanted = (
        ("calls", "rate", "a second"), ("latency p50", "p50_ms", "ms"), ("latency p99", "p99_ms", "ms"),
        ("caller's processor for each", "cpu_us", "µs"),
    )  # fmt: skip
    pairs = (
        ("1 pod", "pool_of_one", "bare", "a bare channel"),
        (many, "pool", "round_robin", "gRPC's round_robin"),
    )
    for pods, ours, theirs, peer in pairs:
        figures += [
            Figure(f"{how}: {pods}, {label}", of(ours, what, unit), None, peer, of(theirs, what, unit))
            for label, what, unit in wanted
        ]
    return figures


def measure_members(
    _peers: Peers, rounds: int, say: Callable[[str], None], *, count: int = _MEMBERS
) -> list[Figure]:
    """A pool of 1 000 connected members: picks, an update, memory. No API is asked: the pool is told its endpoints."""
    pools: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    for number in range(rounds):
        say(f"members, round {number + 1} of {rounds}")
        for what, found in (("pool", pools), ("channels", channels)):
            # Each with a server of its own: one that was left by a thousand clients is another.
            with _start_echo("0.0.0.0:0") as port:
                found.append(_run("members", [what, str(count), str(port)], {}))
    figures = [
        Figure(
            f"{count} members, pick: {policy}",
            Series(tuple(each["picks_us"][policy] for each in pools), "µs"),
            Bound(5),
        )
        for policy in sorted(pools[0]["picks_us"])
    ]
    updates = {
        "applied: calls read the new set": ("applied_s", Bound(50)),
        "the new ones are connected and serve": ("served_s", None),
    }
    for label, (what, bound) in updates.items():
        values = tuple(seconds * 1e3 for each in pools for seconds in each[what])
        figures.append(Figure(f"{count} members, {REPLACED} replaced, {label}", Series(values, "ms"), bound))
    figures.append(
        Figure(
            "memory of an idle, connected member",
            Series(tuple(each["kb_each"] for each in pools), "kB"), None,
            "a plain channel", Series(tuple(each["kb_each"] for each in channels), "kB"),
        )
    )  # fmt: skip
    return figures


@contextlib.contextmanager
def _start_echo(address: str) -> Iterator[int]:
    """A server that ends with its standard input."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.echo", address],
        cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            said = process.stdout.readline() if process.stdout is not None else b""
            yield int(said)
        finally:
            process.kill()


@contextlib.contextmanager
def _start_pods() -> Iterator[list[str]]:
    """Servers at one port of several addresses, as pods have it."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(_start_echo("127.77.0.1:0"))
        addresses = [f"127.77.0.{number + 1}" for number in range(_PODS)]
        for each in addresses[1:]:
            stack.enter_context(_start_echo(f"{each}:{port}"))
        yield [f"{each}:{port}" for each in addresses]


def _publish(cluster: Running, services: dict[str, Sequence[str]]) -> list[str]:
    """The endpoints of these Services, by name; their targets."""
    api = client.DiscoveryV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    targets = []
    for service, pods in services.items():
        port = pods[0].rpartition(":")[2]
        body: Any = {
            "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": "grpc", "port": int(port), "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [each.rpartition(":")[0]], "conditions": {"ready": True}} for each in pods
            ],
        }
        api.create_namespaced_endpoint_slice("default", body)
        targets.append(f"{service}.default:{port}")
    return targets


def _run(program: str, words: Sequence[str], environment: dict[str, str]) -> Any:
    """The JSON object that a program of this package prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}", *words],
        cwd=Path(__file__).parents[1], env={**os.environ, **environment},
        stdout=subprocess.PIPE, text=True, check=True, timeout=_TIMEOUT_S,
    )  # fmt: skip
    return json.loads(done.stdout)
