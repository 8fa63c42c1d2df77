"""The steps that break something on purpose, and the one that undoes them: dataclasses, and the reading of each.

Rule: a fault holds from its step on, for `for` or until `undo` or the end of the scenario, whichever comes first; a
step does not wait for it to be over. What each field means is docs/scenarios.md's business and docs/faults.md's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.scenario.nodes import Mapping, Value

Field = str | int | float | bool | tuple[str, ...]
_SCOPE = ("verbs", "resources", "users")


@dataclass(frozen=True, slots=True)
class Freeze:
    """Have `pods` ready pods, chosen by the scenario's seed, stand still; or a whole node.

    By name (`node`), or the one where most pods of a deployment are (`node_of`).
    """

    deployment: str | None
    pods: int
    node: str | None
    for_s: float | None
    node_of: str | None = None

    @property
    def is_of_node(self) -> bool:
        """Whether a whole node is frozen."""
        return self.node is not None or self.node_of is not None

    def __str__(self) -> str:
        what = f"{self.pods} pod{'s' if self.pods > 1 else ''}"
        if self.is_of_node:
            what = f"node {self.node}" if self.node is not None else f"the node of most {self.node_of} pods"
        return f"freeze {what}{_lasting(self.for_s)}"


@dataclass(frozen=True, slots=True)
class Break:
    """Begin a fault of a `kind` that the cluster knows, with its fields. `service` is one that it is about."""

    kind: str
    fields: tuple[tuple[str, Field], ...]
    for_s: float | None
    service: str | None = None

    def __str__(self) -> str:
        shown = [f"{name} {_show(value)}" for name, value in self.fields]
        told = f" ({', '.join(shown)})" if shown else ""
        return f"{self.kind.replace('_', ' ')}{told}{_lasting(self.for_s)}"


@dataclass(frozen=True, slots=True)
class Undo:
    """End the faults of a verb, or all."""

    verb: str

    def __str__(self) -> str:
        return f"undo {self.verb}"


Fault = Freeze | Break


def _lasting(for_s: float | None) -> str:
    return "" if for_s is None else f" for {for_s:g} s"


def _show(value: Field) -> str:
    return (
        ", ".join(value)
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def read_freeze(body: Value) -> Freeze:
    """`freeze: {pods: 1, for: 5s}`, or a node, by its name or by whose pods are there."""
    mapping = body.mapping().only(["deployment", "pods", "node", "node_of", "for"], what="field")
    pods, node, deployment = mapping.get("pods"), mapping.get("node"), mapping.get("deployment")
    node_of = mapping.get("node_of")
    if [pods, node, node_of].count(None) != 2:
        raise body.refuse(
            'one of "pods", "node" and "node_of" is needed', ["for example  freeze: {pods: 1, for: 5s}"]
        )
    if pods is None and deployment is not None:
        raise body.refuse('"deployment" goes with "pods"', ["a node is frozen with all that runs there"])
    return Freeze(
        deployment=None if deployment is None else deployment.text(),
        pods=0 if pods is None else pods.whole(minimum=1),
        node=None if node is None else node.text(),
        for_s=_for(mapping),
        node_of=None if node_of is None else node_of.text(),
    )


def _for(mapping: Mapping) -> float | None:
    found = mapping.get("for")
    return None if found is None else found.duration_s()


@dataclass(frozen=True, slots=True)
class _Form:
    """What a verb may say: the field that a plain value stands for, and the reading of each field."""

    short: str
    fields: dict[str, Callable[[Value], Field]]
    is_scoped: bool = False
    is_instant: bool = False
    has_service: bool = False


def _word(*known: str) -> Callable[[Value], Field]:
    return lambda value: value.choice(known, what="word")


def _duration(value: Value) -> Field:
    return value.duration_s()


def _flag(value: Value) -> Field:
    found = value.plain()
    if not isinstance(found, bool):
        raise value.refuse(f"true or false was expected, not {found!r}")
    return found


def _code(value: Value) -> Field:
    found = value.whole()
    if found not in (429, 500, 503):
        raise value.refuse(f"{found} is not known", ["known codes: 429, 500, 503"])
    return found


def _seconds(value: Value) -> Field:
    return max(1, round(value.duration_s()))


def _count(value: Value) -> Field:
    return value.whole(minimum=1)


_FORMS = {
    "api_away": _Form("for", {"how": _word("refuse", "cut")}),
    "api_latency": _Form("delay", {"delay": _duration, "jitter": _duration}, is_scoped=True),
    "api_refuse": _Form(
        "for", {"code": _code, "retry_after": _seconds, "share": lambda value: value.share()}, is_scoped=True
    ),
    "compact": _Form("how", {"how": _word("history")}, is_instant=True),
    "dns": _Form(
        "how", {"how": _word("stale", "servfail", "nxdomain", "timeout")}, has_service=True
    ),
    "events_late": _Form("delay", {"delay": _duration}, is_scoped=True),
    "events_repeat": _Form("times", {"times": _count}, is_scoped=True),
    "reshuffle_slices": _Form("size", {"size": _count}, is_instant=True, has_service=True),
    "termination_order": _Form("first", {"first": _word("endpoint", "sigterm"), "by": _duration}),
    "watch_cut": _Form("how", {"how": _word("end", "reset", "expire")}, is_scoped=True, is_instant=True),
    "watch_stall": _Form("for", {"new": _flag}, is_scoped=True),
}  # fmt: skip
# Names of fields that the cluster knows by their unit.
_UNITS = {"delay": "delay_s", "jitter": "jitter_s", "retry_after": "retry_after_s", "by": "by_s"}
VERBS = ("freeze", *_FORMS)


def read_undo(body: Value) -> Undo:
    """`undo: freeze`, or `undo: all`."""
    return Undo(body.choice((*VERBS, "all"), what="fault"))


def reader(kind: str) -> Callable[[Value], Break]:
    """Return what reads the body of a verb."""
    form = _FORMS[kind]

    def read(body: Value) -> Break:
        if not body.is_mapping:
            return _build(kind, form, {form.short: body})
        known = _known(form)
        return _build(kind, form, dict(body.mapping().only(known, what="field").entries()))

    return read


def _known(form: _Form) -> list[str]:
    lasting = [] if form.is_instant else ["for"]
    return [
        *form.fields,
        *lasting,
        *(_SCOPE if form.is_scoped else ()),
        *(("service",) if form.has_service else ()),
    ]


def _build(kind: str, form: _Form, given: dict[str, Value]) -> Break:
    fields: list[tuple[str, Field]] = []
    for_s, service = None, None
    for name, value in given.items():
        if name == "for":
            for_s = value.duration_s()
        elif name == "service":
            service = value.text()
        elif name in _SCOPE:
            fields.append((name, tuple(value.texts())))
        elif kind != "compact":
            fields.append((_UNITS.get(name, name), form.fields[name](value)))
        else:
            form.fields[name](value)
    return Break(kind, tuple(fields), for_s, service)


def readers() -> Iterable[tuple[str, Callable[[Value], Fault | Undo]]]:
    """Every verb of this module with its reader."""
    yield "freeze", read_freeze
    yield "undo", read_undo
    for kind in _FORMS:
        yield kind, reader(kind)


EXAMPLES = {
    "api_away": "api_away: 5s",
    "api_latency": "api_latency: {delay: 300ms, for: 5s}",
    "api_refuse": "api_refuse: {code: 429, for: 5s}",
    "compact": "compact: history",
    "dns": "dns: {how: stale, for: 5s}",
    "events_late": "events_late: {delay: 500ms, for: 5s}",
    "events_repeat": "events_repeat: {times: 2, for: 5s}",
    "freeze": "freeze: {pods: 1, for: 5s}",
    "reshuffle_slices": "reshuffle_slices: {service: greeter-headless, size: 1}",
    "termination_order": "termination_order: {first: sigterm, by: 500ms}",
    "undo": "undo: freeze",
    "watch_cut": "watch_cut: expire",
    "watch_stall": "watch_stall: 5s",
}
