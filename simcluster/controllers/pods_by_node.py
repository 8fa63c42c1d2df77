"""The pods of each node, for the controllers that look after nodes.

The rule it keeps: a pod is on a node from its binding until its object is gone; following a change costs the same
however many pods there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simcluster.controllers.informers import Informers
from simcluster.controllers.metadata import Name, name_of
from simcluster.controllers.pods import node_of
from simcluster.store import Object

# The node's name, the pod before and after.
Handler = Callable[[str, Object | None, Object | None], None]


class PodsByNode:
    """An index of pods; `handle` tells of the changes of those that have a node."""

    def __init__(self, informers: Informers) -> None:
        self._pods: dict[str, dict[Name, Object]] = {}
        self._handlers: list[Handler] = []
        informers.of("pods").handle(self._on_pod)

    def on(self, node: str) -> Iterable[Object]:
        """The pods of a node."""
        return list(self._pods.get(node, {}).values())

    def nodes(self) -> Iterable[str]:
        """The names of the nodes that have pods, whether they are there or not."""
        return list(self._pods)

    def handle(self, handler: Handler) -> None:
        """Tell `handler` of each change from now on."""
        self._handlers.append(handler)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        node = "" if pod is None else node_of(pod)
        if pod is None or not node:
            return
        if new is not None:
            self._pods.setdefault(node, {})[name_of(pod)] = new
        else:
            there = self._pods.get(node, {})
            there.pop(name_of(pod), None)
            if not there:
                self._pods.pop(node, None)
        for handler in self._handlers:
            handler(node, old, new)
