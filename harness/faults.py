"""The faults of one scenario: begun by steps, and ended whatever happens.

Rule: what a scenario begins is over when it is over; each beginning and end stands in the history, so that a reader of
the numbers sees when what was broken. How a cluster is broken is its own business (`clusters`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.clusters import Breakable
from harness.errors import ClusterError, StepError
from harness.history import Note
from harness.scenario import Fault, Freeze, Scenario
from harness.scene import Scene


def find_obstacle(scenario: Scenario, backend: str) -> str | None:
    """Why a scenario can not be run on a backend; None if it can."""
    faults = [step for step in scenario.steps if isinstance(step.action, Fault)]
    if backend == "kind" and scenario.cluster.nodes > 1:  # a worker is a container, and can be paused
        faults = [step for step in faults if not (isinstance(step.action, Freeze) and step.action.is_of_node)]
    if not faults or backend == "sim":
        return None
    step = faults[0]
    return (
        f"{scenario.path}:{step.line}: step {step.number}: {step.verb} needs the simulated cluster "
        f"(--k8s-backend=sim); {backend} can not be broken this way. "
        "What works everywhere: kill with signal: STOP and CONT"
    )


class Faults:
    """The faults that hold in one scenario."""

    def __init__(self, breakable: Breakable | None, scene: Scene) -> None:
        self._breakable = breakable
        self._scene = scene
        self._active: dict[str, tuple[str, str, asyncio.TimerHandle | None]] = {}

    async def begin(
        self, verb: str, kind: str, fields: Mapping[str, Any], for_s: float | None, text: str
    ) -> None:
        """Begin a fault. StepError if the cluster refuses it."""
        if self._breakable is None:
            raise StepError(f"{verb} needs the simulated cluster")
        try:
            number = await asyncio.to_thread(self._breakable.begin, kind, dict(fields), for_s)
        except ClusterError as error:
            raise StepError(str(error)) from None
        timer = None
        if for_s is not None:
            timer = asyncio.get_running_loop().call_later(for_s, self._note_end, number)
        self._active[number] = (verb, text, timer)

    async def undo(self, verb: str) -> None:
        """End the faults of a verb, or of `all`; StepError if none of it holds."""
        numbers = [number for number, each in self._active.items() if verb in ("all", each[0])]
        if not numbers and verb != "all":
            held = ", ".join(sorted({each[0] for each in self._active.values()}))
            raise StepError(f"no {verb} holds; what holds: {held or 'nothing'}")
        for number in reversed(numbers):
            await self._end(number)

    async def close(self) -> None:
        """End all of them, newest first."""
        for number in reversed(list(self._active)):
            await self._end(number)

    async def _end(self, number: str) -> None:
        if self._breakable is not None:
            await asyncio.to_thread(self._breakable.undo, number)
        self._note_end(number)

    def _note_end(self, number: str) -> None:
        found = self._active.pop(number, None)
        if found is None:
            return
        _, text, timer = found
        if timer is not None:
            timer.cancel()
        self._scene.record(Note(self._scene.now(), f"over: {text}"))
