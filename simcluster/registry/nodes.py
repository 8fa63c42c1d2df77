"""What the API server does to nodes: the admission plug-in TaintNodesByCondition. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def prepare(node: Object, old: Object | None, _around: object) -> None:
    """Keep pods away from a new node until the node controller has seen it ready."""
    if old is not None:
        return
    taints = node["spec"].get("taints", [])
    if not any(each.items() >= _NOT_READY.items() for each in taints):
        node["spec"]["taints"] = [*taints, dict(_NOT_READY)]
