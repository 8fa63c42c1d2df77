"""What a failed attempt tells about a call, and whether it is made again. Pure.

Rule: a call that provably never left this process is made again on another member: once, or with wait_for_ready until
the deadline. The proof: gRPC says that it had no connection to send it on, and names this very member's address as the
one it could not connect to. Nothing else is repeated unless a `Retry` asks for it: a stream refused by the server
(RST_STREAM, GOAWAY) can not be told, in Python, from a server that passes on such an error of its own upstream; nor a
broken connection from a request that was carried out.
"""

from __future__ import annotations

from typing import Any

import grpc

from kube_grpc.member import Member
from kube_grpc.retries import Budget, Retry

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


class Attempts:
    """What has been tried for one call; made when its first attempt has failed."""

    __slots__ = ("_budget", "_is_repeated", "_made", "_retry", "is_patient", "must_be_other")

    def __init__(self, retry: Retry | None, budget: Budget | None, *, is_patient: bool) -> None:
        self._retry = retry
        self._budget = budget
        self.is_patient = is_patient
        self._is_repeated = False
        self._made = 1
        # Whether another member is needed for the attempt that `next_s` spoke of, or only better.
        self.must_be_other = True

    def next_s(self, error: Any, member: Member, lot: float) -> float | None:
        """In how many seconds to try again, after an attempt on `member` failed; None to give up. `lot` is 0 to 1."""
        if never_left(error, member) and (self.is_patient or not self._is_repeated):
            self._is_repeated = True
            self.must_be_other = True
            return 0.0
        retry, budget = self._retry, self._budget
        if retry is None or budget is None or self._made >= retry.attempts or error.code() not in retry.codes:
            return None
        if not budget.spend():
            return None
        self._made += 1
        self.must_be_other = False
        return retry.delay_s(self._made - 1, lot)
