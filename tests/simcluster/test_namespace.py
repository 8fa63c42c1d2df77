"""The end of a namespace, and what each namespace has from its beginning."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instant_cluster import CA, Cluster, deployment, service, simulate

from simcluster.controllers.namespace import conditions_for
from simcluster.errors import Forbidden, NotFound
from simcluster.profile import FAST
from simcluster.store import Object

NS = "play"
ACCOUNTS = "serviceaccounts"
MAPS = "configmaps"


async def fill(cluster: Cluster) -> None:
    """A namespace with a Service and three ready pods."""
    cluster.namespace(NS)
    cluster.apply("services", service(), NS)
    cluster.apply("deployments.apps", deployment(), NS)
    await cluster.until(lambda: len(cluster.pods(NS)) == 3)
    await cluster.settle(2)


def left(cluster: Cluster) -> set[str]:
    """The resources that still have objects in the namespace."""
    stored = (each.name for each in cluster.registry.catalogue if each.namespaced and each.stored)
    return {resource for resource in stored if cluster.list(resource, NS)}


def is_gone(cluster: Cluster) -> bool:
    """Whether the namespace is there no more."""
    try:
        cluster.registry.get("namespaces", None, NS)
    except NotFound:
        return True
    return False


def test_a_deleted_namespace_takes_everything_along() -> None:
    """After the pods have ended, nothing is left in it; other namespaces are untouched."""

    async def story(cluster: Cluster) -> None:
        await fill(cluster)
        cluster.apply("services", service())
        await cluster.settle(1)
        cluster.registry.delete("namespaces", None, NS)
        await cluster.until(lambda: is_gone(cluster))
        assert left(cluster) == set()
        assert cluster.names("services") == ["greeter"]

    simulate(story)


def test_pods_end_gracefully_first_and_hold_everything_else() -> None:
    """While they end, the Services are still there, and no pod is made in their place."""

    async def story(cluster: Cluster) -> None:
        await fill(cluster)
        cluster.node.stop_s = 20.0
        cluster.registry.delete("namespaces", None, NS)
        await cluster.settle(10)
        assert len(cluster.list("pods", NS)) == 3
        assert cluster.pods(NS) == []
        assert "services" in left(cluster)
        obj = cluster.registry.get("namespaces", None, NS)
        assert obj["status"]["phase"] == "Terminating"
        assert {each["type"]: each["reason"] for each in obj["status"]["conditions"]} == {
            "NamespaceDeletionDiscoveryFailure": "ResourcesDiscovered",
            "NamespaceDeletionGroupVersionParsingFailure": "ParsedGroupVersions",
            "NamespaceDeletionContentFailure": "ContentDeleted",
            "NamespaceContentRemaining": "ContentRemoved",
            "NamespaceFinalizersRemaining": "ContentHasNoFinalizers",
        }
        with pytest.raises(Forbidden, match="because it is being terminated"):
            cluster.apply("services", service("late"), NS)
        took_s = await cluster.until(lambda: is_gone(cluster))
        assert 9 < took_s < 15

    simulate(story)


def test_a_finalizer_on_content_holds_the_namespace_and_is_named() -> None:
    """The conditions say which finalizer; taking it off lets the namespace go."""

    async def story(cluster: Cluster) -> None:
        cluster.namespace(NS)
        held = {"apiVersion": "v1", "kind": "ConfigMap"}
        held["metadata"] = {"name": "held", "finalizers": ["example.test/hold"]}
        cluster.apply(MAPS, held, NS)
        cluster.registry.delete("namespaces", None, NS)
        await cluster.settle(60)
        conditions = cluster.registry.get("namespaces", None, NS)["status"]["conditions"]
        said = {each["type"]: each["message"] for each in conditions if each["status"] == "True"}
        assert said == {
            "NamespaceContentRemaining": "Some resources are remaining: configmaps. has 1 resource instances",
            "NamespaceFinalizersRemaining": (
                "Some content in the namespace has finalizers remaining: example.test/hold in 1 resource instances"
            ),
        }
        cluster.edit(MAPS, "held", {"metadata": {"finalizers": None}}, NS)
        await cluster.until(lambda: is_gone(cluster))

    simulate(story)


def test_the_profile_says_how_long_a_namespace_waits() -> None:
    """Nothing is deleted before its grace has passed."""

    async def story(cluster: Cluster) -> None:
        await fill(cluster)
        cluster.registry.delete("namespaces", None, NS)
        await cluster.settle(3)
        assert len(cluster.pods(NS)) == 3
        took_s = await cluster.until(lambda: is_gone(cluster))
        assert 1 <= took_s <= 4

    simulate(story, profile=replace(FAST, namespace_grace_s=5.0))


def test_conditions_count_by_resource_and_keep_their_instant() -> None:
    """Only what changed has a new lastTransitionTime."""
    first = conditions_for({}, [], 1_800_000_000.0)
    pods: dict[str, list[Object]] = {"leases.coordination.k8s.io": [{"metadata": {}}, {"metadata": {}}]}
    second = conditions_for(pods, first, 1_800_000_060.0)
    changed = [each["type"] for each, before in zip(second, first, strict=True) if each != before]
    assert changed == ["NamespaceContentRemaining"]
    [remaining] = [each for each in second if each["type"] == "NamespaceContentRemaining"]
    assert (
        remaining["message"]
        == "Some resources are remaining: leases.coordination.k8s.io has 2 resource instances"
    )
    assert remaining["lastTransitionTime"] == "2027-01-15T08:01:00Z"


# --- ServiceAccount `default` and ConfigMap `kube-root-ca.crt`


def test_a_new_namespace_has_its_account_and_the_cluster_s_certificate() -> None:
    """Both at once, by name."""

    async def story(cluster: Cluster) -> None:
        cluster.namespace(NS)
        await cluster.settle(1)
        assert cluster.names(ACCOUNTS, NS) == ["default"]
        config_map = cluster.get(MAPS, "kube-root-ca.crt", NS)
        assert config_map["data"] == {"ca.crt": CA}
        text = config_map["metadata"]["annotations"]["kubernetes.io/description"]
        assert text.startswith("Contains a CA bundle that can be used to verify the kube-apiserver")

    simulate(story)


def test_both_come_back_when_they_are_deleted_or_changed() -> None:
    """In a namespace that stays."""

    async def story(cluster: Cluster) -> None:
        await cluster.settle(1)
        cluster.registry.delete(ACCOUNTS, "default", "default")
        cluster.edit(MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "another"}})
        await cluster.settle(1)
        assert cluster.names(ACCOUNTS) == ["default"]
        assert cluster.get(MAPS, "kube-root-ca.crt")["data"] == {"ca.crt": CA}
        cluster.registry.delete(MAPS, "default", "kube-root-ca.crt")
        await cluster.settle(1)
        assert cluster.names(MAPS) == ["kube-root-ca.crt"]

    simulate(story)
