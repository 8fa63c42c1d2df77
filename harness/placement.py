"""Which nodes the pods of a scenario go to, on a cluster of several.

Rule: one node is the measurement's: the clients, the gateway, and whatever else the manifests have; the pods of the
target are spread evenly over the others. So a node of theirs can be lost without anybody else. Pure: objects in and
out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]
HOSTNAME = "kubernetes.io/hostname"
_BARRING = ("NoSchedule", "NoExecute")


def hosts(nodes: Sequence[Object]) -> list[str]:
    """The host names of the nodes that take any pod, in order."""
    return sorted(node["metadata"]["labels"][HOSTNAME] for node in nodes if _is_open(node["spec"]))


def place(found: Object, target: str, names: Sequence[str]) -> Object:
    """An object whose pods, if it makes any, go to the first of the hosts.

    Those of the Deployment `target` go to the others, evenly.
    """
    template = (found.get("spec") or {}).get("template")
    if template is None:
        return found
    first, *others = names
    placed = copy.deepcopy(found)
    pod = placed["spec"]["template"]["spec"]
    if found["kind"] != "Deployment" or found["metadata"]["name"] != target:
        pod["nodeSelector"] = {**(pod.get("nodeSelector") or {}), HOSTNAME: first}
        return placed
    among = [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": others}]}]
    pod["affinity"] = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": among}}
    }
    pod["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": HOSTNAME,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": found["spec"]["selector"],
        }
    ]
    return placed


def _is_open(spec: Object) -> bool:
    taints = spec.get("taints") or []
    return not spec.get("unschedulable") and all(taint["effect"] not in _BARRING for taint in taints)
