"""What can go wrong, one class per kind of remedy.

Rule: a message says what was wrong, where, what was allowed or expected, and what to do.
Does not hold the error of a call that found no member: that is an RPC outcome, see `calls`.
"""

from __future__ import annotations


class KubeGrpcError(Exception):
    """Any error of this package that is not the outcome of an RPC."""


class TargetError(KubeGrpcError, ValueError):
    """A target string that names no Service: the caller has to write another one."""


class OptionError(KubeGrpcError, ValueError):
    """An option of a channel with a value that means nothing: the caller has to give another."""


class AccessError(KubeGrpcError):
    """No usable credentials for a Kubernetes API: the caller has to configure some."""


class DiscoveryError(KubeGrpcError):
    """The Kubernetes API did not tell the endpoints. Never fatal: discovery goes on trying.

    `kind` tells one cause from another, so that a log line is written only when it changes: "unreachable",
    "unauthorized", "forbidden", "expired" (a revision too old to watch from), "broken" (a watch was cut or
    fell silent), "answer" (anything else that was answered). `remedy` is what to apply or to do, possibly
    several lines (the Role as YAML); None where there is none.
    """

    def __init__(self, message: str, *, kind: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.remedy = remedy
