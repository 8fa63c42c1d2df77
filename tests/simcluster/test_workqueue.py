"""The queue of keys, and the loop that works on them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from instant_cluster import InstantLoop

from simcluster import schema
from simcluster.controllers.informers import Informers
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.workqueue import WorkQueue
from simcluster.errors import NotFound
from simcluster.profile import FAST
from simcluster.registry import Registry


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a loop whose timers cost no time."""
    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(story())


def queue() -> WorkQueue[str]:
    """A queue in the running loop."""
    return WorkQueue(asyncio.get_running_loop().call_later, base_s=0.005, max_s=1.0)


def now() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


def test_a_key_that_waits_is_not_added_twice() -> None:
    """Ten events of one object are one sync."""

    async def story() -> None:
        keys = queue()
        for _ in range(10):
            keys.add("a")
        keys.add("b")
        assert [await keys.get(), await keys.get()] == ["a", "b"]
        assert len(keys) == 0

    run(story)


def test_a_key_added_while_it_is_worked_on_comes_again() -> None:
    """What happened during a sync is not lost."""

    async def story() -> None:
        keys = queue()
        keys.add("a")
        assert await keys.get() == "a"
        keys.add("a")
        assert await keys.get() == "a"

    run(story)


@pytest.mark.parametrize("delays", [(5.0, 1.0), (1.0, 5.0)])
def test_of_two_times_the_earlier_counts(delays: tuple[float, float]) -> None:
    """And the later one is forgotten."""

    async def story() -> None:
        keys = queue()
        for delay_s in delays:
            keys.add_after("a", delay_s)
        assert await keys.get() == "a"
        assert now() == pytest.approx(1.0)
        await asyncio.sleep(10)
        assert len(keys) == 0

    run(story)


def test_failures_double_the_wait_up_to_the_most_and_success_resets_it() -> None:
    """5 ms, 10 ms, 20 ms and so on, never over the most."""

    async def story() -> None:
        keys = queue()
        waits = [keys.retry("a") for _ in range(10)]
        assert waits == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
        assert [keys.retry("a") for _ in range(2000)][-1] == 1.0
        keys.forget("a")
        assert keys.retry("a") == 0.005

    run(story)


def test_a_closed_queue_rings_no_more() -> None:
    """Timers are cancelled."""

    async def story() -> None:
        keys = queue()
        keys.add_after("a", 1.0)
        keys.close()
        await asyncio.sleep(5)
        assert len(keys) == 0

    run(story)


def _loop(sync: Callable[[tuple[str, str]], None]) -> ControlLoop[tuple[str, str]]:
    registry = Registry(schema.load(), clock=lambda: 0.0, chance=random.Random(1))
    call_later = asyncio.get_running_loop().call_later
    context = Context(registry, Informers(registry), FAST, random.Random(1), lambda: 0.0, call_later)
    return ControlLoop("test", context, sync)


@pytest.mark.parametrize("error", [KeyError("a mistake"), NotFound("pods", "greeter")])
def test_a_key_that_fails_is_tried_again_and_the_others_go_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop outlives whatever a sync raises, and says so."""
    caplog.set_level(logging.DEBUG)
    tries: list[tuple[str, float]] = []

    def sync(key: tuple[str, str]) -> None:
        tries.append((key[1], now()))
        if key[1] == "bad" and len(tries) < 4:
            raise error

    async def story() -> None:
        loop = _loop(sync)
        task = asyncio.create_task(loop.run())
        loop.queue.add(("default", "bad"))
        loop.queue.add(("default", "good"))
        await asyncio.sleep(10)
        task.cancel()

    run(story)
    assert [name for name, _ in tries] == ["bad", "good", "bad", "bad"]
    assert [at for name, at in tries if name == "bad"] == pytest.approx([0.0, 0.005, 0.015])
    assert "test: default/bad: again in 0.005 s" in caplog.text
