"""Is this the object that is meant? Names, namespaces, uids and versions of what a writer sent. Pure.

The rule it keeps: what a writer says of an object's identity is believed only where it is true, and what only the
server writes is never taken from a writer.

Source: k8s.io/apiserver pkg/registry/rest (update.go, meta.go) and pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import BadRequest, Conflict, Invalid, invalid
from simcluster.registry.kinds import rules_of
from simcluster.registry.options import WriteOptions
from simcluster.schema import Resource

Object = dict[str, Any]

# What of the metadata only the server writes.
SYSTEM = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)


def require_newest(kind: Resource, old: Object, given: Object) -> None:
    """Refuse an object that is of another version, or another of the same name."""
    name = old["metadata"]["name"]
    version = given["metadata"].get("resourceVersion")
    if not version:
        if not rules_of(kind.name).unconditional:
            fault = invalid("metadata.resourceVersion", 0, "must be specified for an update")
            # This one refusal names the resource in place of the kind.
            raise Invalid(kind.name, name, [fault])
    elif not version.isdigit():
        text = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise Invalid(kind.qualified_kind, name, [invalid("metadata.resourceVersion", version, text)])
    elif version != old["metadata"]["resourceVersion"]:
        raise Conflict(kind.name, name)
    uid = given["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        held = old["metadata"]["uid"]
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held}"
        raise Conflict(kind.name, name, why)


def require_name(given: Any, name: str) -> None:
    """Refuse an object that says another name than the URL; one that says none, or is no object, says no other."""
    metadata = given.get("metadata") if isinstance(given, dict) else None
    said = (metadata.get("name") if isinstance(metadata, dict) else None) or name
    if said != name:
        raise BadRequest(f"the name of the object ({said}) does not match the name on the URL ({name})")


def require_same(kind: Resource, given: Object, namespace: str | None, name: str) -> None:
    """Refuse an object that is not the one the request is about."""
    given["metadata"].setdefault("name", name)
    require_name(given, name)
    place(kind, namespace, given)


def place(kind: Resource, namespace: str | None, obj: Object) -> None:
    """Give an object the namespace of the request; BadRequest if it says another."""
    metadata = obj["metadata"]
    if not kind.namespaced:
        metadata.pop("namespace", None)
        return
    said = metadata.setdefault("namespace", namespace)
    if namespace is not None and said != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if said is None:
        raise BadRequest(f"{kind.name} are in namespaces, and none is given")


def require_same_uid(kind: Resource, old: Object, given: Object) -> None:
    """Refuse a patch that changes the uid; in a replacement it is a precondition."""
    metadata = given.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    if uid and uid != old["metadata"]["uid"]:
        # A real server finds it twice.
        faults = [invalid("metadata.uid", uid, "field is immutable")] * 2
        raise Invalid(kind.qualified_kind, old["metadata"]["name"], faults)


def require_no_uid(kind: Resource, given: Object) -> None:
    """Refuse to create an object that is said to be there, by its uid."""
    metadata = given["metadata"]
    if metadata.get("uid"):
        text = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise Conflict(kind.name, metadata["name"], text)


def begin(metadata: Object, uid: str, created_at: str) -> None:
    """Give the metadata of a new object what of it only the server writes."""
    for key in SYSTEM:
        metadata.pop(key, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = created_at


def drop_twins(metadata: Object, options: WriteOptions) -> None:
    """Keep each reference to an owner once, and tell the writer which were there more often."""
    kept: list[Object] = []
    twins: list[str] = []
    for each in metadata.get("ownerReferences", ()):
        if each in kept:
            twins.append(each.get("uid", ""))
        else:
            kept.append(each)
    if twins:
        metadata["ownerReferences"] = kept
        when = " after mutating admission happens" if options.is_patch else ""
        options.warn(
            f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in "
            "1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) "
            f"observed: {', '.join(twins)}"
        )


def keep_system_metadata(new: Object, old: Object) -> None:
    """Give the metadata of a new state what of it only the server writes."""
    for key in SYSTEM:
        if key in old:
            new[key] = old[key]
        else:
            new.pop(key, None)
