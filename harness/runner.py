"""Running a scenario on a cluster: the one place where things happen. A Scenario in, a History out.

Rule: deploy everything but the clients and wait for it; then the clients, and wait until each is warm; only
then does the load count and do the steps begin. Whatever ends a run, failure or Ctrl-C, its history holds
all that was seen, and its namespace is deleted. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from harness.clusters import Breakable
from harness.clusters.existing import RUN_LABEL, delete_own_namespace
from harness.clusters.leases import NAMESPACE, Lease, Thing
from harness.collector import collect
from harness.deployment import Plan, Say, deploy
from harness.errors import HarnessError, StepError
from harness.faults import Faults
from harness.history import History, Note, StepDone
from harness.kube import NAMESPACES, Kube
from harness.listeners import read_tables, refuse_shared
from harness.scenario import Scenario
from harness.scene import Scene
from harness.stage import Stage
from harness.steps import perform

_DRAIN_S = 5.0
_BEAT_S = 0.05
_HELD_UP_S = 0.25


@dataclass(frozen=True, slots=True)
class Access:
    """A cluster that has been started, and how to reach it; `advice`: what its programs do as nowhere else."""

    backend: str
    kubernetes: str
    kubeconfig: Path
    context: str | None
    breakable: Breakable | None = None
    advice: str | None = None


class Run:
    """One scenario on one cluster.

    `number` is which of its runs this is. `await perform()` once; `history()` tells all that is known, at any time.
    """

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        access: Access,
        lease: Lease,
        *,
        is_kept: bool,
        say: Say,
        number: int = 1,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._scenario, self._plan = scenario, plan
        self._access, self._lease = access, lease
        self._is_kept, self._say = is_kept, say
        self._scene = Scene(now)
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self._failure: str | None = None
        self._held_up_s = 0.0
        # The namespace of the run before may be going still.
        name = scenario.name if number == 1 else f"{scenario.name}-{number}"
        self.namespace = namespace_name(name, lease.run)

    def history(self) -> History:
        """What has happened so far."""
        return History(
            scenario=self._scenario.name,
            path=str(self._scenario.path),
            text=self._scenario.text,
            backend=self._access.backend,
            kubernetes=self._access.kubernetes,
            records=tuple(self._scene.records),
            began_at=self._began_at,
            ended_at=self._ended_at,
            failure=self._failure,
            variants=tuple(variant.name for variant in self._scenario.variants),
        )

    async def perform(self) -> None:
        """Run the scenario to its end. Raises HarnessError; the history then has its text as `failure`."""
        self._failure = "the run was interrupted"
        try:
            async with (
                await Kube.connect(
                    self._access.kubeconfig, self._access.context, self._lease.folder()
                ) as kube,
                self._stage(kube) as stage,
            ):
                await self._deploy(stage)
                await self._play(stage)
        except HarnessError as error:
            self._failure = str(error)
            raise
        except (aiohttp.ClientError, OSError) as error:
            self._failure = f"the cluster stopped answering: {type(error).__name__}: {error}"
            raise StepError(self._failure) from None
        self._failure = None

    async def _deploy(self, stage: Stage) -> None:
        try:
            await deploy(self._plan, stage, self._say)
        except StepError as error:
            if self._access.advice is None or "pull image" in str(error):
                raise
            raise StepError(f"{error}\n  {self._access.advice}") from None
        if self._access.backend == "sim":
            service = self._scenario.target.service
            refuse_shared(service, stage.scene.slices_of(service), read_tables())

    @asynccontextmanager
    async def _stage(self, kube: Kube) -> AsyncIterator[Stage]:
        """A namespace that is being watched, deleted afterwards."""
        thing = Thing(NAMESPACE, self.namespace, str(self._access.kubeconfig), self._access.context)
        is_borrowed = self._access.backend == "kubeconfig"
        if is_borrowed:
            self._lease.add(thing)
        labels = {RUN_LABEL: self._lease.run, "app.kubernetes.io/managed-by": "kube-grpc"}
        metadata = {"name": self.namespace, "labels": labels}
        await kube.create(
            NAMESPACES.path(None), {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        )
        try:
            async with collect(kube, self.namespace, self._scene):
                faults = Faults(self._access.breakable, self._scene)
                try:
                    yield Stage(kube, self.namespace, self._scene, self._scenario, faults)
                finally:
                    await asyncio.shield(faults.close())
        except* (HarnessError, aiohttp.ClientError, OSError) as errors:
            raise _first(errors) from None
        finally:
            if not self._is_kept:
                await asyncio.shield(delete_own_namespace(kube, self.namespace, self._lease.run))
                if is_borrowed:
                    self._lease.cross_out(thing)

    async def _play(self, stage: Stage) -> None:
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            await self._act(stage)
        finally:
            heartbeat.cancel()
        if self._held_up_s > _HELD_UP_S:
            text = (
                f"this machine was overloaded: the harness was held up for {self._held_up_s:.1f} s at a time"
            )
            self._scene.record(Note(self._scene.now(), f"{text}; errors and gaps may be its doing"))

    async def _heartbeat(self) -> None:
        """How late this process gets to run.

        On a machine that has no time left, every number is about the machine.
        """
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self._held_up_s = max(self._held_up_s, loop.time() - due_at)

    async def _act(self, stage: Stage) -> None:
        self._began_at = self._scene.now()
        for step in self._scenario.steps:
            self._say(f"step {step.number} of {len(self._scenario.steps)}: {step.action}")
            at = self._scene.now()
            number, recorded = step.number, len(self._scene.records)
            self._scene.record(StepDone(at, at, number, step.verb, str(step.action), step.phase))
            done = await perform(step, stage)
            finished = StepDone(
                at,
                self._scene.now(),
                number,
                step.verb,
                str(step.action),
                step.phase,
                done.pods,
                done.struck_at,
            )
            self._scene.records[recorded] = finished
        self._ended_at = self._scene.now()
        self._say("waiting for the last answers")
        await self._drain()

    async def _drain(self) -> None:
        """Wait until each client's calls up to the end have arrived.

        Note the clients of which they have not.
        """
        ended_at = self._scene.now() if self._ended_at is None else self._ended_at
        timeout_s = self._scenario.load.deadline_s + _DRAIN_S
        clients = list(self._scene.clients.values())
        try:
            await self._scene.until(
                lambda: all(each.has_all_until(ended_at) for each in clients), timeout_s, str
            )
        except StepError:
            late = ", ".join(each.name for each in clients if not each.has_all_until(ended_at))
            self._scene.record(
                Note(self._scene.now(), f"the last calls of {late} did not arrive within {timeout_s:g} s")
            )


def namespace_name(scenario: str, run: str) -> str:
    """A namespace for a scenario: its name as DNS-1123 allows it, and the run's id."""
    slug = re.sub(r"[^a-z0-9]+", "-", scenario.lower()).strip("-")[: 63 - len(run) - 1].strip("-")
    return f"{slug}-{run}" if slug else f"scenario-{run}"


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise ValueError("an empty group")  # can not be: Python makes none
