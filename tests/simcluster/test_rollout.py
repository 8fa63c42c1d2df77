"""The arithmetic of a rolling update."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.controllers import rollout
from simcluster.controllers.rollout import Bounds, Generation


@pytest.mark.parametrize(
    ("desired", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", Bounds(4, 1, 1)),
        (3, "25%", "25%", Bounds(3, 1, 0)),
        (10, "25%", "25%", Bounds(10, 3, 2)),
        (1, "25%", "25%", Bounds(1, 1, 0)),
        (3, 0, 0, Bounds(3, 0, 1)),
        (3, "0%", "10%", Bounds(3, 0, 1)),
        (3, 2, "100%", Bounds(3, 2, 3)),
        (2, 0, 5, Bounds(2, 0, 2)),
        (0, "25%", "25%", Bounds(0, 0, 0)),
    ],
)
def test_percentages_round_surge_up_and_unavailable_down(
    desired: int, surge: int | str, unavailable: int | str, expected: Bounds
) -> None:
    """Both resolving to zero is one unavailable, and no more can be unavailable than there are."""
    assert rollout.resolve(desired, surge, unavailable) == expected


def test_a_text_that_is_no_percentage_is_refused() -> None:
    """The error says what was given and what is allowed."""
    with pytest.raises(ValueError, match=r'^"many" is not a percentage\n  allowed: a number of pods, or a'):
        rollout.resolve(3, "many", 1)


@dataclass
class Truth:
    """A ReplicaSet as it really is: the pods that it has may lag behind the size that is written."""

    size: int
    pods: int  # active pods
    available: int  # of these
    seen: int  # the available ones by its status

    def act(self) -> None:
        """What the ReplicaSet controller does: unready pods are deleted first."""
        self.pods = self.size
        self.available = min(self.available, self.pods)
        self.seen = self.available


bounds_strategy = st.builds(
    rollout.resolve,
    st.integers(0, 12),
    st.integers(0, 4) | st.sampled_from(["0%", "25%", "50%", "100%"]),
    st.integers(0, 4) | st.sampled_from(["0%", "25%", "50%", "100%"]),
)


def _generations(truths: dict[str, Truth]) -> tuple[Generation, list[Generation]]:
    seen = [
        Generation(name, truth.size, available=truth.seen, created_at=float(number))
        for number, (name, truth) in enumerate(truths.items())
    ]
    return seen[-1], seen[:-1]


def _turn(data: st.DataObject, bounds: Bounds, truths: dict[str, Truth]) -> None:
    """One thing happens: a step of the rollout, a ReplicaSet's sync, or a pod becomes available."""
    event = data.draw(st.sampled_from(["advance", "act", "available"]))
    if event == "advance":
        new, olds = _generations(truths)
        for name, size in rollout.advance(bounds, new, olds).items():
            truths[name].size = size
        return
    truth = data.draw(st.sampled_from(sorted(truths)).map(truths.__getitem__))
    if event == "act":
        truth.act()
    else:
        truth.available = min(truth.pods, truth.available + 1)


def _check(bounds: Bounds, truths: dict[str, Truth], most: int) -> None:
    assert sum(truth.size for truth in truths.values()) <= most
    sure = sum(min(truth.available, truth.size) for truth in truths.values())
    assert sure >= bounds.least_available


@settings(deadline=None)  # a busy machine is no failure
@given(bounds_strategy, st.integers(1, 3), st.data())
def test_a_rollout_from_a_healthy_start_keeps_its_bounds_and_ends(
    bounds: Bounds, old_count: int, data: st.DataObject
) -> None:
    """Never more pods than desired and surge, never fewer available than promised, and new ones only at the end."""
    names = [f"old-{number}" for number in range(old_count)]
    truths = {name: Truth(0, 0, 0, 0) for name in [*names, "new"]}
    for _ in range(bounds.desired):
        truth = truths[data.draw(st.sampled_from(names))]
        truth.size = truth.pods = truth.available = truth.seen = truth.size + 1
    for _ in range(data.draw(st.integers(0, 30))):
        _turn(data, bounds, truths)
        _check(bounds, truths, bounds.most)
    for _ in range(20 * (bounds.desired + 2)):
        new, olds = _generations(truths)
        sizes = rollout.advance(bounds, new, olds)
        for name, size in sizes.items():
            truths[name].size = size
        _check(bounds, truths, bounds.most)
        for truth in truths.values():
            truth.act()
            truth.available = truth.seen = truth.pods
    assert {name: truth.size for name, truth in truths.items()} == dict.fromkeys(names, 0) | {
        "new": bounds.desired
    }


def test_the_check_of_the_bounds_sees_a_rollout_that_breaks_them() -> None:
    """Negative control: taking one available pod too many is found."""
    bounds = Bounds(4, 1, 1)
    with pytest.raises(AssertionError):
        _check(bounds, {"old": Truth(2, 4, 4, 4), "new": Truth(2, 1, 0, 0)}, bounds.most)


def test_growing_comes_before_shrinking() -> None:
    """A step that lets the new ReplicaSet grow leaves the old ones alone."""
    bounds = Bounds(4, 1, 1)
    old, new = Generation("old", 4, available=4), Generation("new", 0)
    assert rollout.advance(bounds, new, [old]) == {"new": 1}
    assert rollout.advance(bounds, replace(new, replicas=1), [old]) == {"old": 3}


