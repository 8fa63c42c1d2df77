"""Disruption budgets: what they allow, the status that says so, and evictions decided by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import BEGIN, Cluster, deployment, simulate, template

from simcluster.controllers import budgets
from simcluster.errors import StatusError, TooManyRequests
from simcluster.registry import DeleteOptions, eviction
from simcluster.store import Object

PDB = "poddisruptionbudgets.policy"


def budget(name: str = "greeter", **spec: Any) -> Object:
    """A budget for the pods labelled app=greeter."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "greeter"}}} | spec,
    }


def counts(cluster: Cluster, name: str = "greeter") -> tuple[int, int, int, int]:
    """Expected, healthy, desired healthy and allowed, as the status has them."""
    status = cluster.get(PDB, name)["status"]
    keys = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    expected, healthy, desired, allowed = (status[key] for key in keys)
    return expected, healthy, desired, allowed


def evict(cluster: Cluster, pod: Object, **options: Any) -> Object:
    """Evict a pod."""
    return cluster.registry.evict("default", pod["metadata"]["name"], options=DeleteOptions(**options))


async def serve(cluster: Cluster, *, replicas: int = 4, **spec: Any) -> None:
    """Have ready pods and a budget whose status is settled."""
    cluster.apply("deployments.apps", deployment(replicas=replicas))
    cluster.apply(PDB, budget(**spec))
    await cluster.settle()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 3}, (4, 4, 3, 1)),
        ({"minAvailable": "50%"}, (4, 4, 2, 2)),
        ({"minAvailable": "51%"}, (4, 4, 3, 1)),
        ({"maxUnavailable": 1}, (4, 4, 3, 1)),
        ({"maxUnavailable": "10%"}, (4, 4, 3, 1)),
        ({"maxUnavailable": 9}, (4, 4, 0, 4)),
        ({"minAvailable": 5}, (4, 4, 5, 0)),
    ],
)
def test_a_budget_says_what_it_allows(spec: dict[str, Any], expected: tuple[int, ...]) -> None:
    """Counts and percentages, of what the Deployment is asked for; a percentage of pods rounds up."""

    async def story(cluster: Cluster) -> None:
        await serve(cluster, **spec)
        assert counts(cluster) == expected
        status = cluster.get(PDB, "greeter")["status"]
        [said] = status["conditions"]
        enough = expected[3] > 0
        assert (said["status"], said["reason"]) == (
            ("True", "SufficientPods") if enough else ("False", "InsufficientPods")
        )
        assert status["observedGeneration"] == said["observedGeneration"] == 1

    simulate(story)


def test_an_eviction_spends_the_budget_until_the_pod_is_replaced() -> None:
    """The second eviction is refused at once with the budget's numbers, and granted when a new pod is ready."""

    async def story(cluster: Cluster) -> None:
        await serve(cluster, replicas=3, minAvailable=2)
        first, second, _ = cluster.pods()
        evict(cluster, first)
        assert first["metadata"]["name"] in cluster.get(PDB, "greeter")["status"]["disruptedPods"]
        with pytest.raises(TooManyRequests) as refused:
            evict(cluster, second)
        assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
        told = "The disruption budget greeter does not allow evicting pods currently"
        assert refused.value.details == {"causes": [{"reason": "DisruptionBudget", "message": told}]}
        await cluster.settle()
        assert counts(cluster) == (3, 3, 2, 1)
        assert "disruptedPods" not in cluster.get(PDB, "greeter")["status"]
        evict(cluster, second)
        [said] = [
            each
            for each in cluster.get("pods", second["metadata"]["name"])["status"]["conditions"]
            if each["type"] == "DisruptionTarget"
        ]
        assert (said["status"], said["reason"]) == ("True", "EvictionByEvictionAPI")

    simulate(story)


