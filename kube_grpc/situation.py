"""Why there is no member to call, in words; and whether it is worth waiting. Pure.

Rule: the text names the Service, what discovery said last and since when, so that the error of a failed call
is enough to act on. Times come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from kube_grpc.endpoints import EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.target import Target


@dataclass(frozen=True, slots=True)
class Situation:
    """What the pool knows while it has nobody to answer a call.

    `wanted` is the last set found, `error` the discovery error that stands, since `failing_since_at`.
    `connecting` members have not failed yet, `failed` ones are refused or time out, `unresponsive` ones fail
    their ping; `evicted` endpoints failed it and are out until the next refresh. Instants are seconds since
    the epoch.
    """

    target: Target
    started_at: float
    wanted: EndpointSet | None = None
    error: DiscoveryError | None = None
    failing_since_at: float | None = None
    connecting: int = 0
    failed: int = 0
    unresponsive: int = 0
    evicted: int = 0

    @property
    def is_pending(self) -> bool:
        """A call that does not wait for ready may still hope: discovery or a connection is under way."""
        return self.connecting > 0 or (self.wanted is None and self.error is None)

    @property
    def is_doubtful(self) -> bool:
        """Discovery fails, or its members can not be reached: what it told last may be out of date."""
        return self.error is not None or self.failed > 0

    def explain(self, now: float) -> str:
        """One or two sentences."""
        text = f"no member for {self.target}: {self._describe_members(now)}"
        if self.error is not None:
            since_at = self.started_at if self.failing_since_at is None else self.failing_since_at
            text += f"; discovery fails {_since(since_at, now)}: {self.error}"
        return text

    def _describe_members(self, now: float) -> str:
        if self.wanted is None:
            if self.error is None:
                return f"no answer from the Kubernetes API yet, asked {_since(self.started_at, now)}"
            return "its endpoints were never known"
        counts = (
            (self.connecting, "still connecting"),
            (self.failed, "can not be connected to"),
            (self.unresponsive, "not answering the ping"),
            (self.evicted, "out until the next refresh because the ping failed"),
        )
        held = [f"{count} {what}" for count, what in counts if count]
        if held:
            return f"{len(self.wanted.endpoints)} endpoints listed, " + ", ".join(held)
        if self.wanted.notes:
            return "; ".join(self.wanted.notes)
        if self.wanted.slices == 0:
            return (
                f"no EndpointSlice has the label kubernetes.io/service-name={self.target.service} in namespace "
                f"{self.target.namespace}; does the Service exist?"
            )
        if self.wanted.endpoints:
            return f"{len(self.wanted.endpoints)} endpoints listed, none of them ready"
        return "the Service has no endpoints; is it scaled to zero, or does its selector match no pod?"


def _since(at: float, now: float) -> str:
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"since {moment} ({max(0.0, now - at):.1f} s)"
