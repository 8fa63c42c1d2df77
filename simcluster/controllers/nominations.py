"""The room that pods are promised on nodes where others are making way for them.

The rule it keeps: promised room counts as taken for pods of the same or a lower priority, and for nobody else.

Source: scheduler/framework/runtime (RunFilterPluginsWithNominatedPods).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from simcluster.controllers.scheduling.accounts import Accounts, Held

_PREFIX = "nominated/"


class Nominations:
    """Holds the promises in the accounts, as pods that are not there yet."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._promised: dict[str, tuple[str, Held]] = {}

    def node_of(self, uid: str) -> str | None:
        """The node that a pod was promised room on."""
        found = self._promised.get(uid)
        return None if found is None else found[0]

    def put(self, pod: Held, node: str) -> None:
        """Promise a pod the room that it asks for."""
        ghost = replace(pod, uid=_PREFIX + pod.uid)
        self._promised[pod.uid] = node, ghost
        self._accounts.add_pod(node, ghost)

    def drop(self, uid: str) -> None:
        """A pod needs its promise no more; one that has none is left alone."""
        if self._promised.pop(uid, None) is not None:
            self._accounts.remove_pod(_PREFIX + uid)

    @contextlib.contextmanager
    def without(self, uid: str, priority: int) -> Iterator[None]:
        """The accounts as they are to a pod of that uid and priority, while the context lasts."""
        hidden = {
            other: (node, ghost)
            for other, (node, ghost) in self._promised.items()
            if other == uid or ghost.ask.priority < priority
        }
        for _, ghost in hidden.values():
            self._accounts.remove_pod(ghost.uid)
        try:
            yield
        finally:
            for other, (node, ghost) in hidden.items():
                if other in self._promised:
                    self._accounts.add_pod(node, ghost)
