"""The garbage collector: deletes what has lost its owners, and does the two other ways of deleting.

The rule it keeps: the uid decides whether an owner is there, and one in another namespace is not. An object goes
when none of its owners is left (background), an owner waits for those that block it (foreground), or its
dependents are set free first (orphan). An owner of a kind that is not known here counts as there: nothing is
deleted on a guess. Source: pkg/controller/garbagecollector/garbagecollector.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from simcluster.controllers.informers import Handler
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import is_deleting, name_of, uid_of
from simcluster.errors import NotFound
from simcluster.schema import Resource
from simcluster.store import Object

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

Key = tuple[str, str, str]  # resource, namespace, name
Reference = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an object by its owners: `delete` is the propagation policy, None to keep it."""

    delete: str | None = None
    references: tuple[Reference, ...] | None = None  # to be written instead of the present ones


def judge(
    obj: Object, solid: Sequence[Reference], waiting: Sequence[Reference], *, has_dependents: bool
) -> Verdict:
    """Decide on an object that has owner references.

    `solid` owners are there to stay, `waiting` ones are there and being deleted in the foreground.
    """
    references = obj["metadata"]["ownerReferences"]
    if solid:
        return Verdict() if len(solid) == len(references) else Verdict(references=tuple(solid))
    if waiting and has_dependents:
        return Verdict(delete="Foreground")
    finalizers = obj["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        return Verdict(delete="Orphan")
    return Verdict(delete="Foreground" if FOREGROUND in finalizers else "Background")


class GarbageCollector:
    """Follows the owner references of all `resources`."""

    def __init__(self, context: Context, *, resources: Sequence[Resource]) -> None:
        self._registry = context.registry
        self._informers = {each.name: context.informers.of(each.name) for each in resources}
        self._kinds = {(each.group, each.kind) for each in resources}
        self._where: dict[str, Key] = {}
        self._dependents: dict[str, set[Key]] = {}
        self.loop: ControlLoop[Key] = ControlLoop("garbage", context, self.sync)
        for each in resources:
            self._informers[each.name].handle(self._on(each.name))

    def sync(self, key: Key) -> None:
        """Do with one object what its finalizers or its owners ask for."""
        obj = self._get(key)
        if obj is None:
            return
        if is_deleting(obj):
            finalizers = obj["metadata"].get("finalizers") or ()
            if ORPHAN in finalizers:
                self._orphan(key, obj)
            elif FOREGROUND in finalizers:
                self._wait_for_dependents(key, obj)
            return
        if obj["metadata"].get("ownerReferences"):
            self._collect(key, obj)

    def _collect(self, key: Key, obj: Object) -> None:
        solid, waiting = [], []
        for reference in obj["metadata"]["ownerReferences"]:
            owner = self._owner(obj, reference)
            if owner is not None and not _deletes_in_foreground(owner):
                solid.append(reference)
            elif owner is not None:
                waiting.append(reference)
            elif not self._is_known(reference):
                solid.append(reference)
        dependents = self._dependents.get(uid_of(obj), ())
        verdict = judge(obj, solid, waiting, has_dependents=bool(dependents))
        if verdict.references is not None:
            self._write(key, obj, ownerReferences=list(verdict.references))
        if verdict.delete is None:
            return
        if verdict.delete == "Foreground":
            self._break_circle(dependents, uid_of(obj))
        try:
            self._registry.delete(*key, uid=uid_of(obj), propagation=verdict.delete)
        except NotFound:
            return

    def _break_circle(self, dependents: Iterable[Key], uid: str) -> None:
        """A dependent that waits for its own dependents must not be waited for: they may be owners of this one."""
        for key in tuple(dependents):
            dependent = self._get(key)
            if dependent is not None and _deletes_in_foreground(dependent):
                references = deepcopy(dependent["metadata"]["ownerReferences"])
                for reference in references:
                    if reference["uid"] == uid:
                        reference["blockOwnerDeletion"] = False
                self._write(key, dependent, ownerReferences=references)

    def _wait_for_dependents(self, key: Key, obj: Object) -> None:
        dependents = tuple(self._dependents.get(uid_of(obj), ()))
        if not any(_blocks(self._get(each), uid_of(obj)) for each in dependents):
            self._drop_finalizer(key, obj, FOREGROUND)
        # Those that do not block go as well, while the others are waited for.
        for each in dependents:
            self.loop.queue.add(each)

    def _orphan(self, key: Key, obj: Object) -> None:
        for each in tuple(self._dependents.get(uid_of(obj), ())):
            dependent = self._get(each)
            if dependent is not None:
                references = dependent["metadata"].get("ownerReferences") or ()
                rest = [reference for reference in references if reference["uid"] != uid_of(obj)]
                self._write(each, dependent, ownerReferences=rest)
        self._drop_finalizer(key, obj, ORPHAN)

    def _drop_finalizer(self, key: Key, obj: Object, finalizer: str) -> None:
        rest = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        self._write(key, obj, finalizers=rest)

    def _write(self, key: Key, obj: Object, **metadata: Any) -> None:
        copy = deepcopy(obj)
        copy["metadata"] |= metadata
        self._registry.update(*key, copy)

    # --- What there is

    def _get(self, key: Key) -> Object | None:
        return self._informers[key[0]].get(key[1:])

    def _owner(self, obj: Object, reference: Reference) -> Object | None:
        where = self._where.get(reference["uid"])
        if where is None or where[1] not in ("", name_of(obj)[0]):
            return None
        owner = self._get(where)
        is_it = owner is not None and owner["kind"] == reference["kind"] and where[2] == reference["name"]
        return owner if is_it else None

    def _is_known(self, reference: Reference) -> bool:
        group, _, version = reference["apiVersion"].rpartition("/")
        return bool(version) and (group, reference["kind"]) in self._kinds

    def _on(self, resource: str) -> Handler:
        def on_change(old: Object | None, new: Object | None) -> None:
            obj = new if new is not None else old
            if obj is None:
                return
            key = (resource, *name_of(obj))
            before, after = _owners(old), _owners(new)
            for uid in before - after:
                self._forget(uid, key)
            for uid in after - before:
                self._dependents.setdefault(uid, set()).add(key)
            if new is None:
                self._where.pop(uid_of(obj), None)
                self._enqueue_all(self._dependents.get(uid_of(obj), ()))
            else:
                self._where[uid_of(obj)] = key
                if is_deleting(new) or before != after:
                    self.loop.queue.add(key)
            for uid in before | after:
                self._enqueue_waiting(uid)

        return on_change

    def _forget(self, uid: str, key: Key) -> None:
        dependents = self._dependents.get(uid, set())
        dependents.discard(key)
        if not dependents:
            self._dependents.pop(uid, None)

    def _enqueue_all(self, keys: Iterable[Key]) -> None:
        for key in tuple(keys):
            self.loop.queue.add(key)

    def _enqueue_waiting(self, uid: str) -> None:
        """An owner that waits for its dependents looks again when one of them changes."""
        where = self._where.get(uid)
        owner = None if where is None else self._get(where)
        if where is not None and owner is not None and is_deleting(owner):
            self.loop.queue.add(where)


def _owners(obj: Object | None) -> set[str]:
    references = [] if obj is None else obj["metadata"].get("ownerReferences") or []
    return {reference["uid"] for reference in references}


def _deletes_in_foreground(obj: Object) -> bool:
    return is_deleting(obj) and FOREGROUND in (obj["metadata"].get("finalizers") or ())


def _blocks(dependent: Object | None, uid: str) -> bool:
    references = [] if dependent is None else dependent["metadata"].get("ownerReferences") or []
    return any(each["uid"] == uid and each.get("blockOwnerDeletion") for each in references)
