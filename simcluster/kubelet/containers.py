"""What the kubelet knows of each container of a pod, and what follows from it: pure.

The rules it keeps: init containers run one after the other, each to its end (a sidecar: until it has
started); the others start when all of those are done; what ended starts again as the restart policy says, at
once the first time and then after a back-off that doubles (pkg/kubelet/kuberuntime). A pod that is ending
starts nothing.

It starts and stops nothing itself: see `worker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from simcluster.profile import Profile

Object = dict[str, Any]
Kind = Literal["init", "sidecar", "main", "ephemeral"]
Policy = Literal["Always", "OnFailure", "Never"]
CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"
PULL_FAILED, PULL_BACKOFF = "ErrImagePull", "ImagePullBackOff"
_NEEDED: tuple[Kind, ...] = ("init", "main")  # a pod is over when these are
_PULL_SHOWN_S = 1.0  # how long ErrImagePull is to be seen before the back-off is


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started; `until` is when to try again, None for at once or (if `is_blocked`) when what it lacks is
    there.
    """

    reason: str = CREATING
    message: str = ""
    since: float = 0.0
    until: float | None = None
    is_blocked: bool = False
    image: str = ""  # that can not be pulled


@dataclass(frozen=True, slots=True)
class Running:
    """A process, since then."""

    started_at: float


