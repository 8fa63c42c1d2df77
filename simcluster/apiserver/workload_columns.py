"""The columns of the workloads that few use: daemon sets, jobs, budgets and the like. Pure.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from simcluster.apiserver.ages import show_duration
from simcluster.apiserver.column import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    Column,
    Object,
    at,
    integer,
    show_labels,
    wide,
)
from simcluster.registry import parse_time

# What a Job is called by the first of its conditions that holds; the deletion comes between.
_ENDED = (("Complete", "Complete"), ("Failed", "Failed"))
_UNDER_WAY = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job_status(job: Object, _now: float) -> str:
    conditions = job.get("status", {}).get("conditions", ())
    held = {each["type"] for each in conditions if each.get("status") == "True"}
    for kind, shown in _ENDED:
        if kind in held:
            return shown
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    return next((kind for kind in _UNDER_WAY if kind in held), "Running")


def _completions(job: Object, _now: float) -> str:
    done, spec = job.get("status", {}).get("succeeded", 0), job["spec"]
    if "completions" in spec:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(job: Object, now: float) -> str:
    status = job.get("status", {})
    if "startTime" not in status:
        return ""
    end_at = parse_time(status["completionTime"]) if "completionTime" in status else now
    return show_duration(end_at - parse_time(status["startTime"]))


def _controller(revision: Object, _now: float) -> str:
    for owner in revision["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            return f"{owner['kind'].lower()}{'.' if group else ''}{group}/{owner['name']}"
    return NONE


def _template_containers(key: str) -> Column:
    def cell(obj: Object, _now: float) -> str:
        spec = obj.get("template", {}).get("spec", {})
        return ",".join(each.get(key, "") for each in spec.get("containers", ()))

    return Column("Containers" if key == "name" else "Images", cell)


def _either(path: str) -> Column:
    name = "Min Available" if path == "spec.minAvailable" else "Max Unavailable"
    shown = at(path, "N/A")
    return Column(name, lambda obj, now: str(shown(obj, now)))


COLUMNS: dict[str, tuple[Column, ...]] = {
    "replicationcontrollers": (
        NAME,
        integer("Desired", "spec.replicas"),
        integer("Current", "status.replicas"),
        integer("Ready", "status.readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", lambda obj, _: show_labels(obj["spec"].get("selector"))),
    ),
    "daemonsets.apps": (
        NAME,
        integer("Desired", "status.desiredNumberScheduled"),
        integer("Current", "status.currentNumberScheduled"),
        integer("Ready", "status.numberReady"),
        integer("Up-to-date", "status.updatedNumberScheduled"),
        integer("Available", "status.numberAvailable"),
        Column(
            "Node Selector", lambda obj, _: show_labels(obj["spec"]["template"]["spec"].get("nodeSelector"))
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    "jobs.batch": (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _completions),
        Column("Duration", _job_duration),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    "controllerrevisions.apps": (
        NAME,
        Column("Controller", _controller),
        Column("Revision", at("revision", 0)),
        AGE,
    ),
    "podtemplates": (
        NAME,
        _template_containers("name"),
        _template_containers("image"),
        Column(
            "Pod Labels",
            lambda obj, _: show_labels(obj.get("template", {}).get("metadata", {}).get("labels")),
        ),
    ),
    "poddisruptionbudgets.policy": (
        NAME,
        _either("spec.minAvailable"),
        _either("spec.maxUnavailable"),
        integer("Allowed Disruptions", "status.disruptionsAllowed"),
        AGE,
    ),
}
