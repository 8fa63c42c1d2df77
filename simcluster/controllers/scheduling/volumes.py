"""What the claims of a pod ask of its node: pure.

The rule it keeps: a claim that is tied to a volume asks for a node that reaches it; one that waits for its first
consumer for a node where a volume fits, or where one may be made; any other has to be tied before its pod is
looked at.

Sources: scheduler/framework/plugins/volumebinding (volume_binding.go, binder.go), volumerestrictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.controllers import binding
from simcluster.controllers.metadata import annotations_of, is_deleting, name_of
from simcluster.controllers.pods import claim_in
from simcluster.controllers.scheduling.accounts import NodeAccount
from simcluster.controllers.scheduling.asks import NodeTerm, read_node_term
from simcluster.controllers.scheduling.filters import Refusal
from simcluster.registry.volumes import class_of

Object = Mapping[str, Any]
Lookup = Callable[[str], Any]
_OUT_OF_REACH = Refusal(("node(s) didn't match PersistentVolume's node affinity",))
_NONE_FITS = Refusal(("node(s) didn't find available persistent volumes to bind",))
_LOST = Refusal(("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",))
_TAKEN = Refusal(
    (
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by "
        "another pod",
    ),
    is_final=False,
)
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be written for a pod to go to a node: claims with their volumes, and claims to make one for."""

    tie: tuple[tuple[Any, Any], ...] = ()
    make: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeAsk:
    """What a pod's claims ask for. `waiting` have no volume yet; `volumes` are all there are of their classes."""

    reached: tuple[Object, ...] = ()
    waiting: tuple[Any, ...] = ()
    volumes: tuple[Any, ...] = ()
    classes: Mapping[str, Any] | None = None
    is_taken: bool = False
    is_lost: bool = False

    def refuse(self, node: NodeAccount) -> Refusal | None:
        """Why a node does not do."""
        if self.is_taken:
            return _TAKEN
        if self.is_lost:
            return _LOST
        if not all(reaches(volume, node) for volume in self.reached):
            return _OUT_OF_REACH
        return _NONE_FITS if self.plan(node) is None else None

    def plan(self, node: NodeAccount) -> Plan | None:
        """What to write for this node; None if there is no volume for a claim, and none can be made."""
        tie: list[tuple[Any, Any]] = []
        make: list[Any] = []
        left = list(self.volumes)
        for claim in sorted(self.waiting, key=binding.size_of):
            chosen = annotations_of(claim).get(binding.SELECTED_NODE)
            if chosen is not None and chosen != node.name:
                return None
            volume = (
                None
                if chosen is not None
                else binding.find_volume(claim, left, waits=True, reaches=lambda each: reaches(each, node))
            )
            if volume is not None:
                left.remove(volume)
                tie.append((claim, volume))
            elif self._can_make(claim, node):
                make.append(claim)
            else:
                return None
        return Plan(tuple(tie), tuple(make))

    def _can_make(self, claim: Any, node: NodeAccount) -> bool:
        of_class = (self.classes or {}).get(class_of(claim))
        if of_class is None or of_class["provisioner"] == binding.NO_PROVISIONER:
            return False
        terms = of_class.get("allowedTopologies") or ()
        return not terms or any(_is_within(term, node) for term in terms)


def _is_within(term: Object, node: NodeAccount) -> bool:
    return all(
        node.labels.get(each["key"]) in each["values"] for each in term.get("matchLabelExpressions") or ()
    )


def reaches(volume: Object, node: NodeAccount) -> bool:
    """Whether a node reaches a volume."""
    terms = read_affinity(volume)
    return terms is None or any(term.matches(node.name, node.labels) for term in terms)


def read_affinity(volume: Object) -> tuple[NodeTerm, ...] | None:
    """The terms of which a node has to fulfil one; None if any node does."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return None
    return tuple(read_node_term(each) for each in required.get("nodeSelectorTerms") or ())


def read_volume_ask(
    pod: Any,
    *,
    claims: Lookup,
    volumes: Lookup,
    classes: Mapping[str, Any],
    every: Iterable[Any],
    is_taken: Callable[[Any], bool],
) -> VolumeAsk | str:
    """What a pod's claims ask for; or why it is not looked at before they change, in the scheduler's words."""
    found: list[Any] = []
    for each in _find(pod, claims):
        if isinstance(each, str):
            return each
        found.append(each)
    taken = any(
        "ReadWriteOncePod" in each["spec"].get("accessModes", ()) and is_taken(each) for each in found
    )
    reached: list[Any] = []
    waiting: list[Any] = []
    lost = False
    for claim in found:
        if binding.is_bound(claim):
            volume = volumes(binding.volume_of(claim))
            lost = lost or volume is None
            reached += [] if volume is None else [volume]
        elif binding.waits(classes.get(class_of(claim))) and not binding.volume_of(claim):
            waiting.append(claim)
        else:
            return UNBOUND
    wanted = {class_of(each) for each in waiting}
    fitting = tuple(each for each in every if class_of(each) in wanted) if waiting else ()
    return VolumeAsk(tuple(reached), tuple(waiting), fitting, classes, taken, lost)


def is_owned(claim: Any, pod: Any) -> bool:
    """Whether a claim was made for that pod."""
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each["uid"] == pod["metadata"]["uid"] for each in owners)


def refuse_stranger(claim: Any, pod: Any) -> str:
    """That a claim has the name of one that a pod brings along, and is not it."""
    return (
        f"PVC {'/'.join(name_of(claim))} was not created for pod {'/'.join(name_of(pod))} (pod is not owner)"
    )


def _find(pod: Any, claims: Lookup) -> Iterator[Any]:
    """The claims of a pod, or what is the matter with one of them."""
    volumes: Sequence[Any] = pod["spec"].get("volumes") or ()
    for volume in volumes:
        found = claim_in(pod, volume)
        if found is None:
            continue
        name, is_own = found
        claim = claims(name)
        if claim is None:
            yield (
                f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                if is_own
                else f'persistentvolumeclaim "{name}" not found'
            )
        elif is_own and not is_owned(claim, pod):
            yield refuse_stranger(claim, pod)
        elif binding.phase_of(claim) == "Lost":
            lost = binding.volume_of(claim)
            yield f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"'
        elif is_deleting(claim):
            yield f'persistentvolumeclaim "{name}" is being deleted'
        else:
            yield claim
