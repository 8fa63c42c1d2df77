"""What a Job's pods mean: how many there are to be, which failures count, and when it is over. Pure.

The rule it keeps: `syncJob` of pkg/controller/job/job_controller.go, with its reasons and texts; the end is said twice,
first as SuccessCriteriaMet or FailureTarget and, when the last pod has ended, as Complete or Failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.controllers import pods
from simcluster.controllers.indexes import parse_indexes
from simcluster.controllers.metadata import annotations_of, created_at, is_deleting, name_of
from simcluster.registry import format_time, parse_time
from simcluster.store import Object

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
MET, TARGET = "SuccessCriteriaMet", "FailureTarget"
COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
Condition = dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """How a Job comes to its end: `kind` is SuccessCriteriaMet or FailureTarget."""

    kind: str
    reason: str
    message: str

    @property
    def is_success(self) -> bool:
        """Whether it is a good end."""
        return self.kind == MET


def condition(kind: str, status: str, reason: str, message: str, now: float) -> Condition:
    """A condition that changed at `now`."""
    at = format_time(now)
    said = {"type": kind, "status": status, "lastProbeTime": at, "lastTransitionTime": at}
    return said | {"reason": reason, "message": message}


def find(job: Object, kind: str) -> Condition | None:
    """The condition of that type that holds, or None."""
    for each in (job.get("status") or {}).get("conditions") or ():
        if (each["type"], each["status"]) == (kind, "True"):
            found: Condition = each
            return found
    return None


def is_finished(job: Object) -> bool:
    """Whether a Job is over."""
    return find(job, COMPLETE) is not None or find(job, FAILED) is not None


def is_indexed(job: Object) -> bool:
    """Whether each of its pods has an index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def replaces_failed_only(job: Object) -> bool:
    """Whether a terminating pod is replaced only when it has ended."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def index_of(pod: Object) -> int | None:
    """The completion index of a pod; None if it has none that can be read."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isascii() and text.isdecimal() else None


def has_failed(job: Object, pod: Object) -> bool:
    """Whether a pod counts as failed: one that is deleted does so before it ends, unless only ended ones do."""
    phase = pods.phase_of(pod)
    if phase == "Failed":
        return True
    return is_deleting(pod) and phase != "Succeeded" and not replaces_failed_only(job)


# --- The failure policy


def match_failure(job: Object, pod: Object) -> tuple[str | None, str | None]:
    """Return the action of the first rule of the podFailurePolicy that a failed pod meets, and its message."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        action, where = rule["action"], "/".join(name_of(pod))
        end = f"matching {action} rule at index {number}"
        if rule.get("onExitCodes") is not None:
            container = _match_exit(rule["onExitCodes"], pod)
            if container is not None:
                code = container["state"]["terminated"]["exitCode"]
                said = f"Container {container['name']} for pod {where} failed with exit code {code} {end}"
                return action, said
            continue
        for each in (pod.get("status") or {}).get("conditions") or ():
            wanted = [(one["type"], one.get("status", "True")) for one in rule.get("onPodConditions") or ()]
            if (each["type"], each["status"]) in wanted:
                return action, f"Pod {where} has condition {each['type']} {end}"
    return None, None


def _match_exit(requirement: Object, pod: Object) -> Object | None:
    status = pod.get("status") or {}
    for container in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        ended = (container.get("state") or {}).get("terminated")
        if ended is None or not ended["exitCode"]:
            continue
        if requirement.get("containerName") not in (None, container["name"]):
            continue
        if (ended["exitCode"] in requirement["values"]) is (requirement["operator"] == "In"):
            found: Object = container
            return found
    return None


def counts_as_failure(job: Object, pod: Object) -> bool:
    """Whether a failed pod counts towards the back-off limit."""
    return match_failure(job, pod)[0] != "Ignore"


# --- The end


def find_failure(
    job: Object, present: Sequence[Object], *, failed: int, started_at: float | None, now: float
) -> End | None:
    """Return why a Job has failed, or None; `failed` is how many of its pods have."""
    known = find(job, TARGET)
    if known is not None:
        return End(TARGET, known["reason"], known["message"])
    for pod in present:
        action, message = match_failure(job, pod) if has_failed(job, pod) else (None, None)
        if action == "FailJob" and message is not None:
            return End(TARGET, "PodFailurePolicy", message)
    spec = job["spec"]
    if failed > spec.get("backoffLimit", 6) or _restarts_too_much(spec, present):
        return End(TARGET, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left_s = time_left(job, started_at, now)
    if left_s is not None and left_s <= 0:
        return End(TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def time_left(job: Object, started_at: float | None, now: float) -> float | None:
    """Seconds until a Job's deadline; None if it has none, or has not started."""
    deadline_s = job["spec"].get("activeDeadlineSeconds")
    if deadline_s is None or started_at is None or job["spec"].get("suspend"):
        return None
    return float(started_at + deadline_s - now)


