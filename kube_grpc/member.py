"""One pod as the pool holds it: its endpoint, its connection, its calls in flight.

Rule: `endpoint`, `state`, `ping_error` and `is_retired` are written by the pool's keeper alone and read by
anybody. Calls are counted by anybody, without a lock: `in_flight` is a deque, whose append, pop and len are
atomic.

A call first counts itself and then looks at `is_retired`; the keeper first sets it and then looks at the
count. So either the call sees that it must choose another member, or the keeper sees that it has to wait for
the call.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import grpc

from kube_grpc.endpoints import Endpoint, Key

Connectivity = grpc.ChannelConnectivity
# C-core's numbers, which are the first half of each value of the enumeration.
_STATES: dict[int, Connectivity] = {cast("tuple[int, str]", item.value)[0]: item for item in Connectivity}


class Member:
    """A connection to one pod."""

    __slots__ = (
        "_on_last_call",
        "channel",
        "drain_by",
        "ejected_until",
        "ejections",
        "endpoint",
        "failures",
        "in_flight",
        "is_retired",
        "key",
        "lost_at",
        "methods",
        "opened_at",
        "ping_error",
        "ready_at",
        "state",
    )

    def __init__(self, endpoint: Endpoint, channel: Any, on_last_call: Callable[[Member], None]) -> None:
        self.endpoint = endpoint
        self.key: Key = endpoint.key
        self.channel = channel
        self.state = Connectivity.IDLE
        self.ping_error: str | None = None  # What the last ping said.
        self.failures = 0  # Calls that failed in a row; counted by calls, see `Ejection`.
        self.ejections = 0  # In a row.
        self.ejected_until: float | None = None  # Monotonic.
        self.ready_at = 0.0  # Monotonic: since when it serves.
        self.lost_at: float | None = None  # Monotonic: when its connection broke; None once it is back.
        self.is_retired = False  # No new calls.
        self.opened_at = time.monotonic()
        self.drain_by = math.inf  # Monotonic, once it is retired; calls that still run then are cancelled.
        self.in_flight: deque[None] = deque()
        self.methods: dict[Any, Any] = {}  # Multi-callables of this channel, by `calls.Method`.
        self._on_last_call = on_last_call

    @property
    def is_connected(self) -> bool:
        """Calls sent now go out at once."""
        return self.state is Connectivity.READY and self.ping_error is None and not self.is_retired

    @property
    def is_ejected(self) -> bool:
        """Left out for a while because its calls failed."""
        return self.ejected_until is not None

    @property
    def may_connect(self) -> bool:
        """It has not failed yet: worth waiting for."""
        return self.state in (Connectivity.IDLE, Connectivity.CONNECTING) and not self.is_retired

    def explain_pause(self) -> str:
        """Why no calls go there although it is a member."""
        if self.ping_error is not None:
            return f"its ping failed: {self.ping_error}"
        if self.is_connected and self.is_ejected:
            return f"{self.failures} calls in a row failed"
        return "it is terminating" if self.is_connected else "the connection is lost"

    def look(self) -> Connectivity:
        """gRPC's state of the connection now; has gRPC connect if it is idle. Not after the channel was
        closed.
        """
        # Asking is private in the sync API of grpcio (the asyncio API has it as Channel.get_state);
        # `subscribe`, which is public, takes a thread for each connection.
        connection: Any = self.channel._channel  # noqa: SLF001  # as said above
        return _STATES[connection.check_connectivity_state(try_to_connect=True)]

    def succeed(self) -> None:
        """A call was answered."""
        self.failures = 0
        if self.ejected_until is None:
            self.ejections = 0

    def enter(self) -> bool:
        """Count one call; False, and not counted, if the member takes no new calls."""
        self.in_flight.append(None)
        if self.is_retired:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        """The call that `enter` counted is over."""
        self.in_flight.pop()
        if self.is_retired and not self.in_flight:
            self._on_last_call(self)
