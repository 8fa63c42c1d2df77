"""Asking each member regularly whether it answers.

Rule: all members at once, each with a deadline of one interval, and no second round before the first is over. A call
that the caller's ping makes without a timeout gets the deadline. A ping that hangs in something else holds one thread,
and its member is not asked again before it ends: the others go on to be asked, and nobody is blamed for want of a turn.

Without a ping of the caller's, a member is asked nothing: a connection that gRPC can not make counts as a
failed ping. Does not judge: it reports each result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any, NamedTuple

import grpc

from kube_grpc import forks
from kube_grpc.member import Connectivity, Member

_MOST_THREADS = 32


# Gets each result: the member, and what went wrong or None.
Listener = Callable[[Member, str | None], None]


class Pinger:
    """Pings the members that `members()` lists, every `interval_s`."""

    def __init__(
        self,
        members: Callable[[], tuple[Member, ...]],
        ping: Callable[[Any], object] | None,
        listener: Listener,
        *,
        interval_s: float,
    ) -> None:
        self._members = members
        self._ping = ping
        self._listener = listener
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._hanging: dict[Member, futures.Future[str | None]] = {}  # Of earlier rounds.

    def run(self) -> None:
        """Runs until `stop`; for a thread of its own."""
        executor = futures.ThreadPoolExecutor(_MOST_THREADS, "kube-grpc ping")
        try:
            while not self._stopped.wait(self._interval_s):
                self._ping_all(executor)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Ends `run` as soon as the pings under way are answered or have reached their deadline."""
        self._stopped.set()

    def _ping_all(self, executor: futures.Executor) -> None:
        # One that is still connecting for the first time is not asked yet: it takes no calls either.
        self._hanging = {item: future for item, future in self._hanging.items() if not future.done()}
        asked = [item for item in self._members() if not item.may_connect and item not in self._hanging]
        if self._ping is None:
            for member in asked:
                self._listener(member, self._describe_state(member))
            return
        pending = {executor.submit(self._ping_one, member): member for member in asked}
        # The deadline of each call ends the wait; a ping that hangs in something else than a call is given up
        # on.
        done, late = futures.wait(pending, timeout=2 * self._interval_s)
        for future in done:
            self._listener(pending[future], future.result())
        for future in late:
            if future.cancel():
                continue  # Its turn did not come, behind others that hang: nothing is known of it.
            self._hanging[pending[future]] = future
            self._listener(pending[future], f"no answer within {2 * self._interval_s:g} s")

    def _ping_one(self, member: Member) -> str | None:
        failure = self._describe_state(member)
        if failure is not None or self._ping is None:
            return failure
        deadline = time.monotonic() + self._interval_s
        try:
            with forks.inside():
                answer = self._ping(grpc.intercept_channel(member.channel, _Deadline(deadline)))
                if isinstance(answer, grpc.Future):
                    # Longer than the deadline of the call, so that the call's own words are what is reported.
                    answer.result(timeout=2 * self._interval_s)
        except grpc.FutureTimeoutError:
            return f"no answer within {2 * self._interval_s:g} s"
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        except Exception as error:  # noqa: BLE001 the caller's own code: whatever it raises means "does not answer"
            return f"{type(error).__name__}: {error}"
        return None

    def _describe_state(self, member: Member) -> str | None:
        return "can not be connected to" if member.state is Connectivity.TRANSIENT_FAILURE else None


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Deadline(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]  # generic in the stubs only
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]  # generic in the stubs only
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]  # generic in the stubs only
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]  # generic in the stubs only
):
    """Gives calls that have no timeout the time until `deadline`."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def _bound(self, continuation: Any, details: Any, request: Any) -> Any:
        if details.timeout is not None:
            return continuation(details, request)
        left_s = max(0.0, self._deadline - time.monotonic())
        bounded = _Details(
            details.method,
            left_s,
            details.metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return continuation(bounded, request)

    # The stubs type each kind of call apart; what is done to it is the same.
    intercept_unary_unary = _bound  # type: ignore[assignment]
    intercept_unary_stream = _bound  # type: ignore[assignment]
    intercept_stream_unary = _bound  # type: ignore[assignment]
    intercept_stream_stream = _bound  # type: ignore[assignment]


class StubPing:
    """Makes a ping of a stub into a ping of a channel."""

    def __init__(self, ping: Callable[[Any], object], stub_class: Callable[[Any], Any]) -> None:
        self._ping = ping
        self._stub_class = stub_class

    def __call__(self, channel: Any) -> object:
        """Ping by a stub over this channel."""
        return self._ping(self._stub_class(channel))
