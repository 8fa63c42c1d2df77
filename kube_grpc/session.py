"""A running pool: the pool, the discovery that feeds it, the pings, and their threads.

Rule: whoever opened it closes it, or drops all that could call (`lease`); `close` ends all threads, and waits for them
no longer than `_JOIN_S`.
(Only a request to an API server that does not answer can take longer; that thread ends at the request's
time-out, after a few seconds.) In the child of a fork it begins anew with the first call, see `forks`.
"""

from __future__ import annotations

import random
import threading

from kube_grpc import forks
from kube_grpc.discovery import Worker, find_target, make_discovery, open_access
from kube_grpc.options import Options
from kube_grpc.pings import Pinger
from kube_grpc.pool import Pool

_JOIN_S = 2.0


class Session:
    """Starts with construction. Raises TargetError and AccessError; an API that is away is no error."""

    def __init__(self, text: str, options: Options) -> None:
        self._options = options
        self._rng = random.Random()  # noqa: S311 chance for balancing and jitter, not for secrets
        self._access = open_access(options)
        self.target = find_target(text, self._access)
        self._reviving = threading.Lock()
        self.pool = Pool(self.target, options, rng=self._rng)
        self._begin()
        forks.follow(self)

    def _begin(self) -> None:
        forks.look_for_threads()
        options, pool = self._options, self.pool
        discovery = make_discovery(self._access, self.target, options, self.pool, self._rng)
        pool.hurry, pool.doubt = discovery.hurry, discovery.doubt
        self._workers: list[Worker] = [discovery]
        if options.mode == "poll" or options.ping is not None:
            self._workers.append(
                Pinger(lambda: pool.members, options.ping, pool.pinged, interval_s=options.ping_interval_s)
            )
        self._threads = [
            threading.Thread(
                target=item.run, name=f"kube-grpc {self.target} {type(item).__name__.lower()}", daemon=True
            )
            for item in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def abandon(self) -> None:
        """In the child of a fork: what was opened is the parent's; the first call begins anew."""
        self._reviving = threading.Lock()
        self._workers = []
        self._threads = []
        self.pool.abandon(self._revive)

    def _revive(self) -> None:
        with self._reviving:
            if self.pool.revive is None:
                return  # Another thread was first.
            forks.require_support()
            self._access = open_access(self._options)
            self._access.forget_connections()
            self.pool.restart()
            self._begin()

    def forsake(self) -> None:
        """Nobody can call any more: the pool's own thread ends everything. Takes no lock, see `lease`."""
        self.pool.leave_note(self.close)

    def close(self) -> None:
        """End everything; calls under way are cancelled. Again is no error."""
        for worker in self._workers:
            worker.stop()
        self.pool.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)
        self._access.close()
