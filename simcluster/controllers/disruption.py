"""The disruption controller: keeps the status of each PodDisruptionBudget, which evictions are decided by.

The rule it keeps: it writes that status alone, and takes back the condition DisruptionTarget of a pod that was to
go and stayed. What a budget allows is decided in `budgets`. Source: pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from simcluster.controllers import budgets, ownership, pods
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import (
    Name,
    is_deleting,
    labels_of,
    matches_selector,
    name_of,
    uid_of,
    with_status,
)
from simcluster.controllers.selected import SelectedPods
from simcluster.errors import Conflict
from simcluster.registry import format_time, parse_time
from simcluster.registry.eviction import BUDGETS, disruption_condition
from simcluster.schema import Resource
from simcluster.store import Object

# Kinds with replicas, in the order in which their owners are looked for.
_SCALED = ("replicationcontrollers", "deployments.apps", "replicasets.apps", "statefulsets.apps")
_TARGET = "DisruptionTarget"


class UnmanagedError(Exception):
    """A pod's controller cannot be counted; the text is the condition's."""


class Disruptions:
    """Brings the status of each budget to what its pods are."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._budgets = context.informers.of(BUDGETS)
        self._scaled = {resource: context.informers.of(resource) for resource in _SCALED}
        self._recorder = context.recorder("controllermanager")
        self.loop: ControlLoop[Name] = ControlLoop("disruption", context, self.sync)
        informer = context.informers.of("pods")
        self._selected = SelectedPods(self._budgets, informer, _matches, self._enqueue)
        informer.handle(self._selected.take)

    def sync(self, key: Name) -> None:
        """Write the status of one budget."""
        budget = self._budgets.get(key)
        if budget is None:
            return
        try:
            self._count(budget)
        except Conflict:
            raise
        except UnmanagedError as error:
            status = (budget.get("status") or {}) | {"disruptionsAllowed": 0}
            now = self._context.clock()
            status["conditions"] = disruption_condition(status, now, failure=str(error))
            self._write(budget, status)

    def _enqueue(self, key: Name, count: int) -> None:
        delay_s = max(self._context.profile.workload_sync_s, self._context.batch_s(count))
        self.loop.queue.add_after(key, delay_s)

    # --- Counting

    def _count(self, budget: Object) -> None:
        selected = self._selected.of(name_of(budget))
        if not selected:
            self._recorder.record(budget, "Normal", "NoPods", "No matching pods found")
        asked = self._asked(budget, selected) if budgets.counts_controllers(budget["spec"]) else 0
        need = budgets.need_of(budget["spec"], matching=len(selected), asked=asked)
        now, timeout_s = self._context.clock(), self._context.profile.eviction_timeout_s
        evicted = budgets.disrupted(selected, budget.get("status") or {}, now, timeout_s)
        for pod in evicted.overdue:
            # The namespace stands where one would expect the name: so it does in the real text.
            namespace = name_of(budget)[0]
            message = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
            self._recorder.record(pod, "Warning", "NotDeleted", message)
        self._write(budget, budgets.status_for(budget, selected, need, evicted.names, now))
        self._take_back(selected, now, timeout_s, name_of(budget))
        if evicted.again_in_s is not None:
            self.loop.queue.add_after(name_of(budget), evicted.again_in_s)

    def _asked(self, budget: Object, selected: Iterable[Object]) -> int:
        """The replicas that the controllers of the selected pods are asked for; UnmanagedError if one is not known."""
        asked: dict[str, int] = {}
        lonely = False
        for pod in selected:
            controller = ownership.controller_of(pod)
            if controller is None:
                lonely = True
            elif controller["uid"] not in asked:
                asked[controller["uid"]] = 0
                owner = self._owner(pod, controller)
                asked[uid_of(owner)] = owner["spec"].get("replicas", 1)
        if lonely:
            self._recorder.record(budget, "Warning", "UnmanagedPods", _explain_unmanaged(budget))
        return sum(asked.values())

    def _owner(self, pod: Object, controller: Object) -> Object:
        namespace = name_of(pod)[0]
        for resource in _SCALED:
            kind = self._registry.resource(resource)
            owner = self._scaled[resource].get((namespace, controller["name"]))
            if (kind.group, kind.kind) != _group_kind(controller) or owner is None:
                continue
            if uid_of(owner) != controller["uid"]:
                continue
            above = ownership.controller_of(owner)
            if resource == "replicasets.apps" and above is not None and above["kind"] == "Deployment":
                return self._deployment(pod, above)
            return owner
        raise UnmanagedError(self._explain_unscaled(pod, controller))

    def _deployment(self, pod: Object, controller: Object) -> Object:
        deployment = self._scaled["deployments.apps"].get((name_of(pod)[0], controller["name"]))
        if deployment is None or uid_of(deployment) != controller["uid"]:
            raise UnmanagedError(f'found no controllers for pod "{name_of(pod)[1]}"')
        return deployment

    def _explain_unscaled(self, pod: Object, controller: Object) -> str:
        kind = self._kind_of(controller)
        if kind is None:
            return f'no matches for kind "{controller["kind"]}" in version "{controller["apiVersion"]}"'
        if "scale" not in kind.subresources:
            return f"{kind.name} does not implement the scale subresource"
        return f'found no controllers for pod "{name_of(pod)[1]}"'

    def _kind_of(self, controller: Object) -> Resource | None:
        return self._registry.catalogue.of_kind(controller["apiVersion"], controller["kind"])

    # --- Writing

    def _write(self, budget: Object, status: Object) -> None:
        if status == (budget.get("status") or {}):
            return
        self._registry.update(BUDGETS, *name_of(budget), with_status(budget, status), subresource="status")

    def _take_back(self, selected: Iterable[Object], now: float, timeout_s: float, budget: Name) -> None:
        """Say of pods that were to go and stayed that they are no target any more."""
        for pod in selected:
            said = pods.condition_of(pod, _TARGET)
            if said is None or said["status"] != "True" or is_deleting(pod) or pods.is_terminal(pod):
                continue
            if said.get("reason") == "TerminationByKubelet":
                continue
            left_s = parse_time(said["lastTransitionTime"]) + timeout_s - now
            if left_s > 0:
                self.loop.queue.add_after(budget, left_s)
                continue
            changed = {"type": _TARGET, "status": "False", "lastTransitionTime": format_time(now)}
            conditions = [
                changed if each["type"] == _TARGET else each for each in pod["status"]["conditions"]
            ]
            written = with_status(pod, {**pod["status"], "conditions": conditions})
            self._registry.update("pods", *name_of(pod), written, subresource="status")


def _matches(budget: Object, pod: Object) -> bool:
    return matches_selector(budget["spec"].get("selector"), labels_of(pod))


def _group_kind(controller: Object) -> tuple[str, str]:
    return controller["apiVersion"].rpartition("/")[0], controller["kind"]


def _explain_unmanaged(budget: Object) -> str:
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {_show(budget['spec'].get('selector') or {})}) were "
        "found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result "
        'in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an '
        "integer value."
    )


def _show(selector: Object) -> str:
    """A selector as Go prints it."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{each['key']},Operator:{each['operator']},"
        f"Values:[{' '.join(each.get('values') or ())}],}},"
        for each in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )
