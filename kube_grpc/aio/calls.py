"""The four kinds of multi-callables of an asyncio channel: each call picks a member and is counted there.

Rule: what the caller passes goes on unchanged to grpc.aio's multi-callable of the chosen member. What comes back is
grpc.aio's own call object, but in two cases: a call that finds no member is a `DeferredCall`, which waits for one and
then is the call; and a unary-unary call is a `RepeatableCall`, which is made again on another member if it provably
never left this process (see `attempts`): once, or with wait_for_ready until the deadline.

With no member: AioPool.wait says who waits for what.
"""

# ruff: noqa: FBT001  # the signatures are those of grpc.aio's multi-callables

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kube_grpc.aio.outcome import NoMemberError
from kube_grpc.aio.pool import AioPool
from kube_grpc.attempts import never_left
from kube_grpc.calls import Method
from kube_grpc.member import Member

Arguments = dict[str, Any]
Begin = Callable[[Member, float | None], Any]


class _Caller:
    """What the four kinds share."""

    __slots__ = ("_method", "_pool")

    def __init__(self, pool: AioPool, method: Method) -> None:
        self._pool = pool
        self._method = method

    def _call(self, request: Any, timeout: float | None, arguments: Arguments) -> Any:
        """Begin a call, now or as soon as there is a member."""

        def begin(member: Member, left_s: float | None) -> Any:
            return self._begin(member, request, left_s, arguments)

        return self._enter(begin, timeout, is_patient=arguments["wait_for_ready"] is True)

    def _enter(self, begin: Begin, timeout: float | None, *, is_patient: bool) -> Any:
        self._pool.require_open()
        member = self._pool.enter()
        if member is None:
            return DeferredCall(self._pool, begin, timeout, is_patient=is_patient)
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
                self._pool, begin, member, left_s, deadline, is_patient=wait_for_ready is True
            )

        return self._enter(repeatable, timeout, is_patient=wait_for_ready is True)


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
        return self._call(request, timeout, _pack(metadata, credentials, wait_for_ready, compression))


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
        return self._call(
            request_iterator, timeout, _pack(metadata, credentials, wait_for_ready, compression)
        )


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
        return self._call(
            request_iterator, timeout, _pack(metadata, credentials, wait_for_ready, compression)
        )


def _pack(metadata: Any, credentials: Any, wait_for_ready: bool | None, compression: Any) -> Arguments:
    return {
        "metadata": metadata,
        "credentials": credentials,
        "wait_for_ready": wait_for_ready,
        "compression": compression,
    }


