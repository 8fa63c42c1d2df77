"""Outcomes of calls that are the pool's own: they look like any failed call of grpc.aio."""

from __future__ import annotations

import grpc
import grpc.aio


class NoMemberError(grpc.aio.AioRpcError):
    """No pod could be called. Code UNAVAILABLE, or DEADLINE_EXCEEDED when the time ended while waiting for one;
    `details` is what kube_grpc.NoMemberError has.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, details)


class CutOffError(grpc.aio.AioRpcError):
    """The pod had left, and the grace was over. Code CANCELLED."""

    def __init__(self) -> None:
        text = "the call still ran when its pod had left and the drain grace was over"
        super().__init__(grpc.StatusCode.CANCELLED, grpc.aio.Metadata(), grpc.aio.Metadata(), text, text)
