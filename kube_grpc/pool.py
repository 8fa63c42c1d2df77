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

from kube_grpc import forks
from kube_grpc.connectivity import Announcer
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.entrance import Entrance
from kube_grpc.errors import DiscoveryError
from kube_grpc.member import Connectivity, Member
from kube_grpc.newest import Newest
from kube_grpc.options import Options
from kube_grpc.outcome import NoMemberError
from kube_grpc.picker import Metadata
from kube_grpc.roster import Roster, Snapshot
from kube_grpc.situation import Situation
from kube_grpc.target import Target

_LOGGER = logging.getLogger("kube_grpc")


class Pool(Entrance):
    """Members, kept by a thread of its own from construction to `close`."""

    def __init__(self, target: Target, options: Options, *, rng: random.Random) -> None:
        super().__init__(options, target.authority)
        self.target = target
        self._options = options
        self._rng = rng
        self.is_closed = False
        self.announcer = Announcer(f"kube-grpc {target}")
        self._begin()
        forks.pause_for_forks(self)

    def _begin(self) -> None:
        self.announcer.announce(Connectivity.CONNECTING)
        self._changed = threading.Condition()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._look_at = 0.0  # Monotonic.
        self._is_look_asked = False
        self._roster = Roster(self.target, self._options, self, rng=self._rng)
        self._newest = Newest(self._roster.found)
        self.situation: Situation = self._roster.snapshot.situation
        self.members: tuple[Member, ...] = ()
        # Set in the child of a fork: begins the pool and what feeds it anew.
        self.revive: Callable[[], None] | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"kube-grpc {self.target}", daemon=True)
        self._keeper.start()

    def pause(self) -> None:
        """Before a fork: calls that come wait. The fork's holding of `forks.gate` keeps the keeper from ending that."""
        self.picker = None

    @property
    def _is_paused(self) -> bool:
        """Whether a fork holds back the picker that the roster has."""
        return self.picker is None and self._roster.snapshot.picker is not None

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way. For who holds `forks.gate`."""
        return self._roster.is_busy

    def resume(self) -> None:
        """After a fork, in the parent."""
        with self._changed:
            self.picker = self._roster.snapshot.picker
            self._changed.notify_all()

    def abandon(self, revive: Callable[[], None]) -> None:
        """In the child of a fork: no member, no threads, and `revive` is called by the first call that comes."""
        self.picker = None
        self._changed = threading.Condition()
        self.announcer.abandon()
        if not self.is_closed:
            self.revive = revive

    def restart(self) -> None:
        """Begin anew, as after construction."""
        self._begin()
        self.announcer.restart()

    def wait(
        self,
        timeout_s: float | None,
        *,
        is_patient: bool,
        other_than: Member | None = None,
        metadata: Metadata = None,
    ) -> Member:
        """As `enter`, waiting for a member: until `timeout_s` if the call `is_patient` (wait_for_ready), else
        only as long as discovery or a connection is under way. Raises NoMemberError, also when the pool is closed
        meanwhile, or ValueError when it was closed before.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if self.revive is not None:
            self.revive()
        with self._changed:
            if self.is_closed:
                # The very words and type that a closed grpc.Channel has.
                msg = "Cannot invoke RPC on closed channel!"
                raise ValueError(msg)
            while True:
                if self.is_closed:
                    # And those of a call that was under way when it was closed.
                    raise NoMemberError(grpc.StatusCode.CANCELLED, "Channel closed!")
                member = (
                    self.enter(metadata) if other_than is None else self.enter_other((other_than,), metadata)
                )
                if member is not None:
                    return member
                if not self._is_paused:
                    if self.situation.is_doubtful:
                        self.hurry()
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
        self._newest.put(wanted, self._inbox.put)

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
        """A call has just failed for want of a connection: look at once."""
        if not self._is_look_asked:
            self._is_look_asked = True
            self._inbox.put(self._look)

    def accuse(self, member: Member) -> None:
        """So many calls of a member failed in a row that it may have to be ejected."""
        self._inbox.put(functools.partial(self._roster.suspect, member))

    def leave_note(self, note: Callable[[], None]) -> None:
        """Have the pool's own thread do this."""
        self._inbox.put(note)

    def close(self) -> None:
        """Cancel all calls and close all connections, as grpc.Channel.close does. Again is no error."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        self._inbox.put(lambda: None)
        # In the child of a fork there is none.
        if self.revive is None and threading.current_thread() is not self._keeper:
            self._keeper.join()

    # What follows runs in the keeper's thread only; `connect`, `disconnect` and `publish` are roster.Host's.

    def _keep(self) -> None:
        while not self.is_closed:
            try:
                note = self._inbox.get(timeout=self._rest_s())
            except Empty:
                note = self._look
            try:
                with forks.gate:
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
        self._is_look_asked = False
        self._look_at = time.monotonic() + self._roster.look()

    def connect(self, endpoint: Endpoint) -> Member:
        """A member whose connection is made by the first look."""
        arguments = self.find_arguments(endpoint)
        if self._options.credentials is None:
            channel = grpc.insecure_channel(endpoint.uri, arguments)
        else:
            channel = grpc.secure_channel(endpoint.uri, self._options.credentials, arguments)
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
