"""The four kinds of multi-callables: each call picks a member, runs on that member's own channel, and is
counted there.

Rule: what the caller passes goes on unchanged to grpc's multi-callable of the chosen member, and what that
returns (a response, a future, an iterator) comes back unchanged.

A blocking unary-unary call that failed may be made again on another member: `attempts` says when; and one that has no
answer in time may be made on others too: `hedges`. Futures and streams
never are.

With no member: `Pool.wait` says who waits for what. Futures and streaming calls wait in the caller's thread,
and fail by the object they return, as gRPC's do.
"""

# ruff: noqa: FBT001  # the signatures are those of grpc's multi-callables

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Iterator
from typing import Any

import grpc

from kube_grpc.attempts import Attempts
from kube_grpc.hedges import Hedge
from kube_grpc.hedging import race
from kube_grpc.lease import Lease
from kube_grpc.member import Member
from kube_grpc.methods import Method
from kube_grpc.outcome import NoMemberError
from kube_grpc.pool import Pool


class _Caller:
    """What the four kinds share."""

    __slots__ = ("_lease", "_method", "_pool")

    def __init__(self, pool: Pool, method: Method, lease: Lease | None) -> None:
        self._pool = pool
        self._method = method
        self._lease = lease

    def _enter(
        self, timeout: float | None, wait_for_ready: bool | None, metadata: Any
    ) -> tuple[Member, float | None]:
        """A member, and what is left of the timeout after waiting for it."""
        member = self._pool.enter(metadata)
        if member is not None:
            return member, timeout
        began_at = time.monotonic()
        member = self._pool.wait(timeout, is_patient=wait_for_ready is True, metadata=metadata)
        return member, None if timeout is None else max(0.0, timeout - (time.monotonic() - began_at))

    def _start(self, verb: str, request: Any, timeout: float | None, *arguments: Any) -> Any:
        """Start a call that goes on after this returns; it is over when gRPC says so."""
        metadata = _keep(arguments[0])
        try:
            member, timeout = self._enter(timeout, arguments[2], metadata)
        except NoMemberError as error:
            return error
        try:
            bound = self._method.bind(member)
            call = getattr(bound, verb)(request, timeout, metadata, *arguments[1:])
        except BaseException:
            member.leave()
            raise
        pool, watched = self._pool, weakref.ref(call)

        def finish(_held: Lease | None = self._lease) -> None:  # Until the call is over, see `lease`.
            member.leave()
            # Weakly: the call holds this function, and gRPC cancels a stream when its last reference goes.
            ended = watched()
            if ended is not None:
                pool.judge(member, ended.code())

        if not call.add_callback(finish):
            finish()  # It was over before it could be asked to tell.
        return call

    def _block(self, verb: str, request: Any, timeout: float | None, *arguments: Any) -> Any:
        """One attempt of a call that is over when this returns."""
        metadata = _keep(arguments[0])
        member, timeout = self._enter(timeout, arguments[2], metadata)
        try:
            answer = getattr(self._method.bind(member), verb)(request, timeout, metadata, *arguments[1:])
        except grpc.RpcError as error:
            self._pool.judge(member, error.code())
            raise
        else:
            if member.failures or member.ejections:
                member.succeed()
            return answer
        finally:
            member.leave()


def _keep(metadata: Any) -> Any:
    """Metadata that can be read more than once, by a policy and for each attempt."""
    return metadata if metadata is None or isinstance(metadata, tuple | list) else tuple(metadata)


class UnaryUnary(_Caller, grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
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
        """Blocks; the response. Raises grpc.RpcError."""
        return self._attempt("__call__", request, timeout, metadata, credentials, wait_for_ready, compression)

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """The response, and the call it came by."""
        return self._attempt(
            "with_call", request, timeout, metadata, credentials, wait_for_ready, compression
        )

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """A call that is also a future."""
        return self._start("future", request, timeout, metadata, credentials, wait_for_ready, compression)

    def _attempt(
        self,
        verb: str,
        request: Any,
        timeout: float | None,
        metadata: Any,
        credentials: grpc.CallCredentials | None,
        wait_for_ready: bool | None,
        compression: grpc.Compression | None,
    ) -> Any:
        """`_block`, written out because it is the path of nearly all calls, and with the second attempt."""
        deadline = None if timeout is None else time.monotonic() + timeout
        metadata = _keep(metadata)
        pool, attempts = self._pool, None
        if pool.budget is not None:
            pool.budget.earn()
        member = pool.enter(metadata)
        if member is None:
            member, timeout = self._enter(timeout, wait_for_ready, metadata)
        while True:
            try:
                bound = self._method.bind(member)
                if pool.hedge is not None and pool.hedge.covers(self._method.name):
                    raced = self._race(
                        pool.hedge, member, request, timeout, metadata, credentials, compression
                    )
                    return raced[0] if verb == "__call__" else raced
                call = bound if verb == "__call__" else bound.with_call
                # Not gRPC's wait_for_ready: it would bind the call to this member, even if that never comes
                # back.
                answer = call(request, timeout, metadata, credentials, None, compression)
            except grpc.RpcError as error:
                pool.judge(member, error.code())
                if attempts is None:
                    attempts = Attempts(pool.retry, pool.budget, is_patient=wait_for_ready is True)
                other = self._find_other(error, member, attempts, deadline, metadata)
                if other is None:
                    raise
            else:
                if member.failures or member.ejections:
                    member.succeed()
                return answer
            finally:
                member.leave()
            member = other
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())

    def _race(
        self, hedge: Hedge, first: Member, request: Any, timeout: float | None, metadata: Any, *others: Any
    ) -> tuple[Any, Any]:
        """As one attempt, but on more members where the first has no answer in time; the response and its call."""

        def start(member: Member, left_s: float | None) -> Any:
            credentials, compression = others
            bound = self._method.bind(member)
            return bound.future(request, left_s, metadata, credentials, None, compression)

        return race(self._pool, hedge, first, start, timeout, metadata)

    def _find_other(
        self, error: grpc.RpcError, failed: Member, attempts: Attempts, deadline: float | None, metadata: Any
    ) -> Member | None:
        """The member for another attempt, after the time that it has to wait for; None if there is to be none."""
        delay_s = attempts.next_s(error, failed, random.random())  # noqa: S311  # spreads retries
        if delay_s is None or (deadline is not None and time.monotonic() + delay_s >= deadline):
            return None
        if delay_s > 0:
            time.sleep(delay_s)
        other = self._pool.enter_again(failed, metadata, must_be_other=attempts.must_be_other)
        if other is None and attempts.is_patient:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            other = self._pool.wait(left_s, is_patient=True, other_than=failed, metadata=metadata)
        return other


class UnaryStream(_Caller, grpc.UnaryStreamMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
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
        """An iterator over the responses, which is also the call."""
        return self._start("__call__", request, timeout, metadata, credentials, wait_for_ready, compression)


class StreamUnary(_Caller, grpc.StreamUnaryMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """A stream of requests, one response."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Iterator[Any],
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Blocks; the response. Raises grpc.RpcError."""
        return self._block(
            "__call__", request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )

    def with_call(
        self,
        request_iterator: Iterator[Any],
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """The response, and the call it came by."""
        return self._block(
            "with_call", request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )

    def future(
        self,
        request_iterator: Iterator[Any],
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """A call that is also a future."""
        return self._start(
            "future", request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )


class StreamStream(_Caller, grpc.StreamStreamMultiCallable):  # type: ignore[type-arg]  # generic in the stubs only
    """A stream of requests, a stream of responses."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Iterator[Any],
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """An iterator over the responses, which is also the call."""
        return self._start(
            "__call__", request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )
