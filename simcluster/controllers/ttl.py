"""The TTL controller: deletes Jobs some time after they are over.

The rule it keeps: `ttlSecondsAfterFinished` counts from the condition that ended the Job; its pods go with it, and so
it is deleted in the foreground. Source: pkg/controller/ttlafterfinished.
"""

from __future__ import annotations

from simcluster.controllers import job_rules
from simcluster.controllers.job import JOBS
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of, uid_of
from simcluster.registry import parse_time
from simcluster.store import Object


class FinishedJobs:
    """Deletes each finished Job when its time is over."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = context.informers.of(JOBS)
        self.loop: ControlLoop[Name] = ControlLoop("ttl-after-finished", context, self.sync)
        self._jobs.handle(self._on_job)

    def sync(self, key: Name) -> None:
        """Delete one Job, or wait for its time."""
        job = self._jobs.get(key)
        left_s = None if job is None else expires_in(job, self._context.clock())
        if job is None or left_s is None or is_deleting(job):
            return
        if left_s > 0:
            self.loop.queue.add_after(key, left_s)
            return
        self._context.registry.delete(JOBS, *key, uid=uid_of(job), propagation="Foreground")

    def _on_job(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("ttlSecondsAfterFinished") is not None:
            self.loop.queue.add(name_of(new))


def expires_in(job: Object, now: float) -> float | None:
    """Seconds until a Job is to be deleted; None if it is not over or has no such time."""
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    end = job_rules.find(job, job_rules.COMPLETE) or job_rules.find(job, job_rules.FAILED)
    if ttl_s is None or end is None:
        return None
    return float(parse_time(end["lastTransitionTime"]) + ttl_s - now)
