"""The PersistentVolumeClaims of a StatefulSet's pods: their names, and who owns them. Pure.

The rule it keeps: a claim outlives its pod and its set unless `persistentVolumeClaimRetentionPolicy` has either own
it, and is then deleted with that owner by the garbage collector alone. Claims that another controller owns, or an
earlier pod or set of the same name, are left as they are. It binds nothing. Source: stateful_set_utils.go.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from simcluster.controllers.metadata import name_of, uid_of
from simcluster.controllers.ordinals import ordinal_of
from simcluster.controllers.ownership import reference_to
from simcluster.store import Object

Reference = dict[str, Any]


def claim_name(template: Object, stateful_set: Object, ordinal: int) -> str:
    """The name of a pod's claim."""
    return f"{template['metadata']['name']}-{name_of(stateful_set)[1]}-{ordinal}"


def claims_for(stateful_set: Object, ordinal: int) -> list[Object]:
    """The claims that the pod of that number needs."""
    namespace, labels = name_of(stateful_set)[0], stateful_set["spec"]["selector"].get("matchLabels") or {}
    claims = []
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        claim = deepcopy(template)
        claim.pop("status", None)
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        claim["metadata"]["labels"] = (template["metadata"].get("labels") or {}) | labels
        claim["metadata"] |= {"name": claim_name(template, stateful_set, ordinal), "namespace": namespace}
        claims.append(claim)
    return claims


def volumes_for(stateful_set: Object, ordinal: int, volumes: list[Object]) -> list[Object]:
    """A pod's volumes, with those that lead to its claims in place of any of the same names."""
    templates = stateful_set["spec"].get("volumeClaimTemplates") or ()
    claimed = [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(template, stateful_set, ordinal)},
        }
        for template in templates
    ]
    names = {each["name"] for each in claimed}
    return claimed + [each for each in volumes if each["name"] not in names]


def owners_for(claim: Object, stateful_set: Object, pod: Object) -> list[Reference] | None:
    """Return the owner references that a claim is to have; None where they are right, or are not to be touched."""
    references: list[Reference] = claim["metadata"].get("ownerReferences") or []
    ours = (stateful_set, pod)
    if any(_is_stale(reference, each) for reference in references for each in ours):
        return None
    others = [ref for ref in references if not any(_is_to(ref, each) for each in ours)]
    wanted = others
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    with_set, with_pod = policy.get("whenDeleted") == "Delete", policy.get("whenScaled") == "Delete"
    is_foreign = (with_set or with_pod) and any(ref.get("controller") for ref in others)
    if not is_foreign:
        owner = _choose_owner(stateful_set, pod, with_set=with_set, with_pod=with_pod)
        wanted = others if owner is None else [*others, reference_to(owner)]
    return None if _keys(wanted) == _keys(references) else wanted


def _choose_owner(stateful_set: Object, pod: Object, *, with_set: bool, with_pod: bool) -> Object | None:
    start = (stateful_set["spec"].get("ordinals") or {}).get("start", 0)
    is_asked_for = start <= ordinal_of(pod) < start + stateful_set["spec"].get("replicas", 1)
    if with_pod and not is_asked_for:
        return pod
    return stateful_set if with_set else None


def is_stale(claim: Object, stateful_set: Object, pod: Object | None, ordinal: int) -> bool:
    """Whether a claim goes with an earlier pod of that number, so that a new pod must wait for another claim."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    if policy.get("whenScaled") != "Delete":
        return False
    name = f"{name_of(stateful_set)[1]}-{ordinal}"
    uid = None if pod is None else uid_of(pod)
    return any(
        (ref["apiVersion"], ref["kind"], ref["name"]) == ("v1", "Pod", name) and ref["uid"] != uid
        for ref in claim["metadata"].get("ownerReferences") or ()
    )


def _is_to(reference: Reference, obj: Object) -> bool:
    said = reference["apiVersion"], reference["kind"], reference["name"]
    return said == (obj["apiVersion"], obj["kind"], name_of(obj)[1])


def _is_stale(reference: Reference, obj: Object) -> bool:
    return _is_to(reference, obj) and reference["uid"] != uid_of(obj)


def _keys(references: list[Reference]) -> set[tuple[str, bool]]:
    return {(each["uid"], bool(each.get("controller"))) for each in references}
