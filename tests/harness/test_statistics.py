"""The statistics behind the verdicts, against exact counts and simulations."""

from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.statistics import (
    chi_square_limit,
    chi_square_tail,
    g_value,
    noncentral_tail,
    noncentrality,
    quantile,
)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.95, 4.0), (1.0, 4.0)]
)
def test_quantiles_of_four_values(share: float, expected: float) -> None:
    """A quantile is one of the values: the least that so many do not exceed."""
    assert expected == quantile([4.0, 1.0, 3.0, 2.0], share)


def test_a_quantile_of_nothing() -> None:
    """There is no quantile of no values."""
    with pytest.raises(ValueError, match="a quantile of nothing"):
        quantile([], 0.5)


@pytest.mark.parametrize(
    ("value", "freedom", "chance"),
    [
        (3.841459, 1, 0.05),
        (6.634897, 1, 0.01),
        (5.991465, 2, 0.05),
        (7.814728, 3, 0.05),
        (18.307038, 10, 0.05),
        (29.141238, 14, 0.01),
        (37.697298, 15, 0.001),
    ],
)
def test_the_tables_of_any_textbook(value: float, freedom: int, chance: float) -> None:
    """The closed form gives the tabulated tails, for even and odd degrees."""
    assert chance == pytest.approx(chi_square_tail(value, freedom), rel=1e-5)


@given(st.floats(min_value=1e-9, max_value=0.5), st.integers(min_value=1, max_value=40))
def test_the_limit_is_the_inverse_of_the_tail(chance: float, freedom: int) -> None:
    """The value that is exceeded with a chance has just that chance."""
    assert chance == pytest.approx(chi_square_tail(chi_square_limit(chance, freedom), freedom), rel=1e-6)


@given(st.integers(min_value=1, max_value=30), st.floats(min_value=0.001, max_value=200))
def test_more_noncentrality_shows_more(freedom: int, shift: float) -> None:
    """A skew can only raise the chance to be seen, and no skew leaves the false-alarm rate."""
    limit = chi_square_limit(1e-6, freedom)

    assert pytest.approx(noncentral_tail(limit, freedom, 0.0), rel=1e-3) == 1e-6
    assert noncentral_tail(limit, freedom, shift) <= noncentral_tail(limit, freedom, shift * 1.1) + 1e-12


def test_the_noncentral_tail_against_a_simulation() -> None:
    """The Poisson mixture agrees with sums of shifted squares."""
    draw = random.Random(5)
    shift, freedom, limit, rounds = 9.0, 3, 12.0, 20_000
    found = sum(
        (draw.gauss(math.sqrt(shift), 1) ** 2 + sum(draw.gauss(0, 1) ** 2 for _ in range(freedom - 1)))
        > limit
        for _ in range(rounds)
    )

    assert noncentral_tail(limit, freedom, shift) == pytest.approx(found / rounds, abs=0.015)


@pytest.mark.parametrize(("calls", "pods"), [(60, 3), (150, 3), (300, 3), (45, 4)])
def test_the_false_alarm_rate_counted_out(calls: int, pods: int) -> None:
    """Over all outcomes of a fair choice.

    The G-test at 1 in a million cries wolf at most twice in a million.
    """
    limit = chi_square_limit(1e-6, pods - 1)
    weights = [1 / pods] * pods
    log_total = math.lgamma(calls + 1) - calls * math.log(pods)
    alarms = 0.0
    for head in product(range(calls + 1), repeat=pods - 1):
        rest = calls - sum(head)
        if rest >= 0 and g_value([*head, rest], weights) > limit:
            alarms += math.exp(log_total - sum(math.lgamma(count + 1) for count in (*head, rest)))

    assert alarms < 2e-6


@given(st.lists(st.integers(min_value=1, max_value=500), min_size=2, max_size=6))
def test_g_of_equal_counts_is_nothing(counts: list[int]) -> None:
    """Counts that are as the weights say give a G of zero, and no others a negative one."""
    total = sum(counts)

    assert g_value(counts, [count / total for count in counts]) == pytest.approx(0, abs=1e-9)
    assert g_value(counts, [1 / len(counts)] * len(counts)) >= 0


def test_skew_that_no_cell_can_take() -> None:
    """Where no cell can take so much more, any such skew would show."""
    assert math.inf == noncentrality(100, [0.5, 0.5], 1.5)


@pytest.mark.parametrize("freedom", [0, -1])
def test_no_degrees_of_freedom(freedom: int) -> None:
    """There is no such distribution."""
    with pytest.raises(ValueError, match="degrees of freedom must be at least 1"):
        chi_square_tail(1.0, freedom)
