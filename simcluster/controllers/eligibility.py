"""On which nodes a DaemonSet's pods belong, and what a pod carries to get to its node: pure.

The rule it keeps: node name, selector, required affinity and taints decide, resources never do; a pod that is there
may stay on a node that new ones would be kept from by NoSchedule alone. Sources: pkg/controller/daemon
(NodeShouldRunDaemonPod, util/daemonset_util.go), component-helpers/scheduling/corev1/nodeaffinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from simcluster.controllers.metadata import labels_of, matches_labels
from simcluster.controllers.scheduling.asks import read_node_term
from simcluster.controllers.scheduling.taints import tolerates
from simcluster.store import Object

_NODE_FIELD = "metadata.name"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFIX = "node.kubernetes.io/"
_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


def tolerations_for(spec: Object) -> list[Object]:
    """A template's tolerations, with those that every daemon pod has."""
    tolerations = list(spec.get("tolerations") or ())
    for name, effect in (
        *_TOLERATED,
        *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else []),
    ):
        added = {"key": _PREFIX + name, "operator": "Exists", "effect": effect}
        if added not in tolerations:
            tolerations.append(added)
    return tolerations


def judge(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """Whether a node is to have a pod, and whether a pod that it has may stay."""
    spec, name = daemon_set["spec"]["template"]["spec"], node["metadata"]["name"]
    if spec.get("nodeName", name) != name or not _is_wanted(spec, node):
        return False, False
    tolerations = tolerations_for(spec)
    taints = [
        taint
        for taint in node["spec"].get("taints") or ()
        if not any(tolerates(each, taint) for each in tolerations)
    ]
    effects = {taint["effect"] for taint in taints}
    return not effects & {"NoSchedule", "NoExecute"}, "NoExecute" not in effects


def _is_wanted(spec: Object, node: Object) -> bool:
    if not matches_labels(spec.get("nodeSelector") or {}, labels_of(node)):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    terms = () if required is None else required.get("nodeSelectorTerms") or ()
    name, labels = node["metadata"]["name"], labels_of(node)
    return required is None or any(read_node_term(each).matches(name, labels) for each in terms)


def bind_to(spec: Object, node: str) -> Object:
    """A pod's spec that fits one node alone, and tolerates what daemon pods tolerate."""
    bound: dict[str, Any] = deepcopy(spec)
    term = {"matchFields": [{"key": _NODE_FIELD, "operator": "In", "values": [node]}]}
    affinity = bound.setdefault("affinity", {})
    affinity.setdefault("nodeAffinity", {})[_REQUIRED] = {"nodeSelectorTerms": [term]}
    bound["tolerations"] = tolerations_for(spec)
    return bound


def node_of(pod: Object) -> str | None:
    """The node that a pod is on or is meant for; None where that cannot be told."""
    if pod["spec"].get("nodeName"):
        name: str = pod["spec"]["nodeName"]
        return name
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms: Sequence[Object] = (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    for term in terms:
        for field in term.get("matchFields") or ():
            if (field["key"], field["operator"]) == (_NODE_FIELD, "In") and len(field["values"]) == 1:
                return str(field["values"][0])
    return None
