"""The steps of a scenario: one dataclass a verb, and the reading of each from its YAML.

Rule: a verb is a word of Kubernetes or of the kitchen (`wait`), and has one meaning. A step that changes
the cluster opens a phase; a `wait` opens one only if it has a name. Adding a verb: a dataclass, a reader in
`_READERS`, and its function in `harness/steps.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.scenario import breaking
from harness.scenario.breaking import Break, Freeze, Undo
from harness.scenario.nodes import Mapping, Value

CONDITIONS = ("rollout", "settled")
SIGNALS = ("KILL", "TERM", "STOP", "CONT", "INT", "QUIT", "HUP")
DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass, or wait until `condition` holds for the deployment, at most `timeout_s`."""

    for_s: float | None
    condition: str | None
    deployment: str | None
    timeout_s: float

    def __str__(self) -> str:
        return f"wait {self.for_s:g} s" if self.for_s is not None else f"wait until {self.condition}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the number of replicas; returns when the API has taken it."""

    deployment: str | None
    replicas: int

    def __str__(self) -> str:
        return f"scale to {self.replicas}"


@dataclass(frozen=True, slots=True)
class Kill:
    """End `pods` ready pods, chosen by the scenario's seed.

    Without `signal`: delete them, with their own grace period or `grace_s`. With it: send the signal to the
    process whose number stands in `pid_file` inside the container; the pod stays, its container is started
    again.
    """

    deployment: str | None
    pods: int
    signal: str | None
    pid_file: str | None
    container: str | None
    grace_s: float | None
    timeout_s: float

    def __str__(self) -> str:
        return f"kill {self.pods}" + (f" with SIG{self.signal}" if self.signal is not None else "")


@dataclass(frozen=True, slots=True)
class Roll:
    """Restart every pod of the deployment as `kubectl rollout restart` does.

    And wait until that is complete, or, so that something else can happen meanwhile, until it has begun.
    """

    deployment: str | None
    timeout_s: float
    is_complete: bool = True

    def __str__(self) -> str:
        return "roll"


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object of the scenario's namespace; returns when the API has taken it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"delete {self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Apply:
    """Create the objects of a file, or merge it into those that exist.

    The path is relative to the scenario file.
    """

    file: str

    def __str__(self) -> str:
        return f"apply {self.file}"


Action = Wait | Scale | Kill | Roll | Delete | Apply | Freeze | Break | Undo


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered action. `phase` is the name of the phase it opens, None where it opens none."""

    line: int
    number: int
    verb: str
    action: Action
    phase: str | None


def read(value: Value, number: int) -> Step:
    """The step that a list entry describes; its phase may have to be made unique by the caller."""
    mapping = value.named(f"step {number}").mapping()
    verbs = [key for key in mapping.keys() if key != "name"]  # noqa: SIM118  # Mapping is not a dict
    mapping.only(_READERS, what="step", beside=["name"])
    if len(verbs) != 1:
        found = "no step" if not verbs else "more than one step: " + ", ".join(verbs)
        raise mapping.value.refuse(found, ["one entry is one step, and may have a name beside it"])
    verb = verbs[0]
    body = mapping.get(verb)
    if body is None:
        raise mapping.value.refuse(
            f'"{verb}" says nothing', [f"for example  {_EXAMPLES[verb]}"], line=mapping.line_of(verb)
        )
    name = mapping.get("name")
    default = None if verb == "wait" else verb
    return Step(
        line=mapping.line_of(verb),
        number=number,
        verb=verb,
        action=_READERS[verb](body),
        phase=default if name is None else name.text(),
    )


def _wait(body: Value) -> Wait:
    if not body.is_mapping:
        return Wait(body.duration_s(), None, None, DEFAULT_TIMEOUT_S)
    mapping = body.mapping().only(["for", "deployment", "timeout"], what="field")
    condition = mapping.need("for", "rollout").choice(CONDITIONS, what="condition")
    return Wait(None, condition, _deployment(mapping), _timeout(mapping))


def _scale(body: Value) -> Scale:
    if not body.is_mapping:
        return Scale(None, body.whole())
    mapping = body.mapping().only(["deployment", "replicas"], what="field")
    return Scale(_deployment(mapping), mapping.need("replicas", "5").whole())


def _kill(body: Value) -> Kill:
    mapping = body.mapping().only(
        ["deployment", "pods", "signal", "pid_file", "container", "grace", "timeout"], what="field"
    )
    signal, pid_file, grace = mapping.get("signal"), mapping.get("pid_file"), mapping.get("grace")
    container = mapping.get("container")
    if signal is not None and pid_file is None:
        raise body.refuse(
            '"signal" needs "pid_file"',
            ["the file, inside the container, that holds the number of its process"],
        )
    if signal is None and (pid_file is not None or container is not None):
        raise body.refuse(
            '"pid_file" and "container" go with "signal"', ["without a signal the pods are deleted"]
        )
    if signal is not None and grace is not None:
        raise body.refuse(
            '"grace" does not go with "signal"',
            ["a signal ends the process at once; without it the pod is deleted"],
        )
    return Kill(
        deployment=_deployment(mapping),
        pods=mapping.need("pods", "1").whole(minimum=1),
        signal=None if signal is None else signal.choice(SIGNALS, what="signal"),
        pid_file=None if pid_file is None else pid_file.text(),
        container=None if container is None else container.text(),
        grace_s=None if grace is None else grace.duration_s(),
        timeout_s=_timeout(mapping),
    )


def _roll(body: Value) -> Roll:
    if not body.is_mapping:
        return Roll(body.text(), DEFAULT_TIMEOUT_S)
    mapping = body.mapping().only(["deployment", "timeout", "until"], what="field")
    until = mapping.get("until")
    is_complete = until is None or until.choice(("begun", "complete"), what="word") == "complete"
    return Roll(_deployment(mapping), _timeout(mapping), is_complete)


def _delete(body: Value) -> Delete:
    mapping = body.mapping().only(["kind", "name"], what="field")
    return Delete(mapping.need("kind", "Service").text(), mapping.need("name", "greeter-headless").text())


def _apply(body: Value) -> Apply:
    return Apply(body.text())


def _deployment(mapping: Mapping) -> str | None:
    found = mapping.get("deployment")
    return None if found is None else found.text()


def _timeout(mapping: Mapping) -> float:
    found = mapping.get("timeout")
    return DEFAULT_TIMEOUT_S if found is None else found.duration_s()


_READERS: dict[str, Callable[[Value], Action]] = {
    **dict(breaking.readers()),
    "apply": _apply,
    "delete": _delete,
    "kill": _kill,
    "roll": _roll,
    "scale": _scale,
    "wait": _wait,
}
_EXAMPLES = breaking.EXAMPLES | {
    "apply": "apply: change.yaml",
    "delete": "delete: {kind: Service, name: greeter-headless}",
    "kill": "kill: {pods: 1}",
    "roll": "roll: greeter",
    "scale": "scale: 5",
    "wait": "wait: 3s",
}