@dataclass(frozen=True, slots=True)
class Terminated:
    """An exit. `reason` is Completed, Error or StartError."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Starting:
    """Being started; what was `before` is what people see until it runs."""

    before: Waiting | Terminated


State = Waiting | Starting | Running | Terminated


@dataclass(frozen=True, slots=True)
class Container:
    """One container: who it is, how it is, how it was, and what its probes say."""

    name: str
    kind: Kind
    state: State = Waiting()
    last: Terminated | None = None
    starts: int = 0
    failures: int = 0  # exits since it last ran for long enough; sets the back-off
    is_started: bool = False
    is_ready: bool = False
    is_stopping: bool = False

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)

    @property
    def is_alive(self) -> bool:
        """Whether there is, or may be in a moment, a process."""
        return isinstance(self.state, (Starting, Running))


def specs_of(pod: Object) -> dict[str, Object]:
    """The specifications of a pod's containers, of all kinds, by name."""
    groups = (pod["spec"].get(key) or () for key in ("initContainers", "containers", "ephemeralContainers"))
    return {each["name"]: each for group in groups for each in group}


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision about a pod depends on. Init containers and sidecars come first, in their order, and
    ephemeral containers last.
    """

    containers: Sequence[Container]
    policy: Policy
    is_ending: bool
    now: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What to start and to stop, how containers that wait show it, and when to decide again at the latest."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    waiting: tuple[tuple[str, Waiting], ...] = ()
    wake_at: float | None = None
    is_over: bool = False  # nothing lives and nothing will start


def decide(situation: Situation, profile: Profile, whose: str) -> Decision:
    """What to do now. `whose` names the pod in texts: `greeter-x_default(uid)`."""
    containers, now = situation.containers, situation.now
    if situation.is_ending:
        return _wind_up(containers)
    candidates = _find_candidates(situation)
    if _is_finished(situation, candidates):
        return _wind_up(containers)
    start, waiting, wakes = [], [], []
    for each in candidates:
        step = _step(each, profile, now, whose)
        if step is None:
            start.append(each.name)
            continue
        if step != each.state:
            waiting.append((each.name, step))
        if not step.is_blocked:
            wakes.append(_next_look(step, now))
    return Decision(tuple(start), (), tuple(waiting), min(wakes, default=None))


def _wind_up(containers: Sequence[Container]) -> Decision:
    """Stop all that runs."""
    stop = tuple(each.name for each in containers if isinstance(each.state, Running) and not each.is_stopping)
    return Decision(stop=stop, is_over=not any(each.is_alive for each in containers))


def _is_finished(situation: Situation, candidates: Sequence[Container]) -> bool:
    """Whether all that the pod is for has ended for good; sidecars and ephemeral containers do not count."""
    if any(each.kind in _NEEDED for each in candidates):
        return False
    if any(each.is_alive for each in situation.containers if each.kind in _NEEDED):
        return False
    have_ended = all(
        isinstance(each.state, Terminated) for each in situation.containers if each.kind == "main"
    )
    return have_ended or _has_failed_init(situation)


def _find_candidates(situation: Situation) -> list[Container]:
    """The containers whose turn it is to start, now or after a wait."""
    # An ephemeral container waits for no other, and is started once.
    found = [
        each for each in situation.containers if each.kind == "ephemeral" and isinstance(each.state, Waiting)
    ]
    for each in situation.containers:
        if each.kind in ("main", "ephemeral"):
            break
        if _may_start(each, situation.policy):
            found.append(each)
        if not _is_passed(each):
            return found
    return found + [
        each for each in situation.containers if each.kind == "main" and _may_start(each, situation.policy)
    ]


def _is_passed(each: Container) -> bool:
    """Whether what comes after an init container or sidecar may start; nothing waits for a sidecar's
    restart.
    """
    if each.kind == "init":
        return isinstance(each.state, Terminated) and each.state.exit_code == 0
    return each.is_started or each.last is not None or isinstance(each.state, Terminated)


def _may_start(each: Container, policy: Policy) -> bool:
    match each.state:
        case Waiting():
            return True
        case Terminated(exit_code=code):
            if each.kind == "sidecar":
                return True
            if each.kind == "init":
                return code != 0 and policy != "Never"
            return policy == "Always" or (policy == "OnFailure" and code != 0)
    return False


def _has_failed_init(situation: Situation) -> bool:
    return situation.policy == "Never" and any(
        each.kind == "init" and isinstance(each.state, Terminated) and each.state.exit_code != 0
        for each in situation.containers
    )


def _step(each: Container, profile: Profile, now: float, whose: str) -> Waiting | None:
    """How a candidate waits; None if it is to start now."""
    match each.state:
        case Terminated(finished_at=finished_at):
            wait_s = backoff_s(each.failures, profile)
            if finished_at + wait_s <= now:
                return None
            text = f"back-off {show_duration(wait_s)} restarting failed container={each.name} pod={whose}"
            return Waiting("CrashLoopBackOff", text, now, finished_at + wait_s)
        case Waiting(is_blocked=True):
            return each.state
        case Waiting(reason=reason, since=since, until=until) if until is not None and now < until:
            if reason == PULL_FAILED and since + _PULL_SHOWN_S <= now:
                text = f'Back-off pulling image "{each.state.image}": {PULL_FAILED}: {each.state.message}'
                return replace(each.state, reason=PULL_BACKOFF, message=text)
            return each.state
    return None


def _next_look(waiting: Waiting, now: float) -> float:
    until = now if waiting.until is None else waiting.until
    if waiting.reason == PULL_FAILED:
        return min(until, waiting.since + _PULL_SHOWN_S)
    return until


def backoff_s(failures: int, profile: Profile) -> float:
    """The wait before the restart after so many failures in a row: none, then the base, doubled up to the
    most.
    """
    if failures <= 1:
        return 0.0
    return min(profile.crash_backoff_max_s, profile.crash_backoff_s * 2.0 ** min(failures - 2, 60))


def show_duration(seconds: float) -> str:
    """As Go prints it: `10s`, `2m40s`, `5m0s`."""
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{rest:g}s" if hours else f"{minutes}m{rest:g}s"


def wait(each: Container, waiting: Waiting) -> Container:
    """The container while it waits; an exit before that is its last state."""
    return replace(each, state=waiting, last=_last_of(each))


def prepare(each: Container) -> Container:
    """The container while it is being started."""
    if isinstance(each.state, (Waiting, Terminated)):
        return replace(each, state=Starting(each.state))
    raise ValueError(f"container {each.name} is {each.state} and can not be started")


def begin(each: Container, started_at: float, *, has_startup: bool, has_readiness: bool) -> Container:
    """The container after its process has started, before any probe."""
    return replace(
        each,
        state=Running(started_at),
        last=_last_of(each),
        starts=each.starts + 1,
        is_started=not has_startup,
        is_ready=not has_startup and not has_readiness,
        is_stopping=False,
    )


def end(each: Container, terminated: Terminated, profile: Profile) -> Container:
    """The container after an exit; one that ran for long enough starts its back-off anew."""
    ran_s = terminated.finished_at - terminated.started_at
    return replace(
        each,
        state=terminated,
        failures=1 if ran_s >= profile.crash_backoff_reset_s else each.failures + 1,
        is_started=False,
        is_ready=False,
        is_stopping=False,
    )


def fail(each: Container, terminated: Terminated) -> Container:
    """The container after a start that failed: an instance that never ran."""
    return replace(
        each, state=terminated, last=_last_of(each), starts=each.starts + 1, failures=each.failures + 1
    )


def _last_of(each: Container) -> Terminated | None:
    state = each.state.before if isinstance(each.state, Starting) else each.state
    return state if isinstance(state, Terminated) else each.last