def _restarts_too_much(spec: Object, present: Iterable[Object]) -> bool:
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in present:
        if not pods.is_terminal(pod):
            status = pod.get("status") or {}
            for kind in ("initContainerStatuses", "containerStatuses"):
                restarts += sum(each.get("restartCount", 0) for each in status.get(kind) or ())
    limit: int = spec.get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else restarts >= limit


def find_failed_indexes(job: Object, failed: set[int], succeeded: set[int]) -> End | None:
    """Return why a Job with backoffLimitPerIndex has failed by its indexes, or None."""
    spec = job["spec"]
    most = spec.get("maxFailedIndexes")
    if most is not None and len(failed) > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return End(TARGET, "MaxFailedIndexesExceeded", text)
    if failed and len(failed) + len(succeeded) >= spec["completions"]:
        return End(TARGET, "FailedIndexes", "Job has failed indexes")
    return None


def match_success(job: Object, succeeded: set[int]) -> End | None:
    """Return the end by the first rule of the successPolicy that the succeeded indexes meet."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        counted, least = succeeded, rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            required = parse_indexes(rule["succeededIndexes"], job["spec"]["completions"])
            counted = succeeded & required
            least = len(required) if least is None else least
        if succeeded and least is not None and least > 0 and len(counted) >= least:
            return End(MET, "SuccessPolicy", f"Matched rules at index {number}")
    return None


def find_success(job: Object, *, succeeded: int, active: int) -> End | None:
    """Return the good end, if enough pods have succeeded and none runs any more."""
    completions = job["spec"].get("completions")
    is_enough = succeeded > 0 if completions is None else succeeded >= completions
    if is_enough and active == 0:
        return End(MET, "CompletionsReached", "Reached expected number of succeeded pods")
    return None


# --- How many


def wanted_active(job: Object, *, succeeded: int, active: int) -> int:
    """How many pods are to run now."""
    parallelism: int = job["spec"].get("parallelism", 1)
    completions: int | None = job["spec"].get("completions")
    if completions is None:
        return active if succeeded > 0 else parallelism
    return max(0, min(completions - succeeded, parallelism))


def pending_indexes(job: Object, count: int, taken: set[int]) -> list[int]:
    """The lowest indexes that are not `taken`, at most `count`."""
    free = (index for index in range(job["spec"]["completions"]) if index not in taken)
    return [index for index, _ in zip(free, range(count), strict=False)]


def surplus(job: Object, active: Sequence[Object], least: int) -> list[Object]:
    """Return the active pods to delete: those that share an index or have none of the Job's, and at least so many."""
    if not is_indexed(job):
        return _youngest_first(active)[:least]
    seen: dict[int, Object] = {}
    extra: list[Object] = []
    for pod in reversed(_youngest_first(active)):
        index = index_of(pod)
        if index is None or index >= job["spec"]["completions"] or index in seen:
            extra.append(pod)
        else:
            seen[index] = pod
    return extra + _youngest_first(list(seen.values()))[: max(0, least - len(extra))]


def _youngest_first(present: Sequence[Object]) -> list[Object]:
    """In the order in which pods are given up: those not bound, not running, not ready, then the youngest."""
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}

    def rank(pod: Object) -> tuple[object, ...]:
        phase = phases.get(pods.phase_of(pod), 0)
        return pods.node_of(pod) != "", phase, pods.is_ready(pod), -created_at(pod), name_of(pod)[1]

    return sorted(present, key=rank)


# --- Back-off


def finished_at(pod: Object) -> float:
    """When a pod ended, as well as can be told."""
    status = pod.get("status") or {}
    ends = [
        ((each.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for each in status.get("containerStatuses") or ()
    ]
    if ends and all(ends):
        return max(parse_time(end) for end in ends if end)
    ready = pods.condition_of(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    if is_deleting(pod):
        grace_s: float = pod["metadata"].get("deletionGracePeriodSeconds", 0)
        return parse_time(pod["metadata"]["deletionTimestamp"]) - grace_s
    return created_at(pod)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures since the last success, and when the last of them was."""

    failures: int = 0
    failed_at: float = 0.0

    def after(self, succeeded: Sequence[Object], failed: Sequence[Object]) -> Backoff:
        """Return it after these pods have newly ended."""
        ends = sorted(finished_at(pod) for pod in failed)
        if not succeeded:
            return Backoff(self.failures + len(ends), ends[-1]) if ends else self
        last = max(finished_at(pod) for pod in succeeded)
        later = [end for end in ends if end > last]
        return Backoff(len(later), later[-1]) if later else Backoff()

    def left_s(self, base_s: float, max_s: float, now: float) -> float:
        """Seconds until a pod may be made again; doubles with each failure."""
        if self.failures == 0:
            return 0.0
        wait_s = min(max_s, base_s * 2.0 ** min(self.failures - 1, 60))
        return max(0.0, self.failed_at + wait_s - now)
