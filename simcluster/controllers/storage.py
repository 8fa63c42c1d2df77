"""What looks after volumes and claims: one loop for their binding, their making and their protection.

The rule it keeps: a cluster without volumes and claims pays for none of it; what works on them is imported with the
first of them. A key is a claim's namespace and name, or a volume's name with no namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcluster.controllers.binding import CLAIMS, VOLUMES, phase_of
from simcluster.controllers.claim_users import ClaimUsers, claims_of, ephemeral_claims_of
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of
from simcluster.controllers.pods import condition_of
from simcluster.node_files import NodeFiles
from simcluster.registry.volumes import CLASSES
from simcluster.store import Object

if TYPE_CHECKING:
    from simcluster.controllers.ephemeral_claims import EphemeralClaims
    from simcluster.controllers.provisioner import Provisioner
    from simcluster.controllers.volume_binder import VolumeBinder
    from simcluster.controllers.volume_protection import VolumeProtection

    _Parts = tuple[EphemeralClaims, VolumeProtection, VolumeBinder, Provisioner]


class Storage:
    """`files` are the nodes', where provisioned volumes are; without them volumes are objects only."""

    def __init__(self, context: Context, users: ClaimUsers, files: NodeFiles | None = None) -> None:
        self._context = context
        self._users = users
        self._files = files
        self._claims = context.informers.of(CLAIMS)
        self._volumes = context.informers.of(VOLUMES)
        self._parts: _Parts | None = None
        self.loop = ControlLoop("persistent-volumes", context, self.sync)
        self._claims.handle(self._on_claim)
        self._volumes.handle(self._on_volume)
        context.informers.of(CLASSES).handle(self._on_class)
        users.handle(self._on_user)

    def sync(self, key: Name) -> None:
        """Take one claim or volume one step further."""
        for part in self._load():
            part.sync(key)

    def _load(self) -> _Parts:
        if self._parts is None:
            from simcluster.controllers.ephemeral_claims import EphemeralClaims
            from simcluster.controllers.provisioner import Provisioner
            from simcluster.controllers.volume_binder import VolumeBinder
            from simcluster.controllers.volume_protection import VolumeProtection

            queue = self.loop.queue
            self._parts = (
                EphemeralClaims(self._context, self._users),
                VolumeProtection(self._context, self._users),
                VolumeBinder(self._context, self._users, queue.add),
                Provisioner(self._context, self._files, queue.add_after),
            )
        return self._parts

    # --- What leads to a sync

    def _on_claim(self, old: Object | None, new: Object | None) -> None:
        claim = new if new is not None else old
        if claim is None:
            return
        if new is not None:
            self.loop.queue.add(name_of(claim))
        volume = claim["spec"].get("volumeName")
        if volume and (new is None or is_deleting(claim) or old is None):
            self.loop.queue.add(("", volume))

    def _on_volume(self, old: Object | None, new: Object | None) -> None:
        volume = new if new is not None else old
        if volume is None:
            return
        if new is not None:
            self.loop.queue.add(name_of(volume))
        reference = volume["spec"].get("claimRef")
        if reference is not None and (new is None or old is None or old["spec"] != new["spec"]):
            self.loop.queue.add((reference.get("namespace", ""), reference.get("name", "")))
        if new is not None and phase_of(new) == "Available" and (old is None or phase_of(old) != "Available"):
            self._look_again()

    def _on_class(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._look_again()

    def _look_again(self) -> None:
        """Something has come that claims may wait for."""
        for claim in self._claims.list():
            if phase_of(claim) == "Pending":
                self.loop.queue.add(name_of(claim))

    def _on_user(self, old: Object | None, new: Object | None) -> None:
        """A claim may be free, or be waited for by a pod that fits nowhere."""
        pod = new if new is not None else old
        if pod is None:
            return
        is_waiting = new is not None and (condition_of(new, "PodScheduled") or {}).get("status") == "False"
        if new is None or is_waiting:
            for claim in claims_of(pod):
                self.loop.queue.add((name_of(pod)[0], claim))
        elif old is None:
            for claim, _ in ephemeral_claims_of(pod):
                self.loop.queue.add((name_of(pod)[0], claim))
