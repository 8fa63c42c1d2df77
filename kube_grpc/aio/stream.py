"""Calls with a stream: grpc.aio's own, but one that its pod's leaving cut off ends as failed, not as cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kube_grpc.aio.pool import AioPool
from kube_grpc.member import Member


class StreamCall:
    """What the three kinds share: a call on one member."""

    __slots__ = ("_call", "_is_cancelled", "_member", "_pool")

    def __init__(self, pool: AioPool, member: Member, call: Any) -> None:
        self._pool = pool
        self._member = member
        self._call = call
        self._is_cancelled = False  # By the caller.

    def _explain(self) -> None:
        if not self._is_cancelled:
            self._pool.explain_cancelled(self._member)

    async def _tell(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except asyncio.CancelledError:
            self._explain()
            raise

    def __await__(self) -> Generator[Any, None, Any]:
        """The response; raises grpc.aio.AioRpcError."""
        return self._tell(self._call).__await__()

    async def _iterate(self) -> AsyncIterator[Any]:
        try:
            async for response in self._call:
                yield response
        except asyncio.CancelledError:
            self._explain()
            raise

    def __aiter__(self) -> AsyncIterator[Any]:
        """The responses."""
        return self._iterate()

    async def read(self) -> Any:
        """The next response, or grpc.aio.EOF."""
        return await self._tell(self._call.read())

    async def write(self, request: Any) -> None:
        """Send one request."""
        await self._tell(self._call.write(request))

    async def done_writing(self) -> None:
        """There are no more requests."""
        await self._tell(self._call.done_writing())

    async def code(self) -> grpc.StatusCode:
        """The status."""
        return await self._call.code()  # type: ignore[no-any-return]

    async def details(self) -> str:
        """The status's text."""
        return await self._call.details()  # type: ignore[no-any-return]

    async def debug_error_string(self) -> str:
        """gRPC's own words on what went wrong."""
        return await self._call.debug_error_string()  # type: ignore[no-any-return]

    async def initial_metadata(self) -> Any:
        """What the server sent first."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        """What the server sent last."""
        return await self._call.trailing_metadata()

    async def wait_for_connection(self) -> None:
        """Until the call goes out."""
        await self._tell(self._call.wait_for_connection())

    def cancel(self) -> bool:
        """End it."""
        self._is_cancelled = True
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        """Whether it ended on this side."""
        return bool(self._call.cancelled())

    def done(self) -> bool:
        """Whether it is over."""
        return bool(self._call.done())

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        remaining: float | None = self._call.time_remaining()
        return remaining

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call it with this call once that is over."""
        self._call.add_done_callback(lambda _call: callback(self))


class UnaryStreamCall(StreamCall, grpc.aio.UnaryStreamCall):  # type: ignore[type-arg]  # generic in the stubs only
    """One request, a stream of responses."""

    __slots__ = ()


class StreamUnaryCall(StreamCall, grpc.aio.StreamUnaryCall):  # type: ignore[type-arg]  # generic in the stubs only
    """A stream of requests, one response."""

    __slots__ = ()


class StreamStreamCall(StreamCall, grpc.aio.StreamStreamCall):  # type: ignore[type-arg]  # generic in the stubs only
    """A stream of requests, a stream of responses."""

    __slots__ = ()
