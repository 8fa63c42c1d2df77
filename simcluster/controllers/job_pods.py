"""The pods that a Job has made, and the finalizer by which none of them ends uncounted.

The rule it keeps: here is what is written about a Job's pods; which and how many is decided in `job_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from simcluster.controllers.job_rules import FINALIZER, INDEX
from simcluster.controllers.metadata import labels_of, name_of
from simcluster.controllers.pod_control import pod_for
from simcluster.errors import NotFound
from simcluster.registry import Registry
from simcluster.store import Object

_VARIABLE = "JOB_COMPLETION_INDEX"
_LONGEST_BASE = 58


def new_pod(job: Object, index: int | None) -> Object:
    """A pod of a Job, for an index or for none."""
    pod = pod_for(job, job["spec"]["template"])
    metadata = pod["metadata"]
    finalizers = metadata.get("finalizers") or []
    metadata["finalizers"] = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
    if index is None:
        return pod
    name, end = name_of(job)[1], f"-{index}-"
    metadata["generateName"] = f"{name[: _LONGEST_BASE - len(end)]}{end}"
    metadata["annotations"] = (metadata.get("annotations") or {}) | {INDEX: str(index)}
    metadata["labels"] = labels_of(pod) | {INDEX: str(index)}
    pod["spec"]["hostname"] = f"{name}-{index}"
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or ():
            _tell_index(container)
    return pod


def _tell_index(container: Object) -> None:
    env = container.setdefault("env", [])
    if all(each["name"] != _VARIABLE for each in env):
        source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
        env.append({"name": _VARIABLE, "valueFrom": source})


def is_tracked(pod: Object) -> bool:
    """Whether a pod is still to be counted."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def release(registry: Registry, present: Iterable[Object]) -> None:
    """Let pods go that are counted, whoever changed them meanwhile."""
    for pod in present:
        try:
            current = registry.get("pods", *name_of(pod))
        except NotFound:
            continue
        if current["metadata"]["uid"] == pod["metadata"]["uid"] and is_tracked(current):
            copy = deepcopy(current)
            rest = [each for each in copy["metadata"]["finalizers"] if each != FINALIZER]
            copy["metadata"]["finalizers"] = rest
            registry.update("pods", *name_of(pod), copy)
