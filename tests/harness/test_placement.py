"""Which nodes the pods of a scenario go to."""

from __future__ import annotations

from typing import Any

import pytest

from harness.placement import HOSTNAME, hosts, place


def node(name: str, effect: str | None = None, **spec: Any) -> dict[str, Any]:
    taints = [] if effect is None else [{"key": "k", "effect": effect}]
    return {"metadata": {"labels": {HOSTNAME: name}}, "spec": {"taints": taints, **spec}}


def deployment(name: str) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {"nodeSelector": {"a": "b"}}},
        },
    }


def test_nodes_that_take_any_pod() -> None:
    """A control plane, a cordoned node and one that is not ready yet are left out."""
    found = [
        node("c", "NoSchedule"),
        node("w2", "PreferNoSchedule"),
        node("w1"),
        node("x", unschedulable=True),
        node("y", "NoExecute"),
    ]

    assert hosts(found) == ["w1", "w2"]


def test_pods_of_the_target() -> None:
    """They are kept off the first node, and spread over the others."""
    spec = place(deployment("web"), "web", ["n1", "n2", "n3"])["spec"]["template"]["spec"]

    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["n2", "n3"]
    assert spec["topologySpreadConstraints"][0]["labelSelector"] == {"matchLabels": {"app": "web"}}


def test_everything_else() -> None:
    """It goes to the first node, beside what it asks for itself; what was given is not changed."""
    given = deployment("client")

    placed = place(given, "web", ["n1", "n2"])

    assert placed["spec"]["template"]["spec"]["nodeSelector"] == {"a": "b", HOSTNAME: "n1"}
    assert given == deployment("client")


@pytest.mark.parametrize(
    "found", [{"kind": "ConfigMap", "data": {}}, {"kind": "Service", "spec": {"ports": []}}]
)
def test_what_makes_no_pods(found: dict[str, Any]) -> None:
    """It is left as it is."""
    assert place(found, "web", ["n1", "n2"]) is found
