"""Who is in a pool and who answers calls: what is known of a Service, applied to the connections that are held.

Rule: it belongs to one thread (the pool's keeper, or an event loop) and does no I/O: its host opens and closes
connections, and puts out the snapshots that calls read. A change goes in this order: the new picker is out first,
then the members that leave drain, and a drained one is closed when its last call is over or its grace is.

A member is picked from only once it is connected. One whose connection breaks is passed over until it is back. A
member that is orphaned (its Service was deleted) leaves for good when it can not be reached.

Does not know where addresses come from (`watch`, `poll`), how calls are made (`calls`) or what is wanted (`plan`).
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from kube_grpc import hooks, plan
from kube_grpc.endpoints import Endpoint, EndpointSet, Key
from kube_grpc.errors import DiscoveryError
from kube_grpc.member import Connectivity, Member
from kube_grpc.options import Options
from kube_grpc.picker import Picker
from kube_grpc.policies import make_picker
from kube_grpc.situation import Situation
from kube_grpc.target import Target

_LOGGER = logging.getLogger("kube_grpc")

# A look at one connection takes 3 µs; these bounds keep all looks together below 3 % of a processor.
_LOOK_S = 0.05
# While members are new: a connection inside a cluster is made in milliseconds, and a call may be waiting for it.
_LOOK_OFTEN_S = 0.005
_NEW_S = 1.0
_LOOK_PER_MEMBER_S = 0.000_1
# After this, to twice this by lot, discovery should have told of a pod that was lost: a container's end is known to the
# API in a second or two. The lot spreads the clients that lost the same pod.
_DOUBT_S = 2.0
# How long the first members wait for each other, or the first calls of every client would all go to one pod.
_GATHERING_S = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What calls read, replaced whole. `picker` is None while nobody serves; `state` is that of the pool."""

    members: tuple[Member, ...]
    picker: Picker[Member] | None
    situation: Situation
    state: Connectivity


class Host(Protocol):
    """Who acts for a roster. Its methods return at once."""

    def connect(self, endpoint: Endpoint) -> Member:
        """A new member; the host sees to it that the roster looks at it soon, which makes gRPC connect."""
        ...

    def disconnect(self, member: Member) -> None:
        """Close the connection; calls that still run on it are cancelled by gRPC."""
        ...

    def publish(self, snapshot: Snapshot) -> None:
        """Put out what calls read from now on, and wake those that wait."""
        ...

    @property
    def doubt(self) -> Callable[[float], None]:
        """A member was lost at that instant (monotonic), and discovery has said nothing of it since."""
        ...


