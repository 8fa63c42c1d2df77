"""Probes over time: when each is due, and what so many successes or failures in a row mean.

The rules it keeps (pkg/kubelet/prober/worker.go): liveness and readiness wait for startup; what is known at
first is well for liveness, unwell for readiness, open for startup; a result counts once `successThreshold` or
`failureThreshold` of its kind came in a row; a failed liveness or startup probe is asked no more until the
container starts again; readiness goes on while the pod ends, and is asked out of turn while the container is new.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from simcluster.kubelet.probes import Outcome

Object = dict[str, Any]
Kind = Literal["startup", "liveness", "readiness"]
_DEFAULTS = {"initialDelaySeconds": 0, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1}
_DEFAULTS |= {"failureThreshold": 3}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The numbers of one probe, with the API's defaults."""

    initial_delay_s: float
    timeout_s: float
    period_s: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def of(cls, probe: Object) -> Schedule:
        """The numbers of a probe; absent and zero ones are the defaults."""
        numbers = {key: probe.get(key) or default for key, default in _DEFAULTS.items()}
        return cls(
            numbers["initialDelaySeconds"], numbers["timeoutSeconds"], numbers["periodSeconds"],
            numbers["successThreshold"], numbers["failureThreshold"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known (`is_well`, None at first for startup), and how many results of one kind came in a
    row.
    """

    is_well: bool | None
    last: bool | None = None
    in_row: int = 0

    @classmethod
    def initial(cls, kind: Kind) -> Tally:
        """What holds before the first result."""
        return cls({"startup": None, "liveness": True, "readiness": False}[kind])


def count(tally: Tally, schedule: Schedule, *, is_success: bool) -> Tally:
    """The tally after one more result. Pure."""
    in_row = tally.in_row + 1 if tally.last == is_success else 1
    counted = replace(tally, last=is_success, in_row=in_row)
    needed = schedule.success_threshold if is_success else schedule.failure_threshold
    return replace(counted, is_well=is_success) if in_row >= needed else counted


async def probe(
    kind: Kind,
    schedule: Schedule,
    check: Callable[[float], Awaitable[Outcome]],
    change: Callable[[bool], None],
    complain: Callable[[str], None],
    *,
    first_s: float = 0.0,
    again_s: float = 0.0,
) -> None:
    """Ask until cancelled, or until it is settled; `change` hears of each change of what is known.

    `first_s` is waited before the first probe; `complain` hears what each failure found. Startup is settled by either
    result, liveness by failure. Readiness that is not there yet is asked out of turn `again_s` after the start, and
    once more after as long: the kubelet looks at a new container then. The period begins anew with that.
    """
    loop = asyncio.get_running_loop()
    tally = Tally.initial(kind)
    begun_at = loop.time()
    # The kubelet's ticker runs from the start, and ticks within the initial delay do nothing.
    ticks = math.ceil(schedule.initial_delay_s / schedule.period_s)
    due_at = begun_at + max(ticks * schedule.period_s, first_s)
    looks = [begun_at + again_s, begun_at + 2 * again_s] if kind == "readiness" and again_s > 0 else []
    while True:
        look_at = looks[0] if looks and not tally.is_well else math.inf
        await asyncio.sleep(max(0.0, min(due_at, look_at) - loop.time()))
        if look_at <= due_at:
            looks = [each for each in looks if each > loop.time()]
            due_at = loop.time() + schedule.period_s
            if loop.time() < begun_at + schedule.initial_delay_s:
                continue
        else:
            due_at += schedule.period_s
        outcome = await check(schedule.timeout_s)
        if not outcome.is_success:
            complain(outcome.message)
        before, tally = tally, count(tally, schedule, is_success=outcome.is_success)
        if tally.is_well is not None and tally.is_well != before.is_well:
            change(tally.is_well)
            if kind == "startup" or (kind == "liveness" and not tally.is_well):
                return
        # As a ticker: a slow probe does not move the ones after it, and missed ones are not made up for.
        due_at = max(due_at, loop.time())
