"""`python -m benchmarks.callers STYLE SLICES SLICE_S ONE ALL ADDRESS …`: the same calls through four channels by turns.

STYLE is `sync` (one thread, one call at a time) or `aio` (sixteen tasks). The channels: a bare one to the first
address, kube_grpc over the Service ONE, which has that address alone, gRPC's own round_robin over all addresses, and
kube_grpc over the Service ALL, which has them too. Prints one JSON object.

The rule it keeps: the code that calls is one and the same, and the channels take turns of a fraction of a second in one
process, so that whatever else the machine does meets all alike. What pools do beside calls goes on in the others'
turns as well: a look at each member 20 times a second, 3 µs each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

import kube_grpc.aio
from benchmarks.echo import METHOD

KINDS = ("bare", "pool_of_one", "round_robin", "pool")
TASKS = 16
_PAYLOAD = b"x" * 100
_TIMEOUT_S = 10.0
_WARM_UP = 200


class Turns:
    """What one channel did, over all its turns."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def note(self, latencies_s: list[float], wall_s: float, cpu_s: float) -> None:
        """One more turn."""
        self.latencies_s += latencies_s
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def show(self) -> dict[str, float]:
        """Calls a second, latency in ms at p50 and p99, and processor time of this process for each call in µs."""
        ordered = sorted(self.latencies_s)
        count = len(ordered)
        return {
            "rate": count / self.wall_s,
            "p50_ms": ordered[count // 2] * 1e3,
            "p99_ms": ordered[count * 99 // 100] * 1e3,
            "cpu_us": self.cpu_s / count * 1e6,
        }


def open_channels(
    module: Any, pooled: Callable[[str], Any], targets: Sequence[str], pods: Sequence[str]
) -> dict[str, Any]:
    """A channel of each kind; `module` is grpc or grpc.aio."""
    private = ("grpc.use_local_subchannel_pool", 1)  # else the two share the connection to the first pod
    return {
        "pool_of_one": pooled(targets[0]),
        "bare": module.insecure_channel(f"ipv4:{pods[0]}", [private]),
        "round_robin": module.insecure_channel(
            f"ipv4:{','.join(pods)}", [private, ("grpc.lb_policy_name", "round_robin")]
        ),
        "pool": pooled(targets[1]),
    }


def call_sync(slices: int, slice_s: float, targets: Sequence[str], pods: Sequence[str]) -> dict[str, Turns]:
    """One thread, one call at a time."""
    channels = open_channels(grpc, kube_grpc.Channel, targets, pods)
    calls = {kind: channel.unary_unary(METHOD) for kind, channel in channels.items()}
    turns = {kind: Turns() for kind in KINDS}

    def take(call: Any, until: float) -> list[float]:
        latencies = []
        clock = time.perf_counter
        while (begun_at := clock()) < until:
            call(_PAYLOAD, timeout=_TIMEOUT_S)
            latencies.append(clock() - begun_at)
        return latencies

    for call in calls.values():
        for _ in range(_WARM_UP):
            call(_PAYLOAD, timeout=_TIMEOUT_S, wait_for_ready=True)
    for number in range(slices):
        for kind in _order(number):
            wall, cpu = time.perf_counter(), time.process_time()
            latencies = take(calls[kind], wall + slice_s)
            turns[kind].note(latencies, time.perf_counter() - wall, time.process_time() - cpu)
    for channel in channels.values():
        channel.close()
    return turns


async def call_aio(
    slices: int, slice_s: float, targets: Sequence[str], pods: Sequence[str]
) -> dict[str, Turns]:
    """Sixteen tasks, each with one call at a time."""
    channels = open_channels(grpc.aio, kube_grpc.aio.Channel, targets, pods)
    calls = {kind: channel.unary_unary(METHOD) for kind, channel in channels.items()}
    turns = {kind: Turns() for kind in KINDS}

    async def take(call: Any, until: float, latencies: list[float]) -> None:
        clock = time.perf_counter
        while (begun_at := clock()) < until:
            await call(_PAYLOAD, timeout=_TIMEOUT_S)
            latencies.append(clock() - begun_at)

    for call in calls.values():
        for _ in range(_WARM_UP):
            await call(_PAYLOAD, timeout=_TIMEOUT_S, wait_for_ready=True)
    for number in range(slices):
        for kind in _order(number):
            latencies: list[float] = []
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(take(calls[kind], wall + slice_s, latencies) for _ in range(TASKS)))
            turns[kind].note(latencies, time.perf_counter() - wall, time.process_time() - cpu)
    for channel in channels.values():
        await channel.close()
    return turns


def _order(number: int) -> tuple[str, ...]:
    """Everybody is first, second and so on equally often."""
    first = number % len(KINDS)
    return KINDS[first:] + KINDS[:first]


def main(style: str, slices: int, slice_s: float, targets: Sequence[str], pods: Sequence[str]) -> None:
    """Call, and print what came of it."""
    if style == "sync":
        turns = call_sync(slices, slice_s, targets, pods)
    else:
        turns = asyncio.run(call_aio(slices, slice_s, targets, pods))
    print(json.dumps({kind: turn.show() for kind, turn in turns.items()}))  # noqa: T201 -- the result


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:6], sys.argv[6:])
