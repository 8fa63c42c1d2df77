"""The claims that pods bring along: one for each `ephemeral` volume, owned by its pod.

The rule it keeps: a claim of that name that is not the pod's is left alone; the garbage collector ends those whose pod
has gone.

Source: kubernetes pkg/controller/volume/ephemeral/controller.go.
"""

from __future__ import annotations

from simcluster.controllers.binding import CLAIMS
from simcluster.controllers.claim_users import ClaimUsers, ephemeral_claims_of
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import Name, is_deleting, name_of
from simcluster.controllers.ownership import reference_to
from simcluster.controllers.pods import is_terminal
from simcluster.store import Object


class EphemeralClaims:
    """Makes the claims that pods ask for and that are not there."""

    def __init__(self, context: Context, users: ClaimUsers) -> None:
        self._registry = context.registry.acting_as("ephemeral-volume-controller")
        self._users = users
        self._claims = context.informers.of(CLAIMS)

    def sync(self, key: Name) -> None:
        """Look at one claim."""
        if not key[0] or self._claims.get(key) is not None:
            return
        for pod in self._users.of(key):
            template = dict(ephemeral_claims_of(pod)).get(key[1])
            if template is not None and not is_deleting(pod) and not is_terminal(pod):
                self._registry.create(CLAIMS, key[0], make_claim(pod, key[1], template))
                return


def make_claim(pod: Object, name: str, template: Object) -> Object:
    """The claim of one volume of a pod."""
    about = {
        key: template["metadata"][key]
        for key in ("labels", "annotations")
        if (template.get("metadata") or {}).get(key)
    }
    owner = reference_to({"apiVersion": "v1", "kind": "Pod"} | pod)
    metadata = {"name": name, "namespace": name_of(pod)[0], "ownerReferences": [owner]} | about
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template["spec"],
    }
