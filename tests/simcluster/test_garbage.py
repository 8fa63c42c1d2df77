"""The garbage collector, over the real registry."""

from __future__ import annotations

from typing import Any

import pytest
from instant_cluster import Cluster, deployment, simulate

from simcluster.controllers.garbage import Verdict, judge
from simcluster.store import Object

D = "deployments.apps"
RS = "replicasets.apps"
MAPS = "configmaps"


def config_map(name: str, *owners: Object, **metadata: Any) -> Object:
    """A ConfigMap with owners."""
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name} | metadata}
    if owners:
        obj["metadata"]["ownerReferences"] = list(owners)
    return obj


def owned_by(owner: Object, **changed: Any) -> Object:
    """A reference to an owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    } | changed


def own_maps(cluster: Cluster, namespace: str = "default") -> list[str]:
    """The ConfigMaps but for the cluster's own."""
    return [name for name in cluster.names(MAPS, namespace) if name != "kube-root-ca.crt"]


async def deploy(cluster: Cluster) -> None:
    """A Deployment with three pods."""
    cluster.apply(D, deployment())
    await cluster.until(lambda: len(cluster.pods()) == 3)
    await cluster.settle(2)


def deletions(cluster: Cluster) -> list[str]:
    """The kinds of what was removed, in order, each once."""
    kinds = [
        entry.object["kind"]
        for entry in cluster.log
        if entry.type == "DELETED" and entry.object["kind"] in ("Pod", "ReplicaSet", "Deployment")
    ]
    return list(dict.fromkeys(kinds))


def test_in_the_background_the_owner_goes_first() -> None:
    """Then its ReplicaSet, then the pods, gracefully."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.registry.delete(D, "default", "greeter")
        assert cluster.list(D) == []
        await cluster.until(lambda: cluster.list("pods") == [])
        assert cluster.list(RS) == []
        assert deletions(cluster) == ["Deployment", "ReplicaSet", "Pod"]

    simulate(story)


def test_in_the_foreground_the_owner_goes_last() -> None:
    """It waits, with its finalizer, until the pods have ended."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.node.stop_s = 10.0
        cluster.registry.delete(D, "default", "greeter", propagation="Foreground")
        await cluster.settle(5)
        assert cluster.get(D, "greeter")["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert len(cluster.list(RS)) == 1
        assert cluster.pods() == []
        await cluster.until(lambda: cluster.list(D) == [])
        assert deletions(cluster) == ["Pod", "ReplicaSet", "Deployment"]

    simulate(story)


def test_orphans_stay_and_know_no_owner() -> None:
    """The ReplicaSet loses its reference and keeps its pods."""

    async def story(cluster: Cluster) -> None:
        await deploy(cluster)
        cluster.registry.delete(D, "default", "greeter", propagation="Orphan")
        await cluster.until(lambda: cluster.list(D) == [])
        await cluster.settle()
        [replica_set] = cluster.list(RS)
        assert not replica_set["metadata"].get("ownerReferences")
        assert len(cluster.pods()) == 3

    simulate(story)


def test_an_object_whose_owner_never_was_is_collected() -> None:
    """Created with a reference to nobody."""

    async def story(cluster: Cluster) -> None:
        nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "0-0"}
        cluster.apply(MAPS, config_map("child", nobody))
        await cluster.settle(1)
        assert own_maps(cluster) == []

    simulate(story)


@pytest.mark.parametrize(
    "changed", [{"uid": "another"}, {"name": "another"}, {"kind": "Secret"}], ids=["uid", "name", "kind"]
)
def test_an_owner_is_the_one_with_uid_name_and_kind(changed: dict[str, str]) -> None:
    """A reference that is wrong in one of them has no owner."""

    async def story(cluster: Cluster) -> None:
        parent = cluster.apply(MAPS, config_map("parent"))
        cluster.apply(MAPS, config_map("child", owned_by(parent, **changed)))
        cluster.apply(MAPS, config_map("right", owned_by(parent)))
        await cluster.settle(1)
        assert own_maps(cluster) == ["parent", "right"]

    simulate(story)


def test_an_owner_in_another_namespace_is_none() -> None:
    """One without a namespace is one."""

    async def story(cluster: Cluster) -> None:
        cluster.namespace("other")
        parent = cluster.apply(MAPS, config_map("parent"), "other")
        cluster.apply(MAPS, config_map("child", owned_by(parent)))
        node = cluster.registry.get("nodes", None, "node-1")
        cluster.apply(MAPS, config_map("of-node", owned_by(node)))
        await cluster.settle(1)
        assert own_maps(cluster) == ["of-node"]

    simulate(story)


