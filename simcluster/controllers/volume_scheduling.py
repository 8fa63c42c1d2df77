"""The scheduler's part in volumes: has what a pod's claims need tied or made for the node that it goes to.

The rule it keeps: what they need is decided in `scheduling.volumes`; here it is read and written. A pod is bound when
all of its claims are.

Source: scheduler/framework/plugins/volumebinding (AssumePodVolumes, BindPodVolumes).
"""

from __future__ import annotations

from simcluster.controllers import binding
from simcluster.controllers.binding import CLAIMS, VOLUMES
from simcluster.controllers.claim_users import ClaimUsers
from simcluster.controllers.informers import Informers
from simcluster.controllers.metadata import name_of, uid_of
from simcluster.controllers.pods import is_terminal, node_of
from simcluster.controllers.scheduling.accounts import NodeAccount
from simcluster.controllers.scheduling.volumes import VolumeAsk, read_volume_ask
from simcluster.registry import Registry
from simcluster.registry.volumes import CLASSES
from simcluster.store import Object


class VolumeScheduling:
    """Reads what claims ask for, and writes what was decided of them."""

    def __init__(self, registry: Registry, informers: Informers, users: ClaimUsers) -> None:
        self._registry = registry
        self._users = users
        self._claims = informers.of(CLAIMS)
        self._volumes = informers.of(VOLUMES)
        self._classes = informers.of(CLASSES)

    def read(self, pod: Object) -> VolumeAsk | str:
        """What a pod's claims ask for, or why they keep it from being looked at."""
        namespace = name_of(pod)[0]
        return read_volume_ask(
            pod,
            claims=lambda name: self._claims.get((namespace, name)),
            volumes=lambda name: self._volumes.get(("", name)),
            classes={name_of(each)[1]: each for each in self._classes.list()},
            every=self._volumes.list(),
            is_taken=lambda claim: any(
                uid_of(user) != uid_of(pod) and node_of(user) and not is_terminal(user)
                for user in self._users.of(name_of(claim))
            ),
        )

    def prepare(self, ask: VolumeAsk, node: NodeAccount) -> None:
        """Have volumes tied to the claims that wait, or asked for on that node."""
        plan = ask.plan(node)
        if plan is None:
            return
        for claim, volume in plan.tie:
            tied = binding.tie_volume(volume, claim)
            if tied is not None:
                self._registry.update(VOLUMES, None, name_of(volume)[1], tied)
        for claim in plan.make:
            chosen = binding.annotate(claim, {binding.SELECTED_NODE: node.name})
            if chosen["metadata"] != claim["metadata"]:
                self._registry.update(CLAIMS, *name_of(claim), chosen)
