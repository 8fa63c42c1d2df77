"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, numbered, each kept once.

The rule it keeps: a template that comes back takes up its old revision, under the next number; a revision is the
patch that would bring its template back, as `kubectl rollout undo` sends it. Sources: pkg/controller/history,
stateful_set_utils.go, pkg/controller/daemon/update.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy

from simcluster.controllers import ownership
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import annotations_of, labels_of, name_of, uid_of
from simcluster.controllers.revisions import encode_safely, is_same_template
from simcluster.errors import AlreadyExists
from simcluster.store import Object

REVISIONS = "controllerrevisions.apps"
HASH = "controller.kubernetes.io/hash"
POD_REVISION = "controller-revision-hash"
_LONGEST_PREFIX = 223


def template_in(revision: Object) -> Object:
    """The pod template that a revision holds."""
    kept = revision["data"]["spec"]["template"]
    return {key: value for key, value in kept.items() if key != "$patch"}


def hash_of(patch: Object, collisions: int) -> str:
    """The hash in a revision's name: FNV-1 of the patch as Go writes it and of the collision count."""
    text = json.dumps(patch, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    value = 2166136261
    for byte in f"{text}{collisions}".encode():
        value = value * 16777619 & 0xFFFFFFFF ^ byte
    return encode_safely(value)


def revision_for(owner: Object, number: int) -> Object:
    """The revision of the template that `owner` has now."""
    patch = {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}
    mark = hash_of(patch, (owner.get("status") or {}).get("collisionCount") or 0)
    labels = labels_of(owner["spec"]["template"]) | {HASH: mark}
    if owner["kind"] == "DaemonSet":
        labels = labels_of(owner["spec"]["template"]) | {POD_REVISION: mark}
    metadata = {
        "name": f"{name_of(owner)[1][:_LONGEST_PREFIX]}-{mark}",
        "namespace": name_of(owner)[0],
        "labels": labels,
        "ownerReferences": [ownership.reference_to(owner)],
    }
    if annotations_of(owner):
        metadata["annotations"] = annotations_of(owner)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "data": patch,
        "revision": number,
    }


def order(revisions: Iterable[Object]) -> list[Object]:
    """Revisions, lowest number first."""
    return sorted(revisions, key=lambda each: (each["revision"], each["metadata"]["creationTimestamp"]))


def excess(revisions: Sequence[Object], live: set[str], limit: int) -> list[Object]:
    """The revisions beyond the `limit` that are to be kept, lowest first; never one whose name is in `live`."""
    idle = [each for each in revisions if name_of(each)[1] not in live]
    return idle[: max(0, len(idle) - limit)]


class History:
    """Writes the revisions of StatefulSets and DaemonSets."""

    def __init__(self, context: Context) -> None:
        self._registry = context.registry
        self._revisions = context.informers.of(REVISIONS)

    def of(self, owner: Object) -> list[Object]:
        """The owner's revisions, lowest number first; those that its selector says are adopted or let go."""
        candidates = [*self._revisions.owned(uid_of(owner)), *self._revisions.orphans(name_of(owner)[0])]
        claimed = ownership.claim(owner, candidates)
        for each in claimed.release:
            self._registry.update(REVISIONS, *name_of(each), ownership.released(owner, each))
        adopted = [
            self._registry.update(REVISIONS, *name_of(each), ownership.adopted(owner, each))
            for each in claimed.adopt
        ]
        return order([*claimed.kept, *adopted])

    def ensure_newest(self, owner: Object, revisions: Sequence[Object]) -> tuple[Object, list[Object]]:
        """Return the revision of the template that there is now, made or renumbered if need be, and all revisions.

        AlreadyExists if its name is taken by another template.
        """
        template = owner["spec"]["template"]
        equal = [each for each in revisions if is_same_template(template_in(each), template)]
        highest = revisions[-1]["revision"] if revisions else 0
        if not equal:
            newest = self._create(owner, highest + 1)
        elif equal[-1]["revision"] < highest:
            copy = deepcopy(equal[-1]) | {"revision": highest + 1}
            newest = self._registry.update(REVISIONS, *name_of(copy), copy)
        else:
            newest = equal[-1]
        others = [each for each in revisions if uid_of(each) != uid_of(newest)]
        return newest, order([*others, newest])

    def _create(self, owner: Object, number: int) -> Object:
        new = revision_for(owner, number)
        try:
            created: Object = self._registry.create(REVISIONS, name_of(owner)[0], new)
        except AlreadyExists:
            there = self._revisions.get(name_of(new))
            if there is not None and there.get("data") == new["data"]:
                return there
            raise
        return created

    def truncate(self, revisions: Sequence[Object], live: set[str], limit: int) -> None:
        """Delete what is beyond the `limit` of revisions that are not live."""
        for each in excess(revisions, live, limit):
            self._registry.delete(REVISIONS, *name_of(each), uid=uid_of(each))
