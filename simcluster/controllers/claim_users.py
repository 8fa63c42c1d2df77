"""Which pods use which claims.

The rule it keeps: a pod without claims costs one look at its list of volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simcluster.controllers.informers import Informers
from simcluster.controllers.metadata import Name, name_of
from simcluster.controllers.pods import claim_in
from simcluster.store import Object

Handler = Callable[[Object | None, Object | None], None]


def claims_of(pod: Object) -> Iterator[str]:
    """The names of the claims that a pod uses, those made for it alone among them."""
    for volume in pod["spec"].get("volumes") or ():
        found = claim_in(pod, volume)
        if found is not None:
            yield found[0]


def ephemeral_claims_of(pod: Object) -> Iterator[tuple[str, Object]]:
    """The names and templates of the claims that a pod brings along."""
    for volume in pod["spec"].get("volumes") or ():
        found = claim_in(pod, volume)
        if found is not None and found[1]:
            yield found[0], volume["ephemeral"]["volumeClaimTemplate"]


class ClaimUsers:
    """The pods by the claims that they use; handlers are told of their changes."""

    def __init__(self, informers: Informers) -> None:
        self._pods = informers.of("pods")
        self._users: dict[Name, set[Name]] = {}
        self._handlers: list[Handler] = []
        self._pods.handle(self._on_pod)

    def handle(self, handler: Handler) -> None:
        """Have later changes of pods that use a claim told."""
        self._handlers.append(handler)

    def of(self, claim: Name) -> list[Object]:
        """The pods that use a claim."""
        found = (self._pods.get(name) for name in sorted(self._users.get(claim, ())))
        return [pod for pod in found if pod is not None]

    def every(self) -> set[Name]:
        """The names of all pods that use a claim."""
        return {name for names in self._users.values() for name in names}

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None or not pod["spec"].get("volumes"):
            return
        claims = [(name_of(pod)[0], each) for each in claims_of(pod)]
        for claim in claims:
            if new is not None:
                self._users.setdefault(claim, set()).add(name_of(pod))
            else:
                self._forget(claim, name_of(pod))
        if claims:
            for handler in self._handlers:
                handler(old, new)

    def _forget(self, claim: Name, pod: Name) -> None:
        users = self._users.get(claim, set())
        users.discard(pod)
        if not users:
            self._users.pop(claim, None)
