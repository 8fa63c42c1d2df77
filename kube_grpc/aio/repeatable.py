"""A unary-unary call that may be made again on another member, see `attempts`, or on several at once, see `hedges`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kube_grpc.aio.deferred import Begin, FailedCall, ask
from kube_grpc.aio.outcome import NoMemberError
from kube_grpc.aio.pool import AioPool
from kube_grpc.aio.racing import race
from kube_grpc.attempts import Attempts
from kube_grpc.hedges import Hedge
from kube_grpc.member import Member


class RepeatableCall(grpc.aio.UnaryUnaryCall):  # type: ignore[type-arg]  # generic in the stubs only
    """A unary-unary call of one or more attempts.

    It is settled when it is awaited or asked for its status; the attempt under way is grpc.aio's own call.
    """

    __slots__ = (
        "_attempt",
        "_attempts",
        "_begin",
        "_deadline",
        "_hedge",
        "_is_cancelled",
        "_is_patient",
        "_member",
        "_metadata",
        "_pool",
        "_race",
    )

    def __init__(
        self,
        pool: AioPool,
        begin: Begin,
        member: Member,
        timeout: float | None,
        deadline: float | None,
        metadata: Any,
        *,
        is_patient: bool,
        hedge: Hedge | None = None,
    ) -> None:
        self._pool = pool
        self._begin = begin
        self._deadline = deadline
        self._is_patient = is_patient
        self._metadata = metadata
        self._attempts: Attempts | None = None
        self._member = member
        self._attempt: Any = begin(member, timeout)
        self._hedge = hedge
        self._is_cancelled = False  # By the caller.
        self._race: asyncio.Task[Any] | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        """The response; raises grpc.aio.AioRpcError."""
        return self._settle().__await__()

    async def _settle(self) -> Any:
        while True:
            attempt, member = self._attempt, self._member
            try:
                response = await (attempt if self._hedge is None else self._answer(self._hedge))
            except grpc.aio.AioRpcError as error:
                if self._attempt is not attempt:
                    continue  # Somebody else who awaits this call has made it again.
                self._pool.judge(member, error.code())
                if not await self._repeat(error, member, attempt):
                    raise
            except asyncio.CancelledError:
                if not self._is_cancelled:
                    self._pool.explain_cancelled(member)
                raise
            else:
                if self._hedge is None and (member.failures or member.ejections):
                    member.succeed()
                return response

    async def _answer(self, hedge: Hedge) -> Any:
        """The response of the attempt under way, or of one on another member; shared by all who await this call."""
        if self._race is None:
            first = (self._member, self._attempt)
            self._race = asyncio.ensure_future(
                race(self._pool, hedge, first, self._begin, self._deadline, self._metadata)
            )
        racing = self._race
        try:
            response, self._attempt = await asyncio.shield(racing)
        except asyncio.CancelledError:
            racing.cancel()
            raise
        return response

    async def _repeat(self, error: grpc.aio.AioRpcError, failed: Member, attempt: Any) -> bool:
        """Make the call on another member; False if it is not to be."""
        if self._attempts is None:
            self._attempts = Attempts(self._pool.retry, self._pool.budget, is_patient=self._is_patient)
        attempts = self._attempts
        delay_s = attempts.next_s(error, failed, random.random())  # noqa: S311  # spreads retries
        if delay_s is None or (self._deadline is not None and time.monotonic() + delay_s >= self._deadline):
            return False
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        other = self._pool.enter_again(failed, self._metadata, must_be_other=attempts.must_be_other)
        if other is None and self._is_patient:
            other = await self._pool.wait(
                self._left_s(), is_patient=True, other_than=failed, metadata=self._metadata
            )
        if other is None:
            return False
        if self._attempt is not attempt:
            other.leave()
            return True
        self._member = other
        self._race = None
        self._attempt = self._begin(other, self._left_s())
        return True

    def _left_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    async def _settled(self) -> Any:
        """The last attempt, once there is to be no other. Cancelling who asks leaves the call alone, as in gRPC."""
        if self._hedge is None:
            await self._attempt.code()
            if self._attempt.cancelled():
                return self._attempt
        try:
            await self._settle()
        except NoMemberError as error:
            return FailedCall(error)
        except grpc.aio.AioRpcError:
            return self._attempt
        except asyncio.CancelledError:
            if self._race is None or not self._is_cancelled:
                raise
        return self._attempt

    async def code(self) -> grpc.StatusCode:
        """The status of the last attempt."""
        return await ask(await self._settled(), "code")  # type: ignore[no-any-return]

    async def details(self) -> str:
        """The status's text."""
        return await ask(await self._settled(), "details")  # type: ignore[no-any-return]

    async def debug_error_string(self) -> str:
        """gRPC's own words on what went wrong."""
        return await ask(await self._settled(), "debug_error_string")  # type: ignore[no-any-return]

    async def initial_metadata(self) -> Any:
        """What the server sent first; available before the call is over."""
        attempt = self._attempt
        found = await attempt.initial_metadata()
        if not attempt.done() or len(found):
            return found
        return await ask(await self._settled(), "initial_metadata")

    async def trailing_metadata(self) -> Any:
        """What the server sent last."""
        return await ask(await self._settled(), "trailing_metadata")

    async def wait_for_connection(self) -> None:
        """Returns at once: calls are made on connected members only."""
        await self._attempt.wait_for_connection()

    def cancel(self) -> bool:
        """Cancel the attempt under way."""
        self._is_cancelled = True
        if self._race is not None:
            self._race.cancel()
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
        call_when_over(self._settled(), lambda: callback(self))


_watching: set[asyncio.Task[Any]] = set()


def call_when_over(work: Any, callback: Callable[[], None] = lambda: None) -> None:
    """Do this work beside everything else, and then call the callback, however it ended."""
    task = asyncio.ensure_future(work)
    _watching.add(task)

    def over(done: asyncio.Task[Any]) -> None:
        _watching.discard(done)
        if not done.cancelled():
            done.exception()  # seen: it is told by the call itself
        callback()

    task.add_done_callback(over)
