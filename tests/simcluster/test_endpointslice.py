"""The EndpointSlice controller, over the real registry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instant_cluster import Cluster, deployment, service, simulate

from simcluster.profile import FAITHFUL, FAST, Profile
from simcluster.store import Object

ES = "endpointslices.discovery.k8s.io"


def slices(cluster: Cluster) -> list[Object]:
    """The slices of the Service."""
    return [
        each
        for each in cluster.list(ES)
        if each["metadata"]["labels"]["kubernetes.io/service-name"] == "greeter"
    ]


def endpoints(cluster: Cluster) -> dict[str, tuple[bool, bool, bool]]:
    """Pod -> ready, serving, terminating."""
    return {
        each["targetRef"]["name"]: tuple(
            each["conditions"][key] for key in ("ready", "serving", "terminating")
        )
        for one in slices(cluster)
        for each in one["endpoints"] or ()
    }


def ready(cluster: Cluster) -> list[str]:
    """The pods whose endpoint is ready."""
    return sorted(name for name, conditions in endpoints(cluster).items() if conditions[0])


async def deploy(cluster: Cluster, replicas: int = 3) -> None:
    """Create Service and Deployment and wait until all endpoints are ready."""
    cluster.apply("services", service())
    cluster.apply("deployments.apps", deployment(replicas=replicas))
    await cluster.until(lambda: len(ready(cluster)) == replicas)


def test_endpoints_follow_the_pods() -> None:
    """Five pods, two in a slice; a rollout ends with the new pods and no other."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, 5)
        assert sorted(len(each["endpoints"]) for each in slices(cluster)) == [1, 2, 2]
        stamp = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
        cluster.edit("deployments.apps", "greeter", stamp)
        await cluster.settle()
        assert ready(cluster) == sorted(cluster.names("pods"))
        assert all(len(each["endpoints"]) <= 2 for each in slices(cluster))

    simulate(story)


@pytest.mark.parametrize("slice_size", [1, 3, 100])
def test_the_size_of_slices_is_chosen_at_the_start(slice_size: int) -> None:
    """No slice is larger."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, 7)
        assert max(len(each["endpoints"]) for each in slices(cluster)) == min(7, slice_size)

    simulate(story, slice_size=slice_size)


def test_a_slice_of_no_endpoints_is_refused() -> None:
    """The error says what is allowed."""

    async def story(_cluster: Cluster) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(
        ValueError, match=r"^a slice of at most 0 endpoints can hold none\n  allowed: 1 and more$"
    ):
        simulate(story, slice_size=0)


def test_a_pod_that_is_being_deleted_serves_on_but_is_not_ready() -> None:
    """Terminating until it has ended, then gone."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.stop_s = 5.0
        victim = cluster.names("pods")[0]
        cluster.registry.delete("pods", "default", victim)
        await cluster.settle(1)
        assert endpoints(cluster)[victim] == (False, True, True)
        await cluster.settle(10)
        assert victim not in endpoints(cluster)

    simulate(story)


async def _lag(cluster: Cluster) -> float:
    """Seconds from a pod's deletion to its endpoint's not being ready."""
    cluster.node.stop_s = 5.0
    victim = cluster.names("pods")[0]
    cluster.registry.delete("pods", "default", victim)
    return await cluster.until(lambda: victim not in ready(cluster))


def test_the_profile_orders_the_termination_race() -> None:
    """The endpoint's delay is the one that the profile names, jitter included."""
    late = replace(FAST, endpoint_not_ready_s=2.0, endpoint_not_ready_jitter_s=1.0)

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        assert 2.0 <= await _lag(cluster) <= 3.01

    simulate(story, profile=late)


def test_the_jitter_is_chance_that_its_seed_decides() -> None:
    """Other seeds give other lags, the same seed the same."""
    late = replace(FAST, endpoint_not_ready_jitter_s=1.0)

    def lag(seed: int) -> float:
        found: list[float] = []

        async def story(cluster: Cluster) -> None:
            await deploy(cluster)
            found.append(await _lag(cluster))

        simulate(story, profile=late, seed=seed)
        return found[0]

    assert lag(1) == lag(1)
    assert len({lag(seed) for seed in range(1, 5)}) > 1


@pytest.mark.parametrize("profile", [FAST, FAITHFUL], ids=lambda profile: profile.name)
def test_a_deletion_never_overtakes_and_is_never_overtaken(profile: Profile) -> None:
    """A pod whose deletion is under way and that then ends does not come back as a late endpoint."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.stop_s = 0.001
        for name in cluster.names("pods"):
            cluster.registry.delete("pods", "default", name)
        await cluster.settle(5)
        assert ready(cluster) == sorted(cluster.names("pods"))
        assert len(endpoints(cluster)) == 3

    simulate(story, profile=profile)


def test_a_service_without_a_selector_is_left_alone() -> None:
    """Its slices are its owner's."""

    async def story(cluster: Cluster) -> None:
        bare = service("bare")
        del bare["spec"]["selector"]
        cluster.apply("services", bare)
        own = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "bare-1", "labels": {"kubernetes.io/service-name": "bare"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [],
        }
        cluster.apply(ES, own)
        before = cluster.registry.revision
        await cluster.settle(5)
        # The namespace gets its ServiceAccount and ConfigMap, the node loses its first taint and is told of.
        assert cluster.registry.revision == before + 4
        assert cluster.names(ES) == ["bare-1"]

    simulate(story)


def test_slices_go_with_their_service() -> None:
    """And come back, new ones, with a new Service of that name."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        before = set(cluster.names(ES))
        cluster.registry.delete("services", "default", "greeter")
        await cluster.settle(1)
        assert cluster.list(ES) == []
        cluster.apply("services", service())
        await cluster.settle(1)
        assert len(ready(cluster)) == 3
        assert before.isdisjoint(cluster.names(ES))

    simulate(story)


def test_a_slice_that_somebody_else_changed_is_put_right() -> None:
    """Emptied or deleted behind the controller's back, it is as it was."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        first, second = cluster.names(ES)
        cluster.edit(ES, first, {"endpoints": []})
        cluster.registry.delete(ES, "default", second)
        await cluster.settle(5)
        assert len(ready(cluster)) == 3

    simulate(story)


def test_a_changed_selector_changes_the_endpoints() -> None:
    """Nobody fits: one empty slice, null endpoints."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.edit("services", "greeter", {"spec": {"selector": {"app": "nobody"}}})
        await cluster.settle(1)
        [only] = slices(cluster)
        assert not only["endpoints"]

    simulate(story)


def test_the_trigger_annotation_is_the_instant_of_the_change() -> None:
    """What clients measure how late they learn."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster, 1)
        await cluster.settle(100)
        cluster.node.is_healthy = lambda _pod: False
        cluster.node.probe(cluster.pods()[0])
        await cluster.settle(5)
        [only] = slices(cluster)
        [condition] = [each for each in cluster.pods()[0]["status"]["conditions"] if each["type"] == "Ready"]
        key = "endpoints.kubernetes.io/last-change-trigger-time"
        assert only["metadata"]["annotations"][key] == condition["lastTransitionTime"]

    simulate(story)
