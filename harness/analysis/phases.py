"""The timeline cut at the steps.

Rule: a phase lasts from the step that opens it (from when the step began) to the next one that opens a
phase; the first one is called `start` and begins with the load. A call belongs to the phase in which it was
sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.endpoints import Stay
from harness.analysis.results import Window
from harness.history import History
from harness.scenario import FIRST_PHASE

WHOLE = "whole run"


def cut(history: History, stays: Sequence[Stay]) -> tuple[Window, tuple[Window, ...]]:
    """The whole run and its phases; ([], ()) can not be.

    A history whose load never began is refused with ValueError.
    """
    if history.began_at is None or history.ended_at is None:
        raise ValueError(history.failure or "the load of this history never began or never ended")
    opened = [(FIRST_PHASE, history.began_at)]
    opened += [(step.phase, step.at) for step in history.steps() if step.phase is not None]
    ends = [at for _, at in opened[1:]] + [history.ended_at]
    windows = tuple(
        _window(name, began_at, end, stays) for (name, began_at), end in zip(opened, ends, strict=True)
    )
    return _window(WHOLE, history.began_at, history.ended_at, stays), windows


def _window(name: str, began_at: float, ended_at: float, stays: Sequence[Stay]) -> Window:
    ready = frozenset(
        stay.pod
        for stay in stays
        if stay.ready_at <= began_at and (stay.left_at is None or stay.left_at > began_at)
    )
    joined = {stay.pod for stay in stays if began_at < stay.ready_at < ended_at}
    left = {stay.pod for stay in stays if stay.left_at is not None and began_at < stay.left_at < ended_at}
    return Window(name, began_at, ended_at, ready, frozenset(joined | left))
