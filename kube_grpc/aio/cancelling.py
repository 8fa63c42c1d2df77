"""Whose cancellation it is that comes out of an `await`: that of who awaits, or of what is awaited."""

from __future__ import annotations

import asyncio


def is_cancelled_itself() -> bool:
    """Whether the task that runs has been asked to end, so that a CancelledError is its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
