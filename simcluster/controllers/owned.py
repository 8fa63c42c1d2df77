"""The pods that owners of one kind control, and who is to be synced when one of them changes.

The rule it keeps: pods are looked through by selector, for adoption and release, only after something happened that
may ask for it; an owner's own writes never do. It decides nothing about replicas.
"""

from __future__ import annotations

from collections.abc import Callable

from simcluster.controllers import ownership
from simcluster.controllers.informers import Informer
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import Name, labels_of, matches_selector, name_of, uid_of
from simcluster.store import Object


def _anything(_owner: Object, _pod: Object) -> bool:
    """Every pod."""
    return True


class OwnedPods:
    """The pods of all owners of one kind; calls `tell` with each owner that is to be looked at, and how many
    pods it has.

    `concerns(owner, pod)` False leaves a pod as it is, whatever labels and references say.
    """

    def __init__(
        self,
        context: Context,
        owners: Informer,
        kind: str,
        tell: Callable[[Name, int], None],
        *,
        concerns: Callable[[Object, Object], bool] = _anything,
    ) -> None:
        self._registry = context.registry
        self._pods = context.informers.of("pods")
        self._owners = owners
        self._kind = kind
        self._tell = tell
        self._concerns = concerns
        self._unclaimed: set[Name] = set()
        owners.handle(self._on_owner)
        self._pods.handle(self._on_pod)

    def claim(self, owner: Object) -> list[Object]:
        """Return the owner's pods, after adopting and releasing what its selector says."""
        key = name_of(owner)
        if key in self._unclaimed:
            candidates = [*self._pods.owned(uid_of(owner)), *self._pods.orphans(key[0])]
            claimed = ownership.claim(owner, (pod for pod in candidates if self._concerns(owner, pod)))
            for pod in claimed.release:
                self._registry.update("pods", *name_of(pod), ownership.released(owner, pod))
            for pod in claimed.adopt:
                self._registry.update("pods", *name_of(pod), ownership.adopted(owner, pod))
            self._unclaimed.discard(key)
        return self.of(owner)

    def of(self, owner: Object) -> list[Object]:
        """The pods that an owner controls now."""
        return list(self._pods.owned(uid_of(owner)))

    def _on_owner(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is None:
            return
        name = name_of(changed)
        if new is None:
            self._unclaimed.discard(name)
        elif old is None:
            self._unclaimed.add(name)
        self._tell(name, 0)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            controller = None if pod is None else ownership.controller_of(pod)
            if pod is not None and controller is not None and controller["kind"] == self._kind:
                name = (name_of(pod)[0], controller["name"])
                if pod is new and (old is None or labels_of(old) != labels_of(new)):
                    self._check(name, new)
                self._tell(name, self._pods.count_owned(controller["uid"]))
        if new is not None and ownership.controller_of(new) is None:
            for owner in self._owners.list(name_of(new)[0]):
                if matches_selector(ownership.selector_of(owner), labels_of(new)):
                    self._unclaimed.add(name_of(owner))
                    self._tell(name_of(owner), 0)

    def _check(self, name: Name, pod: Object) -> None:
        """A pod that its owner selects no more is to be released."""
        owner = self._owners.get(name)
        if owner is not None and not matches_selector(ownership.selector_of(owner), labels_of(pod)):
            self._unclaimed.add(name)
