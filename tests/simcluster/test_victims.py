"""The order in which a ReplicaSet's pods are deleted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.controllers import victims
from simcluster.registry import format_time

NOW = 1_800_000_000.0
Pod = dict[str, Any]


def pod(
    name: str,
    *,
    node: str = "node-1",
    phase: str = "Running",
    ready_for_s: float | None = 100.0,
    cost: str | None = None,
    restarts: int = 0,
    age_s: float = 1000.0,
) -> Pod:
    """A pod as the order sees it; `ready_for_s` None is not ready."""
    annotations = {} if cost is None else {victims.DELETION_COST: cost}
    status = "False" if ready_for_s is None else "True"
    since = format_time(NOW - (age_s if ready_for_s is None else ready_for_s))
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "annotations": annotations,
            "creationTimestamp": format_time(NOW - age_s),
        },
        "spec": {"nodeName": node, "containers": [{"name": "server"}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": since}],
            "containerStatuses": [{"name": "server", "restartCount": restarts}],
        },
    }


def chosen(*candidates: Pod, count: int = 1, related: list[Pod] | None = None) -> list[str]:
    """The names of the victims."""
    found = victims.choose(candidates, candidates if related is None else related, count, NOW)
    return [each["metadata"]["name"] for each in found]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"node": ""}, {"phase": "Pending", "ready_for_s": None}, id="unassigned"),
        pytest.param({"phase": "Pending", "cost": "9"}, {"phase": "Unknown"}, id="pending"),
        pytest.param({"phase": "Unknown", "cost": "9"}, {"ready_for_s": None}, id="unknown"),
        pytest.param({"ready_for_s": None, "cost": "9"}, {"cost": "-9"}, id="not ready"),
        pytest.param({"cost": "-1", "ready_for_s": 900.0}, {"ready_for_s": 1.0}, id="cheaper"),
        pytest.param({"ready_for_s": 10.0}, {"ready_for_s": 100.0, "restarts": 9}, id="ready later"),
        pytest.param({"restarts": 3, "age_s": 2000.0}, {"restarts": 2}, id="more restarts"),
        pytest.param({"age_s": 500.0}, {"age_s": 5000.0}, id="younger"),
    ],
)
def test_each_rule_decides_before_the_next(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The pod that the rule names goes, whatever the later rules and the uid say."""
    assert chosen(pod("z", **first), pod("a", **second)) == ["z"]
    assert chosen(pod("a", **second), pod("z", **first)) == ["z"]


def test_a_crowded_node_gives_up_pods_first() -> None:
    """The pods of sibling ReplicaSets count as company; those that are being deleted do not."""
    lonely, crowded = pod("a", node="node-1", ready_for_s=1.0), pod("z", node="node-2")
    sibling = pod("sibling", node="node-2")
    assert chosen(lonely, crowded, related=[lonely, crowded, sibling]) == ["z"]
    leaving = pod("leaving", node="node-2")
    leaving["metadata"]["deletionTimestamp"] = format_time(NOW)
    assert chosen(lonely, crowded, related=[lonely, crowded, leaving]) == ["a"]


def test_ages_of_one_magnitude_fall_to_the_uid() -> None:
    """100 s and 110 s lie between the same powers of two of nanoseconds: chance, as the uid has it, decides."""
    assert chosen(pod("b", ready_for_s=100.0), pod("a", ready_for_s=110.0)) == ["a"]


@pytest.mark.parametrize("cost", ["", "+5", "05", "1e3", "99999999999", "many"])
def test_a_cost_that_cannot_be_read_counts_as_zero(cost: str) -> None:
    """Such a pod goes before one that costs 1 and after one that costs -1."""
    assert chosen(pod("z", cost=cost), pod("a", cost="1")) == ["z"]
    assert chosen(pod("a", cost=cost), pod("z", cost="-1")) == ["z"]


pods_strategy = st.lists(
    st.builds(
        dict,
        node=st.sampled_from(["", "node-1", "node-2"]),
        phase=st.sampled_from(["Pending", "Unknown", "Running"]),
        # Powers of two apart, so that each age has a magnitude of its own.
        ready_for_s=st.none() | st.sampled_from([4.0**power for power in range(1, 6)]),
        cost=st.none() | st.sampled_from(["-5", "0", "7"]),
        restarts=st.integers(0, 3),
        age_s=st.sampled_from([4.0**power for power in range(6, 10)]),
    ),
    min_size=1,
    max_size=12,
)


def _model(spec: dict[str, Any], crowd: dict[str, int], uid: str) -> tuple[Any, ...]:
    """The same order as one sort key, where no two ages share a magnitude."""
    return (
        spec["node"] != "",
        ["Pending", "Unknown", "Running"].index(spec["phase"]),
        spec["ready_for_s"] is not None,
        int(spec["cost"] or 0),
        -crowd[spec["node"]],
        spec["ready_for_s"] or 0.0,
        -spec["restarts"],
        spec["age_s"],
        uid,
    )


def _named(specs: list[dict[str, Any]]) -> list[Pod]:
    return [pod(f"pod-{number:02}", **spec) for number, spec in enumerate(specs)]


def _expected(specs: list[dict[str, Any]], count: int) -> list[tuple[Any, ...]]:
    nodes = [spec["node"] for spec in specs]
    crowd = {node: nodes.count(node) for node in nodes}
    keys = sorted(_model(spec, crowd, f"pod-{number:02}") for number, spec in enumerate(specs))
    return [key[:-1] for key in keys[:count]]


@settings(deadline=None)  # a busy machine is no failure
@given(pods_strategy, st.integers(0, 12))
def test_the_order_is_that_of_a_plain_sort(specs: list[dict[str, Any]], count: int) -> None:
    """Against a model: one tuple a pod, sorted."""
    count = min(count, len(specs))
    names = chosen(*_named(specs), count=count)
    nodes = [spec["node"] for spec in specs]
    crowd = {node: nodes.count(node) for node in nodes}
    keys = sorted(_model(specs[int(name[4:])], crowd, "")[:-1] for name in names)
    assert keys == _expected(specs, count)


def test_the_model_sees_a_wrong_order() -> None:
    """Negative control: choosing the ready pod before the unready one differs from the model."""
    specs = [
        {"node": "n", "phase": "Running", "ready_for_s": ready, "cost": None, "restarts": 0, "age_s": 4096.0}
        for ready in (16.0, None)
    ]
    wrong = [_model(specs[0], {"n": 2}, "")[:-1]]
    assert wrong != _expected(specs, 1)
