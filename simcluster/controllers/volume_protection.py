"""The protection of what is in use: a claim of a pod, and a volume of a claim, go only when nobody uses them.

The rule it keeps: it takes away the finalizers that the API server gave, and gives none. A pod uses a claim from its
binding to a node until its object is gone, even if it has ended.

Source: kubernetes pkg/controller/volume/{pvcprotection,pvprotection}.
"""

from __future__ import annotations

from simcluster.controllers.binding import CLAIMS, VOLUMES, phase_of
from simcluster.controllers.claim_users import ClaimUsers
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import Name, is_deleting, name_of
from simcluster.controllers.pods import node_of
from simcluster.registry.volumes import CLAIM_PROTECTION, VOLUME_PROTECTION
from simcluster.store import Object


class VolumeProtection:
    """Lets claims and volumes go that are being deleted."""

    def __init__(self, context: Context, users: ClaimUsers) -> None:
        self._registry = context.registry
        self._users = users
        self._claims = context.informers.of(CLAIMS)
        self._volumes = context.informers.of(VOLUMES)

    def sync(self, key: Name) -> None:
        """Look at one claim or volume."""
        if not key[0]:
            volume = self._volumes.get(key)
            if volume is not None and phase_of(volume) != "Bound":
                self._let_go(VOLUMES, volume, VOLUME_PROTECTION)
            return
        claim = self._claims.get(key)
        if claim is not None and not any(node_of(pod) for pod in self._users.of(key)):
            self._let_go(CLAIMS, claim, CLAIM_PROTECTION)

    def _let_go(self, resource: str, obj: Object, finalizer: str) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        if not is_deleting(obj) or finalizer not in finalizers:
            return
        left = [each for each in finalizers if each != finalizer]
        changed = {**obj, "metadata": obj["metadata"] | {"finalizers": left}}
        self._registry.update(resource, name_of(obj)[0] or None, name_of(obj)[1], changed)
