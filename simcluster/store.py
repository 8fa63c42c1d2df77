"""Objects and the log of all that happened to them: one revision counter over every kind, as in etcd.

The rule it keeps: each write takes the next revision and is one event; a write that changes nothing takes
none. What was handed out is never changed afterwards: objects are shared between all readers, who must not
mutate them. The cost of a write does not depend on how many objects there are.

It knows no kinds, defaults, time or chance, and checks nothing but revisions: that is the registry's part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import orjson

from simcluster.errors import Expired

Object = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

# Events kept for watchers. A real API server keeps 100 to 102 400 per kind, as many as it sees in 75 s.
WINDOW = 20_000
# The newest states whose JSON is kept even if they have been replaced: those that watchers are being told of.
_ENCODED = 1_000


class Key(NamedTuple):
    """Where an object lives; `namespace` is empty for cluster-scoped kinds, `resource` is
    `plural[.group]`.
    """

    resource: str
    namespace: str
    name: str


class Record:
    """One state of one object: `object` carries `revision` as its `metadata.resourceVersion`."""

    __slots__ = ("_encoded", "key", "object", "revision")

    def __init__(self, key: Key, obj: Object, revision: int) -> None:
        self.key = key
        self.object = obj
        self.revision = revision
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The object as JSON; encoded once however many readers there are."""
        if self._encoded is None:
            # A copy: orjson hands out the buffer that it wrote to, which is up to twice as large.
            self._encoded = bytes(memoryview(orjson.dumps(self.object)))
        return self._encoded

    def forget_encoding(self) -> None:
        """Keep the object alone; who asks for the JSON again waits for it again."""
        self._encoded = None


class Event:
    """What one write did: the state after it (for a deletion: the last one) and the state before."""

    __slots__ = ("previous", "record", "type")

    def __init__(self, event_type: EventType, record: Record, previous: Record | None = None) -> None:
        self.type: EventType = event_type
        self.record = record
        self.previous = previous

    @property
    def object(self) -> Object:
        """The state after the write; shared, never mutate it."""
        return self.record.object

    @property
    def revision(self) -> int:
        """The revision that the write took."""
        return self.record.revision

    def __repr__(self) -> str:
        return f"Event({self.type}, {self.record.key}, revision={self.revision})"


# Named here because the class below has a method `list`.
Records = list[Record]
Events = list[Event]


class _Bucket:
    """All objects of one resource, by namespace and name; the order by name is made when it is asked for."""

    __slots__ = ("_order", "namespaces")

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Record]] = {}
        self._order: dict[str, list[str]] = {}

    def put(self, record: Record) -> None:
        names = self.namespaces.setdefault(record.key.namespace, {})
        if record.key.name not in names:
            self._order.pop(record.key.namespace, None)
        names[record.key.name] = record

    def pop(self, key: Key) -> None:
        names = self.namespaces[key.namespace]
        del names[key.name]
        self._order.pop(key.namespace, None)
        if not names:
            del self.namespaces[key.namespace]

    def ordered(self, namespace: str | None) -> Iterator[Record]:
        for each in sorted(self.namespaces, key=_path) if namespace is None else (namespace,):
            names = self.namespaces.get(each)
            if names is None:
                continue
            order = self._order.get(each)
            if order is None:
                order = self._order[each] = sorted(names)
            for name in order:
                yield names[name]


Listener = Callable[[Event], None]


