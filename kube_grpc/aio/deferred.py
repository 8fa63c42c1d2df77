"""A call that waits for a member: it stands for grpc.aio's call until there is one, and then is it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kube_grpc.aio.cancelling import is_cancelled_itself
from kube_grpc.aio.outcome import NoMemberError
from kube_grpc.aio.pool import AioPool
from kube_grpc.member import Member

# Makes a call on a member that was entered, with what is left of the time-out.
Begin = Callable[[Member, float | None], Any]


class DeferredCall(
    grpc.aio.UnaryUnaryCall,  # type: ignore[type-arg]  # generic in the stubs only
    grpc.aio.UnaryStreamCall,  # type: ignore[type-arg]
    grpc.aio.StreamUnaryCall,  # type: ignore[type-arg]
    grpc.aio.StreamStreamCall,  # type: ignore[type-arg]
):
    """A call of any kind that waits for a member, and then is the call on that member.

    It waits on its own, whether or not anybody awaits it, as grpc.aio's calls begin by themselves.
    """

    __slots__ = ("_begin", "_is_patient", "_metadata", "_pool", "_task", "_timeout")

    def __init__(
        self, pool: AioPool, begin: Begin, timeout: float | None, metadata: Any, *, is_patient: bool
    ) -> None:
        self._pool = pool
        self._begin = begin
        self._timeout = timeout
        self._metadata = metadata
        self._is_patient = is_patient
        self._task: asyncio.Task[Any] = asyncio.ensure_future(self._find())
        # A call that nobody asks fails without a word, as gRPC's do.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _find(self) -> Any:
        began_at = time.monotonic()
        try:
            member = await self._pool.wait(
                self._timeout, is_patient=self._is_patient, metadata=self._metadata
            )
        except NoMemberError as error:
            return FailedCall(error)
        left_s = None if self._timeout is None else max(0.0, self._timeout - (time.monotonic() - began_at))
        return self._begin(member, left_s)

    async def _found(self) -> Any:
        """The call, or why there is none. Cancelling who asks cancels the call, as gRPC has it."""
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    async def _ask(self, what: str) -> Any:
        """What the call says of itself; if it was cancelled while it waited, what gRPC's own says then."""
        try:
            call = await self._found()
        except asyncio.CancelledError:
            if not self._task.cancelled() or is_cancelled_itself():
                raise
            call = NoMemberError(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
        return await ask(call, what)

    def __await__(self) -> Generator[Any, None, Any]:
        """The response; raises grpc.aio.AioRpcError."""
        return self._respond().__await__()

    async def _respond(self) -> Any:
        return await (await self._found())

    async def _iterate(self) -> AsyncIterator[Any]:
        async for response in await self._found():
            yield response

    def __aiter__(self) -> AsyncIterator[Any]:
        """The responses."""
        return self._iterate()

    async def read(self) -> Any:
        """The next response, or grpc.aio.EOF."""
        return await (await self._found()).read()

    async def write(self, request: Any) -> None:
        """Send one request."""
        await (await self._found()).write(request)

    async def done_writing(self) -> None:
        """There are no more requests."""
        await (await self._found()).done_writing()

    async def code(self) -> grpc.StatusCode:
        """The status."""
        return await self._ask("code")  # type: ignore[no-any-return]

    async def details(self) -> str:
        """The status's text."""
        return await self._ask("details")  # type: ignore[no-any-return]

    async def debug_error_string(self) -> str:
        """gRPC's own words on what went wrong."""
        return await self._ask("debug_error_string")  # type: ignore[no-any-return]

    async def initial_metadata(self) -> Any:
        """What the server sent first."""
        return await self._ask("initial_metadata")

    async def trailing_metadata(self) -> Any:
        """What the server sent last."""
        return await self._ask("trailing_metadata")

    async def wait_for_connection(self) -> None:
        """Until there is a member; raises NoMemberError."""
        await (await self._found()).wait_for_connection()

    def _now(self) -> Any:
        """The call if there is one by now."""
        return self._task.result() if self._task.done() and not self._task.cancelled() else None

    def cancel(self) -> bool:
        """Cancel the wait, or the call."""
        call = self._now()
        return self._task.cancel() if call is None else bool(call.cancel())

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        call = self._now()
        return self._task.cancelled() if call is None else bool(call.cancelled())

    def done(self) -> bool:
        """Whether it is over."""
        call = self._now()
        return self._task.cancelled() if call is None else bool(call.done())

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, None without one; while it waits, the whole time-out."""
        call = self._now()
        remaining: float | None = self._timeout if call is None else call.time_remaining()
        return remaining

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call it with this call once that is over."""

        def pass_on(task: asyncio.Task[Any]) -> None:
            if task.cancelled() or task.exception() is not None:
                callback(self)
            else:
                task.result().add_done_callback(lambda _call: callback(self))

        self._task.add_done_callback(pass_on)


class FailedCall:
    """What stands for grpc.aio's call where there was no member to make it on."""

    def __init__(self, error: NoMemberError) -> None:
        self._error = error

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        raise self._error

    async def _raise(self, *_: Any) -> Any:
        raise self._error

    read = write = done_writing = wait_for_connection = _raise

    async def __aiter__(self) -> AsyncIterator[Any]:
        raise self._error
        yield  # makes it an asynchronous generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._error, name)

    def cancel(self) -> bool:
        """Too late."""
        return False

    def cancelled(self) -> bool:
        """It failed; nobody cancelled it."""
        return False

    def done(self) -> bool:
        """It is over."""
        return True

    def time_remaining(self) -> float:
        """None: it is over."""
        return 0.0

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls it soon: it is over."""
        asyncio.get_running_loop().call_soon(callback, self)


async def ask(call: Any, what: str) -> Any:
    """A property of a call of grpc.aio, which has to be awaited, or of an error, which has not."""
    said = getattr(call, what)()
    return await said if isinstance(said, Awaitable) else said
