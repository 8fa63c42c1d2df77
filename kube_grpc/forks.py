"""What a fork does to pools: in the child their threads are gone, so they begin anew with the child's first call.

Rule: no thread of ours is inside gRPC while the process forks (`gate`, `inside`), and none that calls: calls that come
wait for the fork, which waits for those under way, but no longer than `_QUIET_S`. gRPC's own fork support needs that:
with a call under way it does nothing (grpcio 1.85), and one such fork in a hundred leaves calls without an end, on
either side.

In the child a pool is only marked: a child that never calls pays nothing, and starts no threads. The parent's pools go
on.

Where gRPC's fork support is off, a child of a process that has used gRPC hangs in it: then a call in the child is
refused, and says what to do.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LOGGER = logging.getLogger("kube_grpc")

# Held by whoever of our threads is inside gRPC, and by a fork.
gate = threading.RLock()  # One that holds it may fork, or open a channel: a hook of the caller's.


class Forkable(Protocol):
    """Something whose threads do not live on in the child of a fork."""

    def abandon(self) -> None:
        """In the child: forget threads, locks and connections without touching them. Must not block."""
        ...


class Pausable(Protocol):
    """Something whose calls can be made to wait."""

    def pause(self) -> None:
        """Calls that come from now on wait for `resume`. Must not block."""
        ...

    def resume(self) -> None:
        """In the parent: the fork is over."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way."""
        ...


# How long a fork waits for calls under way: unary ones are over by then, and a stream would not be in many times that.
_QUIET_S = 0.2
_LOOK_S = 0.001
# How gRPC's C-core reads it; unset is on.
_OFF = ("0", "f", "false", "n", "no")
_live: weakref.WeakSet[Forkable] = weakref.WeakSet()
_pausing: weakref.WeakSet[Pausable] = weakref.WeakSet()
_inside: deque[None] = deque()  # One item for each of our threads that makes a call of its own.
_REFUSAL = (
    "this channel was opened before the process forked, and gRPC's fork support is off, so a call would hang\n"
    "  allowed: channels that are opened in the child (gunicorn: in post_fork; uwsgi: in @postfork), or opened before"
    " the fork with gRPC's fork support\n"
    "  do: open it in the child, or start the process without GRPC_ENABLE_FORK_SUPPORT=0"
)


_FROZEN = (
    "uwsgi runs this process without threads: between requests it stops them, so endpoints are not followed, and"
    " a request that comes after a while goes by what was known then\n"
    "  do: start uwsgi with --enable-threads (and with --py-call-uwsgi-fork-hooks, unless with --lazy-apps)"
)


def follow(pool: Forkable) -> None:
    """Tell it when the process has forked, in the child, for as long as it lives."""
    with gate:
        _live.add(pool)


def pause_for_forks(pool: Pausable) -> None:
    """Have the calls of this pool wait while the process forks."""
    with gate:
        _pausing.add(pool)


@contextmanager
def inside() -> Iterator[None]:
    """For a thread of ours that makes a call of its own: it waits for a fork, as a fork does for it."""
    with gate:
        _inside.append(None)
    try:
        yield
    finally:
        _inside.pop()


def require_support() -> None:
    """RuntimeError, with what to do, where gRPC can not be used after a fork."""
    if os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in _OFF:
        raise RuntimeError(_REFUSAL)


def look_for_threads() -> None:
    """Log what to do where a server stops the threads of this process."""
    # A number in uwsgi 2.0; a module of another kind by that name says nothing.
    if getattr(sys.modules.get("uwsgi"), "has_threads", None) == 0:
        _LOGGER.warning("%s", _FROZEN)


def _before() -> None:
    gate.acquire()
    pools = tuple(_pausing)
    for each in pools:
        each.pause()
    quiet_by = time.monotonic() + _QUIET_S
    while pools and time.monotonic() < quiet_by:
        # First, as a call that has its member may not have been counted yet. Nobody tells when the last is over: that
        # would cost each of them.
        time.sleep(_LOOK_S)
        if not _inside and not any(each.is_busy for each in pools):
            return


def _after_in_parent() -> None:
    for each in tuple(_pausing):
        each.resume()
    gate.release()


def _after_in_child() -> None:
    global gate, _inside  # what the old gate holds back is gone, but for the thread that forked, which holds it
    gate = threading.RLock()
    _inside = deque()
    for each in tuple(_live):
        each.abandon()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
