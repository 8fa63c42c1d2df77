"""Discovery by polling, as the original kube-grpc: the full set is listed anew every refresh interval.

Rule: a refresh replaces what was known (an empty list excepted, see `endpoints`). A failed one is tried again
after a back-off that is never longer than the interval. All waiting can be interrupted by `stop`.

The other half of the original, the ping each second, is in `pings`.
"""

from __future__ import annotations

import random
import threading

from kube_grpc import endpoints
from kube_grpc.backoff import Backoff
from kube_grpc.endpoints import Known
from kube_grpc.errors import DiscoveryError
from kube_grpc.slices import SliceReader
from kube_grpc.watch import Report, keep_on


class Poll:
    """Lists the endpoints of one Service again and again."""

    def __init__(
        self, reader: SliceReader, port: int | str, report: Report, *, interval_s: float, rng: random.Random
    ) -> None:
        self._reader = reader
        self._port = port
        self._report = report
        self._interval_s = interval_s
        self._backoff = Backoff(most_s=interval_s)
        self._rng = rng
        self._stopped = threading.Event()
        self._known = Known()
        self._failures = 0  # in a row

    def run(self) -> None:
        """Runs until `stop`; for a thread of its own."""
        keep_on(self._stopped, self._refresh, self._endure, str(self._reader))

    def stop(self) -> None:
        """Ends `run` at once, unless a list is under way: that one is bounded by its own time-outs."""
        self._stopped.set()
        self._reader.cancel()

    def hurry(self) -> None:
        """Nothing: it asks again soon by itself."""

    def doubt(self, since_at: float) -> None:
        """Nothing: each list is a new request."""

    def _refresh(self) -> None:
        slices, _ = self._reader.list()
        self._failures = 0
        self._known = endpoints.relist(self._known, slices)
        self._report.found(endpoints.resolve(self._known, self._port))
        self._report.works()
        self._stopped.wait(self._interval_s)

    def _endure(self, error: DiscoveryError) -> None:
        if self._stopped.is_set():
            return
        self._failures += 1
        # The report keeps the error; the frames that it came through would keep a response and its connection.
        self._report.failed(error.with_traceback(None))
        self._stopped.wait(self._backoff.delay_s(self._failures, self._rng))