def test_an_eviction_by_a_budget_that_is_not_counted_yet_is_to_be_tried_again() -> None:
    """429 with ten seconds: the status is older than the spec."""

    async def story(cluster: Cluster) -> None:
        await serve(cluster, minAvailable=1)
        cluster.edit(PDB, "greeter", {"spec": {"minAvailable": 2}})
        with pytest.raises(TooManyRequests) as refused:
            evict(cluster, cluster.pods()[0])
        assert refused.value.details["retryAfterSeconds"] == 10
        said = "The disruption budget greeter is still being processed by the server."
        assert refused.value.details["causes"] == [{"reason": "DisruptionBudget", "message": said}]

    simulate(story)


def test_two_budgets_for_one_pod_refuse_its_eviction() -> None:
    """500, without a reason: the API does not support it."""

    async def story(cluster: Cluster) -> None:
        await serve(cluster, minAvailable=1)
        cluster.apply(PDB, budget("other", minAvailable=1))
        await cluster.settle()
        with pytest.raises(StatusError) as refused:
            evict(cluster, cluster.pods()[0])
        assert (refused.value.code, refused.value.reason) == (500, "")
        assert refused.value.message.startswith("This pod has more than one PodDisruptionBudget")

    simulate(story)


def test_a_dry_eviction_is_judged_and_not_done() -> None:
    """Nothing is written, neither pod nor budget; a refusal is a refusal all the same."""

    async def story(cluster: Cluster) -> None:
        await serve(cluster, replicas=2, minAvailable=1)
        before = cluster.registry.revision
        evict(cluster, cluster.pods()[0], dry_run=True)
        assert cluster.registry.revision == before
        cluster.edit(PDB, "greeter", {"spec": {"minAvailable": 2}})
        await cluster.settle()
        with pytest.raises(TooManyRequests):
            evict(cluster, cluster.pods()[0], dry_run=True)

    simulate(story)


def test_pods_that_are_no_use_to_anybody_need_no_budget() -> None:
    """A pending, an ended and a leaving pod are evicted whatever the budget says."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(PDB, budget(minAvailable=10))
        for phase in ("Pending", "Succeeded", "Failed"):
            pod = {"metadata": {"name": phase.lower(), "labels": {"app": "greeter"}}} | {
                "spec": {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody"}
            }
            created = cluster.apply("pods", pod)
            status = {"status": {"phase": phase}}
            cluster.registry.patch("pods", "default", phase.lower(), status, "merge", subresource="status")
            evict(cluster, created)
        assert cluster.names("pods") == []

    simulate(story)


@pytest.mark.parametrize(
    ("policy", "least", "granted"),
    [(None, 2, True), (None, 3, False), ("IfHealthyBudget", 3, False), ("AlwaysAllow", 3, True)],
)
def test_an_unready_pod_goes_while_enough_are_healthy(policy: str | None, least: int, granted: bool) -> None:
    """Without being counted; AlwaysAllow lets it go even when there are too few."""

    async def story(cluster: Cluster) -> None:
        spec = {} if policy is None else {"unhealthyPodEvictionPolicy": policy}
        await serve(cluster, replicas=3, minAvailable=least, **spec)
        sick = cluster.pods()[0]
        cluster.node.is_healthy = lambda _pod: False
        cluster.node.probe(sick)
        await cluster.settle(1)
        if granted:
            evict(cluster, sick)
            assert "disruptedPods" not in cluster.get(PDB, "greeter")["status"]
        else:
            with pytest.raises(TooManyRequests) as refused:
                evict(cluster, sick)
            said = "The disruption budget greeter needs 3 healthy pods and has 2 currently"
            assert refused.value.details["causes"][0]["message"] == said

    simulate(story)


def test_an_evicted_pod_that_stays_counts_again_after_a_while() -> None:
    """The note of the eviction is dropped, its condition taken back, and an event says so."""

    async def story(cluster: Cluster) -> None:
        await serve(cluster, replicas=3, minAvailable=2)
        pod = cluster.pods()[0]
        name = pod["metadata"]["name"]
        note = {"status": {"disruptedPods": {name: "2027-01-15T08:00:30Z"}}}
        cluster.registry.patch(PDB, "default", "greeter", note, "merge", subresource="status")
        marked = eviction.targeted(pod, cluster.registry.clock())
        cluster.registry.update("pods", "default", name, marked, subresource="status")
        await cluster.settle(1)
        assert counts(cluster) == (3, 2, 2, 0)
        await cluster.settle(10)
        assert counts(cluster) == (3, 3, 2, 1)
        assert cluster.events("NotDeleted") == [
            "Pod was expected by PDB default/default to be deleted but it wasn't"
        ]
        [said] = [
            each
            for each in cluster.get("pods", name)["status"]["conditions"]
            if each["type"] == "DisruptionTarget"
        ]
        assert said["status"] == "False"

    assert BEGIN == 1_800_000_000.0
    simulate(story)


def test_a_budget_for_pods_without_a_controller_says_that_it_cannot_count_them() -> None:
    """An event for a percentage; a controller that has no scale fails the sync, and nothing is allowed."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(PDB, budget(minAvailable="50%"))
        cluster.apply("pods", named_pod("lonely"))
        await cluster.settle()
        [said] = set(cluster.events("UnmanagedPods"))
        assert said.startswith(
            "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string"
            "{app: greeter,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged."
        )
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": "u", "controller": True}
        cluster.edit("pods", "lonely", {"metadata": {"ownerReferences": [owner]}})
        await cluster.settle(0.001)
        [condition] = cluster.get(PDB, "greeter")["status"]["conditions"]
        assert (condition["reason"], condition["message"]) == (
            "SyncFailed",
            "configmaps does not implement the scale subresource",
        )

    simulate(story)


