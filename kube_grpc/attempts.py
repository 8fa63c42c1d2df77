"""What a failed attempt tells about the call: whether any server can have seen it. Pure."""

from __future__ import annotations

from typing import Any

import grpc

from kube_grpc.member import Member

# What C-core says when the policy of a channel (round_robin, pick_first) has no connection to send a call on.
_NOT_CONNECTED = (
    "connections to all backends failing; last error: ",
    "failed to connect to all addresses; last error: ",
)


def never_left(error: Any, member: Member) -> bool:
    """Whether gRPC failed the call for want of a connection to this member, so that no server has seen it.

    The address makes it a proof: a server may return such a text about an upstream of its own, but not about
    itself.
    """
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return False
    details = error.details()
    return (
        details is not None and details.startswith(_NOT_CONNECTED) and f"{member.endpoint.uri}: " in details
    )
