"""Pods that are status only: they become Running and Ready, and no process runs for them.

The rules it keeps: one write makes such a pod Running and Ready, with an address; init containers count as done and
probes as passed; a deleted pod is removed as one whose processes end at once. There is no task per pod and no timer
per pod, but for those that the profile or an annotation has wait.

Annotations of a pod: `simcluster/completes-after-s` has it succeed that many seconds after its start (for Jobs),
`simcluster/stops-after-s` has its end take so long, within its grace.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simcluster.controllers.metadata import annotations_of, is_deleting, name_of, uid_of, with_status
from simcluster.errors import NotFound, StatusError
from simcluster.kubelet import launch
from simcluster.kubelet.containers import Container, Running, Terminated
from simcluster.kubelet.host import Host
from simcluster.kubelet.status import Facts, make_status

_log = logging.getLogger(__name__)
Object = dict[str, Any]
COMPLETES, STOPS = "simcluster/completes-after-s", "simcluster/stops-after-s"
# So many pods are written before everybody else has a turn.
_AT_ONCE = 16


@dataclass(slots=True)
class _Pod:
    address: str
    started_at: float
    is_ending: bool = False
    has_completed: bool = False


class StatusOnlyPods:
    """Those of one node."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._pods: dict[str, _Pod] = {}
        # What is to be done, in its order: the work, and the pod's name and uid.
        self._due: deque[tuple[Callable[[Object], None], tuple[str, str], str]] = deque()
        self._is_draining = False

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def take_on(self, pod: Object) -> None:
        """A pod was bound to this node."""
        address = self._host.place.pod_addresses.allocate(None)
        self._pods[uid_of(pod)] = _Pod(address, self._host.clock())
        self._later(self._host.profile.pod_start_s, self._start, pod)
        self.notice(pod)

    def notice(self, pod: Object) -> None:
        """The object of one of them has changed."""
        known = self._pods[uid_of(pod)]
        if is_deleting(pod) and not known.is_ending:
            known.is_ending = True
            profile = self._host.profile
            delay_s = profile.sigterm_s + self._host.rng.uniform(0, profile.sigterm_jitter_s)
            grace_s = pod["metadata"].get("deletionGracePeriodSeconds", 0)
            delay_s += (
                min(_read_seconds(pod, STOPS) or 0.0, grace_s) + profile.exit_seen_s + profile.pod_removed_s
            )
            self._later(delay_s, self._end, pod)
        elif pod["spec"].get("readinessGates") and not known.is_ending:
            self._later(0.0, self._write, pod)

    def forget(self, pod: Object) -> None:
        """The object of one of them is gone."""
        known = self._pods.pop(uid_of(pod))
        self._host.place.pod_addresses.release(known.address)

    def resume(self) -> None:
        """The node goes on."""
        self._drain_soon()

    def close(self) -> None:
        """Write nothing any more."""
        self._pods.clear()
        self._due.clear()

    # --- Their life

    def _start(self, pod: Object) -> None:
        self._write(pod)
        seconds = _read_seconds(pod, COMPLETES)
        if seconds is not None:
            self._later(seconds, self._complete, pod)

    def _complete(self, pod: Object) -> None:
        self._pods[uid_of(pod)].has_completed = True
        self._write(pod)

    def _end(self, pod: Object) -> None:
        self._pods[uid_of(pod)].has_completed = True
        self._write(pod)
        self._host.registry.delete("pods", *name_of(pod), grace_s=0, uid=uid_of(pod))

    def _write(self, pod: Object) -> None:
        host, known = self._host, self._pods[uid_of(pod)]
        now = host.clock()
        containers = [_imagine(each, known, now) for each in launch.list_containers(pod)]
        facts = Facts(
            known.started_at,
            host.place.address,
            known.address,
            is_over=known.has_completed,
            is_ending=known.is_ending,
        )
        status = make_status(pod, containers, facts, now)
        if status != pod.get("status"):
            host.registry.update("pods", *name_of(pod), with_status(pod, status), subresource="status")

    # --- When

    def _later(self, delay_s: float, work: Callable[[Object], None], pod: Object) -> None:
        name, uid = name_of(pod), uid_of(pod)
        if delay_s > 0:
            self._host.call_later(delay_s, lambda: self._put(work, name, uid))
        else:
            self._put(work, name, uid)

    def _put(self, work: Callable[[Object], None], name: tuple[str, str], uid: str) -> None:
        self._due.append((work, name, uid))
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self._due and not self._is_draining and not self._host.frost.is_frozen:
            self._is_draining = True
            self._host.call_later(0, self._drain)

    def _drain(self) -> None:
        self._is_draining = False
        for _ in range(min(_AT_ONCE, len(self._due))):
            if self._host.frost.is_frozen:
                return
            work, name, uid = self._due.popleft()
            if uid not in self._pods:
                continue
            try:
                pod = self._host.registry.get("pods", *name)
                if uid_of(pod) == uid:
                    work(pod)
            except NotFound:
                continue
            except StatusError as error:
                _log.warning("status of pod %s/%s: %s", *name, error.message)
        self._drain_soon()


def _imagine(each: Container, known: _Pod, now: float) -> Container:
    """The container as it would be if it ran."""
    if known.has_completed or each.kind == "init":
        state: Running | Terminated = Terminated(0, "Completed", known.started_at, now)
    else:
        state = Running(known.started_at)
    is_up = isinstance(state, Running)
    return Container(each.name, each.kind, state, starts=1, is_started=is_up, is_ready=is_up)


def _read_seconds(pod: Object, annotation: str) -> float | None:
    """The seconds that an annotation says; None if it says none that can be read."""
    text = annotations_of(pod).get(annotation)
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None
