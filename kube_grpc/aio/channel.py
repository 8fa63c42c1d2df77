"""`aio.Channel`: a grpc.aio.Channel over all pods of a Service.

Rule: whatever takes a grpc.aio.Channel (a stub, gRPC's own health and reflection clients) takes this one and need not
know. It belongs to the event loop that runs when it is made.

Holds no logic of its own: members are the pool's matter, calls are those of `calls`.
"""

# ruff: noqa: FBT001, FBT002  # the signatures are those of grpc.aio.Channel

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from kube_grpc.access import Access
from kube_grpc.aio import calls
from kube_grpc.aio.pings import ping_members
from kube_grpc.aio.pool import AioPool
from kube_grpc.aio.repeatable import call_when_over
from kube_grpc.channel import MemberView, view_members
from kube_grpc.discovery import find_target, make_discovery, open_access
from kube_grpc.ejection import Ejection
from kube_grpc.endpoints import Endpoint
from kube_grpc.hedges import Hedge
from kube_grpc.hooks import Hook
from kube_grpc.lease import Lease, write_lease
from kube_grpc.options import Options
from kube_grpc.policies import Policy
from kube_grpc.retries import Retry

_JOIN_S = 2.0


class Channel(grpc.aio.Channel):
    """A channel whose calls go to the pods behind a Kubernetes Service.

    Arguments are those of kube_grpc.Channel, with these differences: `ping` is called with a grpc.aio.Channel to one
    member and may be a coroutine function; `interceptors` are grpc.aio client interceptors, run for each attempt of a
    call; `hook` is called in the event loop.

    Must be made where an event loop runs: RuntimeError else. Raises TargetError, OptionError, AccessError. An API
    server that can not be reached is not an error here: calls say so.
    """

    _lease: Lease | None = None

    def __init__(
        self,
        target: str,
        *,
        mode: str = "watch",
        policy: str | Policy = "round_robin",
        hash_key: str | None = None,
        slow_start_s: float = 0.0,
        ejection: Ejection | None = None,
        retry: Retry | None = None,
        hedge: Hedge | None = None,
        health_service: str | None = None,
        zone: str | None = None,
        dns_fallback: bool = True,
        dns_authority: str | None = None,
        ping: Callable[[Any], object] | None = None,
        ping_interval_s: float = 1.0,
        refresh_interval_s: float = 60.0,
        watch_timeout_s: float = 15.0,
        drain_grace_s: float = 30.0,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        per_member: Callable[[Endpoint], Iterable[tuple[str, Any]]] | None = None,
        interceptors: Sequence[Any] = (),
        hook: Hook | None = None,
        api_client: Any = None,
        kubeconfig: str | None = None,
        context: str | None = None,
    ) -> None:
        checked = Options(
            mode=mode,
            policy=policy,
            hash_key=hash_key,
            slow_start_s=slow_start_s,
            ejection=ejection,
            retry=retry,
            hedge=hedge,
            health_service=health_service,
            zone=zone,
            dns_fallback=dns_fallback,
            dns_authority=dns_authority,
            ping=ping,
            ping_interval_s=ping_interval_s,
            refresh_interval_s=refresh_interval_s,
            watch_timeout_s=watch_timeout_s,
            drain_grace_s=drain_grace_s,
            credentials=credentials,
            options=tuple(options),
            per_member=per_member,
            hook=hook,
            api_client=api_client,
            kubeconfig=kubeconfig,
            context=context,
        )
        self._open(target, checked, tuple(interceptors))

    def _open(self, target: str, options: Options, interceptors: tuple[Any, ...]) -> None:
        rng = random.Random()  # noqa: S311 chance for balancing and jitter, not for secrets
        self._access: Access | None = open_access(options)
        wanted = find_target(target, self._access)
        self._join(AioPool(wanted, options, interceptors=interceptors, rng=rng), options)
        self._discovery = make_discovery(self._access, wanted, options, self._pool, rng)
        self._pool.hurry, self._pool.doubt = self._discovery.hurry, self._discovery.doubt
        self._pool.dismiss = self._discovery.stop
        self._thread = threading.Thread(
            target=self._discovery.run, name=f"kube-grpc {wanted} discovery", daemon=True
        )
        self._thread.start()
        self._lease = write_lease(
            functools.partial(
                _forsake, asyncio.get_running_loop(), self._pool, self._discovery.stop, self._pinging
            )
        )

    @classmethod
    def over(cls, pool: AioPool, options: Options) -> Channel:
        """A channel over a pool that somebody else tells its endpoints."""
        channel = cls.__new__(cls)
        channel._access = None  # noqa: SLF001  # its own class
        channel._join(pool, options)  # noqa: SLF001  # its own class
        return channel

    def _join(self, pool: AioPool, options: Options) -> None:
        self._pool = pool
        self._pinging: asyncio.Task[None] | None = None
        if options.mode == "poll" or options.ping is not None:
            self._pinging = asyncio.ensure_future(
                ping_members(
                    lambda: pool.snapshot.members, options.ping, pool.pinged, options.ping_interval_s
                )
            )

    @property
    def target(self) -> str:
        """The Service and the port, name.namespace:port."""
        return str(self._pool.target)

    def members(self) -> tuple[MemberView, ...]:
        """Who is in the pool now, in the order of addresses."""
        return view_members(self._pool.snapshot.members, self._pool.picker)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.UnaryUnary:
        """A multi-callable as grpc.aio.Channel.unary_unary makes."""
        said = (method, request_serializer, response_deserializer, _registered_method)
        return calls.UnaryUnary(self._pool, self._pool.methods.intern("unary_unary", *said), self._lease)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.UnaryStream:
        """A multi-callable as grpc.aio.Channel.unary_stream makes."""
        said = (method, request_serializer, response_deserializer, _registered_method)
        return calls.UnaryStream(self._pool, self._pool.methods.intern("unary_stream", *said), self._lease)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.StreamUnary:
        """A multi-callable as grpc.aio.Channel.stream_unary makes."""
        said = (method, request_serializer, response_deserializer, _registered_method)
        return calls.StreamUnary(self._pool, self._pool.methods.intern("stream_unary", *said), self._lease)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.StreamStream:
        """A multi-callable as grpc.aio.Channel.stream_stream makes."""
        said = (method, request_serializer, response_deserializer, _registered_method)
        return calls.StreamStream(self._pool, self._pool.methods.intern("stream_stream", *said), self._lease)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002  # it always does
        """READY while a member serves; CONNECTING while there is hope; TRANSIENT_FAILURE else; SHUTDOWN once closed."""
        return self._pool.state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Until the state is another than the given one."""
        while self._pool.state is last_observed_state:
            await self._pool.wait_for_change()

    async def channel_ready(self) -> None:
        """Until a member serves. grpc.aio.UsageError if the channel is or becomes closed."""
        while self._pool.state is not grpc.ChannelConnectivity.READY:
            self._pool.require_open()
            await self._pool.wait_for_change()

    async def close(self, grace: float | None = None) -> None:
        """End the pool; calls under way have `grace` seconds, and are cancelled then. Again is no error."""
        if self._pinging is not None:
            self._pinging.cancel()
        access, self._access = self._access, None
        if access is not None:
            self._discovery.stop()
        await self._pool.close(grace)
        if access is not None:
            # Stopping cuts its connection; only a request to an API server that does not answer can take longer, and
            # that thread ends by itself.
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join, _JOIN_S)
            access.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close(None)


def _forsake(
    loop: asyncio.AbstractEventLoop,
    pool: AioPool,
    stop: Callable[[], None],
    pinging: asyncio.Task[None] | None,
) -> None:
    """Nobody can call any more: the event loop ends everything. Takes no lock, see `lease`."""

    def end() -> None:
        stop()
        if pinging is not None:
            pinging.cancel()
        call_when_over(pool.close(None))

    with contextlib.suppress(RuntimeError):  # The loop is closed: then `dismiss` sees to it.
        loop.call_soon_threadsafe(end)
