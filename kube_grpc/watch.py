"""Discovery by watching: three loops, one for each scale of failure.

    run              for ever: reports every failure, waits, starts over
    _list_then_watch one list and all watches after it: ends when the revision has expired or the API fails
    _follow          one connection: ends when the server ends it, or resumes once if it was cut

Rule: each loop handles the failures of its own scale only. Whatever fails, what was known stays known
(`endpoints`), so a failure never takes an address away. All waiting can be interrupted by `stop`.

Does not open connections to pods, and does not decide what to do with the set it reports.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kube_grpc import endpoints
from kube_grpc.backoff import Backoff
from kube_grpc.endpoints import EndpointSet, Known
from kube_grpc.errors import DiscoveryError
from kube_grpc.slices import SliceReader

_LOGGER = logging.getLogger("kube_grpc")


class Report(Protocol):
    """Whoever wants to know the endpoints. All methods return at once."""

    def found(self, wanted: EndpointSet) -> None:
        """The full set, whenever the API told something."""
        ...

    def works(self) -> None:
        """Discovery is complete: for a watch, that it stands, and not only that a list was answered."""
        ...

    def failed(self, error: DiscoveryError) -> None:
        """One attempt failed; what was found stands."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of the watch.

    `connection_s`: the server is asked to end each watch after this (rounded, 1 at least), less up to a fifth by lot.
    One that is silent for that long and then some (`SliceReader.late_s`) is half-open: this bounds how long a dead
    connection can hide changes, at the price of one request each time. The next watch goes on from the last revision,
    and API servers send a bookmark before they end one, so it is never a list and hardly ever an old revision.
    `shortest_s`: a connection that ends sooner and empty counts as a failure. `hurry_s`: while calls find nobody (see
    `Watch.hurry`), no wait is longer, and no watch is cut that is younger.
    """

    connection_s: float = 15.0
    shortest_s: float = 1.0
    hurry_s: float = 5.0
    backoff: Backoff = field(default_factory=Backoff)


class Watch:
    """Watches one Service and reports each change as a full set."""

    def __init__(
        self,
        reader: SliceReader,
        port: int | str,
        report: Report,
        *,
        pace: Pace | None = None,
        rng: random.Random,
    ) -> None:
        self._reader = reader
        self._port = port
        self._report = report
        self._pace = Pace() if pace is None else pace
        self._rng = rng
        self._stopped = threading.Event()
        self._known = Known()
        self._failures = 0  # in a row
        self._cuts = 0  # connections cut since the last event
        self._revision = ""
        self._opened_at: float | None = None  # the watch that is open, monotonic
        self._hurried = threading.Event()

    def run(self) -> None:
        """Runs until `stop`; for a thread of its own."""
        keep_on(self._stopped, self._list_then_watch, self._endure, str(self._reader))

    def stop(self) -> None:
        """Ends `run` at once, also in the middle of a wait or a read."""
        self._stopped.set()
        self._hurried.set()
        self._reader.cancel()

    def hurry(self) -> None:
        """From any thread: calls find nobody, though not because nobody is listed. Look again soon, and do not trust a
        connection that may be dead: a new one goes on from the same revision.
        """
        self._hurried.set()
        self.doubt(time.monotonic() - self._pace.hurry_s)

    def doubt(self, since_at: float) -> None:
        """From any thread: something happened at that instant (monotonic) that a watch should have told by now.
        One that was open before is cut; a new connection goes on from the same revision.
        """
        opened_at = self._opened_at
        if opened_at is not None and opened_at < since_at:
            self._opened_at = None
            self._cuts = 0  # Ours is no sign of trouble.
            self._reader.cut()

    def _rest(self, delay_s: float) -> None:
        """Wait; once somebody is in a hurry, only the shorter time."""
        until = time.monotonic() + min(delay_s, self._pace.hurry_s * self._rng.uniform(0.5, 1.0))
        if self._hurried.wait(delay_s):
            self._stopped.wait(max(0.0, until - time.monotonic()))

    def _endure(self, error: DiscoveryError) -> None:
        if self._stopped.is_set():
            return
        self._failures += 1
        # Expired once is the normal way to be told to list again; twice without a success between is not.
        if error.kind == "expired" and self._failures == 1:
            return
        # The report keeps the error; the frames that it came through would keep a response and its connection.
        self._report.failed(error.with_traceback(None))
        self._rest(self._pace.backoff.delay_s(self._failures, self._rng))

    def _list_then_watch(self) -> None:
        slices, self._revision = self._reader.list()
        self._publish(endpoints.relist(self._known, slices))
        self._cuts = 0
        while not self._stopped.is_set():
            try:
                self._follow()
            except DiscoveryError as error:
                # A cut connection is resumed at once from the last revision. Cut again before an event or an
                # orderly end came through, it is a failure of the scale above.
                self._cuts += 1
                if error.kind != "broken" or self._cuts > 1:
                    raise

    def _follow(self) -> None:
        started_at = time.monotonic()
        duration_s = max(1, round(self._pace.connection_s * self._rng.uniform(0.8, 1.0)))
        events = self._reader.watch(self._revision, duration_s=duration_s)
        self._hurried.clear()
        self._report.works()
        brought_nothing = True
        self._opened_at = started_at
        try:
            for event in events:
                brought_nothing = False
                self._cuts = 0
                self._take(event)
        finally:
            self._opened_at = None
            lasted_s = time.monotonic() - started_at
            is_vain = brought_nothing and lasted_s < self._pace.shortest_s
            if not is_vain:
                self._failures = 0  # Not before: an API server may open a watch only to say that it can not.
        self._cuts = 0
        if is_vain:
            msg = f"the API server ended a watch after {lasted_s:.3f} s without an event"
            raise DiscoveryError(msg, kind="answer")

    def _take(self, event: dict[str, Any]) -> None:
        self._revision = event["object"]["metadata"]["resourceVersion"]
        if event["type"] != "BOOKMARK":
            self._publish(endpoints.fold(self._known, event["type"], event["object"]))

    def _publish(self, known: Known) -> None:
        self._known = known
        self._report.found(endpoints.resolve(known, self._port))


def keep_on(
    stopped: threading.Event, once: Callable[[], None], endure: Callable[[DiscoveryError], None], name: str
) -> None:
    """Do it over and over until stopped; what goes wrong is endured.

    Nothing may end this loop: a pool without discovery looks well until its pods are replaced.
    """
    while not stopped.is_set():
        try:
            once()
        except DiscoveryError as error:
            endure(error)
        except Exception as error:
            _LOGGER.exception("discovery of %s: unforeseen error", name)
            unforeseen = f"unforeseen {type(error).__name__}: {error}"
            endure(DiscoveryError(unforeseen, kind="unforeseen"))
