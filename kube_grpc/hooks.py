"""What a pool tells about itself: frozen event records, and a hook that gets them one at a time.

Rule: an event is a change; a state that lasts is told once. `str(event)` is the log line.

A hook is any callable that takes one event. It is called from the pool's own thread: it must return quickly
and must not call the channel. One that raises is logged and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """A connection to a pod is being opened; no calls go there yet."""

    target: str
    peer: str
    pod: str | None

    def __str__(self) -> str:
        return f"{self.target}: member {self.peer} added{_of(self.pod)}"


@dataclass(frozen=True, slots=True)
class MemberReady:
    """Calls go there from now on."""

    target: str
    peer: str
    pod: str | None

    def __str__(self) -> str:
        return f"{self.target}: member {self.peer} ready{_of(self.pod)}"


@dataclass(frozen=True, slots=True)
class MemberUnready:
    """No calls go there for now, though it is still a member: `reason` says why."""

    target: str
    peer: str
    pod: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.target}: member {self.peer} not ready{_of(self.pod)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """No new calls go there; those in flight finish."""

    target: str
    peer: str
    pod: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.target}: member {self.peer} removed{_of(self.pod)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DiscoveryFailed:
    """The Kubernetes API does not tell the endpoints; members stay as they are. `kind` as in DiscoveryError."""

    target: str
    kind: str
    error: str

    def __str__(self) -> str:
        return f"{self.target}: discovery failed, members stay as they are: {self.error}"


@dataclass(frozen=True, slots=True)
class DiscoveryRecovered:
    """The Kubernetes API tells the endpoints again."""

    target: str
    failing_s: float

    def __str__(self) -> str:
        return f"{self.target}: discovery works again after {self.failing_s:.1f} s"


Event = MemberAdded | MemberReady | MemberUnready | MemberRemoved | DiscoveryFailed | DiscoveryRecovered
Hook = Callable[[Event], None]


def _of(pod: str | None) -> str:
    return f" (pod {pod})" if pod is not None else ""
