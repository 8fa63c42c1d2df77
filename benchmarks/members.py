"""`python -m benchmarks.members WHAT COUNT PORT`: what so many members cost; prints one JSON object.

WHAT is `channels` (as many plain channels of gRPC, connected: the peer) or `pool` (members of a pool, connected, and
then ten of them replaced). Every connection goes to a loopback address of its own at PORT.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from benchmarks.processes import read_memory
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.policies import POLICIES, Policy, make_picker
from kube_grpc.pool import Pool
from kube_grpc.target import Target

REPLACED = 10
_UPDATES = 5
_PICKS = 20_000
_WAIT_S = 120.0
_POLL_S = 0.000_5


def list_addresses(count: int) -> list[str]:
    """Loopback addresses, all different."""
    return [f"127.88.{number // 250}.{number % 250 + 1}" for number in range(count)]


def await_that(holds: Callable[[], bool]) -> float:
    """Until it holds; when that was (perf_counter)."""
    give_up_at = time.perf_counter() + _WAIT_S
    while not holds():
        if time.perf_counter() > give_up_at:
            raise TimeoutError(f"not within {_WAIT_S:g} s")
        time.sleep(_POLL_S)
    return time.perf_counter()


def hold_channels(addresses: Sequence[str], port: int) -> dict[str, float]:
    """Plain channels; looking at them has them connect."""
    empty = read_memory([os.getpid()])
    channels: list[Any] = [grpc.insecure_channel(f"ipv4:{each}:{port}") for each in addresses]
    states = [each._channel for each in channels]  # noqa: SLF001  # as kube_grpc.member: without a thread for each
    ready = grpc.ChannelConnectivity.READY.value[0]
    await_that(lambda: all(each.check_connectivity_state(try_to_connect=True) == ready for each in states))
    return {"kb_each": (read_memory([os.getpid()]) - empty) * 1e3 / len(addresses)}


def hold_pool(addresses: Sequence[str], port: int) -> dict[str, Any]:
    """Members of a pool; the time from telling it a set with ten others to the snapshot that calls read."""
    empty = read_memory([os.getpid()])
    pool = Pool(Target("greeter", "default", port), Options(), rng=random.Random(1))  # noqa: S311
    kept, spare = (
        addresses[:-REPLACED],
        (addresses[-REPLACED:], list_addresses(len(addresses) + REPLACED)[-REPLACED:]),
    )
    pool.found(_say_set([*kept, *spare[0]], port))
    await_that(lambda: pool.picker is not None and len(pool.picker.members) == len(addresses))
    memory = (read_memory([os.getpid()]) - empty) * 1e3 / len(addresses)
    applied_s, served_s = [], []
    for number in range(1, _UPDATES + 1):
        new = spare[number % 2]
        wanted, found = _say_set([*kept, *new], port), set(new)
        before = pool.members
        begun_at = time.perf_counter()
        pool.found(wanted)
        applied_s.append(await_that(lambda before=before: pool.members is not before) - begun_at)  # type: ignore[misc]
        served_s.append(await_that(lambda found=found: found <= _list_serving(pool)) - begun_at)  # type: ignore[misc]
    # A policy that looks for the least busy member looks no further than an idle one.
    for member in pool.members:
        member.in_flight.append(None)
    picks = {policy: time_picks(policy, pool.members) for policy in POLICIES}
    pool.close()
    return {"kb_each": memory, "applied_s": applied_s, "served_s": served_s, "picks_us": picks}


def _say_set(addresses: Sequence[str], port: int) -> EndpointSet:
    return EndpointSet(tuple(sorted((Endpoint(each, port) for each in addresses), key=lambda item: item.key)))


def _list_serving(pool: Pool) -> set[str]:
    return set() if pool.picker is None else {item.endpoint.address for item in pool.picker.members}


def time_picks(policy: str | Policy, members: Sequence[Any], *, picks: int = _PICKS) -> float:
    """One pick among these, in µs of this thread's processor time."""
    hash_key = "user" if policy == "consistent_hash" else None
    empty = make_picker(
        policy,
        hash_key=hash_key,
        slow_start_s=0.0,
        clock=time.monotonic,
        rng=random.Random(1),  # noqa: S311
    )
    picker = empty.advance(tuple(sorted(members, key=lambda item: item.key)))
    metadata = [("user", "alice")]
    begun = time.thread_time()
    for _ in range(picks):
        picker.pick(metadata)
    return (time.thread_time() - begun) / picks * 1e6


def main(what: str, count: int, port: int) -> None:
    """Hold them, and print what they cost."""
    hold: Callable[[Sequence[str], int], dict[str, Any]] = {"channels": hold_channels, "pool": hold_pool}[
        what
    ]
    print(json.dumps(hold(list_addresses(count), port)))  # noqa: T201 -- the result
    sys.stdout.flush()
    os._exit(0)  # closing a thousand connections one by one is not what is measured


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