class Store:
    """The revision log and the newest state of each object."""

    def __init__(self, *, window: int = WINDOW, revision: int = 0) -> None:
        self.revision = revision
        self.compacted = revision
        self._window = window
        self._log: deque[Event] = deque()
        self._recent: deque[Record] = deque()
        self._buckets: dict[str, _Bucket] = {}
        self._listeners: dict[str | None, list[Listener]] = {None: []}

    def get(self, key: Key) -> Record | None:
        """Return the newest state of one object."""
        bucket = self._buckets.get(key.resource)
        names = None if bucket is None else bucket.namespaces.get(key.namespace)
        return None if names is None else names.get(key.name)

    def put(self, key: Key, obj: Object) -> Record:
        """Store `obj` as the newest state and return it; the store owns `obj` from now on.

        Sets `metadata.resourceVersion`. If nothing but that differs from the stored state, the stored record
        is returned and neither revision nor event is made.
        """
        previous = self.get(key)
        if previous is not None:
            obj["metadata"]["resourceVersion"] = previous.object["metadata"]["resourceVersion"]
            if obj == previous.object:
                return previous
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        record = Record(key, obj, self.revision)
        self._bucket(key.resource).put(record)
        self._append(Event("ADDED" if previous is None else "MODIFIED", record, previous))
        return record

    def remove(self, key: Key, last: Object | None = None) -> Record:
        """Remove an object and return its last state, which carries the revision of the removal.

        `last` is that state where it differs from the stored one; KeyError if there is no such object.
        """
        previous = self.get(key)
        if previous is None:
            raise KeyError(key)
        self.revision += 1
        state = dict(previous.object if last is None else last)
        state["metadata"] = {**state["metadata"], "resourceVersion": str(self.revision)}
        record = Record(key, state, self.revision)
        self._buckets[key.resource].pop(key)
        self._append(Event("DELETED", record, previous))
        return record

    def list(self, resource: str, namespace: str | None = None) -> Records:
        """Return the newest state of all objects of a resource, in the order of their keys in etcd."""
        bucket = self._buckets.get(resource)
        return [] if bucket is None else list(bucket.ordered(namespace))

    def list_at(self, resource: str, namespace: str | None, revision: int) -> Records:
        """Return the states as they were at `revision`; Expired if that has been compacted.

        The cost grows with the number of writes since then.
        """
        self._require(revision)
        states = {record.key: record for record in self.list(resource, namespace)}
        for event in reversed(self._log):
            if event.revision <= revision:
                break
            if not _concerns(event, resource, namespace):
                continue
            if event.previous is None:
                del states[event.record.key]
            else:
                states[event.record.key] = event.previous
        return [states[key] for key in sorted(states, key=lambda key: (_path(key.namespace), key.name))]

    def events_after(self, revision: int, resource: str, namespace: str | None = None) -> Events:
        """Return what happened to a resource after `revision`, oldest first; Expired if compacted."""
        self._require(revision)
        found = []
        for event in reversed(self._log):
            if event.revision <= revision:
                break
            if _concerns(event, resource, namespace):
                found.append(event)
        found.reverse()
        return found

    def compact(self, revision: int) -> None:
        """Forget the events up to and including `revision`; watching from before it is Expired."""
        if revision > self.revision:
            raise ValueError(f"cannot compact at {revision}: the newest revision is {self.revision}")
        while self._log and self._log[0].revision <= revision:
            self._log.popleft()
        self.compacted = max(self.compacted, revision)

    def listen(self, resource: str | None, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each later event of a resource (None: of any); return what ends that."""
        listeners = self._listeners.setdefault(resource, [])
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return stop

    def resources(self) -> Iterable[str]:
        """Return the resources that have objects."""
        return [name for name, bucket in self._buckets.items() if bucket.namespaces]

    def _bucket(self, resource: str) -> _Bucket:
        bucket = self._buckets.get(resource)
        if bucket is None:
            bucket = self._buckets[resource] = _Bucket()
        return bucket

    def _append(self, event: Event) -> None:
        self._log.append(event)
        if len(self._log) > self._window:
            self.compacted = self._log.popleft().revision
        self._save_encodings(event)
        # A copy: a listener may stop listening while it is told.
        for listener in (*self._listeners.get(event.record.key.resource, ()), *self._listeners[None]):
            listener(event)

    def _save_encodings(self, event: Event) -> None:
        """Forget the JSON of states that were replaced and that hardly anybody is still to be told of."""
        previous = event.previous
        if previous is not None and previous.revision < self.revision - _ENCODED:
            previous.forget_encoding()
        self._recent.append(event.record)
        if len(self._recent) > _ENCODED:
            old = self._recent.popleft()
            if self.get(old.key) is not old:
                old.forget_encoding()

    def _require(self, revision: int) -> None:
        if revision < self.compacted:
            raise Expired(revision, self.compacted)


def _path(namespace: str) -> str:
    """A namespace as it stands in a key of etcd: `a-b/` comes before `a/`."""
    return f"{namespace}/"


def _concerns(event: Event, resource: str, namespace: str | None) -> bool:
    key = event.record.key
    return key.resource == resource and (namespace is None or key.namespace == namespace)
