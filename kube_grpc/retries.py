"""Which failed calls are made again by policy, and how many of them. Pure, but for the count of a budget.

Rule: a retry by policy may reach a server twice, so it is for methods that bear this, and only asked for. A budget
bounds retries to a share of all calls, so that a Service in trouble is not given several times its load.
What never left this process is tried again in any case (`attempts`), and needs neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import grpc

from kube_grpc.errors import OptionError


@dataclass(frozen=True, slots=True)
class Retry:
    """For unary-unary calls. `attempts`: in all, the first included. `codes`: failures to repeat. `backoff_s`: before
    the first retry, half to all of it by lot; it doubles up to `most_backoff_s`. `budget`: retries for each call, on
    the long average; ten may be saved up.
    """

    BUDGET: ClassVar[float] = 0.2

    attempts: int = 3
    codes: frozenset[grpc.StatusCode] = frozenset({grpc.StatusCode.UNAVAILABLE})
    backoff_s: float = 0.025
    most_backoff_s: float = 1.0
    budget: float = BUDGET

    def __post_init__(self) -> None:
        allowed = (
            (self.attempts >= 2, "attempts: 2 or more"),
            (bool(self.codes) and grpc.StatusCode.OK not in self.codes, "codes: one or more, not OK"),
            (math.isfinite(self.backoff_s) and self.backoff_s >= 0, "backoff_s: seconds, 0 or more, finite"),
            (
                math.isfinite(self.most_backoff_s) and self.most_backoff_s >= self.backoff_s,
                "most_backoff_s: not less than backoff_s",
            ),
            (0 < self.budget <= 1, "budget: more than 0, at most 1"),
        )
        wrong = [text for holds, text in allowed if not holds]
        if wrong:
            msg = f"option retry: {self!r}\n  allowed: {'; '.join(wrong)}\n  do: give such a value"
            raise OptionError(msg)

    def delay_s(self, retry: int, lot: float) -> float:
        """How long to wait before the `retry`-th retry, from 1; `lot` is 0 to 1."""
        return min(self.most_backoff_s, self.backoff_s * 2.0 ** min(retry - 1, 60)) * (0.5 + lot / 2)


class Budget:
    """What is left for retries. Counted without a lock: under races it may lose income, and never makes any up."""

    __slots__ = ("_income", "_tokens")
    MOST = 10.0

    def __init__(self, income: float) -> None:
        self._income = income
        self._tokens = self.MOST

    def earn(self) -> None:
        """One call was made."""
        tokens = self._tokens + self._income
        self._tokens = tokens if tokens < self.MOST else self.MOST

    def spend(self) -> bool:
        """Take one retry; False if there is none left."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
