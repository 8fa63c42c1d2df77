"""What keeps a pool running: whoever may still call, by holding its lease.

Rule: a channel, its multi-callables and the calls that they began each hold the lease; the pool and its threads do not.
So a channel that is dropped without `close` ends when its stubs and calls are gone, as gRPC's own do.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable


class Lease:
    """To be held; there is nothing else to do with it."""

    __slots__ = ("__weakref__",)


def write_lease(end: Callable[[], object]) -> Lease:
    """A lease; `end` is called when nobody holds it any more, but not when the process ends.

    The garbage collector may do that in the midst of anything, so `end` must not take a lock.
    """
    lease = Lease()
    weakref.finalize(lease, end).atexit = False
    return lease
