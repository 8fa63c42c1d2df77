"""The four kinds of multi-callables of an asyncio channel: each call picks a member and is counted there.

Rule: what the caller passes goes on unchanged to grpc.aio's multi-callable of the chosen member. What comes back stands
for grpc.aio's own call: a `RepeatableCall`, unary-unary, may be made again on another member; a `StreamCall` tells
whether it was cut off; a `DeferredCall` found no member, waits for one, and then is the call.

With no member: AioPool.wait says who waits for what.
"""

# ruff: noqa: FBT001  # the signatures are those of grpc.aio's multi-callables

from __future__ import annotations

import time
from typing import Any

import grpc
import grpc.aio

from kube_grpc.aio.deferred import Begin, DeferredCall
from kube_grpc.aio.pool import AioPool
from kube_grpc.aio.repeatable import RepeatableCall, call_when_over
from kube_grpc.aio.stream import StreamCall, StreamStreamCall, StreamUnaryCall, UnaryStreamCall
from kube_grpc.lease import Lease
from kube_grpc.member import Member
from kube_grpc.methods import Method

Arguments = dict[str, Any]


class _Caller:
    """What the four kinds share."""

    __slots__ = ("_lease", "_method", "_pool")

    def __init__(self, pool: AioPool, method: Method, lease: Lease | None) -> None:
        self._pool = pool
        self._method = method
        self._lease = lease  # Calls hold it by the functions that they begin or end with.

    def _call(self, kind: type[StreamCall], request: Any, timeout: float | None, arguments: Arguments) -> Any:
        """Begin a call with a stream, now or as soon as there is a member."""

        def begin(member: Member, left_s: float | None) -> Any:
            call = self._begin(member, request, left_s, arguments)
            call.add_done_callback(lambda done: call_when_over(_judge(self._pool, member, done)))
            return kind(self._pool, member, call)

        return self._enter(
            begin, timeout, arguments["metadata"], is_patient=arguments["wait_for_ready"] is True
        )

    def _enter(self, begin: Begin, timeout: float | None, metadata: Any, *, is_patient: bool) -> Any:
        self._pool.require_open()
        member = self._pool.enter(metadata)
        if member is None:
            return DeferredCall(self._pool, begin, timeout, metadata, is_patient=is_patient)
        return begin(member, timeout)

    def _begin(self, member: Member, request: Any, timeout: float | None, arguments: Arguments) -> Any:
        """Make the call on a member that was entered; it is left when the call is over."""
        try:
            call = self._method.bind(member)(request, timeout=timeout, **arguments)
        except BaseException:
            member.leave()
            raise
        call.add_done_callback(lambda _call: member.leave())
        return call


class UnaryUnary(_Caller, grpc.aio.UnaryUnaryMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """One request, one response."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """A call to be awaited."""
        # Not gRPC's wait_for_ready: it would bind the call to this member, even if that never comes back.
        arguments = {"metadata": metadata, "credentials": credentials, "compression": compression}
        deadline = None if timeout is None else time.monotonic() + timeout

        def begin(member: Member, left_s: float | None) -> Any:
            return self._begin(member, request, left_s, arguments)

        def repeatable(member: Member, left_s: float | None) -> RepeatableCall:
            return RepeatableCall(
                self._pool, begin, member, left_s, deadline, metadata,
                is_patient=wait_for_ready is True, hedge=hedge,
            )  # fmt: skip

        hedge = self._pool.hedge
        if hedge is not None and not hedge.covers(self._method.name):
            hedge = None
        if self._pool.budget is not None:
            self._pool.budget.earn()
        return self._enter(repeatable, timeout, metadata, is_patient=wait_for_ready is True)


class UnaryStream(_Caller, grpc.aio.UnaryStreamMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """One request, a stream of responses."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """A call to be iterated or read."""
        arguments = _pack(metadata, credentials, wait_for_ready, compression)
        return self._call(UnaryStreamCall, request, timeout, arguments)


class StreamUnary(_Caller, grpc.aio.StreamUnaryMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """A stream of requests, one response."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """A call to be awaited; requests come from the iterator or are written."""
        arguments = _pack(metadata, credentials, wait_for_ready, compression)
        return self._call(StreamUnaryCall, request_iterator, timeout, arguments)


class StreamStream(_Caller, grpc.aio.StreamStreamMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """A stream of requests, a stream of responses."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """A call to be iterated or read; requests come from the iterator or are written."""
        arguments = _pack(metadata, credentials, wait_for_ready, compression)
        return self._call(StreamStreamCall, request_iterator, timeout, arguments)


async def _judge(pool: AioPool, member: Member, call: Any) -> None:
    pool.judge(member, await call.code())


def _pack(metadata: Any, credentials: Any, wait_for_ready: bool | None, compression: Any) -> Arguments:
    return {
        "metadata": metadata,
        "credentials": credentials,
        "wait_for_ready": wait_for_ready,
        "compression": compression,
    }