class RepeatableCall(grpc.aio.UnaryUnaryCall):  # type: ignore[type-arg]  # generic in the stubs only
    """A unary-unary call that is made again on another member if it never left this process.

    It is settled when it is awaited or asked for its status; the attempt under way is grpc.aio's own call.
    """

    __slots__ = ("_attempt", "_begin", "_deadline", "_is_patient", "_is_second", "_member", "_pool")

    def __init__(
        self,
        pool: AioPool,
        begin: Begin,
        member: Member,
        timeout: float | None,
        deadline: float | None,
        *,
        is_patient: bool,
    ) -> None:
        self._pool = pool
        self._begin = begin
        self._deadline = deadline
        self._is_patient = is_patient
        self._is_second = False
        self._member = member
        self._attempt: Any = begin(member, timeout)

    def __await__(self) -> Generator[Any, None, Any]:
        """The response; raises grpc.aio.AioRpcError."""
        return self._settle().__await__()

    async def _settle(self) -> Any:
        while True:
            attempt, member = self._attempt, self._member
            try:
                return await attempt
            except grpc.aio.AioRpcError as error:
                if self._attempt is not attempt:
                    continue  # Somebody else who awaits this call has made it again.
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    self._pool.suspect()
                if (self._is_second and not self._is_patient) or not never_left(error, member):
                    raise
                if not await self._repeat(member, attempt):
                    raise

    async def _repeat(self, failed: Member, attempt: Any) -> bool:
        """Make the call on another member; False if there is none."""
        left_s = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        other = self._pool.enter_other(failed)
        if other is None and self._is_patient:
            other = await self._pool.wait(left_s, is_patient=True, other_than=failed)
            left_s = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        if other is None:
            return False
        if self._attempt is not attempt:
            other.leave()
            return True
        self._is_second = True
        self._member = other
        self._attempt = self._begin(other, left_s)
        return True

    async def _settled(self) -> Any:
        try:
            await self._settle()
        except NoMemberError as error:
            return _Failed(error)
        except grpc.aio.AioRpcError:
            return self._attempt
        return self._attempt

    async def code(self) -> grpc.StatusCode:
        """The status of the last attempt."""
        return await _ask(await self._settled(), "code")  # type: ignore[no-any-return]

    async def details(self) -> str:
        """The status's text."""
        return await _ask(await self._settled(), "details")  # type: ignore[no-any-return]

    async def debug_error_string(self) -> str:
        """gRPC's own words on what went wrong."""
        return await _ask(await self._settled(), "debug_error_string")  # type: ignore[no-any-return]

    async def initial_metadata(self) -> Any:
        """What the server sent first; available before the call is over."""
        attempt = self._attempt
        found = await attempt.initial_metadata()
        if not attempt.done() or len(found):
            return found
        return await _ask(await self._settled(), "initial_metadata")

    async def trailing_metadata(self) -> Any:
        """What the server sent last."""
        return await _ask(await self._settled(), "trailing_metadata")

    async def wait_for_connection(self) -> None:
        """Returns at once: calls are made on connected members only."""
        await self._attempt.wait_for_connection()

    def cancel(self) -> bool:
        """Cancel the attempt under way."""
        return bool(self._attempt.cancel())

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return bool(self._attempt.cancelled())

    def done(self) -> bool:
        """Whether the attempt under way is over."""
        return bool(self._attempt.done())

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        remaining: float | None = self._attempt.time_remaining()
        return remaining

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call it with this call once it is settled."""
        _call_when_over(self._settled(), lambda: callback(self))


class DeferredCall(
    grpc.aio.UnaryUnaryCall,  # type: ignore[type-arg]  # generic in the stubs only
    grpc.aio.UnaryStreamCall,  # type: ignore[type-arg]
    grpc.aio.StreamUnaryCall,  # type: ignore[type-arg]
    grpc.aio.StreamStreamCall,  # type: ignore[type-arg]
):
    """A call of any kind that waits for a member, and then is the call on that member.

    It waits on its own, whether or not anybody awaits it, as grpc.aio's calls begin by themselves.
    """

    __slots__ = ("_begin", "_is_patient", "_pool", "_task", "_timeout")

    def __init__(self, pool: AioPool, begin: Begin, timeout: float | None, *, is_patient: bool) -> None:
        self._pool = pool
        self._begin = begin
        self._timeout = timeout
        self._is_patient = is_patient
        self._task: asyncio.Task[Any] = asyncio.ensure_future(self._find())

    async def _find(self) -> Any:
        began_at = time.monotonic()
        try:
            member = await self._pool.wait(self._timeout, is_patient=self._is_patient)
        except NoMemberError as error:
            return _Failed(error)
        left_s = None if self._timeout is None else max(0.0, self._timeout - (time.monotonic() - began_at))
        return self._begin(member, left_s)

    async def _found(self) -> Any:
        """The call, or why there is none. Cancelling who asks cancels the call, as gRPC has it."""
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

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
        return await _ask(await self._found(), "code")  # type: ignore[no-any-return]

    async def details(self) -> str:
        """The status's text."""
        return await _ask(await self._found(), "details")  # type: ignore[no-any-return]

    async def debug_error_string(self) -> str:
        """gRPC's own words on what went wrong."""
        return await _ask(await self._found(), "debug_error_string")  # type: ignore[no-any-return]

    async def initial_metadata(self) -> Any:
        """What the server sent first."""
        return await _ask(await self._found(), "initial_metadata")

    async def trailing_metadata(self) -> Any:
        """What the server sent last."""
        return await _ask(await self._found(), "trailing_metadata")

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


class _Failed:
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
        return False

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def time_remaining(self) -> float:
        return 0.0

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        asyncio.get_running_loop().call_soon(callback, self)


async def _ask(call: Any, what: str) -> Any:
    """A property of a call of grpc.aio, which has to be awaited, or of an error, which has not."""
    said = getattr(call, what)()
    return await said if isinstance(said, Awaitable) else said


_watching: set[asyncio.Task[Any]] = set()


def _call_when_over(work: Any, callback: Callable[[], None]) -> None:
    task = asyncio.ensure_future(work)
    _watching.add(task)

    def over(done: asyncio.Task[Any]) -> None:
        _watching.discard(done)
        if not done.cancelled():
            done.exception()  # seen: it is told by the call itself
        callback()

    task.add_done_callback(over)
