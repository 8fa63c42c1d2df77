"""What controllers see of the registry: objects of one resource by name and by controller, and each change.

The rule it keeps: it is told of a write within that write, so what it shows is never behind the registry, and
no controller needs the expectations that real ones keep against their own stale caches. Handlers only note what
is to be done (they put keys into a queue); they never write. Objects are shared: never mutate them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from simcluster.controllers.metadata import Name, name_of
from simcluster.controllers.ownership import controller_of
from simcluster.store import Event, Object

# (state before, state after): None before an addition, None after a removal.
Handler = Callable[[Object | None, Object | None], None]


class Source(Protocol):
    """The part of the registry that informers need."""

    def list(self, resource: str, namespace: str | None = None) -> tuple[list[Object], int]:
        """All objects, and the revision that they were read at."""

    def listen(self, resource: str, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Tell of each write from now on, within it."""


class Informer:
    """All objects of one resource."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._owned: dict[str, dict[Name, Object]] = {}
        self._orphans: dict[str, dict[Name, Object]] = {}
        self._handlers: list[Handler] = []

    def handle(self, handler: Handler) -> None:
        """Tell `handler` of each change, and of all that is there as additions."""
        self._handlers.append(handler)
        for obj in self.list():
            handler(None, obj)

    def get(self, name: Name) -> Object | None:
        """The object of that namespace and name, or None."""
        return self._objects.get(name[0], {}).get(name[1])

    def list(self, namespace: str | None = None) -> Iterable[Object]:
        """All objects, of one namespace or of all."""
        if namespace is not None:
            objects = self._objects.get(namespace)
            return list(objects.values()) if objects else ()
        return [obj for objects in self._objects.values() for obj in objects.values()]

    def owned(self, uid: str) -> Iterable[Object]:
        """The objects whose controller has that uid."""
        return list(self._owned.get(uid, {}).values())

    def count_owned(self, uid: str) -> int:
        """How many objects have that controller."""
        return len(self._owned.get(uid, ()))

    def orphans(self, namespace: str) -> Iterable[Object]:
        """The objects of a namespace that have no controller."""
        return list(self._orphans.get(namespace, {}).values())

    def apply(self, old: Object | None, new: Object | None) -> None:
        """Take in one change and tell the handlers."""
        if old is not None and (new is None or not self._is_in_place(old, new)):
            self._drop(old)
        if new is not None:
            self._put(new)
        for handler in self._handlers:
            handler(old, new)

    def _is_in_place(self, old: Object, new: Object) -> bool:
        """Whether a change leaves an object under the same controller: what is noted is written over."""
        (before, was), (after, is_now) = self._index(old), self._index(new)
        return before is after and was == is_now

    def _index(self, obj: Object) -> tuple[dict[str, dict[Name, Object]], str]:
        controller = controller_of(obj)
        if controller is None:
            return self._orphans, obj["metadata"].get("namespace", "")
        return self._owned, controller["uid"]

    def _put(self, obj: Object) -> None:
        namespace, name = name_of(obj)
        self._objects.setdefault(namespace, {})[name] = obj
        index, key = self._index(obj)
        index.setdefault(key, {})[namespace, name] = obj

    def _drop(self, obj: Object) -> None:
        namespace, name = name_of(obj)
        self._objects.get(namespace, {}).pop(name, None)
        index, key = self._index(obj)
        entries = index.get(key, {})
        entries.pop((namespace, name), None)
        if not entries:
            index.pop(key, None)


class Informers:
    """One informer per resource, shared by all controllers; made when first asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._informers: dict[str, Informer] = {}
        self._stops: list[Callable[[], None]] = []

    def of(self, resource: str) -> Informer:
        """The informer of a resource, `plural[.group]`, filled."""
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._informers[resource] = Informer()
            for obj in self._source.list(resource)[0]:
                informer.apply(None, obj)
            self._stops.append(self._source.listen(resource, _follow(informer)))
        return informer

    def close(self) -> None:
        """Listen no more."""
        for stop in self._stops:
            stop()
        self._stops.clear()


def _follow(informer: Informer) -> Callable[[Event], None]:
    def follow(event: Event) -> None:
        old = None if event.previous is None else event.previous.object
        informer.apply(old, None if event.type == "DELETED" else event.object)

    return follow
