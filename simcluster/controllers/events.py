"""The recorder of v1 Events, with which controllers tell people what they did.

The rule it keeps, as client-go's tools/record has it: the same event again raises `count` of the one object
that there is; more than ten alike within ten minutes become "(combined from similar events)"; a source that
tells too much about one object is cut short. An event that cannot be written is lost, never an error: nothing
may depend on one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from simcluster.errors import AlreadyExists, NotFound, StatusError
from simcluster.registry import Registry, format_time
from simcluster.store import Object

_log = logging.getLogger(__name__)

_SIMILAR_MOST = 10
_SIMILAR_WITHIN_S = 600.0
_BURST = 25.0
_REFILL_PER_S = 1 / 300

_REMEMBERED = 4096
_NAMES = 8

EventKind: TypeAlias = Literal["Normal", "Warning"]
_Key = tuple[str, ...]
V = TypeVar("V")


@dataclass(slots=True)
class _Similar:
    seen_at: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Allowance:
    left: float
    filled_at: float


class Recorder:
    """Writes the events of one component; `host` is the node's name for a kubelet."""

    def __init__(
        self, registry: Registry, component: str, *, clock: Callable[[], float], host: str | None = None
    ) -> None:
        self._registry = registry
        self._source = {"component": component} | ({} if host is None else {"host": host})
        self._clock = clock
        self._stamp = 0
        self._written: dict[_Key, tuple[str, str]] = {}
        self._similar: dict[_Key, _Similar] = {}
        self._allowances: dict[_Key, _Allowance] = {}

    def record(
        self, about: Object, kind: EventKind, reason: str, message: str, *, field_path: str | None = None
    ) -> None:
        """Tell of `about`, which must carry its apiVersion and kind; `field_path` names a part of it."""
        now = self._clock()
        involved = _reference(about, field_path)
        group = (involved.get("uid", ""), involved.get("fieldPath", ""), kind, reason)
        key, message = self._combine(group, message, now)
        if not self._may_tell(group[:1], now):
            return
        try:
            if not self._repeat(key, message, now):
                self._create(key, involved, {"type": kind, "reason": reason, "message": message}, now)
        except StatusError as error:
            _log.debug("event %s of %s lost: %s", reason, involved["name"], error.message)

    def _combine(self, group: _Key, message: str, now: float) -> tuple[_Key, str]:
        similar = self._similar.get(group)
        if similar is None or now - similar.seen_at > _SIMILAR_WITHIN_S:
            similar = _Similar(now)
            _remember(self._similar, group, similar)
        similar.seen_at = now
        similar.messages.add(message)
        if len(similar.messages) < _SIMILAR_MOST:
            return (*group, message), message
        similar.messages.pop()
        return group, f"(combined from similar events): {message}"

    def _may_tell(self, about: _Key, now: float) -> bool:
        allowance = self._allowances.get(about)
        if allowance is None:
            allowance = _Allowance(_BURST, now)
            _remember(self._allowances, about, allowance)
        allowance.left = min(_BURST, allowance.left + (now - allowance.filled_at) * _REFILL_PER_S)
        allowance.filled_at = now
        if allowance.left < 1:
            return False
        allowance.left -= 1
        return True

    def _repeat(self, key: _Key, message: str, now: float) -> bool:
        """Raise the count of the event that is there; False if there is none."""
        written = self._written.get(key)
        if written is None:
            return False
        try:
            event = deepcopy(self._registry.get("events", *written))
        except NotFound:
            del self._written[key]
            return False
        event |= {"count": event["count"] + 1, "message": message, "lastTimestamp": format_time(now)}
        self._registry.update("events", *written, event)
        return True

    def _create(self, key: _Key, involved: dict[str, Any], said: dict[str, str], now: float) -> None:
        # Objects without a namespace are told of in "default".
        namespace = involved.get("namespace", "default")
        # The name is an instant in nanoseconds: two events of one clock reading need two.
        self._stamp = max(self._stamp + 1, round(now * 1e9))
        event = said | {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{involved['name']}.{self._stamp:x}", "namespace": namespace},
            "involvedObject": involved,
            "source": self._source,
            "count": 1,
            "firstTimestamp": format_time(now),
            "lastTimestamp": format_time(now),
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        created = self._put(namespace, event)
        _remember(self._written, key, (namespace, created["metadata"]["name"]))

    def _put(self, namespace: str, event: dict[str, Any]) -> Object:
        """Create an event under a name that no other recorder has taken in this instant."""
        for _ in range(_NAMES):
            try:
                return self._registry.create("events", namespace, event)
            except AlreadyExists:
                self._stamp += 1
                name = f"{event['involvedObject']['name']}.{self._stamp:x}"
                event["metadata"] = {"name": name, "namespace": namespace}
        return self._registry.create("events", namespace, event)


def _reference(about: Object, field_path: str | None) -> dict[str, Any]:
    metadata = about["metadata"]
    kept = {
        key: metadata[key] for key in ("name", "namespace", "resourceVersion", "uid") if metadata.get(key)
    }
    reference = {"apiVersion": about["apiVersion"], "kind": about["kind"]} | kept
    return reference if field_path is None else reference | {"fieldPath": field_path}


def _remember(memory: dict[_Key, V], key: _Key, value: V) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
