"""The outcome of a call that found no member: it looks like any failed call of grpc.aio."""

from __future__ import annotations

import grpc
import grpc.aio


class NoMemberError(grpc.aio.AioRpcError):
    """No pod could be called. Code UNAVAILABLE, or DEADLINE_EXCEEDED when the time ended while waiting for one;
    `details` is what kube_grpc.NoMemberError has.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, details)
