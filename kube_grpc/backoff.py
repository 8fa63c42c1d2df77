"""How long to wait after failures in a row: doubling, capped, jittered. Pure; chance comes in as an argument.

Jitter spreads the clients of a whole deployment, which all lose the API server in the same moment.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first_s`, twice that, and so on up to `most_s`; each shortened by up to half, by lot."""

    first_s: float = 0.25
    most_s: float = 30.0

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """The wait after `failures` failures in a row (1, 2, …)."""
        # 2**32 would already be beyond any cap; without the bound the power grows for as long as an outage
        # lasts.
        longest = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return float(longest * rng.uniform(0.5, 1.0))
