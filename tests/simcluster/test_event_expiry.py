"""Events go an hour after they were last written."""

from __future__ import annotations

from instant_cluster import Cluster, simulate

from simcluster.profile import FAST

EVENT = {
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
    "reason": "R",
}


def test_an_event_goes_after_its_time() -> None:
    """Not before it, and its deletion is told to watchers as any other."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("events", EVENT)
        await cluster.settle(FAST.event_ttl_s - 1)
        assert "e" in cluster.names("events")
        await cluster.settle(2)
        assert "e" not in cluster.names("events")
        assert ("DELETED", "e") in [(each.type, each.record.key.name) for each in cluster.log]

    simulate(story)


def test_a_repeated_event_stays_longer() -> None:
    """Each write begins its time anew; another's goes on."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("events", EVENT)
        cluster.apply("events", EVENT | {"metadata": {"name": "other"}})
        await cluster.settle(FAST.event_ttl_s / 2)
        cluster.edit("events", "e", {"count": 2})
        await cluster.settle(FAST.event_ttl_s / 2 + 1)
        assert "e" in cluster.names("events")
        assert "other" not in cluster.names("events")
        await cluster.settle(FAST.event_ttl_s / 2)
        assert "e" not in cluster.names("events")

    simulate(story)


def test_an_event_that_is_deleted_is_forgotten() -> None:
    """One of the same name that comes later lives its whole time."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("events", EVENT)
        await cluster.settle(FAST.event_ttl_s / 2)
        cluster.registry.delete("events", "default", "e")
        cluster.apply("events", EVENT)
        await cluster.settle(FAST.event_ttl_s / 2 + 1)
        assert "e" in cluster.names("events")

    simulate(story)
