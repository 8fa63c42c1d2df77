"""The pool of a sync channel: a thread that keeps the roster, and the members that calls take from it.

Rule: one thread, the keeper, owns the roster. Discovery, pings and calls only leave it notes (`_inbox`), so no
lock is held over I/O and nothing is decided twice. What calls read (`picker`, `situation`) are snapshots that
the keeper replaces whole.

Does not decide who is a member (`roster`), nor how calls are made (`calls`).
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

from kube_grpc.connectivity import Announcer
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.member import Connectivity, Member
from kube_grpc.options import Options
from kube_grpc.outcome import NoMemberError
from kube_grpc.picker import Picker
from kube_grpc.roster import Roster, Snapshot
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
    """Members, kept by a thread of its own from construction to `close`."""

    def __init__(self, target: Target, options: Options, *, rng: random.Random) -> None:
        self.target = target
        self._options = options
        self._arguments = options.member_options(target.authority)
        self.is_closed = False
        self.announcer = Announcer(f"kube-grpc {target}")
        self.announcer.announce(Connectivity.CONNECTING)
        self._changed = threading.Condition()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._look_at = 0.0  # Monotonic.
        self._is_look_asked = False
        self._roster = Roster(target, options, self, rng=rng)
        # A snapshot for calls: None while nobody serves.
        self.picker: Picker[Member] | None = None
        self.situation: Situation = self._roster.snapshot.situation
        self.members: tuple[Member, ...] = ()
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
        self._inbox.put(functools.partial(self._roster.found, wanted))

    def works(self) -> None:
        """Discovery stands, see watch.Report."""
        self._inbox.put(self._roster.works)

    def failed(self, error: DiscoveryError) -> None:
        """Discovery failed, see watch.Report."""
        self._inbox.put(functools.partial(self._roster.failed, error))

    def pinged(self, member: Member, error: str | None) -> None:
        """The result of one ping: None, or what went wrong."""
        self._inbox.put(functools.partial(self._roster.pinged, member, error))

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

    # What follows runs in the keeper's thread only; `connect`, `disconnect` and `publish` are roster.Host's.

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
                self._roster.cancel_overdue()
            except Exception:
                # A defect of ours must not end the thread that keeps the pool alive.
                _LOGGER.exception("%s: defect in the pool's keeper, please report it", self.target)
        self._roster.shut_down()
        self.announcer.close()

    def _rest_s(self) -> float | None:
        """How long nothing has to be done unless a note comes; None without any member."""
        drain_by = self._roster.drain_by
        deadlines = [] if drain_by is None else [drain_by]
        if self._roster.members:
            deadlines.append(self._look_at)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _look(self) -> None:
        """See how every connection does: often while one is being made, else rarely.

        gRPC can also tell, but with a thread for each connection, and with an exception in that thread when
        the connection is closed (grpcio 1.85).
        """
        self._is_look_asked = False
        members = tuple(self._roster.members)
        changed = []
        for member in members:
            state = member.look()
            if state is not member.state:
                changed.append(member)
                member.state = state
        if changed:
            self._roster.changed(changed)
        now = time.monotonic()
        is_new = any(item.may_connect and now - item.opened_at < _NEW_S for item in members)
        self._look_at = now + max(_LOOK_OFTEN_S if is_new else _LOOK_S, len(members) * _LOOK_PER_MEMBER_S)

    def connect(self, endpoint: Endpoint) -> Member:
        """A member whose connection is made by the first look."""
        if self._options.credentials is None:
            channel = grpc.insecure_channel(endpoint.uri, self._arguments)
        else:
            channel = grpc.secure_channel(endpoint.uri, self._options.credentials, self._arguments)
        self._look_at = 0.0  # At once: it is what makes gRPC connect.
        return Member(endpoint, channel, self._note_last_call)

    def disconnect(self, member: Member) -> None:
        """Close the connection."""
        member.channel.close()

    def publish(self, snapshot: Snapshot) -> None:
        """Put out what calls read, and wake those that wait."""
        with self._changed:
            self.members = snapshot.members
            self.picker = snapshot.picker
            self.situation = snapshot.situation
            self._changed.notify_all()
        self.announcer.announce(snapshot.state)

    def _note_last_call(self, member: Member) -> None:
        self._inbox.put(functools.partial(self._roster.release, member))
