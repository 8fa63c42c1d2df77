"""The few statistics that the verdicts need, in closed form with the standard library.

Rule: exact where that is possible; where an approximation is used, its error is on the side of not crying
wolf, and a test measures it. No randomness and no data structures of the harness: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: the least value that at least `share` of all values do not exceed."""
    if not values:
        raise ValueError("a quantile of nothing")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def chi_square_tail(value: float, freedom: int) -> float:
    """Chance that a chi-square variable with `freedom` degrees of freedom exceeds `value`.

    Abramowitz and Stegun 26.4.4 and 26.4.5: a finite sum for even, the same and an error function for odd
    degrees.
    """
    if freedom < 1:
        raise ValueError(f"degrees of freedom must be at least 1, not {freedom}")
    if value <= 0:
        return 1.0
    half = value / 2
    first, start = (0.0, 0.0) if freedom % 2 == 0 else (math.erfc(math.sqrt(half)), 0.5)
    terms = (_power_over_factorial(half, start + step) for step in range(freedom // 2))
    return min(1.0, first + math.fsum(terms))


def chi_square_limit(chance: float, freedom: int) -> float:
    """The value that a chi-square variable exceeds with `chance` (between 0 and 1)."""
    low, high = 0.0, float(freedom)
    while chi_square_tail(high, freedom) > chance:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_tail(middle, freedom) > chance else (low, middle)
    return high


def noncentral_tail(value: float, freedom: int, noncentrality: float) -> float:
    """Chance that a noncentral chi-square variable exceeds `value`: a Poisson mixture of central ones."""
    if noncentrality <= 0:
        return chi_square_tail(value, freedom)
    mean = noncentrality / 2
    width = 10 * math.sqrt(mean) + 20
    first, last = max(0, math.floor(mean - width)), math.ceil(mean + width)
    terms = (
        math.exp(-mean + step * math.log(mean) - math.lgamma(step + 1))
        * chi_square_tail(value, freedom + 2 * step)
        for step in range(first, last + 1)
    )
    return min(1.0, math.fsum(terms))


def g_value(counts: Sequence[int], weights: Sequence[float]) -> float:
    """The G statistic of counts against weights that make 1, with Williams' correction for small counts.

    Close to chi-square with one degree of freedom less than there are counts, where the weights hold.
    """
    total = sum(counts)
    if total == 0:
        return 0.0
    raw = 2 * math.fsum(
        count * math.log(count / (total * weight))
        for count, weight in zip(counts, weights, strict=True)
        if count
    )
    cells = len(counts)
    correction = 1 + (math.fsum(1 / weight for weight in weights) - 1) / (6 * total * (cells - 1))
    return max(0.0, raw / correction)


def noncentrality(calls: int, weights: Sequence[float], skew: float) -> float:
    """How far `calls` would move the G statistic if one cell took `skew` more than its weight.

    The cell is the one where this shows least; cells that can not take that much are left out.
    """
    shown = [
        _divergence(weights, cell, skew) for cell in range(len(weights)) if weights[cell] * (1 + skew) < 1
    ]
    return 2 * calls * min(shown) if shown else math.inf


def _divergence(weights: Sequence[float], cell: int, skew: float) -> float:
    raised = weights[cell] * (1 + skew)
    others = (1 - raised) / (1 - weights[cell])
    skewed = [raised if index == cell else weight * others for index, weight in enumerate(weights)]
    return math.fsum(p * math.log(p / q) for p, q in zip(skewed, weights, strict=True))


def _power_over_factorial(half: float, exponent: float) -> float:
    return math.exp(-half + exponent * math.log(half) - math.lgamma(exponent + 1))
