"""The pods that each object with a selector selects, kept up to date by what changes.

The rule it keeps: a change of a pod costs as much as there are objects that select it, not as there are pods; only
a change of labels or of a selector has anything matched again. It decides nothing about either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from simcluster.controllers.informers import Informer
from simcluster.controllers.metadata import Name, labels_of, name_of
from simcluster.store import Object


class Pods(Protocol):
    """Where all pods of a namespace can be looked through."""

    def list(self, namespace: str) -> Iterable[Object]:
        """The pods of a namespace."""


class SelectedPods:
    """Follows `owners` and pods; calls `tell` with each owner whose pods, or which itself, changed, and with how
    many pods it selects (0 where it changed itself).

    `matches(owner, pod)` says whether a pod is selected; it may ask the owner's spec and the pod's labels alone.
    Changes of pods come in through `take`.
    """

    def __init__(
        self,
        owners: Informer,
        pods: Pods,
        matches: Callable[[Object, Object], bool],
        tell: Callable[[Name, int], None],
    ) -> None:
        self._owners = owners
        self._pods = pods
        self._matches = matches
        self._tell = tell
        self._selected: dict[Name, dict[str, Object]] = {}
        self._selecting: dict[Name, set[Name]] = {}
        owners.handle(self._on_owner)

    def of(self, owner: Name) -> list[Object]:
        """The pods that an owner selects."""
        return list(self._selected.get(owner, {}).values())

    def take(self, old: Object | None, new: Object | None) -> None:
        """Take in one change of a pod."""
        changed = new if new is not None else old
        if changed is None:
            return
        name = name_of(changed)
        before = self._selecting.get(name, set())
        after = before
        if new is None:
            after = set()
        elif old is None or labels_of(old) != labels_of(new) or not self._is_same(old, new):
            owners = self._owners.list(name[0])
            after = {name_of(owner) for owner in owners if self._matches(owner, new)}
        for owner in before - after:
            self._selected[owner].pop(name[1], None)
        if new is not None:
            for owner in after:
                self._selected[owner][name[1]] = new
        self._note(name, after)
        for owner in before | after:
            self._tell(owner, len(self._selected.get(owner, ())))

    def _on_owner(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is None:
            return
        name = name_of(changed)
        if new is None:
            self._let_go(name)
        elif old is None or old["spec"] != new["spec"]:
            self._let_go(name)
            pods = self._pods.list(name[0])
            selected = {name_of(pod)[1]: pod for pod in pods if self._matches(new, pod)}
            self._selected[name] = selected
            for pod in selected:
                self._selecting.setdefault((name[0], pod), set()).add(name)
        self._tell(name, 0)

    def _let_go(self, owner: Name) -> None:
        for pod in self._selected.pop(owner, {}):
            selecting = self._selecting.get((owner[0], pod), set())
            self._note((owner[0], pod), selecting - {owner})

    def _note(self, pod: Name, owners: set[Name]) -> None:
        if owners:
            self._selecting[pod] = owners
        else:
            self._selecting.pop(pod, None)

    def _is_same(self, old: Object, new: Object) -> bool:
        """Whether it is the same pod, not another of its name."""
        return bool(old["metadata"]["uid"] == new["metadata"]["uid"])
