"""The kinds of faults, and how they are read from the JSON in which their owner asks for them. Pure.

The rule it keeps: what is read can be begun as it stands, as far as that can be told without looking at the cluster;
what is wrong is said with the field, its value and what is allowed. A kind is its dataclass: name, fields and defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simcluster.faults.requests import ApiLatency, ApiRefuse, EventsLate, EventsRepeat, Scoped, WatchStall


class FaultError(Exception):
    """A fault that can not be: the text says why, and what could be."""


def _choice(default: str, *others: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAway:
    """Nobody but the owner reaches the API: connections are refused, or cut as soon as they are made."""

    how: str = _choice("refuse", "cut")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCut(Scoped):
    """Open watches end: as a server ends them, by a broken connection, or with an ERROR event of 410."""

    how: str = _choice("end", "reset", "expire")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compact:
    """The history up to now is forgotten: watches and pages from before are Expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshuffleSlices:
    """A Service's EndpointSlices are packed anew, under other names, `size` endpoints each; no endpoint changes."""

    namespace: str
    service: str
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeNode:
    """A node stands still: its pods, its probes, its lease. Its addresses are silent."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezePod:
    """The processes of a pod stand still; the kubelet goes on."""

    namespace: str
    pod: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Names of the cluster are answered as they were when this began, with a failure, or not at all.

    `services` are those that are hit, as `name.namespace`; none means all names.
    """

    how: str = _choice("stale", "servfail", "nxdomain", "timeout")
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminationOrder:
    """Of the two sides of a pod's termination, one comes first, at least `by_s` before the other."""

    first: str = _choice("endpoint", "sigterm")
    by_s: float = 0.1


Fault = (
    ApiAway | ApiLatency | ApiRefuse | Compact | Dns | EventsLate | EventsRepeat | FreezeNode | FreezePod
    | ReshuffleSlices | TerminationOrder | WatchCut | WatchStall
)  # fmt: skip
KINDS: dict[str, type[Any]] = {
    "api_away": ApiAway,
    "api_latency": ApiLatency,
    "api_refuse": ApiRefuse,
    "compact": Compact,
    "dns": Dns,
    "events_late": EventsLate,
    "events_repeat": EventsRepeat,
    "freeze_node": FreezeNode,
    "freeze_pod": FreezePod,
    "reshuffle_slices": ReshuffleSlices,
    "termination_order": TerminationOrder,
    "watch_cut": WatchCut,
    "watch_stall": WatchStall,
}
# Done in a moment, with nothing to undo.
INSTANT = ("compact", "reshuffle_slices", "watch_cut")
_NAMES = {kind: name for name, kind in KINDS.items()}


def name_of(fault: Fault) -> str:
    """Return the name of a fault's kind."""
    return _NAMES[type(fault)]


def show(fault: Fault) -> dict[str, Any]:
    """Return a fault as it would be asked for, with every field."""
    return {"kind": name_of(fault), **dataclasses.asdict(fault)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A fault that somebody wants. `for_s` None: until it is undone. `held`: undone when who asked goes away."""

    fault: Fault
    for_s: float | None = None
    held: bool = True


def read(document: Any) -> Asked:
    """Read what is asked for; FaultError says what is wrong with it."""
    if not isinstance(document, Mapping):
        raise FaultError(f'a fault is an object with a "kind"\n  known kinds: {", ".join(KINDS)}')
    given = dict(document)
    name = given.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FaultError(f'unknown kind of fault "{name}"\n  known kinds: {", ".join(KINDS)}')
    for_s, held = given.pop("for_s", None), given.pop("held", True)
    if for_s is not None:
        for_s = _number(f"{name}: for_s", for_s)
        if name in INSTANT:
            raise FaultError(f"{name}: for_s: it is done in a moment and does not last\n  leave it out")
    if not isinstance(held, bool):
        raise FaultError(f"{name}: held: {held!r} is neither true nor false")
    return Asked(_build(str(name), kind, given), for_s, held)


def _build(name: str, kind: type[Any], given: dict[str, Any]) -> Fault:
    known = {each.name: each for each in dataclasses.fields(kind)}
    for key in given:
        if key not in known:
            raise FaultError(f"{name}: unknown field {key!r}\n  known fields: {', '.join(known) or 'none'}")
    values = {}
    for key, each in known.items():
        if key in given:
            where = f"{name}: {key}"
            values[key] = _READERS[str(each.type)](where, given[key])
            choices = each.metadata.get("choices", ())
            if choices and values[key] not in choices:
                allowed = ", ".join(str(choice) for choice in choices)
                raise FaultError(f"{where}: {given[key]!r} is not known\n  allowed: {allowed}")
        elif each.default is dataclasses.MISSING:
            raise FaultError(f"{name}: {key} is missing")
    fault: Fault = kind(**values)
    return fault


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise FaultError(f"{where}: {value!r} is not allowed\n  allowed: a number from 0 up")
    return float(value)


def _whole(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FaultError(f"{where}: {value!r} is not allowed\n  allowed: a whole number from 1 up")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise FaultError(f"{where}: {value!r} is not allowed\n  allowed: a text")
    return value


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FaultError(f"{where}: {value!r} is not allowed\n  allowed: true, false")
    return value


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise FaultError(f"{where}: {value!r} is not allowed\n  allowed: a list of texts")
    return tuple(_text(where, each) for each in value)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "bool": _flag,
    "float": _number,
    "int": _whole,
    "str": _text,
    "tuple[str, ...]": _texts,
}
