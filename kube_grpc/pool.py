"""The members of one Service: applies plans, follows connections, hands out members for calls.

Rule: one thread, the keeper, owns all state. Discovery, pings and calls only leave it notes (`_inbox`), so no
lock is held over I/O and nothing is decided twice. What calls read (`picker`, `situation`) are snapshots that
the keeper replaces whole: the new picker first, then the members that leave drain.

A member is picked from only once it is connected. One whose connection breaks is passed over until it is
back. A member that is orphaned (its Service was deleted) leaves for good when it can not be reached.

Does not know where addresses come from (`watch`, `poll`), how calls are made (`calls`) or what is wanted
(`plan`).
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import grpc

from kube_grpc import hooks, plan
from kube_grpc.connectivity import Announcer
from kube_grpc.endpoints import Endpoint, EndpointSet, Key
from kube_grpc.errors import DiscoveryError
from kube_grpc.member import Connectivity, Member
from kube_grpc.options import Options
from kube_grpc.outcome import NoMemberError
from kube_grpc.picker import Picker, RandomChoice, RoundRobin
from kube_grpc.situation import Situation
from kube_grpc.target import Target

_LOGGER = logging.getLogger("kube_grpc")

# A look at one connection takes 3 µs; these bounds keep all looks together below 3 % of a processor.
_LOOK_S = 0.05
# While members are new: a connection inside a cluster is made in milliseconds, and a call may be waiting for it.
_LOOK_OFTEN_S = 0.005
_NEW_S = 1.0
_LOOK_PER_MEMBER_S = 0.000_1


class Pool:
    """Members by key, kept by a thread of its own from construction to `close`."""

    def __init__(self, target: Target, options: Options, *, rng: random.Random) -> None:
        self.target = target
        self._options = options
        self._arguments = options.member_options(target.authority)
        # A snapshot for calls: None while nobody serves.
        self.picker: Picker[Member] | None = None
        self.situation = Situation(target, time.time())
        self.members: tuple[Member, ...] = ()
        self.is_closed = False
        self.announcer = Announcer(f"kube-grpc {target}")
        self.announcer.announce(Connectivity.CONNECTING)
        self._changed = threading.Condition()
        self._last_picker: Picker[Member] = (
            RoundRobin(()) if options.policy == "round_robin" else RandomChoice((), rng)
        )
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._by_key: dict[Key, Member] = {}
        self._draining: list[Member] = []
        self._look_at = 0.0  # Monotonic.
        self._is_look_asked = False
        self._evicted: set[Key] = set()
        self._wanted: EndpointSet | None = None
        self._error: DiscoveryError | None = None
        self._failing_since_at: float | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"kube-grpc {target}", daemon=True)
        self._keeper.start()

    def enter(self) -> Member | None:
        """A connected member with the call counted on it, or None while nobody serves. The path of every
        call.
        """
        picker = self.picker
        while picker is not None:
            member = picker.pick()
            if member.enter():
                return member
            picker = self.picker  # It was retired, which happens only after a new picker is out.
        return None

    def enter_other(self, failed: Member) -> Member | None:
        """As `enter`, but never the member that just failed a call: None if nobody else serves."""
        picker = self.picker
        others = () if picker is None else tuple(item for item in picker.members if item is not failed)
        if picker is None or not others:
            return None
        chosen = picker.pick()
        if chosen is failed:
            chosen = next((item for item in others if item.key > failed.key), others[0])
        return chosen if chosen.enter() else None

    def wait(self, timeout_s: float | None, *, is_patient: bool, other_than: Member | None = None) -> Member:
        """As `enter`, waiting for a member: until `timeout_s` if the call `is_patient` (wait_for_ready), else
        only as long as discovery or a connection is under way. Raises NoMemberError, or ValueError when the
        pool is closed.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self.is_closed:
                    # The very words and type that a closed grpc.Channel has.
                    msg = "Cannot invoke RPC on closed channel!"
                    raise ValueError(msg)
                member = self.enter() if other_than is None else self.enter_other(other_than)
                if member is not None:
                    return member
                if not is_patient and not self.situation.is_pending:
                    raise NoMemberError(grpc.StatusCode.UNAVAILABLE, self.situation.explain(time.time()))
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise NoMemberError(
                        grpc.StatusCode.DEADLINE_EXCEEDED, self.situation.explain(time.time())
                    )
                self._changed.wait(left_s)

    # What follows leaves notes to the keeper, from any thread.

    def found(self, wanted: EndpointSet) -> None:
        """The full set of endpoints, see watch.Report."""
        self._inbox.put(functools.partial(self._on_found, wanted))

    def works(self) -> None:
        """Discovery stands, see watch.Report."""
        self._inbox.put(self._on_works)

    def failed(self, error: DiscoveryError) -> None:
        """Discovery failed, see watch.Report."""
        self._inbox.put(functools.partial(self._on_failed, error))

    def pinged(self, member: Member, error: str | None) -> None:
        """The result of one ping: None, or what went wrong."""
        self._inbox.put(functools.partial(self._on_pinged, member, error))

    def suspect(self) -> None:
        """A call has just failed for want of a connection: look at once, so that no other call goes the same
        way.
        """
        if not self._is_look_asked:
            self._is_look_asked = True
            self._inbox.put(self._look)

    def close(self) -> None:
        """Cancel all calls and close all connections, as grpc.Channel.close does. Again is no error."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        self._inbox.put(lambda: None)
        if threading.current_thread() is not self._keeper:
            self._keeper.join()

    # What follows runs in the keeper's thread only.

    def _keep(self) -> None:
        while not self.is_closed:
            try:
                note = self._inbox.get(timeout=self._rest_s())
            except Empty:
                note = self._look
            try:
                note()
                if time.monotonic() >= self._look_at:
                    self._look()
                self._cancel_overdue()
            except Exception:
                # A defect of ours must not end the thread that keeps the pool alive.
                _LOGGER.exception("%s: defect in the pool's keeper, please report it", self.target)
        self._shut_down()

    def _rest_s(self) -> float | None:
        """How long nothing has to be done unless a note comes; None without any member."""
        deadlines = [item.drain_by for item in self._draining]
        if self._by_key:
            deadlines.append(self._look_at)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _look(self) -> None:
        """See how every connection does: often while one is being made, else rarely.

        gRPC can also tell, but with a thread for each connection, and with an exception in that thread when
        the connection is closed (grpcio 1.85).
        """
        self._is_look_asked = False
        changed = []
        for member in self._by_key.values():
            state = member.look()
            if state is not member.state:
                changed.append(member)
                member.state = state
        if changed:
            self._on_connectivity(changed)
        now = time.monotonic()
        is_new = any(item.may_connect and now - item.opened_at < _NEW_S for item in self._by_key.values())
        self._look_at = now + max(
            _LOOK_OFTEN_S if is_new else _LOOK_S, len(self._by_key) * _LOOK_PER_MEMBER_S
        )

    def _on_found(self, wanted: EndpointSet) -> None:
        if self._options.mode == "poll":
            self._evicted.clear()  # Out until the next refresh: this one.
        noted = () if self._wanted is None else self._wanted.notes
        if wanted.notes and wanted.notes != noted:
            _LOGGER.warning("%s: %s", self.target, "; ".join(wanted.notes))
        self._wanted = wanted
        self._apply()

    def _on_works(self) -> None:
        if self._failing_since_at is not None:
            self._tell(hooks.DiscoveryRecovered(str(self.target), time.time() - self._failing_since_at))
        self._error = self._failing_since_at = None
        self._publish()

    def _on_failed(self, error: DiscoveryError) -> None:
        if self._error is None or self._error.kind != error.kind:
            text = f"{error}\n{error.remedy}" if error.remedy is not None else str(error)
            self._tell(hooks.DiscoveryFailed(str(self.target), error.kind, text))
        self._error = error
        if self._failing_since_at is None:
            self._failing_since_at = time.time()
        self._publish()

    def _on_connectivity(self, changed: list[Member]) -> None:
        self._publish()
        is_lost = Connectivity.TRANSIENT_FAILURE
        lost = [item.key for item in changed if item.state is is_lost and item.endpoint.orphaned]
        self._remove(lost, "its connection is lost and its Service is gone")

    def _on_pinged(self, member: Member, error: str | None) -> None:
        if self._by_key.get(member.key) is not member:
            return
        if self._options.mode == "poll" and error is not None:
            self._evicted.add(member.key)
            self._remove([member.key], f"its ping failed: {error}; out until the next refresh")
        elif member.ping_error != error:
            member.ping_error = error
            self._publish()

    def _apply(self) -> None:
        steps = plan.draw_up(self._by_key.keys(), self._wanted, evicted=self._evicted)
        for endpoint in steps.keep:
            self._by_key[endpoint.key].endpoint = endpoint
        for endpoint in steps.open:
            self._open(endpoint)
        listed = {item.key for item in self._wanted.endpoints} if self._wanted is not None else set()
        self._remove([key for key in steps.drain if key in listed], "it is listed as not ready")
        self._remove([key for key in steps.drain if key not in listed], "it is no longer listed")
        self._publish()

    def _open(self, endpoint: Endpoint) -> None:
        if self._options.credentials is None:
            channel = grpc.insecure_channel(endpoint.uri, self._arguments)
        else:
            channel = grpc.secure_channel(endpoint.uri, self._options.credentials, self._arguments)
        self._by_key[endpoint.key] = Member(endpoint, channel, self._note_last_call)
        self._look_at = 0.0  # At once: it is what makes gRPC connect.
        self._tell(hooks.MemberAdded(str(self.target), endpoint.uri, endpoint.pod))

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
                self._release(member)

    def _note_last_call(self, member: Member) -> None:
        self._inbox.put(functools.partial(self._release, member))

    def _release(self, member: Member) -> None:
        """Close a drained member's connection; calls that still run on it are cancelled by gRPC."""
        if member in self._draining:
            self._draining.remove(member)
            member.channel.close()

    def _cancel_overdue(self) -> None:
        now = time.monotonic()
        for member in [item for item in self._draining if item.drain_by <= now]:
            _LOGGER.warning(
                "%s: member %s: %d calls still ran %g s after it left, cancelled",
                self.target,
                member.endpoint.uri,
                len(member.in_flight),
                self._options.drain_grace_s,
            )
            self._release(member)

    def _publish(self) -> None:
        """Put out new snapshots, wake the calls that wait for one, and tell what changed."""
        before = self._last_picker.members
        serving = plan.serving(self._by_key.values())
        if serving != before:
            self._last_picker = self._last_picker.advance(serving)
        with self._changed:
            self.members = tuple(self._by_key.values())
            self.picker = self._last_picker if serving else None
            self.situation = self._assess()
            self._changed.notify_all()
        self.announcer.announce(self._summarize())
        self._tell_changes(before, serving)

    def _summarize(self) -> Connectivity:
        if self.picker is not None:
            return Connectivity.READY
        return Connectivity.CONNECTING if self.situation.is_pending else Connectivity.TRANSIENT_FAILURE

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
        return Situation(
            self.target,
            self.situation.started_at,
            wanted=self._wanted,
            error=self._error,
            failing_since_at=self._failing_since_at,
            connecting=sum(item.may_connect for item in self.members),
            failed=sum(item.state is Connectivity.TRANSIENT_FAILURE for item in self.members),
            unresponsive=sum(item.ping_error is not None for item in self.members),
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

    def _shut_down(self) -> None:
        members = [*self._by_key.values(), *self._draining]
        with self._changed:
            self.picker = None
            self.members = ()
            self._changed.notify_all()
        for member in members:
            member.is_retired = True
            member.channel.close()
        self.announcer.close()
