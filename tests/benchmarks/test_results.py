"""Figures as a page."""

import pytest

from benchmarks.results import Bound, Figure, Series, format_number, render


def line_of(figure: Figure) -> str:
    return render([figure], machine="any").splitlines()[-1]


def test_a_figure_stands_beside_its_peers() -> None:
    """A line has our median with its spread, the bound, whether it is kept, the peer's and the ratio."""
    figure = Figure("start", Series((0.4, 0.6, 0.5), "s"), Bound(0.5), "etcd", Series((2.0,), "s"))
    assert line_of(figure) == "| start | 0.5 s (0.4 to 0.6) | at most 0.5 s | kept | etcd | 2 s | 0.25 |"


@pytest.mark.parametrize(
    ("bound", "value", "said"),
    [
        (Bound(0.5), 0.51, "**missed**"),
        (Bound(0.5), 0.5, "kept"),
        (Bound(1000, at_most=False), 999, "**missed**"),
        (Bound(1000, at_most=False), 1000, "kept"),
    ],
)
def test_a_missed_bound_is_said(bound: Bound, value: float, said: str) -> None:
    """A bound is kept up to and including its limit, from the side that it names."""
    assert Figure("x", Series((value,), "s"), bound).verdict == said


def test_a_peer_that_is_not_there_is_said_to_be_absent() -> None:
    """No figure and no ratio is made up for it."""
    assert line_of(Figure("x", Series((1.0,), "s"), None, "etcd")).endswith(
        "| etcd | not on this machine |  |"
    )


@pytest.mark.parametrize(
    ("value", "shown"), [(0.01234, "0.0123"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1 234")]
)
def test_numbers_have_three_digits_that_count(value: float, shown: str) -> None:
    """More would be noise."""
    assert format_number(value) == shown


def test_a_missed_bound_has_its_profile() -> None:
    """The shares stand below the table, as they were printed."""
    page = render([], machine="any", profiles={"pods": " 60.0%  registry\n 40.0%  store\n"})

    assert page.endswith(
        "(`python -m benchmarks.profiling pods`):\n\n     60.0%  registry\n     40.0%  store\n"
    )