def named_pod(name: str) -> Object:
    """A pod of the usual template, under a name."""
    pod = template()
    return pod | {"metadata": pod["metadata"] | {"name": name}}


NUMBERS = st.one_of(st.integers(0, 20), st.integers(0, 100).map(lambda number: f"{number}%"))


@given(asked=st.integers(0, 20), share=NUMBERS, is_least=st.booleans())
def test_what_is_needed_lies_between_nothing_and_all(asked: int, share: int | str, *, is_least: bool) -> None:
    """A maxUnavailable never needs more than all; both ways round in favour of what the field says."""
    spec = {"minAvailable" if is_least else "maxUnavailable": share}
    need = budgets.need_of(spec, matching=asked, asked=asked)
    assert need.expected == asked
    if isinstance(share, str):
        exact = asked * int(share[:-1]) / 100
        assert 0 <= (need.healthy if is_least else asked - need.healthy) - exact < 1
    elif is_least:
        assert need.healthy == share
    else:
        assert need.healthy == max(0, asked - share)


@given(
    healthy=st.integers(0, 5), unready=st.integers(0, 3), least=st.integers(0, 6), evictions=st.integers(1, 9)
)
def test_evictions_in_a_row_never_take_more_than_is_allowed(
    healthy: int, unready: int, least: int, evictions: int
) -> None:
    """However many are asked for before the controller looks again, the least number of pods stays."""
    labels = {"app": "greeter"}
    pods = [
        {
            "metadata": {"name": f"p{number}", "labels": labels},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True" if number < healthy else "False"}],
            },
        }
        for number in range(healthy + unready)
    ]
    obj = budget(minAvailable=least)
    obj["metadata"]["generation"] = 1
    need = budgets.need_of(obj["spec"], matching=len(pods), asked=0)
    obj["status"] = budgets.status_for(obj, pods, need, {}, BEGIN)
    taken = 0
    for pod in pods[:evictions]:
        try:
            permit = eviction.decide(pod, [obj], BEGIN)
        except TooManyRequests:
            continue
        is_ready = pod["status"]["conditions"][0]["status"] == "True"
        taken += is_ready
        obj = permit.budget if permit.budget is not None else obj
    assert healthy - taken >= min(least, healthy)
