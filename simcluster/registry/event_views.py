"""Events in their two versions: v1, which is stored, and events.k8s.io/v1, another view of the same objects.

The rule it keeps: there is one object, one revision and one log entry, whichever way it was written; who reads or
watches a version gets only that version's fields. Everything above the store treats the view as a kind like any other.

Source: kubernetes pkg/apis/events/v1/conversion.go; what is null or left out measured on v1.36.3.
"""

from __future__ import annotations

from collections.abc import Callable

from simcluster.store import Event, Events, Key, Listener, Object, Record, Records, Store

STORED, VIEW = "events", "events.events.k8s.io"
# v1's name of a field, and events.k8s.io's.
_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {view: stored for stored, view in _RENAMED.items()}
_API_VERSION, _VIEW_API_VERSION = "v1", "events.k8s.io/v1"
# Texts that v1 always has, and the view only if they are not empty.
_TEXTS = ("reportingComponent", "reportingInstance")


def to_view(event: Object) -> Object:
    """Return a v1 Event as events.k8s.io/v1."""
    shown = {
        _RENAMED.get(key, key): value for key, value in event.items() if key not in _TEXTS or value != ""
    }
    return shown | {"apiVersion": _VIEW_API_VERSION}


def to_stored(event: Object) -> Object:
    """Return an events.k8s.io/v1 Event as v1."""
    kept = {_BACK.get(key, key): value for key, value in event.items()}
    return (
        dict.fromkeys(_TEXTS, "") | {"source": {}, "involvedObject": {}} | kept | {"apiVersion": _API_VERSION}
    )


class EventViewStore(Store):
    """A store in which the view's keys lead to the stored events."""

    def get(self, key: Key) -> Record | None:
        """Return the newest state of one object."""
        if key.resource != VIEW:
            return super().get(key)
        found = super().get(_stored(key))
        return None if found is None else _show(found)

    def put(self, key: Key, obj: Object) -> Record:
        """Store `obj` as the newest state and return it."""
        if key.resource != VIEW:
            return super().put(key, obj)
        return _show(super().put(_stored(key), to_stored(obj)))

    def remove(self, key: Key, last: Object | None = None) -> Record:
        """Remove an object and return its last state."""
        if key.resource != VIEW:
            return super().remove(key, last)
        return _show(super().remove(_stored(key), None if last is None else to_stored(last)))

    def list(self, resource: str, namespace: str | None = None) -> Records:
        """Return the newest state of all objects of a resource."""
        if resource != VIEW:
            return super().list(resource, namespace)
        return [_show(each) for each in super().list(STORED, namespace)]

    def list_at(self, resource: str, namespace: str | None, revision: int) -> Records:
        """Return the states as they were at `revision`."""
        if resource != VIEW:
            return super().list_at(resource, namespace, revision)
        return [_show(each) for each in super().list_at(STORED, namespace, revision)]

    def events_after(self, revision: int, resource: str, namespace: str | None = None) -> Events:
        """Return what happened to a resource after `revision`."""
        if resource != VIEW:
            return super().events_after(revision, resource, namespace)
        return [_show_event(each) for each in super().events_after(revision, STORED, namespace)]

    def listen(self, resource: str | None, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each later event of a resource."""
        if resource != VIEW:
            return super().listen(resource, listener)
        return super().listen(STORED, lambda event: listener(_show_event(event)))


def _stored(key: Key) -> Key:
    return Key(STORED, key.namespace, key.name)


def _show(record: Record) -> Record:
    key = Key(VIEW, record.key.namespace, record.key.name)
    return Record(key, to_view(record.object), record.revision)


def _show_event(event: Event) -> Event:
    previous = None if event.previous is None else _show(event.previous)
    return Event(event.type, _show(event.record), previous)
