"""What a fork does to pools: in the child their threads are gone, so they begin anew with the child's first call.

Rule: no thread of ours is inside gRPC while the process forks (`gate`), as gRPC's own fork support needs it. In the
child a pool is only marked: a child that never calls pays nothing, and starts no threads. The parent's pools go on.

Where gRPC's fork support is off, a child of a process that has used gRPC hangs in it: then a call in the child is
refused, and says what to do.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from typing import Protocol

_LOGGER = logging.getLogger("kube_grpc")

# Held by whoever of our threads is inside gRPC, and by a fork.
gate = threading.Lock()


class Forkable(Protocol):
    """Something whose threads do not live on in the child of a fork."""

    def abandon(self) -> None:
        """In the child: forget threads, locks and connections without touching them. Must not block."""
        ...


# How gRPC's C-core reads it; unset is on.
_OFF = ("0", "f", "false", "n", "no")
_live: weakref.WeakSet[Forkable] = weakref.WeakSet()
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
    _live.add(pool)


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


def _after_in_parent() -> None:
    gate.release()


def _after_in_child() -> None:
    global gate  # the old one is held by the thread that forked, and its waiters are gone
    gate = threading.Lock()
    for each in tuple(_live):
        each.abandon()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