def test_unhealthy_old_pods_go_first_and_of_these_the_oldest() -> None:
    """An old ReplicaSet whose pods never became available is emptied before an available pod is touched."""
    bounds = Bounds(4, 0, 2)
    broken = Generation("broken", 2, available=0, created_at=2.0)
    good = Generation("good", 2, available=2, created_at=1.0)
    assert rollout.shrink(bounds, Generation("new", 0), [good, broken]) == {"broken": 0}


def test_available_old_pods_go_from_the_oldest_replica_set_on() -> None:
    """With nothing unhealthy, the budget is taken from the oldest."""
    bounds = Bounds(4, 0, 3)
    olds = [Generation("b", 2, available=2, created_at=2.0), Generation("a", 2, available=2, created_at=1.0)]
    assert rollout.shrink(bounds, Generation("new", 0), olds) == {"a": 0, "b": 1}


def test_new_pods_that_are_not_available_yet_hold_the_old_ones() -> None:
    """The budget counts what the new ReplicaSet still owes."""
    bounds = Bounds(3, 1, 0)
    assert rollout.shrink(bounds, Generation("new", 1), [Generation("old", 3, available=3)]) == {}
    ready = Generation("new", 1, available=1)
    assert rollout.shrink(bounds, ready, [Generation("old", 3, available=3)]) == {"old": 2}


def test_a_scaled_down_deployment_cuts_its_new_replica_set_at_once() -> None:
    """More new pods than desired are not kept."""
    assert rollout.advance(Bounds(2, 1, 0), Generation("new", 5, available=5), []) == {"new": 2}


# --- Scaling


def _marked(name: str, replicas: int, *, desired: int, most: int, available: int = 0) -> Generation:
    return Generation(name, replicas, available=available, desired_then=desired, most_then=most)


def test_scaling_is_told_by_the_annotation_of_any_replica_set_with_pods() -> None:
    """Empty ones may carry what they like, and one without the annotation says nothing."""
    assert rollout.is_scaling(Bounds(5, 1, 0), [_marked("a", 3, desired=3, most=4)])
    assert not rollout.is_scaling(Bounds(5, 1, 0), [_marked("a", 0, desired=3, most=4)])
    assert not rollout.is_scaling(Bounds(5, 1, 0), [Generation("a", 3)])


def _rescale(bounds: Bounds, new: Generation | None, olds: list[Generation]) -> rollout.Sizes:
    return rollout.rescale(bounds, new, olds, is_rolling=True, status_replicas=0)


def test_a_single_replica_set_takes_all() -> None:
    """With no rollout under way, scaling is one write."""
    old = _marked("old", 0, desired=3, most=4)
    assert _rescale(Bounds(7, 2, 1), _marked("new", 3, desired=3, most=4), [old]) == {"new": 7}


def test_a_deployment_scaled_from_zero_grows_its_newest() -> None:
    """Where none has pods, the new one, or the youngest old one, takes all."""
    olds = [Generation("a", 0, created_at=1.0), Generation("b", 0, created_at=2.0)]
    assert _rescale(Bounds(2, 1, 0), Generation("new", 0), olds) == {"new": 2}
    assert _rescale(Bounds(2, 1, 0), None, olds) == {"b": 2}
    assert _rescale(Bounds(2, 1, 0), None, []) == {}


def test_a_complete_new_replica_set_empties_adopted_old_ones() -> None:
    """Saturated: the old ones go to zero."""
    new = _marked("new", 3, desired=3, most=4, available=3)
    assert _rescale(Bounds(3, 1, 0), new, [_marked("old", 2, desired=2, most=3)]) == {"old": 0}


def test_scaling_up_in_the_middle_of_a_rollout_is_proportional() -> None:
    """The example of Kubernetes' own documentation: 10 to 15 with 8 old and 5 new gives 11 and 7."""
    old = _marked("old", 8, desired=10, most=13, available=8)
    new = _marked("new", 5, desired=10, most=13)
    assert _rescale(Bounds(15, 3, 2), new, [old]) == {"old": 11, "new": 7}


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.integers(1, 20), min_size=2, max_size=5),
    st.integers(0, 40),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_proportions_add_up_to_what_is_allowed(sizes: list[int], desired: int, surge: int, lag: int) -> None:
    """Whatever the rounding: the sum is desired and surge, nothing is negative, and all move the same way."""
    before = max(1, sum(sizes) - lag)
    sets = [
        Generation(f"rs-{number}", size, created_at=float(number), desired_then=-1, most_then=before)
        for number, size in enumerate(sizes)
    ]
    bounds = Bounds(desired, surge, 0)
    wanted = _rescale(bounds, sets[-1], sets[:-1])
    allowed = bounds.most if desired else 0
    # The remainder falls to one of the largest; more than it has cannot be taken from it.
    is_cut_off = any(wanted[each.name] == 0 for each in sets if each.replicas == max(sizes))
    assert sum(wanted.values()) == allowed or (is_cut_off and sum(wanted.values()) > allowed)
    assert all(size >= 0 for size in wanted.values())
    growing = allowed - sum(sizes)
    # The largest takes the remainder, so it alone may move against the others.
    largest = max(sizes)
    for each in sets:
        if each.replicas < largest:
            assert (wanted[each.name] - each.replicas) * growing >= 0 or lag > 0


def test_recreate_does_not_share_out() -> None:
    """Proportions are for rolling updates alone."""
    sets = [_marked("a", 3, desired=6, most=6), _marked("b", 3, desired=6, most=6)]
    assert rollout.rescale(Bounds(9, 0, 0), sets[1], sets[:1], is_rolling=False, status_replicas=6) == {}
