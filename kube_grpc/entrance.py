"""Where calls take members from: the newest picker, without a lock and without waiting.

Rule: the keeper of a pool replaces `picker` whole; a call whose member has been retired since picks again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

import grpc

from kube_grpc import forks
from kube_grpc.endpoints import Endpoint
from kube_grpc.errors import OptionError
from kube_grpc.member import Member
from kube_grpc.methods import Methods
from kube_grpc.options import Options
from kube_grpc.picker import Metadata, Picker
from kube_grpc.retries import Budget, Retry

_LOGGER = logging.getLogger("kube_grpc")


class Entrance:
    """What sync and asyncio pools share for their calls."""

    def __init__(self, options: Options, authority: str) -> None:
        self._arguments = options.member_options(authority)
        self._credentials = options.credentials
        with forks.gate:
            self._require_usable(self._arguments)
        self._per_member = options.per_member
        self.methods = Methods()
        self.retry = options.retry
        self.hedge = options.hedge
        self.budget: Budget | None = None
        if options.retry is not None or options.hedge is not None:
            self.budget = Budget(Retry.BUDGET if options.retry is None else options.retry.budget)
        self._ejection = options.ejection
        # A snapshot for calls: None while nobody serves.
        self.picker: Picker[Member] | None = None
        # Whoever feeds the pool sets it, see discovery.Discovery.
        self.hurry: Callable[[], None] = _wait_and_see
        self.doubt: Callable[[float], None] = _wait_and_see
        self.dismiss: Callable[[], None] = _wait_and_see

    def enter(self, metadata: Metadata = None) -> Member | None:
        """A connected member with the call counted on it, or None while nobody serves. The path of every
        call.
        """
        picker = self.picker
        while picker is not None:
            member = picker.pick(metadata)
            if member.enter():
                return member
            picker = self.picker  # It was retired, which happens only after a new picker is out.
        return None

    def enter_other(self, tried: Collection[Member], metadata: Metadata = None) -> Member | None:
        """As `enter`, but never a member that this call was made on: None if nobody else serves."""
        picker = self.picker
        others = () if picker is None else tuple(item for item in picker.members if item not in tried)
        if picker is None or not others:
            return None
        chosen = picker.pick(metadata)
        if chosen in tried:
            chosen = next((item for item in others if item.key > chosen.key), others[0])
        return chosen if chosen.enter() else None

    def enter_again(self, failed: Member, metadata: Metadata, *, must_be_other: bool) -> Member | None:
        """A member for another attempt: another one, or, if that need not be, any."""
        other = self.enter_other((failed,), metadata)
        return self.enter(metadata) if other is None and not must_be_other else other

    def find_arguments(self, endpoint: Endpoint) -> tuple[tuple[str, Any], ...]:
        """Channel arguments for the connection to one pod; its own, where `per_member` says any, win."""
        if self._per_member is None:
            return self._arguments
        try:
            own = tuple(dict((*self._arguments, *self._per_member(endpoint))).items())
            self._require_usable(own)
        except Exception:
            _LOGGER.exception("option per_member failed on %r: that member has no overrides", endpoint)
            return self._arguments
        return own

    def _require_usable(self, arguments: tuple[tuple[str, Any], ...]) -> None:
        """OptionError for what gRPC makes no channel with: here, and not with each pod that comes."""
        nowhere = "ipv4:127.0.0.1:1"  # A channel connects only when it is asked to.
        try:
            if self._credentials is None:
                grpc.insecure_channel(nowhere, arguments).close()
            else:
                grpc.secure_channel(nowhere, self._credentials, arguments).close()
        except (AttributeError, TypeError, ValueError) as error:
            msg = (
                f"option options or credentials: gRPC makes no channel with {arguments!r}: {error}\n"
                "  allowed: options are pairs of a name and an int, str or bytes; credentials are"
                " grpc.ChannelCredentials\n"
                "  do: leave out or change what is another"
            )
            raise OptionError(msg) from error

    def judge(self, member: Member, code: grpc.StatusCode) -> None:
        """A call on a member ended with this status: look closer if that speaks against the member."""
        rule = self._ejection
        if rule is not None:
            if code in rule.codes:
                member.failures += 1
                if member.failures >= rule.errors:
                    self.accuse(member)
            elif member.failures or member.ejections:
                member.succeed()
        if code is grpc.StatusCode.UNAVAILABLE:
            self.suspect()

    def accuse(self, member: Member) -> None:
        """So many calls of a member failed in a row that it may have to be ejected."""
        raise NotImplementedError

    def suspect(self) -> None:
        """A call has just failed for want of a connection: look at once, so that no other call goes the same way."""
        raise NotImplementedError


def _wait_and_see(*_: float) -> None:
    """Nobody feeds this pool."""
