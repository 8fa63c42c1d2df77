"""The pods that objects select, kept up to date by changes that come in late."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import Cluster, simulate

from simcluster.controllers.informers import Informer, Informers
from simcluster.controllers.lagging import LaggingPods
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import labels_of, matches_labels
from simcluster.controllers.selected import SelectedPods
from simcluster.profile import FAITHFUL
from simcluster.store import Object


def matches(owner: Object, pod: Object) -> bool:
    """By the labels that the owner wants."""
    return matches_labels(owner["spec"]["selector"], labels_of(pod))


def thing(name: str, uid: str, **more: Any) -> Object:
    """An object in a namespace."""
    return {"metadata": {"name": name, "namespace": "n", "uid": uid}, "spec": {}} | more


def pod(name: str, uid: str, app: str) -> Object:
    """A pod with a label."""
    made = thing(name, uid)
    made["metadata"]["labels"] = {"app": app}
    return made


NAMES = st.sampled_from(["a", "b", "c"])
APPS = st.sampled_from(["x", "y"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), NAMES, st.sampled_from(["1", "2"]), APPS),
        st.tuples(st.just("gone"), NAMES, st.just(""), st.just("")),
        st.tuples(st.just("owner"), NAMES, st.just(""), APPS),
        st.tuples(st.just("no owner"), NAMES, st.just(""), st.just("")),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_whatever_changes_each_owner_has_the_pods_that_it_selects(
    steps: list[tuple[str, str, str, str]],
) -> None:
    """Pods and owners that come, change labels or selectors, are replaced under their name, and go."""
    pods, owners = Informer(), Informer()
    told: list[tuple[str, str]] = []
    selected = SelectedPods(owners, pods, matches, lambda name, _count: told.append(name))
    pods.handle(selected.take)
    for kind, name, uid, app in steps:
        informer = owners if "owner" in kind else pods
        before = informer.get(("n", name))
        after = None
        if kind == "pod":
            after = pod(name, uid, app)
        elif kind == "owner":
            after = thing(name, "0", spec={"selector": {"app": app}})
        if before is not None or after is not None:
            had = {
                owner["metadata"]["name"]: selected.of(("n", owner["metadata"]["name"]))
                for owner in owners.list()
            }
            told.clear()
            informer.apply(before, after)
            for owner in owners.list():
                key = ("n", owner["metadata"]["name"])
                assert key in told or selected.of(key) == had.get(key[1])
        for owner in owners.list():
            wanted = [each for each in pods.list("n") if matches(owner, each)]
            found = selected.of(("n", owner["metadata"]["name"]))
            assert sorted(map(str, found)) == sorted(map(str, wanted))
    for name in "abc":
        if owners.get(("n", name)) is None:
            assert selected.of(("n", name)) == []


def test_the_late_end_of_a_pod_does_not_take_the_next_one_of_its_name() -> None:
    """A pod is deleted and made again under its name before its end has come in."""

    async def story(cluster: Cluster) -> None:
        seen: list[tuple[str | None, str | None]] = []

        def tell(old: Object | None, new: Object | None) -> None:
            uids = [None if each is None else each["metadata"]["uid"] for each in (old, new)]
            seen.append((uids[0], uids[1]))

        call_later, clock = asyncio.get_running_loop().call_later, cluster.registry.clock
        informers = Informers(cluster.registry)
        context = Context(cluster.registry, informers, FAITHFUL, random.Random(1), clock, call_later)
        lagging = LaggingPods(context, tell)
        first, second = pod("a", "1", "x"), pod("a", "2", "x")
        going = pod("a", "1", "x")
        going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
        lagging.take(None, first)
        await cluster.settle(1)
        for old, new in ((first, going), (going, None), (None, second)):
            lagging.take(old, new)
        await cluster.settle(1)
        assert [each["metadata"]["uid"] for each in lagging.list("n")] == ["2"]
        assert seen == [(None, "1"), ("1", "1"), ("1", None), (None, "2")]

    simulate(story)
