"""The Job controller: pods until enough of them have succeeded, or too many failed.

The rule it keeps: every pod is counted exactly once: it is noted in the status, then loses the finalizer that held it,
then counts. What is decided stands in `job_rules`, what is written about pods in `job_pods`. Source:
pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from simcluster.controllers import job_rules, ownership, pods
from simcluster.controllers.indexes import format_indexes, parse_indexes
from simcluster.controllers.job_pods import is_tracked, new_pod, release
from simcluster.controllers.job_rules import Backoff, End
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of, uid_of
from simcluster.controllers.owned import OwnedPods
from simcluster.controllers.pod_control import BURST, PodControl
from simcluster.errors import NotFound, StatusError
from simcluster.registry import format_time, parse_time
from simcluster.store import Object

JOBS = "jobs.batch"
_CONTROLLER = "kubernetes.io/job-controller"


@dataclass(slots=True)
class _Memory:
    """What is not in the API: failures since the last success, of the Job and of each index."""

    backoff: Backoff = field(default_factory=Backoff)
    by_index: dict[int, Backoff] = field(default_factory=dict)


@dataclass(slots=True)
class _Tally:
    """A Job's pods as one sync sees them."""

    present: list[Object]
    active: list[Object]
    new_succeeded: list[Object]
    new_failed: list[Object]
    succeeded: int
    failed: int
    done: set[int]
    lost: set[int]

    @property
    def terminating(self) -> int:
        """How many pods are deleted and still run."""
        return sum(pods.is_terminating(pod) for pod in self.present)


