"""What faults decide: whom they hit, in which order a pod ends, how slices are packed. Pure."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.faults.board import Board
from simcluster.faults.kinds import KINDS, Asked, FaultError, TerminationOrder, read, show
from simcluster.faults.race import Race
from simcluster.faults.requests import ApiLatency, ApiRefuse, EventsRepeat, Facts, RequestFaults
from simcluster.faults.reshuffling import repack
from simcluster.profile import FAST, Profile

FACTS = Facts("list", "pods", "default", "alice")
delays = st.floats(0, 2, allow_nan=False)


def profile(**given_s: float) -> Profile:
    return replace(FAST, **given_s)  # type: ignore[arg-type]


@given(delays, delays, delays, delays, delays, st.integers(), st.sampled_from(["endpoint", "sigterm"]))
def test_an_ordered_race_is_won_by_the_one_that_is_to_win(
    e: float, ej: float, s: float, sj: float, by_s: float, seed: int, first: str
) -> None:
    """Whatever the delays and the chance, by at least what was asked for."""
    usual = profile(endpoint_not_ready_s=e, endpoint_not_ready_jitter_s=ej, sigterm_s=s, sigterm_jitter_s=sj)
    race, chance = Race(), random.Random(seed)
    undo = race.order(TerminationOrder(first=first, by_s=by_s))
    endpoint_s, sigterm_s = race.endpoint_delay_s(usual, chance), race.sigterm_delay_s(usual, chance)
    winner_s, loser_s = (endpoint_s, sigterm_s) if first == "endpoint" else (sigterm_s, endpoint_s)

    assert loser_s - winner_s >= by_s - 1e-9
    undo()
    assert e <= race.endpoint_delay_s(usual, chance) <= e + ej


def test_an_open_race_is_won_by_either_side() -> None:
    """Without an order both come first at times: the race must not be simulated away."""
    race, chance = Race(), random.Random(1)
    usual = profile(endpoint_not_ready_jitter_s=0.01, sigterm_jitter_s=0.01)
    won = {race.endpoint_delay_s(usual, chance) < race.sigterm_delay_s(usual, chance) for _ in range(100)}

    assert won == {True, False}


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
endpoints = st.lists(st.integers(0, 99), unique=True, max_size=12)


@given(st.lists(endpoints, min_size=1, max_size=5), st.integers(1, 5), st.integers())
def test_slices_that_are_packed_anew_have_the_same_endpoints(
    parts: list[list[int]], size: int, seed: int
) -> None:
    """None is lost or comes twice more than before, no slice is too large, and what else a slice has is kept."""
    slices: list[dict[str, Any]] = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"s-{index}", "namespace": "n", "labels": {"a": "b"}, "uid": str(index)},
            "addressType": "IPv4",
            "ports": [{"port": 80}] if index % 2 else [{"port": 81}],
            "endpoints": [{"addresses": [f"10.0.{index}.{number}"]} for number in part] or None,
        }
        for index, part in enumerate(parts)
    ]

    def held(found: list[dict[str, Any]]) -> list[tuple[int, str]]:
        return sorted(
            (each["ports"][0]["port"], address)
            for each in found
            for endpoint in each["endpoints"] or ()
            for address in endpoint["addresses"]
        )

    packed = repack(slices, size, random.Random(seed))

    assert held(packed) == held(slices)
    assert all(len(each["endpoints"] or ()) <= size for each in packed)
    assert all(each["metadata"]["labels"] == {"a": "b"} and "uid" not in each["metadata"] for each in packed)


@pytest.mark.parametrize(
    ("scope", "is_hit"),
    [
        ({}, True),
        ({"verbs": ("list", "watch")}, True),
        ({"verbs": ("get",)}, False),
        ({"verbs": ("list",), "resources": ("services",)}, False),
        ({"users": ("bob",)}, False),
        ({"namespaces": ("default",), "users": ("alice",)}, True),
    ],
)
def test_a_scope_hits_what_all_of_its_parts_name(scope: dict[str, Any], is_hit: bool) -> None:
    """A part that is not given hits everything."""
    faults = RequestFaults(random.Random(1))
    remove = faults.add(ApiRefuse(**scope))

    assert (faults.refusal(FACTS) is not None) is is_hit
    remove()
    assert faults.refusal(FACTS) is None


def test_faults_of_requests_add_up_and_end_one_by_one() -> None:
    """Two equal delays are two; the one that ends takes its own away; a share is a chance."""
    faults = RequestFaults(random.Random(1))
    first, _second = faults.add(ApiLatency(delay_s=1.0)), faults.add(ApiLatency(delay_s=1.0))
    assert faults.delay_s(FACTS) == 2.0
    first()
    first()
    assert faults.delay_s(FACTS) == 1.0
    faults.add(EventsRepeat(times=3))
    assert faults.times(FACTS) == 3
    faults.add(ApiRefuse(share=0.5))
    assert {faults.refusal(FACTS) is None for _ in range(50)} == {True, False}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_it_is_shown(kind: str) -> None:
    """With its defaults, and with what it needs."""
    needed = {"namespace": "n", "service": "s", "pod": "p", "node": "x", "delay_s": 1.0}
    fields = KINDS[kind].__dataclass_fields__
    asked = read({"kind": kind, **{key: value for key, value in needed.items() if key in fields}})

    assert read(show(asked.fault)) == asked


@given(anything)
def test_nothing_that_is_asked_for_breaks_the_reader(document: Any) -> None:
    """Whatever comes is read or refused."""
    for asked in (
        document,
        {"kind": "api_latency", "delay_s": document},
        {"kind": "dns", "services": document},
    ):
        try:
            read(asked)
        except FaultError:
            continue


def test_a_fault_that_can_not_be_undone_does_not_hold_up_the_others() -> None:
    """All end, newest first, and each once."""
    ended: list[str] = []

    async def begin(fault: Any) -> Callable[[], Awaitable[None]]:
        async def undo() -> None:
            ended.append(fault.first)
            if fault.first == "sigterm":
                raise RuntimeError("broken")

        return undo

    async def run() -> bool:
        board = Board(begin, lambda: 0.0)
        for first in ("endpoint", "sigterm", "endpoint"):
            await board.begin(Asked(TerminationOrder(first=first)), None)
        await board.close()
        await board.close()
        return await board.undo("f1")

    assert asyncio.run(run()) is False
    assert ended == ["endpoint", "sigterm", "endpoint"]
