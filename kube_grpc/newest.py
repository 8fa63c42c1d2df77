"""The newest set of endpoints, between discovery and the pool that is to take it.

Rule: a set is whole, so one that still waits when the next comes is passed by: after many changes at once (slices that
are packed anew, a roll) a pool catches up in one step. The first is on its way at once: nothing waits for more to come.

Has no lock: `put` writes the set before it looks whether somebody is on the way, `take` says that nobody is before it
reads. So a set that `put` told nobody of is read by who is on the way.
"""

from __future__ import annotations

from collections.abc import Callable

from kube_grpc.endpoints import EndpointSet


class Newest:
    """Put from any thread but in order, taken in the pool's own."""

    __slots__ = ("_is_told", "_take", "_wanted")

    def __init__(self, take: Callable[[EndpointSet], None]) -> None:
        self._take = take
        self._wanted = EndpointSet()
        self._is_told = False

    def put(self, wanted: EndpointSet, tell: Callable[[Callable[[], None]], None]) -> None:
        """`tell` is called with what the pool's own thread has to do, unless it was told and has not done it yet."""
        self._wanted = wanted
        if not self._is_told:
            self._is_told = True
            tell(self._deliver)

    def _deliver(self) -> None:
        self._is_told = False
        self._take(self._wanted)
