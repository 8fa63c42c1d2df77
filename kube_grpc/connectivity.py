"""Telling subscribers the connectivity of a whole pool, as grpc.Channel.subscribe does for one connection.

Rule: each subscriber gets the state at once and then each change, in order, from one thread that is started for
the first subscriber and ends with the pool; a slow or raising subscriber holds up nobody but other subscribers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

import grpc

Callback = Callable[[grpc.ChannelConnectivity], None]

_LOGGER = logging.getLogger("kube_grpc")


class Announcer:
    """Delivers states. All methods return at once and may be called from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._state = grpc.ChannelConnectivity.IDLE
        self._callbacks: list[Callback] = []
        self._queue: SimpleQueue[tuple[Callback, grpc.ChannelConnectivity] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def subscribe(self, callback: Callback) -> None:
        """Call it with the state of now and every later one."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._deliver, name=f"{self._name} connectivity", daemon=True
                )
                self._thread.start()
            self._callbacks.append(callback)
            self._queue.put((callback, self._state))
            if self._state is grpc.ChannelConnectivity.SHUTDOWN:
                self._end()

    def unsubscribe(self, callback: Callback) -> None:
        """No later states for it; unknown ones are ignored."""
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def announce(self, state: grpc.ChannelConnectivity) -> None:
        """Tell everybody, if it is a change."""
        with self._lock:
            if state is self._state:
                return
            self._state = state
            for callback in self._callbacks:
                self._queue.put((callback, state))

    def abandon(self) -> None:
        """In the child of a fork: there is no thread, and whoever held the lock is gone."""
        self._lock = threading.Lock()
        self._queue = SimpleQueue()
        self._thread = None

    def restart(self) -> None:
        """Go on telling those who had subscribed."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self.subscribe(callback)

    def close(self) -> None:
        """Tell everybody SHUTDOWN, then end the thread."""
        self.announce(grpc.ChannelConnectivity.SHUTDOWN)
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._callbacks.clear()
        if self._thread is not None:
            self._queue.put(None)
            self._thread = None

    def _deliver(self) -> None:
        while (item := self._queue.get()) is not None:
            callback, state = item
            try:
                callback(state)
            except Exception:
                _LOGGER.exception("%s: a connectivity subscriber raised", self._name)
