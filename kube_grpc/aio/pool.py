"""The pool of an asyncio channel: an event loop keeps the roster, and calls of that loop take members from it.

Rule: everything happens in the loop, so nothing is locked. Discovery has a thread of its own, and what it reports
comes in through the loop (`found`, `works` and `failed` may be called from any thread).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import grpc.aio

from kube_grpc import forks
from kube_grpc.aio.cancelling import is_cancelled_itself
from kube_grpc.aio.member import AioMember
from kube_grpc.aio.outcome import CutOffError, NoMemberError
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.entrance import Entrance
from kube_grpc.errors import DiscoveryError
from kube_grpc.member import Connectivity, Member
from kube_grpc.newest import Newest
from kube_grpc.options import Options
from kube_grpc.picker import Metadata
from kube_grpc.roster import Roster, Snapshot
from kube_grpc.target import Target


class AioPool(Entrance):
    """Members, kept by the running loop from construction to `close`. RuntimeError where no loop runs."""

    def __init__(
        self, target: Target, options: Options, *, interceptors: tuple[Any, ...] = (), rng: random.Random
    ) -> None:
        super().__init__(options, target.authority)
        self.target = target
        self._options = options
        self._interceptors = interceptors
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_look_asked = False
        self._changed = asyncio.Event()
        self._closings: set[asyncio.Task[None]] = set()
        self._grace_s: float | None = None
        self.is_closed = False
        self._roster = Roster(target, options, self, rng=rng)
        self._newest = Newest(self._roster.found)
        self.snapshot: Snapshot = self._roster.snapshot
        self._is_forked = False
        forks.follow(self)

    def abandon(self) -> None:
        """In the child of a fork: its event loop is the parent's."""
        self.picker = None
        self._is_forked = True

    async def wait(
        self,
        timeout_s: float | None,
        *,
        is_patient: bool,
        other_than: Member | None = None,
        metadata: Metadata = None,
    ) -> Member:
        """As `enter`, waiting for a member: until `timeout_s` if the call `is_patient` (wait_for_ready), else
        only as long as discovery or a connection is under way. Raises NoMemberError, grpc.aio.UsageError when the pool
        is closed, or asyncio.CancelledError when it is closed meanwhile.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.require_open()
        while True:
            if self.is_closed:
                raise asyncio.CancelledError  # As a call under way ends when grpc.aio.Channel is closed.
            member = self.enter(metadata) if other_than is None else self.enter_other((other_than,), metadata)
            if member is not None:
                return member
            situation = self.snapshot.situation
            if situation.is_doubtful:
                self.hurry()
            if not is_patient and not situation.is_pending:
                raise NoMemberError(grpc.StatusCode.UNAVAILABLE, situation.explain(time.time()))
            left_s = None if deadline is None else deadline - time.monotonic()
            try:
                async with asyncio.timeout(left_s):
                    await self.wait_for_change()
            except TimeoutError:
                text = self.snapshot.situation.explain(time.time())
                raise NoMemberError(grpc.StatusCode.DEADLINE_EXCEEDED, text) from None

    def require_open(self) -> None:
        """UsageError, as a closed grpc.aio.Channel has it, if the pool is closed, or was opened before a fork."""
        if self._is_forked:
            msg = (
                "this channel was opened before the process forked, in an event loop that is the parent's\n"
                "  do: open it in the child"
            )
            raise grpc.aio.UsageError(msg)
        if self.is_closed:
            msg = "Channel is closed."
            raise grpc.aio.UsageError(msg)

    def explain_cancelled(self, member: Member) -> None:
        """Raises CutOffError if a CancelledError out of a call on this member comes of its pod's leaving: the grace is
        over, and who awaits the call was not cancelled. A task that nobody cancelled must not end as cancelled: a task
        group passes that over in silence.
        """
        if member.is_retired and not self.is_closed and not is_cancelled_itself():
            raise CutOffError from None

    async def wait_for_change(self) -> None:
        """Until another snapshot is out."""
        await self._changed.wait()

    # -- what is told from any thread

    def found(self, wanted: EndpointSet) -> None:
        """The full set of endpoints, see watch.Report."""
        self._newest.put(wanted, self._tell)

    def works(self) -> None:
        """Discovery stands, see watch.Report."""
        self._tell(self._roster.works)

    def failed(self, error: DiscoveryError) -> None:
        """Discovery failed, see watch.Report."""
        self._tell(self._roster.failed, error)

    def _tell(self, note: Callable[..., None], *arguments: Any) -> None:
        def take() -> None:
            if not self.is_closed:
                note(*arguments)

        try:
            self._loop.call_soon_threadsafe(take)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # The loop was closed without closing the channel: nobody is left to be told.
            self.dismiss()

    # -- in the loop

    def pinged(self, member: Member, error: str | None) -> None:
        """The result of one ping: None, or what went wrong."""
        self._roster.pinged(member, error)

    def suspect(self) -> None:
        """A call has just failed for want of a connection: look at once."""
        self._ask_for_look()

    def accuse(self, member: Member) -> None:
        """So many calls of a member failed in a row that it may have to be ejected."""
        self._roster.suspect(member)

    async def close(self, grace_s: float | None) -> None:
        """No new calls; those under way have `grace_s` to end, and are cancelled then. Again is no error."""
        if not self.is_closed:
            self.is_closed = True
            self._grace_s = grace_s
            if self._timer is not None:
                self._timer.cancel()
            self._roster.shut_down()
        await asyncio.gather(*self._closings)

    def _ask_for_look(self) -> None:
        """In the loop's next turn, once for all who ask: a look at a thousand members takes milliseconds."""
        if not self._is_look_asked:
            self._is_look_asked = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._is_look_asked = False
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self.is_closed:
            return
        rest_s = self._roster.look()
        self._roster.cancel_overdue()
        drain_by = self._roster.drain_by
        if drain_by is not None:
            rest_s = min(rest_s, max(0.0, drain_by - time.monotonic()))
        if drain_by is not None or self.snapshot.members:
            self._timer = self._loop.call_later(rest_s, self._look)

    # -- roster.Host

    def connect(self, endpoint: Endpoint) -> Member:
        """A member whose connection is made by the look that follows."""
        settings: dict[str, Any] = {
            "options": self.find_arguments(endpoint),
            "interceptors": self._interceptors,
        }
        if self._options.credentials is None:
            channel = grpc.aio.insecure_channel(endpoint.uri, **settings)
        else:
            channel = grpc.aio.secure_channel(endpoint.uri, self._options.credentials, **settings)
        self._ask_for_look()
        return AioMember(endpoint, channel, self._note_last_call)

    def disconnect(self, member: Member) -> None:
        """Close the connection, without waiting for that."""
        self._run(member.channel.close(self._grace_s))

    def publish(self, snapshot: Snapshot) -> None:
        """Put out what calls read, and wake those that wait."""
        self.snapshot = snapshot
        self.picker = snapshot.picker
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def state(self) -> Connectivity:
        """Of the pool as a whole."""
        return self.snapshot.state

    def _note_last_call(self, member: Member) -> None:
        self._loop.call_soon(self._roster.release, member)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)
