"""ClusterRoles that gather rules."""

from __future__ import annotations

from typing import Any

from instant_cluster import Cluster, simulate

from simcluster.controllers.aggregation import ROLES, gather

RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
OTHER = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
GATHERING = {"clusterRoleSelectors": [{"matchLabels": {"to": "x"}}]}


def role(name: str, *rules: Any, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}


def test_rules_come_in_the_order_of_names_each_once() -> None:
    """From those that are chosen, and from no other."""
    roles = [
        role("b", OTHER, to="x"),
        role("a", RULE, to="x"),
        role("c", RULE, to="x"),
        role("d", {}, to="y"),
    ]

    assert gather(role("g", to="x") | {"aggregationRule": GATHERING}, roles) == [RULE, OTHER]


def test_a_role_follows_those_that_it_gathers() -> None:
    """When one comes, changes or goes; what was written by hand goes, too."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.create(ROLES, None, role("g", OTHER) | {"aggregationRule": GATHERING})
        cluster.registry.create(ROLES, None, role("a", RULE, to="x"))
        await cluster.until(lambda: rules(cluster) == [RULE])
        cluster.registry.patch(ROLES, None, "a", {"rules": [OTHER]}, "merge")
        await cluster.until(lambda: rules(cluster) == [OTHER])
        cluster.registry.delete(ROLES, None, "a")
        await cluster.until(lambda: not rules(cluster))

    simulate(story)


def rules(cluster: Cluster) -> Any:
    return cluster.registry.get(ROLES, None, "g").get("rules")
