"""One run: its cluster, its scenarios one after the other, its report.

Rule: the cluster is made by the first scenario that needs it, and made anew where the next one needs another
shape; it is removed whatever happens. What a killed run has left is removed first, and said. A set-up that
failed fails every scenario with its reason and is not tried again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from harness import clusters, faults
from harness.clusters import Choice, Cluster, leases, removers
from harness.deployment import prepare
from harness.errors import ClusterError, HarnessError
from harness.images import Image
from harness.kube import Kube
from harness.progress import Progress
from harness.report import Folder, Judged, Refused, build, judge_history
from harness.runner import Access, Run
from harness.scenario import Scenario, Shape
from harness.settings import Settings


class Session:
    """The scenarios of one process. `finish` must be called, however it ends."""

    def __init__(
        self, settings: Settings, choice: Choice, images: Callable[[], Sequence[Image]], progress: Progress
    ) -> None:
        self._settings, self._choice = settings, choice
        self._images, self._progress = images, progress
        self._folder = Folder(settings.report)
        self._lease: leases.Lease | None = None
        self._cluster: Cluster | None = None
        self._access: Access | None = None
        self._failure: str | None = None
        self._shape: Shape | None = None
        self._has_begun = False
        self._refused: list[Refused] = []
        self.results: list[Judged] = []

    def find_obstacle(self, scenario: Scenario) -> str | None:
        """Why a scenario can not be run here; None if it can."""
        obstacle = faults.find_obstacle(scenario, self._choice.backend)
        if obstacle is not None:
            return obstacle
        return clusters.find_obstacle(scenario.cluster, self._choice, self._settings)

    @property
    def report(self) -> Path | None:
        """The file that this run has written; None if it has written none."""
        return self._folder.written

    def run(self, scenario: Scenario) -> Judged:
        """Run a scenario, save its history, judge it.

        Raises ClusterError where there is no cluster to run it on.
        """
        self._begin()
        if self._failure is not None:
            raise ClusterError(f"{self._failure}\n  (the cluster was tried once for all scenarios)")
        plan = prepare(scenario)
        with self._progress.working(scenario.name):
            access, lease = self._ready(scenario.cluster)
            number = 1 + sum(each.history.scenario == scenario.name for each in self.results)
            is_kept, say = self._settings.is_kept, self._progress.say
            run = Run(scenario, plan, access, lease, is_kept=is_kept, say=say, number=number)
            try:
                with _terminate_as_interrupt():
                    asyncio.run(run.perform())
            except HarnessError:
                pass  # the history carries it as its failure, and the verdict is fail
            finally:
                history = run.history()
                self._folder.add(history)
                self.results.append(judge_history(history, scenario))
                self._write()
        return self.results[-1]

    def refuse(self, path: Path, reason: str) -> str:
        """Put a scenario that could not be begun into the report; the reason, and why there is no report if so."""
        self._refused.append(Refused(path.stem, str(path), reason))
        try:
            self._begin()
        except ClusterError as error:
            return reason if str(error) in reason else f"{reason}\n{error}"
        self._write()
        return reason

    def finish(self) -> list[str]:
        """Remove the cluster and close the ledger. What could not be removed, or was kept, in words."""
        if self._lease is None:
            return []
        told: list[str] = []
        cluster, lease = self._cluster, self._lease
        self._cluster = self._lease = None
        if cluster is not None and self._settings.is_kept:
            told.append(_kept(cluster))
        elif cluster is not None:
            with self._progress.working("removing the cluster"):
                try:
                    cluster.stop()
                except HarnessError as error:
                    told.append(f"could not remove {cluster.name}: {error}\n  the next run tries again")
        lease.close(is_kept=self._settings.is_kept)
        return told

    def _ready(self, shape: Shape) -> tuple[Access, leases.Lease]:
        """The cluster, made or made anew if the one that is there has another shape."""
        if self._access is None or self._lease is None or self._shape != shape:
            try:
                with _terminate_as_interrupt():
                    self._access = self._start(shape)
            except HarnessError as error:
                self._failure = f"the cluster could not be set up: {error}"
                self._write()
                self._stop_after_failure()
                raise ClusterError(self._failure) from None
        if self._lease is None:
            raise ClusterError("the run has been finished")
        return self._access, self._lease

    def _start(self, shape: Shape) -> Access:
        self._shape = shape
        if self._cluster is not None and self._lease is not None:
            self._progress.say("removing the cluster: the next scenario needs another")
            self._cluster.stop()
            return self._make(shape, self._lease)
        where = leases.folder()
        for sentence in leases.sweep(where, removers()):
            self._progress.show(f"k8s: {sentence}")
        self._lease = leases.open_lease(where)
        return self._make(shape, self._lease)

    def _begin(self) -> None:
        if self._has_begun:
            return
        try:
            self._folder.begin()
        except OSError as error:
            raise ClusterError(
                f"--k8s-report {self._folder.path}: can not be written: {error.strerror}\n  give a folder of yours"
            ) from None
        self._has_begun = True

    def _make(self, shape: Shape, lease: leases.Lease) -> Access:
        self._cluster = cluster = clusters.make(self._choice, self._settings, lease, shape)
        cluster.start(self._images(), self._progress.say)
        version = asyncio.run(_version(cluster.kubeconfig, cluster.context, lease.folder()))
        return Access(
            cluster.backend, version, cluster.kubeconfig, cluster.context, cluster.breakable, cluster.advice
        )

    def _stop_after_failure(self) -> None:
        for sentence in self.finish():
            self._progress.show(f"k8s: {sentence}")

    def _write(self) -> None:
        document = build(
            self.results,
            refused=self._refused,
            backend=self._choice.backend,
            reason=self._choice.reason,
            kubernetes=None if self._access is None else self._access.kubernetes,
            failure=self._failure,
        )
        if self._has_begun:
            self._folder.write(document)


async def _version(kubeconfig: Path, context: str | None, scratch: Path) -> str:
    async with await Kube.connect(kubeconfig, context, scratch) as kube:
        return await kube.version()


def _kept(cluster: Cluster) -> str:
    reach = f"KUBECONFIG={cluster.kubeconfig}" if cluster.context is None else f"context {cluster.context}"
    remove = (
        f"; remove it with: kind delete cluster --name {cluster.name}" if cluster.backend == "kind" else ""
    )
    return f"kept: {cluster.name}, reached by {reach}{remove}"


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """While the block runs.

    SIGTERM (a CI job that is cancelled) ends the run as Ctrl-C does, with its clean-up.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background by a shell
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: nobody can be interrupted here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
