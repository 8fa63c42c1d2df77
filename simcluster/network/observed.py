"""Services and their EndpointSlices as the network sees them: one picture, late by as much as it is asked to
be.

The rule it keeps: a change is shown whole and in order, `delay_s` after it was written. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simcluster.controllers.informers import Informers
from simcluster.controllers.metadata import labels_of, name_of
from simcluster.controllers.workqueue import CallLater
from simcluster.store import Object

Name = tuple[str, str]
_SERVICE_NAME = "kubernetes.io/service-name"


class Observed:
    """Services, slices by Service, and namespaces; `notice` is told the Service that changed."""

    def __init__(self, informers: Informers, call_later: CallLater, delay_s: float) -> None:
        self._call_later = call_later
        self._delay_s = delay_s
        self._services: dict[Name, Object] = {}
        self._slices: dict[Name, dict[str, Object]] = {}
        self._namespaces: set[str] = set()
        self._listeners: list[Callable[[Name], None]] = []
        informers.of("namespaces").handle(self._on_namespace)
        informers.of("services").handle(self._on_service)
        informers.of("endpointslices.discovery.k8s.io").handle(self._on_slice)

    def notice(self, listener: Callable[[Name], None]) -> None:
        """Tell `listener` of each later change, and of all Services that there are."""
        self._listeners.append(listener)
        for name in tuple(self._services):
            listener(name)

    def snapshot(self) -> Observed:
        """What is seen now, which stays as it is."""
        found: Observed = object.__new__(Observed)
        found._services = dict(self._services)
        found._slices = {name: dict(slices) for name, slices in self._slices.items()}
        found._namespaces = set(self._namespaces)
        return found

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        return namespace in self._namespaces

    def service(self, name: Name) -> Object | None:
        """The Service of that namespace and name."""
        return self._services.get(name)

    def services(self) -> Iterable[Object]:
        """All Services."""
        return self._services.values()

    def slices(self, name: Name) -> Iterable[Object]:
        """The slices of a Service, in the order of their names."""
        slices = self._slices.get(name, {})
        return [slices[key] for key in sorted(slices)]

    def _later(self, change: Callable[[], None]) -> None:
        # Timers of equal delays ring in the order in which they were set.
        if self._delay_s > 0:
            self._call_later(self._delay_s, change)
        else:
            change()

    def _tell(self, name: Name) -> None:
        for listener in self._listeners:
            listener(name)

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        def change() -> None:
            if new is None and old is not None:
                self._namespaces.discard(name_of(old)[1])
            elif new is not None:
                self._namespaces.add(name_of(new)[1])

        if old is None or new is None:
            self._later(change)

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        def change() -> None:
            if new is not None:
                self._services[name_of(new)] = new
                self._tell(name_of(new))
            elif old is not None:
                self._services.pop(name_of(old), None)
                self._tell(name_of(old))

        self._later(change)

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        def change() -> None:
            before = None if old is None else _service_of(old)
            after = None if new is None else _service_of(new)
            if old is not None and before is not None and before != after:
                self._drop(before, name_of(old)[1])
            if new is not None and after is not None:
                self._slices.setdefault(after, {})[name_of(new)[1]] = new
            for name in (before, after) if before != after else (after,):
                if name is not None:
                    self._tell(name)

        self._later(change)

    def _drop(self, service: Name, slice_name: str) -> None:
        slices = self._slices.get(service, {})
        slices.pop(slice_name, None)
        if not slices:
            self._slices.pop(service, None)


def _service_of(each: Object) -> Name | None:
    service = labels_of(each).get(_SERVICE_NAME)
    return None if service is None else (name_of(each)[0], service)
