"""When a member that fails calls is left out for a while, and when it comes back. Pure.

Rule: a member is ejected after so many failed calls in a row, for a time that doubles with each ejection in a row; at
most a share of the members is out at any time, so that a fault of everybody's ejects nobody's last hope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import grpc

from kube_grpc.errors import OptionError

_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL})


@dataclass(frozen=True, slots=True)
class Ejection:
    """`errors`: failed calls in a row, with one of `codes`. `base_s`, `most_s`: how long the first ejection lasts, and
    the longest. `share`: the part of the members that may be out, 0 to 1; less than one member is none.
    """

    errors: int = 5
    base_s: float = 10.0
    most_s: float = 300.0
    share: float = 0.5
    codes: frozenset[grpc.StatusCode] = _CODES

    def __post_init__(self) -> None:
        allowed = (
            (self.errors >= 1, "errors: 1 or more"),
            (math.isfinite(self.base_s) and self.base_s > 0, "base_s: seconds, more than 0, finite"),
            (
                math.isfinite(self.most_s) and self.most_s >= self.base_s,
                "most_s: seconds, not less than base_s",
            ),
            (0 <= self.share <= 1, "share: 0 to 1"),
        )
        wrong = [text for holds, text in allowed if not holds]
        if wrong:
            msg = f"option ejection: {self!r}\n  allowed: {'; '.join(wrong)}\n  do: give such a value"
            raise OptionError(msg)

    def may_eject(self, *, out: int, members: int) -> bool:
        """Whether one more may be out."""
        return out + 1 <= self.share * members

    def duration_s(self, times: int) -> float:
        """How long the ejection lasts that is the `times`-th in a row, from 1."""
        return min(self.most_s, self.base_s * 2.0 ** min(times - 1, 60))