class Roster:
    """The members of one pool, by key."""

    def __init__(self, target: Target, options: Options, host: Host, *, rng: random.Random) -> None:
        self.target = target
        self._options = options
        self._host = host
        self._picker: Picker[Member] = make_picker(
            options.policy, hash_key=options.hash_key, slow_start_s=options.slow_start_s,
            clock=time.monotonic, rng=rng,
        )  # fmt: skip
        self._by_key: dict[Key, Member] = {}
        self._draining: list[Member] = []
        self._evicted: set[Key] = set()
        self._wanted: EndpointSet | None = None
        self._error: DiscoveryError | None = None
        self._failing_since_at: float | None = None
        self._doubt_at: float | None = None  # Monotonic: when to look after members that were lost.
        self._rng = rng
        self._gather_by: float | None = None  # Monotonic; inf once the first members serve.
        self._started_at = time.time()
        self.snapshot = Snapshot((), None, Situation(target, self._started_at), Connectivity.CONNECTING)

    @property
    def members(self) -> Iterable[Member]:
        """Those that are held and not on their way out."""
        return self._by_key.values()

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way on any member, those on their way out included."""
        return any(item.in_flight for item in (*self._by_key.values(), *self._draining))

    @property
    def drain_by(self) -> float | None:
        """When the next grace is over (monotonic), if anybody drains."""
        return min((item.drain_by for item in self._draining), default=None)

    # -- what discovery says, see watch.Report

    def found(self, wanted: EndpointSet) -> None:
        """The full set of endpoints."""
        if self._options.mode == "poll":
            self._evicted.clear()  # Out until the next refresh: this one.
        noted = () if self._wanted is None else self._wanted.notes
        if wanted.notes and wanted.notes != noted:
            _LOGGER.warning("%s: %s", self.target, "; ".join(wanted.notes))
        self._wanted = wanted
        self._apply()

    def works(self) -> None:
        """Discovery stands."""
        if self._failing_since_at is not None:
            self._tell(hooks.DiscoveryRecovered(str(self.target), time.time() - self._failing_since_at))
        self._error = self._failing_since_at = None
        self._publish()

    def failed(self, error: DiscoveryError) -> None:
        """Discovery failed."""
        if self._error is None or self._error.kind != error.kind:
            text = f"{error}\n{error.remedy}" if error.remedy is not None else str(error)
            self._tell(hooks.DiscoveryFailed(str(self.target), error.kind, text))
        self._error = error
        if self._failing_since_at is None:
            self._failing_since_at = time.time()
        self._publish()

    # -- what happens to connections

    def changed(self, members: list[Member]) -> None:
        """The connections of these members have new states."""
        self._publish()
        is_lost = Connectivity.TRANSIENT_FAILURE
        lost = [
            item.key
            for item in members
            if item.state is is_lost and item.endpoint.orphaned and self._by_key.get(item.key) is item
        ]
        self._remove(lost, "its connection is lost and its Service is gone")

    def look(self) -> float:
        """See how every connection does; returns in how many seconds to look again: soon while one is being made.

        gRPC can also tell, but its sync API does so with a thread for each connection, and with an exception in that
        thread when the connection is closed (grpcio 1.85).
        """
        changed = []
        for member in self._by_key.values():
            state = member.look()
            if state is not member.state:
                changed.append(member)
                self._note_loss(member, state)
                member.state = state
        if changed:
            self.changed(changed)
        elif self._is_gathering():
            self._publish()
        now = time.monotonic()
        self._readmit(now)
        if self._doubt_at is not None and now >= self._doubt_at:
            self._doubt()
        is_new = any(item.may_connect and now - item.opened_at < _NEW_S for item in self._by_key.values())
        return max(_LOOK_OFTEN_S if is_new else _LOOK_S, len(self._by_key) * _LOOK_PER_MEMBER_S)

    def _note_loss(self, member: Member, state: Connectivity) -> None:
        if state is Connectivity.READY:
            member.lost_at = None
        elif member.state is Connectivity.READY:
            member.lost_at = time.monotonic()
            if self._doubt_at is None:
                self._doubt_at = member.lost_at + _DOUBT_S * self._rng.uniform(1.0, 2.0)

    def _doubt(self) -> None:
        """Once for each loss: a pod that is still listed though its connection is gone makes one ask whether the watch
        is alive."""
        self._doubt_at = None
        lost = [item.lost_at for item in self._by_key.values() if item.lost_at is not None]
        if lost:
            for member in self._by_key.values():
                member.lost_at = None
            self._host.doubt(max(lost))

    def pinged(self, member: Member, error: str | None) -> None:
        """The result of one ping: None, or what went wrong."""
        if self._by_key.get(member.key) is not member:
            return
        if self._options.mode == "poll" and error is not None:
            self._evicted.add(member.key)
            self._remove([member.key], f"its ping failed: {error}; out until the next refresh")
        elif member.ping_error != error:
            member.ping_error = error
            self._publish()

    def suspect(self, member: Member) -> None:
        """So many calls of a member failed in a row that it may have to be ejected."""
        rule = self._options.ejection
        if rule is None or member.failures < rule.errors or member.is_ejected:
            return
        out = sum(item.is_ejected for item in self._by_key.values())
        if self._by_key.get(member.key) is member and rule.may_eject(out=out, members=len(self._by_key)):
            member.ejections += 1
            member.ejected_until = time.monotonic() + rule.duration_s(member.ejections)
            self._publish()

    def _readmit(self, now: float) -> None:
        back = [
            item
            for item in self._by_key.values()
            if item.ejected_until is not None and item.ejected_until <= now
        ]
        for member in back:
            member.ejected_until = None
            member.failures = 0
        if back:
            self._publish()

    def release(self, member: Member) -> None:
        """The last call of a member that drains is over."""
        if member in self._draining:
            self._draining.remove(member)
            self._host.disconnect(member)

    def cancel_overdue(self) -> None:
        """Close those whose grace is over."""
        now = time.monotonic()
        for member in [item for item in self._draining if item.drain_by <= now]:
            _LOGGER.warning(
                "%s: member %s: %d calls still ran %g s after it left, cancelled",
                self.target,
                member.endpoint.uri,
                len(member.in_flight),
                self._options.drain_grace_s,
            )
            self.release(member)

    def shut_down(self) -> None:
        """Close every connection; calls that run are cancelled."""
        members = [*self._by_key.values(), *self._draining]
        self._by_key.clear()
        self._draining.clear()
        self._picker = self._picker.advance(())  # whoever keeps the closed channel does not keep its members
        situation = self.snapshot.situation
        self.snapshot = Snapshot((), None, situation, Connectivity.SHUTDOWN)
        self._host.publish(self.snapshot)
        for member in members:
            member.is_retired = True
            self._host.disconnect(member)

    def _apply(self) -> None:
        steps = plan.draw_up(self._by_key.keys(), self._wanted, evicted=self._evicted)
        for endpoint in steps.keep:
            self._by_key[endpoint.key].endpoint = endpoint
        for endpoint in steps.open:
            self._by_key[endpoint.key] = self._host.connect(endpoint)
            self._tell(hooks.MemberAdded(str(self.target), endpoint.uri, endpoint.pod))
        listed = {item.key for item in self._wanted.endpoints} if self._wanted is not None else set()
        self._remove([key for key in steps.drain if key in listed], "it is listed as not ready")
        self._remove([key for key in steps.drain if key not in listed], "it is no longer listed")
        self._publish()

    def _remove(self, keys: list[Key], reason: str) -> None:
        """New picker first, then the ones that leave drain."""
        leaving = [self._by_key.pop(key) for key in keys]
        if not leaving:
            return
        self._publish()
        for member in leaving:
            self._tell(
                hooks.MemberRemoved(str(self.target), member.endpoint.uri, member.endpoint.pod, reason)
            )
            member.is_retired = True
            member.drain_by = time.monotonic() + self._options.drain_grace_s
            self._draining.append(member)
            if not member.in_flight:
                self.release(member)

    def _publish(self) -> None:
        """Put out a new snapshot, and tell what changed."""
        before = self._picker.members
        serving = () if self._is_gathering() else plan.serving(self._by_key.values(), self._options.zone)
        if serving != before:
            now = time.monotonic()
            for member in set(serving) - set(before):
                member.ready_at = now
            self._picker = self._picker.advance(serving)
        situation = self._assess()
        state = Connectivity.TRANSIENT_FAILURE
        if serving:
            state = Connectivity.READY
        elif situation.is_pending:
            state = Connectivity.CONNECTING
        picker = self._picker if serving else None
        self.snapshot = Snapshot(tuple(self._by_key.values()), picker, situation, state)
        self._host.publish(self.snapshot)
        self._tell_changes(before, serving)

    def _is_gathering(self) -> bool:
        """Whether the first members still wait for each other: until all are connected or failed, or time is up."""
        if self._gather_by == math.inf or not self._by_key:
            return False
        now = time.monotonic()
        if self._gather_by is None:
            self._gather_by = now + _GATHERING_S
        if now < self._gather_by and any(item.may_connect for item in self._by_key.values()):
            return True
        self._gather_by = math.inf
        return False

    def _tell_changes(self, before: tuple[Member, ...], after: tuple[Member, ...]) -> None:
        if before == after:
            return
        for member in set(before) - set(after):
            if self._by_key.get(member.key) is member:
                endpoint = member.endpoint
                reason = member.explain_pause()
                self._tell(hooks.MemberUnready(str(self.target), endpoint.uri, endpoint.pod, reason))
        for member in set(after) - set(before):
            self._tell(hooks.MemberReady(str(self.target), member.endpoint.uri, member.endpoint.pod))

    def _assess(self) -> Situation:
        members = self._by_key.values()
        return Situation(
            self.target,
            self._started_at,
            wanted=self._wanted,
            error=self._error,
            failing_since_at=self._failing_since_at,
            connecting=sum(item.may_connect for item in members),
            failed=sum(item.state is Connectivity.TRANSIENT_FAILURE for item in members),
            unresponsive=sum(item.ping_error is not None for item in members),
            evicted=len(self._evicted),
        )

    def _tell(self, event: hooks.Event) -> None:
        level = logging.INFO
        if isinstance(event, hooks.DiscoveryFailed):
            level = logging.ERROR if event.kind in ("forbidden", "unauthorized") else logging.WARNING
        _LOGGER.log(level, "%s", event)
        if self._options.hook is None:
            return
        try:
            self._options.hook(event)
        except Exception:
            _LOGGER.exception("%s: the hook raised on %r", self.target, event)
