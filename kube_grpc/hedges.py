"""Which calls are made on more than one member at once, and when. Pure.

Rule: a hedged call may be carried out by several servers, so it is for methods that bear this, and only asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kube_grpc.errors import OptionError


@dataclass(frozen=True, slots=True)
class Hedge:
    """For unary-unary calls. `after_s`: how long to wait for an answer before each further attempt. `attempts`: in all,
    the first included, each on another member. `methods`: only these, by full name ("/package.Service/Method"); None
    for all of the channel.
    """

    after_s: float
    attempts: int = 2
    methods: frozenset[str] | None = None

    def __post_init__(self) -> None:
        allowed = (
            (math.isfinite(self.after_s) and self.after_s > 0, "after_s: seconds, more than 0, finite"),
            (self.attempts >= 2, "attempts: 2 or more"),
            (
                self.methods is None or (bool(self.methods) and all(each.startswith("/") for each in self.methods)),
                'methods: None, or one or more full names as "/package.Service/Method"',
            ),
        )  # fmt: skip
        wrong = [text for holds, text in allowed if not holds]
        if wrong:
            msg = f"option hedge: {self!r}\n  allowed: {'; '.join(wrong)}\n  do: give such a value"
            raise OptionError(msg)

    def covers(self, method: str) -> bool:
        """Whether calls of this method are hedged."""
        return self.methods is None or method in self.methods
