"""Where calls take members from: the newest picker, without a lock and without waiting.

Rule: the keeper of a pool replaces `picker` whole; a call whose member has been retired since picks again.
"""

from __future__ import annotations

from kube_grpc.member import Member
from kube_grpc.picker import Picker


class Entrance:
    """What sync and asyncio pools share for their calls."""

    def __init__(self) -> None:
        # A snapshot for calls: None while nobody serves.
        self.picker: Picker[Member] | None = None

    def enter(self) -> Member | None:
        """A connected member with the call counted on it, or None while nobody serves. The path of every
        call.
        """
        picker = self.picker
        while picker is not None:
            member = picker.pick()
            if member.enter():
                return member
            picker = self.picker  # It was retired, which happens only after a new picker is out.
        return None

    def enter_other(self, failed: Member) -> Member | None:
        """As `enter`, but never the member that just failed a call: None if nobody else serves."""
        picker = self.picker
        others = () if picker is None else tuple(item for item in picker.members if item is not failed)
        if picker is None or not others:
            return None
        chosen = picker.pick()
        if chosen is failed:
            chosen = next((item for item in others if item.key > failed.key), others[0])
        return chosen if chosen.enter() else None
