"""Reads and writes of objects, with all that a Kubernetes API server does to them on the way.

The rule it keeps: nothing reaches the store that the kind's type and rules do not allow, and every reader gets the
same shared object, which nobody may mutate. Creations, updates and patches go one way: read as the type, filled in,
checked, stored; so what holds for one holds for all.

It is synchronous and belongs to one thread. It asks no clock and no chance of its own. Users, their rights, HTTP
and the controllers' work are not its part.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simcluster.errors import (
    AlreadyExists,
    BadRequest,
    Invalid,
    NotFound,
    ResourceNotFound,
    StatusError,
    TooLargeVersion,
    Unreadable,
)
from simcluster.patches import PatchType, apply_patch, misread
from simcluster.registry import deletion, eviction, identity, pod_parts, services, subresources
from simcluster.registry.admission import check_deletion, check_namespace
from simcluster.registry.event_views import EventViewStore
from simcluster.registry.instants import format_time
from simcluster.registry.kinds import rules_of
from simcluster.registry.managers import apply_scale, apply_write, keep_times, track_write
from simcluster.registry.naming import fill_name, find_changes, find_faults, make_uid
from simcluster.registry.options import DeleteOptions, WriteOptions
from simcluster.registry.reading import drop_status, read, read_scale
from simcluster.registry.scale import rescale, show_scale
from simcluster.registry.subresources import bound, combine, spec_of
from simcluster.registry.subscriptions import Subscription
from simcluster.registry.warnings import tell
from simcluster.schema import Catalogue, Resource, Type
from simcluster.selectors import EVERYTHING, Selector
from simcluster.store import Event, Key, Object, Record, Store

Objects = list[Object]
_ATTEMPTS = 8


class Registry:
    """All objects of one cluster. `clock` gives seconds since the epoch, `chance` names and uids."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float],
        chance: random.Random,
        store: Store | None = None,
        addresses: services.Addresses | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.store = EventViewStore() if store is None else store
        self.addresses = addresses
        self.clock = clock
        self._chance = chance
        self.usual = WriteOptions()

    @property
    def revision(self) -> int:
        """The revision of the newest write."""
        return self.store.revision

    def resource(self, name: str) -> Resource:
        """Return the resource called `plural[.group]`; 404 if it is not served."""
        found = self.catalogue.resources.get(name)
        if found is None:
            raise ResourceNotFound
        return found

    def get(
        self, resource: str, namespace: str | None, name: str, *, subresource: str | None = None
    ) -> Object:
        """Return one object (or its Scale); NotFound if there is none."""
        obj = self.record(resource, namespace, name).object
        return show_scale(obj) if subresource == "scale" else obj

    def record(self, resource: str, namespace: str | None, name: str) -> Record:
        """Return one object's newest state as the store has it; NotFound if there is none."""
        found = self.store.get(self._key(resource, namespace, name))
        if found is None:
            raise NotFound(resource, name)
        return found

    def list(
        self, resource: str, namespace: str | None = None, selector: Selector = EVERYTHING
    ) -> tuple[Objects, int]:
        """Return the objects of a resource that match, by namespace and name, and the revision they are of."""
        records = self.store.list(resource, namespace)
        objects = [record.object for record in records]
        if not selector.everything:
            objects = [obj for obj in objects if selector.matches(obj)]
        return objects, self.store.revision

    def watch(self, resource: str, namespace: str | None = None, since: int | None = None) -> Subscription:
        """Return the events after `since`; None gives all present objects as ADDED first.

        Expired if that revision is compacted, TooLargeVersion if it lies in the future.
        """
        self.resource(resource)
        if since is None:
            begin = [Event("ADDED", record) for record in self.store.list(resource, namespace)]
        elif since > self.store.revision:
            raise TooLargeVersion(since, self.store.revision)
        else:
            begin = self.store.events_after(since, resource, namespace)
        return Subscription(self.store, resource, namespace, begin)

    def listen(self, resource: str, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` within each later write; it must not write. Returns what ends that."""
        return self.store.listen(resource, listener)

    def compact(self, revision: int) -> None:
        """Forget the history up to a revision: watches and lists from before it are Expired."""
        self.store.compact(revision)

    def acting_as(self, manager: str) -> Registry:
        """Return this registry for somebody inside the cluster, who then owns the fields that it writes."""
        view = copy.copy(self)
        view.usual = WriteOptions(field_manager=manager)
        return view

    def create(
        self, resource: str, namespace: str | None, obj: Any, *, options: WriteOptions | None = None
    ) -> Object:
        """Store a new object and return it as it was stored."""
        kind = self.resource(resource)
        options = self.usual if options is None else options
        new = read(kind, obj, options)
        self._track(kind, None, new, None, options)
        return self._create(kind, namespace, new, options)

    def _create(self, kind: Resource, namespace: str | None, given: Object, options: WriteOptions) -> Object:
        resource = kind.name
        new = drop_status(kind, given)
        is_named = "name" in new["metadata"]
        identity.place(kind, namespace, new)
        check_namespace(kind, new["metadata"], self.store)
        if new["metadata"].pop("resourceVersion", None):
            raise StatusError("resourceVersion should not be set on objects to be created", reason="")
        for attempt in range(_ATTEMPTS):
            fill_name(resource, new["metadata"], self._chance)
            key = self._key(resource, new["metadata"].get("namespace"), new["metadata"].get("name", ""))
            taken = self.store.get(key)
            if taken is None or is_named or attempt == _ATTEMPTS - 1:
                break
            del new["metadata"]["name"]
        self._begin(kind, new)
        options.admit(new, None)
        self._check(kind, new, None, None, options)
        if taken is not None:
            # What is wrong or not allowed is said before.
            is_ending = "deletionTimestamp" in taken.object["metadata"]
            raise AlreadyExists(resource, key.name, is_ending=is_ending)
        if resource == "services":
            services.allocate(new, None, self)
        if options.dry_run:
            if resource == "services":
                services.release(new, self)
            return new
        return self.store.put(key, new).object

    def update(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        obj: Any,
        *,
        subresource: str | None = None,
        options: WriteOptions | None = None,
    ) -> Object:
        """Replace an object (or what a subresource shows of it) and return what is stored then.

        Conflict if `obj` carries a resourceVersion that is not the newest.
        """
        kind = self.resource(resource)
        options = self.usual if options is None else options
        old = self.get(resource, namespace, name)
        if subresource == "scale":
            scale = read_scale(self._scale_type(), obj, options)
            identity.require_name(scale, name)
            given = rescale(old, scale)
            self._track(kind, old, given, subresource, options)
            return show_scale(self._replace(kind, old, given, None, options))
        given = read(kind, obj, options, beside=old if subresource == "status" else None)
        identity.require_same(kind, given, namespace, name)
        given = pod_parts.reach(old, given, subresource)
        self._track(kind, old, given, subresource, options)
        return self._replace(kind, old, given, subresource, options)

    def patch(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        patch: Any,
        patch_type: PatchType,
        *,
        subresource: str | None = None,
        options: WriteOptions | None = None,
    ) -> Object:
        """Change an object (or what a subresource shows of it) by a patch and return what is stored then."""
        kind = self.resource(resource)
        shown = self.get(resource, namespace, name, subresource=subresource)
        type_ = self._scale_type() if subresource == "scale" else kind.type
        patched = apply_patch(shown, patch, patch_type, type_)
        identity.require_same_uid(kind, shown, patched)
        try:
            return self.update(resource, namespace, name, patched, subresource=subresource, options=options)
        except Unreadable as error:
            raise misread(patch, patched, patch_type, error.why) from error

    def apply(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        applied: Any,
        *,
        subresource: str | None = None,
        options: WriteOptions,
    ) -> tuple[Object, bool]:
        """Apply what somebody wants of an object; return what is stored then, and whether it is new."""
        kind = self.resource(resource)
        now = format_time(self.clock())
        record = self.store.get(self._key(resource, namespace, name))
        if record is None and subresource in ("scale", *pod_parts.PARTS):
            raise NotFound(resource, name)
        old = None if record is None else record.object
        if subresource == "scale" and old is not None:
            given = apply_scale(self._scale_type(), kind, old, applied, options, now)
            return show_scale(self._replace(kind, old, given, None, options)), False
        merged = apply_write(kind, old, applied, subresource=subresource, options=options, now=now)
        if options.complaints and options.field_validation == "Strict":
            raise BadRequest(
                f"error strict decoding YAML: error converting YAML to JSON: {options.complaints[0]}"
            )
        given = read(kind, merged, options)
        identity.require_same(kind, given, namespace, name)
        if old is not None:
            identity.require_same_uid(kind, old, given)
        else:
            identity.require_no_uid(kind, given)
            given["metadata"].pop("resourceVersion", None)
            return self._create(kind, namespace, given, options), True
        return self._replace(kind, old, pod_parts.reach(old, given, subresource), subresource, options), False

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_s: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Delete an object, or begin to: with grace or finalizers it stays and carries a deletionTimestamp.

        Returns its last state, or its state now if it stays. Conflict if it is not the one meant.
        """
        options = DeleteOptions(
            grace_s=grace_s,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            dry_run=dry_run,
        )
        return self._delete(resource, namespace, name, options)

    def _delete(self, resource: str, namespace: str | None, name: str, options: DeleteOptions) -> Object:
        kind = self.resource(resource)
        check_deletion(resource, name)
        record = self.record(resource, namespace, name)
        deletion.check_preconditions(kind.qualified_kind, record.object, options)
        marked = deletion.mark(resource, record.object, options, self.clock())
        if marked is None:
            return record.object
        if options.dry_run:
            return marked
        if deletion.is_removed(resource, marked):
            return self._remove(kind, record.key, marked)
        return self.store.put(record.key, marked).object

    def bind(self, namespace: str, name: str, node: str) -> Object:
        """Give a pod to a node, as the scheduler does through pods/binding; Conflict if it has one."""
        record = self.record("pods", namespace, name)
        return self.store.put(record.key, bound(record.object, node, self.clock())).object

    def evict(self, namespace: str, name: str, *, options: DeleteOptions) -> Object:
        """Delete a pod as an Eviction does: TooManyRequests if its disruption budget has none to spare."""
        pod = self.get("pods", namespace, name)
        permit = eviction.decide(pod, self.list(eviction.BUDGETS, namespace)[0], self.clock())
        deletion.check_preconditions("Pod", pod, options)
        if options.dry_run:
            return self._delete("pods", namespace, name, options)
        if permit.budget is not None:
            spent = permit.budget["metadata"]["name"]
            self.update(eviction.BUDGETS, namespace, spent, permit.budget, subresource="status")
        marked = self.update(
            "pods", namespace, name, eviction.targeted(pod, self.clock()), subresource="status"
        )
        if options.resource_version is not None:
            options = replace(options, resource_version=marked["metadata"]["resourceVersion"])
        return self._delete("pods", namespace, name, options)

    def _replace(
        self, kind: Resource, old: Object, given: Object, subresource: str | None, options: WriteOptions
    ) -> Object:
        identity.require_newest(kind, old, given)
        new = combine(kind.name, old, given, subresource)
        identity.keep_system_metadata(new["metadata"], old["metadata"])
        managed = given["metadata"].get("managedFields")
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        else:
            new["metadata"].pop("managedFields", None)
        rules = rules_of(kind.name)
        if subresource is None:
            rules.prepare(new, old, self)
        else:
            pod_parts.prepare(new, subresource, self)
        if (
            rules.generation
            and rules.counted
            and subresource in pod_parts.COUNTED
            and spec_of(new) != spec_of(old)
        ):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        options.admit(new, old)
        self._check(kind, new, old, subresource, options)
        new = keep_times(old, new)
        if options.dry_run:
            return new
        if kind.name == "services":
            services.allocate(new, old, self)
        key = self._key(kind.name, old["metadata"].get("namespace"), old["metadata"]["name"])
        if deletion.is_removed(kind.name, new):
            return self._remove(kind, key, new)
        return self.store.put(key, new).object

    def _track(
        self, kind: Resource, old: Object | None, new: Object, subresource: str | None, options: WriteOptions
    ) -> None:
        now = format_time(self.clock())
        track_write(kind, old, new, subresource=subresource, options=options, now=now)

    def _remove(self, kind: Resource, key: Key, last: Object) -> Object:
        removed = self.store.remove(key, last).object
        release = rules_of(kind.name).release
        if release is not None:
            release(removed, self)
        return removed

    def _scale_type(self) -> Type:
        return self.catalogue.type_of("autoscaling", "v1", "Scale")

    def _begin(self, kind: Resource, new: Object) -> None:
        """Give a new object what every new object gets, and what its kind gives it."""
        rules = rules_of(kind.name)
        identity.begin(new["metadata"], make_uid(self._chance), format_time(self.clock()))
        if rules.generation:
            new["metadata"]["generation"] = 1
        rules.prepare(new, None, self)

    def _check(
        self,
        kind: Resource,
        new: Object,
        old: Object | None,
        subresource: str | None,
        options: WriteOptions,
    ) -> None:
        identity.drop_twins(new["metadata"], options)
        found = find_faults(kind.name, new["metadata"])
        if old is not None:
            found += find_changes(old["metadata"], new["metadata"])
        found += subresources.find_faults(kind.name, new, old, subresource)
        if found:
            raise Invalid(kind.qualified_kind, new["metadata"].get("name", ""), found)
        tell(kind.name, new, old, subresource, options, self.catalogue.minor)
        rules_of(kind.name).permit(new, old, subresource, self)

    def _key(self, resource: str, namespace: str | None, name: str) -> Key:
        kind = self.resource(resource)
        return Key(resource, namespace if kind.namespaced and namespace is not None else "", name)
