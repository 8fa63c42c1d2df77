"""Whose turn it is to be scheduled: against a plain model that sorts all pods anew."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from simcluster.controllers.metadata import Name
from simcluster.controllers.scheduling_queue import SchedulingQueue

BASE_S, MOST_S, FLUSH_S = 1.0, 10.0, 300.0
NAMES = [("a", name) for name in "xyz"]


@dataclass
class Waiting:
    """A pod of the model; `ready_at` is when its back-off is over, None while it is stuck."""

    priority: int
    came: int
    failures: int = 0
    failed_at: float = 0.0
    ready_at: float | None = 0.0


class Model:
    """All pods in one dictionary."""

    def __init__(self) -> None:
        self.pods: dict[Name, Waiting] = {}
        self.taken: set[Name] = set()
        self.came = 0

    def take(self, now: float) -> Name | None:
        """By priority among those whose back-off is over; else whoever's is over first."""
        waiting = {
            name: pod
            for name, pod in self.pods.items()
            if pod.ready_at is not None and name not in self.taken
        }
        ready = {name: pod for name, pod in waiting.items() if pod.ready_at <= now}  # type: ignore[operator]
        if ready:
            return min(ready, key=lambda name: (-ready[name].priority, ready[name].came))
        return min(waiting, key=lambda name: (waiting[name].ready_at, -waiting[name].priority), default=None)

    def help_stuck(self, name: Name) -> None:
        """Something happened that may help a pod."""
        pod = self.pods.get(name)
        if pod is not None and pod.ready_at is None:
            pod.ready_at = pod.failed_at + min(MOST_S, BASE_S * 2 ** (pod.failures - 1))

    def flush(self, now: float) -> None:
        """What has been stuck for too long is helped."""
        for name, pod in self.pods.items():
            if pod.failed_at + FLUSH_S <= now:
                self.help_stuck(name)


ACTIONS = st.tuples(
    st.sampled_from(["add", "add", "take", "take", "fail", "retry", "drop", "flush"]),
    st.sampled_from(NAMES), st.integers(0, 2), st.sampled_from([0.0, 0.5, 3.0, 301.0]),
)  # fmt: skip


@given(st.lists(ACTIONS, max_size=40))
def test_turns_are_those_of_a_plain_model(actions: list[tuple[str, Name, int, float]]) -> None:
    """Higher priority first, then who came first; who failed lately last; stuck ones not at all until they may be."""
    queue, model, now = SchedulingQueue(BASE_S, MOST_S, FLUSH_S), Model(), 1000.0
    for action, name, priority, later_s in actions:
        now += later_s
        pod = model.pods.get(name)
        if action == "add":
            queue.add(name, priority)
            if pod is None:
                model.came += 1
                model.pods[name] = Waiting(priority, model.came)
        elif action == "drop":
            queue.drop(name)
            model.pods.pop(name, None)
            model.taken.discard(name)
        elif action == "take":
            expected = model.take(now)
            assert queue.take(now) == expected
            if expected is not None:
                # Either it is bound or it fails: here it fails with the next "fail", or is never seen again.
                model.taken.add(expected)
        elif action == "fail" and name in model.taken and pod is not None:
            queue.fail(name, now)
            model.taken.discard(name)
            pod.failures, pod.failed_at, pod.ready_at = pod.failures + 1, now, None
        elif action == "retry":
            queue.retry(name, now)
            model.help_stuck(name)
        elif action == "flush":
            queue.flush(now)
            model.flush(now)
        stuck = {key for key, each in model.pods.items() if each.ready_at is None}
        assert set(queue.stuck()) == stuck


def test_pod_that_came_back_under_its_name_is_another() -> None:
    """What is left of the old one in the queue gives it no second turn."""
    queue = SchedulingQueue(BASE_S, MOST_S, FLUSH_S)
    queue.add(("a", "x"), 5)
    queue.drop(("a", "x"))
    queue.add(("a", "x"), 1)
    queue.add(("a", "y"), 3)
    assert [queue.take(0.0) for _ in range(3)] == [("a", "y"), ("a", "x"), None]
