"""`Channel`: a grpc.Channel over all pods of a Service.

Rule: whatever takes a grpc.Channel (a stub, grpc.intercept_channel, grpc.channel_ready_future, gRPC's own
health and reflection clients) takes this one and need not know.

Holds no logic of its own: members are the pool's matter, calls are those of `calls`.
"""

# ruff: noqa: FBT001, FBT002, ARG002  # the signatures are those of grpc.Channel

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

from kube_grpc import calls
from kube_grpc.ejection import Ejection
from kube_grpc.endpoints import Endpoint
from kube_grpc.hedges import Hedge
from kube_grpc.hooks import Hook
from kube_grpc.lease import Lease, write_lease
from kube_grpc.member import Member
from kube_grpc.options import Options
from kube_grpc.picker import Picker
from kube_grpc.policies import Policy
from kube_grpc.retries import Retry
from kube_grpc.session import Session


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member at one moment, for a person or a metric. `state` is gRPC's; `in_flight` counts calls."""

    peer: str
    pod: str | None
    state: str
    is_serving: bool
    is_terminating: bool
    is_orphaned: bool
    in_flight: int


def view_members(members: Iterable[Member], picker: Picker[Member] | None) -> tuple[MemberView, ...]:
    """What there is to see of these members, in the order of addresses."""
    serving = frozenset(() if picker is None else picker.members)
    return tuple(
        MemberView(
            peer=item.endpoint.uri,
            pod=item.endpoint.pod,
            state=item.state.name,
            is_serving=item in serving,
            is_terminating=item.endpoint.terminating,
            is_orphaned=item.endpoint.orphaned,
            in_flight=len(item.in_flight),
        )
        for item in sorted(members, key=lambda item: item.key)
    )


class Channel(grpc.Channel):
    """A channel whose calls go to the pods behind a Kubernetes Service.

    `target`: "name.namespace.svc.cluster.local:50051", shorter forms as in `target`. `mode`: "watch" follows the
    EndpointSlices as they change, by one watch after the other, each of at most `watch_timeout_s` (less up to a fifth
    by lot), so that a dead one is noticed after 3 s more; "poll" lists them every `refresh_interval_s`, pings each
    member every `ping_interval_s`, and leaves out one that fails until the next refresh. `policy`: "round_robin",
    "random", "least_outstanding", "power_of_two", "consistent_hash" (calls with an equal value of the metadata key
    `hash_key` go to one member), or an object with a method as that of policies.Policy. `slow_start_s`: for so long a
    new member's share grows from a tenth. `ejection`: leave out a member whose calls fail, see Ejection. `retry`:
    make failed calls again, see Retry; a call that never left this process is made again without it. `hedge`: make a
    call that has no answer in time on another member too, see Hedge; for methods that may be carried out twice.
    `health_service`: a member counts only while gRPC's health service there says that this service is SERVING (""
    asks for the whole server); one without a health service counts. `zone`: prefer members that the Service's
    topology hints have for it. `dns_fallback`: while the Kubernetes API refuses or is away and has never told the
    endpoints, or none of them can be reached any more, use the Service's DNS name, see `fallback`; `dns_authority` is
    the DNS server to ask, host:port, if not the system's. `ping`: called with a grpc.Channel to one member; raising
    (or a future that fails) means that it does not answer. A call in it without a timeout gets `ping_interval_s`. In
    watch mode a member that fails is passed over until it answers. `credentials`: grpc.ChannelCredentials, or None
    for plaintext. The Service's name is the authority. `options`: gRPC channel arguments for the connections to pods,
    after and over those that this package sets. `per_member`: called with each `endpoints.Endpoint` (address, port,
    pod, zone) as its connection is made, gives channel arguments for it alone, which win: ("grpc.default_authority",
    …) where pods have certificates of their own. `drain_grace_s`: how long calls in flight on a pod that left may go
    on. `hook`: called with each event of `hooks`. `api_client`, `kubeconfig`, `context`: how to reach the Kubernetes
    API, see `access`.

    Raises TargetError, OptionError, AccessError. An API server that can not be reached is not an error here:
    calls say so.
    """

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
        session = Session(target, checked)
        self._join(session, session.close, write_lease(session.forsake))

    @classmethod
    def over(cls, session: Session, on_close: Callable[[], None]) -> Channel:
        """A channel over a session that it shares; closing it calls `on_close`, once."""
        channel = cls.__new__(cls)
        channel._join(session, on_close, None)  # noqa: SLF001  # its own class
        return channel

    def _join(self, session: Session, on_close: Callable[[], None], lease: Lease | None) -> None:
        self._pool = session.pool
        self._lease = lease
        self._on_close: Callable[[], None] | None = on_close
        self._lock = threading.Lock()

    @property
    def target(self) -> str:
        """The Service and the port, name.namespace:port."""
        return str(self._pool.target)

    def members(self) -> tuple[MemberView, ...]:
        """Who is in the pool now, in the order of addresses."""
        return view_members(self._pool.members, self._pool.picker)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.UnaryUnary:
        """A multi-callable as grpc.Channel.unary_unary makes."""
        return calls.UnaryUnary(
            self._pool,
            self._pool.methods.intern(
                "unary_unary", method, request_serializer, response_deserializer, _registered_method
            ),
            self._lease,
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.UnaryStream:
        """A multi-callable as grpc.Channel.unary_stream makes."""
        return calls.UnaryStream(
            self._pool,
            self._pool.methods.intern(
                "unary_stream", method, request_serializer, response_deserializer, _registered_method
            ),
            self._lease,
        )

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.StreamUnary:
        """A multi-callable as grpc.Channel.stream_unary makes."""
        return calls.StreamUnary(
            self._pool,
            self._pool.methods.intern(
                "stream_unary", method, request_serializer, response_deserializer, _registered_method
            ),
            self._lease,
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> calls.StreamStream:
        """A multi-callable as grpc.Channel.stream_stream makes."""
        return calls.StreamStream(
            self._pool,
            self._pool.methods.intern(
                "stream_stream", method, request_serializer, response_deserializer, _registered_method
            ),
            self._lease,
        )

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool | None = False,
    ) -> None:
        """READY while a member serves; CONNECTING while there is hope; TRANSIENT_FAILURE else; SHUTDOWN once
        closed.
        """
        self._pool.announcer.subscribe(callback)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """No more states for this callback; unknown ones are ignored."""
        self._pool.announcer.unsubscribe(callback)

    def close(self) -> None:
        """Give up the pool; the last to do so ends it, with all calls under way. Again is no error."""
        with self._lock:
            on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()