class Jobs:
    """Brings each Job to its end."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = context.registry
        self._jobs = context.informers.of(JOBS)
        self._pods = context.informers.of("pods")
        self._recorder = context.recorder("job-controller")
        self._control = PodControl(context.registry, self._recorder)
        self._memories: dict[str, _Memory] = {}
        self.loop = ControlLoop("job", context, self.sync)
        self.orphans: ControlLoop[Name] = ControlLoop("job-orphan-pod", context, self.release_orphan)
        self._owned = OwnedPods(context, self._jobs, "Job", self._enqueue)
        self._jobs.handle(self._on_job)
        self._pods.handle(self._on_pod)

    def sync(self, key: Name) -> None:
        """Take one Job one step further."""
        job = self._jobs.get(key)
        if job is None or job["spec"].get("managedBy") not in (None, _CONTROLLER):
            return
        if job_rules.is_finished(job):
            self._memories.pop(uid_of(job), None)
            return
        memory = self._memories.setdefault(uid_of(job), _Memory())
        tally = self._count(job, self._owned.claim(job), memory)
        job = deepcopy(job)
        status = job.setdefault("status", {})
        now = self._context.clock()
        if not status.get("startTime") and not job["spec"].get("suspend"):
            status["startTime"] = format_time(now)
        end = self._find_end(job, tally, now)
        error: StatusError | None = None
        if end is not None:
            error = self._control.delete(job, tally.active)
        else:
            if not is_deleting(job):
                error = self._manage(job, tally, memory, now)
            end = job_rules.find_success(job, succeeded=tally.succeeded, active=self._count_active(job))
            if end is None and not is_deleting(job):
                self._note_suspension(job, now)
        self._track(job, tally, end, now)
        if error is not None:
            raise error

    def release_orphan(self, key: Name) -> None:
        """Let a pod go whose Job is no more."""
        pod = self._pods.get(key)
        if pod is not None and is_tracked(pod) and self._job_of(pod) is None:
            release(self._registry, [pod])

    # --- What leads to a sync

    def _enqueue(self, key: Name, count: int) -> None:
        batch_s = max(self._context.profile.job_batch_s, self._context.batch_s(count))
        self.loop.queue.add_after(key, batch_s)

    def _on_job(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.queue.add(name_of(new))
        elif old is not None:
            self._memories.pop(uid_of(old), None)
            for pod in self._pods.owned(uid_of(old)):
                self.orphans.queue.add(name_of(pod))

    def _on_pod(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and is_tracked(new) and self._job_of(new) is None:
            self.orphans.queue.add(name_of(new))

    def _job_of(self, pod: Object) -> Object | None:
        controller = ownership.controller_of(pod)
        if controller is None or controller["kind"] != "Job":
            return None
        job = self._jobs.get((name_of(pod)[0], controller["name"]))
        return job if job is not None and uid_of(job) == controller["uid"] else None

    # --- Counting

    def _count(self, job: Object, present: list[Object], memory: _Memory) -> _Tally:
        status = job.get("status") or {}
        noted = status.get("uncountedTerminatedPods") or {}
        known_good, known_bad = set(noted.get("succeeded") or ()), set(noted.get("failed") or ())
        tracked = [pod for pod in present if is_tracked(pod) and self._has_place(job, pod)]
        good = [pod for pod in tracked if pods.phase_of(pod) == "Succeeded" and uid_of(pod) not in known_good]
        bad = [pod for pod in tracked if job_rules.has_failed(job, pod) and uid_of(pod) not in known_bad]
        memory.backoff = memory.backoff.after(good, bad)
        counted = [pod for pod in bad if job_rules.counts_as_failure(job, pod)]
        tally = _Tally(
            present,
            [pod for pod in present if pods.is_active(pod)],
            good,
            bad,
            succeeded=status.get("succeeded", 0) + len(good) + len(known_good),
            failed=status.get("failed", 0) + len(counted) + len(known_bad),
            done=set(),
            lost=set(),
        )
        if job_rules.is_indexed(job):
            self._count_indexes(job, tally, memory)
        return tally

    def _has_place(self, job: Object, pod: Object) -> bool:
        """Whether a pod can count: in an indexed Job it needs an index of that Job."""
        index = job_rules.index_of(pod)
        return not job_rules.is_indexed(job) or (index is not None and index < job["spec"]["completions"])

    def _count_indexes(self, job: Object, tally: _Tally, memory: _Memory) -> None:
        status, completions = job.get("status") or {}, job["spec"]["completions"]
        indexed = {index for pod in tally.new_succeeded if (index := job_rules.index_of(pod)) is not None}
        tally.done = parse_indexes(status.get("completedIndexes") or "", completions) | indexed
        tally.succeeded = len(tally.done)
        limit = job["spec"].get("backoffLimitPerIndex")
        if limit is None:
            return
        tally.lost = parse_indexes(status.get("failedIndexes") or "", completions)
        for pod in tally.new_failed:
            index = job_rules.index_of(pod)
            action = job_rules.match_failure(job, pod)[0]
            if index is None or action == "Ignore":
                continue
            record = memory.by_index.get(index, Backoff()).after([], [pod])
            memory.by_index[index] = record
            if record.failures > limit or action == "FailIndex":
                tally.lost.add(index)
        tally.lost -= tally.done

    def _count_active(self, job: Object) -> int:
        return sum(pods.is_active(pod) for pod in self._owned.of(job))

    def _find_end(self, job: Object, tally: _Tally, now: float) -> End | None:
        known = job_rules.find(job, job_rules.MET)
        if known is not None:
            return End(job_rules.MET, known["reason"], known["message"])
        started = job["status"].get("startTime")
        started_at = None if started is None else parse_time(started)
        end = job_rules.find_failure(job, tally.present, failed=tally.failed, started_at=started_at, now=now)
        left_s = job_rules.time_left(job, started_at, now)
        if end is None and left_s is not None:
            self.loop.queue.add_after(name_of(job), left_s)
        if end is None and job["spec"].get("backoffLimitPerIndex") is not None:
            end = job_rules.find_failed_indexes(job, tally.lost, tally.done)
        return job_rules.match_success(job, tally.done) if end is None else end

    # --- Pods

    def _manage(self, job: Object, tally: _Tally, memory: _Memory, now: float) -> StatusError | None:
        count = len(tally.active)
        if job["spec"].get("suspend"):
            return self._control.delete(job, job_rules.surplus(job, tally.active, count))
        wanted = job_rules.wanted_active(job, succeeded=tally.succeeded + len(tally.lost), active=count)
        surplus = job_rules.surplus(job, tally.active, max(0, count - wanted))
        if surplus:
            return self._control.delete(job, surplus[:BURST])
        if job_rules.replaces_failed_only(job):
            count += tally.terminating
        if wanted <= count:
            return None
        return self._create(job, tally, memory, min(wanted - count, BURST), now)

    def _create(
        self, job: Object, tally: _Tally, memory: _Memory, count: int, now: float
    ) -> StatusError | None:
        if job["spec"].get("backoffLimitPerIndex") is None and self._is_held(job, memory.backoff, now):
            return None
        if not job_rules.is_indexed(job):
            return self._control.create(job, [new_pod(job, None)] * count)
        taken = {job_rules.index_of(pod) for pod in tally.active}
        if job_rules.replaces_failed_only(job):
            taken |= {job_rules.index_of(pod) for pod in tally.present if pods.is_terminating(pod)}
        known = tally.done | tally.lost | {index for index in taken if index is not None}
        indexes = job_rules.pending_indexes(job, count, known)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            held = [each for each in indexes if self._is_held(job, memory.by_index.get(each, Backoff()), now)]
            indexes = [each for each in indexes if each not in held]
        return self._control.create(job, [new_pod(job, index) for index in indexes])

    def _is_held(self, job: Object, backoff: Backoff, now: float) -> bool:
        """Whether it is too early after a failure; it is looked at again when it is not."""
        profile = self._context.profile
        left_s = backoff.left_s(profile.job_backoff_s, profile.job_backoff_max_s, now)
        if left_s > 0:
            self.loop.queue.add_after(name_of(job), left_s)
        return left_s > 0

    # --- Status

    def _note_suspension(self, job: Object, now: float) -> None:
        status = job["status"]
        if job["spec"].get("suspend"):
            wanted = job_rules.condition(job_rules.SUSPENDED, "True", "JobSuspended", "Job suspended", now)
            if _put(status, wanted):
                self._recorder.record(job, "Normal", "Suspended", "Job suspended")
                status.pop("startTime", None)
            return
        wanted = job_rules.condition(job_rules.SUSPENDED, "False", "JobResumed", "Job resumed", now)
        if _put(status, wanted):
            self._recorder.record(job, "Normal", "Resumed", "Job resumed")
            # The deadline counts from here: it is for the time in which the Job is at work.
            status["startTime"] = format_time(now)

    def _track(self, job: Object, tally: _Tally, end: End | None, now: float) -> None:
        """Note the pods that have ended, let them go, count them, and say so if the Job has ended."""
        status = job["status"]
        is_over = end is not None or is_deleting(job)
        noted = status.get("uncountedTerminatedPods") or {}
        good, bad = list(noted.get("succeeded") or ()), list(noted.get("failed") or ())
        leaving = []
        for pod in tally.present:
            has_failed = job_rules.has_failed(job, pod)
            if not is_tracked(pod) or not (is_over or has_failed or pods.phase_of(pod) == "Succeeded"):
                continue
            leaving.append(pod)
            if pods.phase_of(pod) == "Succeeded":
                if not job_rules.is_indexed(job) and uid_of(pod) not in good:
                    good.append(uid_of(pod))
            elif has_failed or (end is not None and not end.is_success):
                counts = self._has_place(job, pod) and job_rules.counts_as_failure(job, pod)
                if counts and uid_of(pod) not in bad:
                    bad.append(uid_of(pod))
        if job_rules.is_indexed(job):
            self._note_indexes(job, tally)
        if end is not None and job_rules.find(job, end.kind) is None:
            _put(status, job_rules.condition(end.kind, "True", end.reason, end.message, now))
        lists = {"succeeded": good, "failed": bad}
        status["uncountedTerminatedPods"] = {key: uids for key, uids in lists.items() if uids}
        self._describe(job)
        if good or bad:
            job = self._write(job)
        release(self._registry, leaving)
        self._close(job, end, now)

    def _note_indexes(self, job: Object, tally: _Tally) -> None:
        status = job["status"]
        status["succeeded"] = len(tally.done)
        for key, indexes in (("completedIndexes", tally.done), ("failedIndexes", tally.lost)):
            if indexes:
                status[key] = format_indexes(indexes)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status.setdefault("failedIndexes", "")

    def _describe(self, job: Object) -> None:
        """Write the counts of the pods that there are now into the status."""
        status, present = job["status"], self._owned.of(job)
        active = [pod for pod in present if pods.is_active(pod)]
        counts = {
            "active": len(active),
            "ready": sum(pods.is_ready(pod) for pod in active),
            "terminating": sum(pods.is_terminating(pod) for pod in present),
        }
        status.update(counts)
        for key in ("active", "succeeded", "failed"):
            if not status.get(key):
                status.pop(key, None)

    def _close(self, job: Object, end: End | None, now: float) -> None:
        job = deepcopy(job)
        status = job["status"]
        noted = status["uncountedTerminatedPods"]
        for key in ("succeeded", "failed"):
            status[key] = status.get(key, 0) + len(noted.get(key) or ())
        status["uncountedTerminatedPods"] = {}
        self._describe(job)
        has_ended = end is not None and status["terminating"] == 0
        if end is not None and has_ended:
            kind = job_rules.COMPLETE if end.is_success else job_rules.FAILED
            _put(status, job_rules.condition(kind, "True", end.reason, end.message, now))
            if end.is_success:
                status["completionTime"] = format_time(now)
        self._write(job)
        if end is not None and has_ended:
            self._tell_end(job, end)

    def _tell_end(self, job: Object, end: End) -> None:
        completions = job["spec"].get("completions")
        if not end.is_success:
            self._recorder.record(job, "Warning", end.reason, end.message)
            return
        if completions is not None and job["status"].get("succeeded", 0) > completions:
            text = "Too many succeeded pods running after completion count reached"
            self._recorder.record(job, "Warning", "TooManySucceededPods", text)
        self._recorder.record(job, "Normal", "Completed", "Job completed")

    def _write(self, job: Object) -> Object:
        current = self._jobs.get(name_of(job))
        if current is None:
            raise NotFound(JOBS, name_of(job)[1])
        if (current.get("status") or {}) == job["status"]:
            return current
        written: Object = self._registry.update(JOBS, *name_of(job), job, subresource="status")
        return written


def _put(status: Object, new: Object) -> bool:
    """Set a condition in `status`, in place; False if it says the same already, or if it denies what was never said."""
    conditions: Sequence[Object] = status.get("conditions") or []
    old = next((each for each in conditions if each["type"] == new["type"]), None)
    if old is None and new["status"] == "False":
        return False
    if old is not None and all(old.get(key) == new[key] for key in ("status", "reason", "message")):
        return False
    kept = [new if each is old else each for each in conditions]
    status["conditions"] = kept if old is not None else [*kept, new]
    return True
