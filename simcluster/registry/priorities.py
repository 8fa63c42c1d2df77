"""What decides when a pod may be scheduled, filled in on creation: its priority and its gates. Pure.

Sources: kubernetes plugin/pkg/admission/priority/admission.go; pkg/registry/core/pod/strategy.go
(applySchedulingGatedCondition).
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Forbidden
from simcluster.registry.instants import format_time
from simcluster.registry.naming import name_given
from simcluster.store import Key, Store

Object = dict[str, Any]
CLASSES = "priorityclasses.scheduling.k8s.io"
_USUAL = "PreemptLowerPriority"


def prepare(of_class: Object, old: Object | None, _around: object) -> None:
    """Fill in a new PriorityClass."""
    if old is None:
        of_class.setdefault("preemptionPolicy", _USUAL)


def prioritize(pod: Object, store: Store) -> None:
    """Give a new pod the priority of its class; Forbidden if there is no such class or it says another number."""
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    chosen = _find_default(store) if not name else _find(pod, name, store)
    value, policy = (
        (0, _USUAL) if chosen is None else (chosen["value"], chosen.get("preemptionPolicy", _USUAL))
    )
    if spec.get("priority", value) != value:
        raise _forbid(
            pod,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority "
            f"admission controller computed {value} from the given PriorityClass name",
        )
    if spec.get("preemptionPolicy", policy) != policy:
        raise _forbid(
            pod,
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name",
        )
    if chosen is not None:
        spec["priorityClassName"] = chosen["metadata"]["name"]
    spec |= {"priority": value, "preemptionPolicy": policy}


def _find(pod: Object, name: str, store: Store) -> Object:
    record = store.get(Key(CLASSES, "", name))
    if record is None:
        raise _forbid(pod, f"no PriorityClass with name {name} was found")
    return record.object


def _find_default(store: Store) -> Object | None:
    marked = [each.object for each in store.list(CLASSES) if each.object.get("globalDefault")]
    return min(marked, key=lambda each: int(each["value"]), default=None)


def _forbid(pod: Object, why: str) -> Forbidden:
    # This is looked at before a name is made up.
    return Forbidden("pods", name_given(pod["metadata"]), why)


def show_gates(pod: Object, now: float) -> None:
    """Say in a new pod's status that its gates keep it from being scheduled."""
    if pod["spec"].get("schedulingGates"):
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": None,
            "lastTransitionTime": format_time(now),
        }
        pod["status"]["conditions"] = [condition]
