"""When the next call is due: an open-loop pace, pure.

The rule it keeps: call number `seq` is due at `seq / rate` after the start, whatever the answers do. A pacer
that is late says "now" for each missed call in turn, so that a stall of the sender neither thins the load nor
drops a sequence number.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pacer:
    """`rate` in calls a second, above 0; `count` calls in all, None for no end."""

    rate: float
    count: int | None = None

    def due_s(self, seq: int) -> float:
        """When call `seq` (from 0) is due, in seconds after the start."""
        return seq / self.rate

    def wait_s(self, elapsed_s: float, seq: int) -> float | None:
        """How long to wait before call `seq` is sent, never negative; None when all calls are sent."""
        if self.count is not None and seq >= self.count:
            return None
        return max(0.0, self.due_s(seq) - elapsed_s)