def test_an_owner_of_an_unknown_kind_counts_as_there() -> None:
    """Nothing is deleted on a guess."""

    async def story(cluster: Cluster) -> None:
        unknown = {"apiVersion": "example.test/v1", "kind": "Widget", "name": "w", "uid": "1-1"}
        cluster.apply(MAPS, config_map("child", unknown))
        await cluster.settle(5)
        assert own_maps(cluster) == ["child"]

    simulate(story)


def test_the_last_of_several_owners_decides() -> None:
    """While one is there the object stays, and forgets those that went."""

    async def story(cluster: Cluster) -> None:
        first, second = (cluster.apply(MAPS, config_map(name)) for name in ("first", "second"))
        cluster.apply(MAPS, config_map("child", owned_by(first), owned_by(second)))
        cluster.registry.delete(MAPS, "default", "first")
        await cluster.settle(1)
        assert cluster.get(MAPS, "child")["metadata"]["ownerReferences"] == [owned_by(second)]
        cluster.registry.delete(MAPS, "default", "second")
        await cluster.settle(1)
        assert own_maps(cluster) == []

    simulate(story)


def test_only_dependents_that_block_are_waited_for() -> None:
    """The others go at the same time, and their owner does not wait for them."""

    async def story(cluster: Cluster) -> None:
        parent = cluster.apply(MAPS, config_map("parent"))
        cluster.apply(MAPS, config_map("free", owned_by(parent)))
        hold = {"finalizers": ["example.test/hold"]}
        cluster.apply(MAPS, config_map("loose", owned_by(parent), **hold))
        cluster.apply(MAPS, config_map("blocking", owned_by(parent, blockOwnerDeletion=True), **hold))
        cluster.registry.delete(MAPS, "default", "parent", propagation="Foreground")
        await cluster.settle(1)
        assert own_maps(cluster) == ["blocking", "loose", "parent"]
        cluster.edit(MAPS, "blocking", {"metadata": {"finalizers": None}})
        await cluster.settle(1)
        assert own_maps(cluster) == ["loose"]

    simulate(story)


def test_a_circle_of_owners_is_let_go() -> None:
    """Each is the other's blocking owner, and one is deleted in the foreground."""

    async def story(cluster: Cluster) -> None:
        first = cluster.apply(MAPS, config_map("first"))
        second = cluster.apply(MAPS, config_map("second", owned_by(first, blockOwnerDeletion=True)))
        references = [owned_by(second, blockOwnerDeletion=True)]
        cluster.edit(MAPS, "first", {"metadata": {"ownerReferences": references}})
        cluster.registry.delete(MAPS, "default", "first", propagation="Foreground")
        await cluster.settle(5)
        assert own_maps(cluster) == []

    simulate(story)


A, B = {"uid": "a"}, {"uid": "b"}


def _with(*references: Object, finalizers: tuple[str, ...] = ()) -> Object:
    return {"metadata": {"ownerReferences": list(references), "finalizers": list(finalizers)}}


@pytest.mark.parametrize(
    ("obj", "solid", "waiting", "has_dependents", "expected"),
    [
        pytest.param(_with(A), [A], [], False, Verdict(), id="kept"),
        pytest.param(_with(A, B), [A], [], False, Verdict(references=(A,)), id="one lost"),
        pytest.param(_with(A, B), [A], [B], True, Verdict(references=(A,)), id="one going"),
        pytest.param(_with(A), [], [A], True, Verdict(delete="Foreground"), id="foreground"),
        pytest.param(_with(A), [], [A], False, Verdict(delete="Background"), id="leaf"),
        pytest.param(_with(A), [], [], True, Verdict(delete="Background"), id="background"),
        pytest.param(_with(A, finalizers=("orphan",)), [], [], True, Verdict(delete="Orphan"), id="orphan"),
        pytest.param(
            _with(A, finalizers=("foregroundDeletion",)),
            [],
            [],
            True,
            Verdict(delete="Foreground"),
            id="held",
        ),
    ],
)
def test_verdicts(
    obj: Object, solid: list[Object], waiting: list[Object], *, has_dependents: bool, expected: Verdict
) -> None:
    """What becomes of an object by its owners."""
    assert judge(obj, solid, waiting, has_dependents=has_dependents) == expected
