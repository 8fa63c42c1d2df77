"""Names, labels and annotations: what Kubernetes allows, and the names that it makes up.

The rule it keeps: texts of refusals are the real ones, word for word. It is pure; chance comes in.

Sources: k8s.io/apimachinery pkg/api/validation/objectmeta.go, pkg/util/validation/validation.go and
k8s.io/apiserver pkg/storage/names/generate.go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simcluster.errors import Cause, forbidden, invalid, required
from simcluster.labels import LABEL, complain_key, complain_subdomain, complain_value, matcher

_ANNOTATIONS_BYTES = 256 * 1024

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
    "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{LABEL}')"
)
# Characters of generated names: no vowels and nothing that is mistaken for something else.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
GENERATED = 5
LONGEST_BASE = 63 - GENERATED
# Bytes of the name of a field manager.
LONGEST_MANAGER = 128


_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
complain_label = matcher(LABEL, LABEL_TEXT, 63)


def complain_path_segment(name: str) -> list[str]:
    """Return what is wrong with a name that only has to fit into a URL: roles and their bindings."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def _complain_undotted(name: str) -> list[str]:
    """Return what is wrong with a name that is one label."""
    return ["must not contain dots"] if "." in name else complain_label(name)


# Kinds whose names are not DNS subdomains.
_RULES: dict[str, Callable[[str], list[str]]] = {
    "namespaces": _complain_undotted,
    "services": _complain_undotted,
    "roles.rbac.authorization.k8s.io": complain_path_segment,
    "clusterroles.rbac.authorization.k8s.io": complain_path_segment,
    "rolebindings.rbac.authorization.k8s.io": complain_path_segment,
    "clusterrolebindings.rbac.authorization.k8s.io": complain_path_segment,
    "jobs.batch": complain_subdomain,
}


# The bits of a UUID that say its variant and version, and what they say in a random one (RFC 9562).
_MARKED, _RANDOM = 0xF000C000 << 48, 0x40008000 << 48


def find_faults(resource: str, metadata: Mapping[str, Any]) -> list[Cause]:
    """Return what is wrong with an object's metadata."""
    found: list[Cause] = []
    name = metadata.get("name", "")
    if name:
        rule = _RULES.get(resource, complain_subdomain)
        found += [invalid("metadata.name", name, text) for text in rule(name)]
    else:
        found.append(required("metadata.name", "name or generateName is required"))
    found += find_label_faults(metadata.get("labels", {}), "metadata.labels")
    found += _find_annotation_faults(metadata.get("annotations", {}))
    found += _find_owner_faults(metadata.get("ownerReferences", ()))
    finalizers = metadata.get("finalizers", ())
    for finalizer in finalizers:
        found += [invalid("metadata.finalizers", finalizer, text) for text in complain_key(finalizer)]
    for index, finalizer in enumerate(finalizers):
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(invalid(f"metadata.finalizers[{index}]", finalizer, text))
    return found


def _find_owner_faults(owners: Sequence[Mapping[str, Any]]) -> list[Cause]:
    at = "metadata.ownerReferences"
    found: list[Cause] = []
    for owner in owners:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = "version must not be empty" if key == "apiVersion" else "must not be empty"
                found.append(invalid(f"{at}.{key}", owner.get(key, ""), text))
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            found.append(invalid(at, owner, "/v1, Kind=Event is disallowed from being an owner"))
    controllers = [
        f"{each.get('kind', '')}/{each.get('name', '')}" for each in owners if each.get("controller")
    ]
    if len(controllers) > 1:
        text = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        found.append(invalid(at, owners, text))
    return found


def find_label_faults(labels: Mapping[str, str], at: str) -> list[Cause]:
    """Return what is wrong with labels that stand at a field."""
    found: list[Cause] = []
    for key, value in labels.items():
        found += [invalid(at, key, text) for text in complain_key(key)]
        found += [invalid(at, value, text) for text in complain_value(value)]
    return found


def _find_annotation_faults(annotations: Mapping[str, str]) -> list[Cause]:
    at = "metadata.annotations"
    found = [invalid(at, key, text) for key in annotations for text in complain_key(key.lower())]
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_BYTES:
        found.append(
            Cause("FieldValueTooLong", f"Too long: may not be more than {_ANNOTATIONS_BYTES} bytes", at)
        )
    return found


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Cause]:
    """Return the changes to metadata that no update may make."""
    found = [
        invalid(f"metadata.{key}", new.get(key, ""), "field is immutable")
        for key in ("name", "namespace", "uid")
        if old.get(key) != new.get(key)
    ]
    if "deletionTimestamp" in old:
        added = [each for each in new.get("finalizers", ()) if each not in old.get("finalizers", ())]
        if added:
            listed = ", ".join(f'"{each}"' for each in added)
            why = "no new finalizers can be added if the object is being deleted, found new finalizers"
            text = f"{why} []string{{{listed}}}"
            found.append(forbidden("metadata.finalizers", text))
    return found


def find_manager_faults(manager: str, at: str) -> list[Cause]:
    """Return what is wrong with the name of a field manager."""
    found: list[Cause] = []
    if len(manager.encode()) > LONGEST_MANAGER:
        found.append(
            Cause("FieldValueTooLong", f"Too long: may not be more than {LONGEST_MANAGER} bytes", at)
        )
    for index, char in enumerate(manager):
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {index})"
            found.append(invalid(at, manager, text))
    return found


def name_manager(agent: str) -> str:
    """Return who writes, for a client that does not say: its User-Agent up to the first slash."""
    named = "".join(char for char in agent.partition("/")[0] if char.isprintable())
    return named.encode()[:LONGEST_MANAGER].decode(errors="ignore")


def generate_name(base: str, chance: random.Random) -> str:
    """Return a name that begins as `base` and ends in five random characters."""
    return base[:LONGEST_BASE] + "".join(chance.choice(ALPHABET) for _ in range(GENERATED))


def fill_name(resource: str, metadata: dict[str, Any], chance: random.Random) -> None:
    """Give an object the name that it leaves to be made up."""
    if metadata.get("name"):
        return
    if metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"], chance)
    elif resource == "limitranges":
        metadata["name"] = make_uid(chance)


def name_given(metadata: Mapping[str, Any]) -> str:
    """Return what a new object was sent with: its name, or the base of the name that was made up since."""
    name: str = metadata.get("name", "")
    base: str = metadata.get("generateName", "")
    is_made_up = base and name.startswith(base[:LONGEST_BASE])
    return base if is_made_up and len(name) == len(base[:LONGEST_BASE]) + GENERATED else name


def make_uid(chance: random.Random) -> str:
    """Return a random (version 4) UUID."""
    # By hand: uuid.UUID takes ten times as long.
    digits = f"{chance.getrandbits(128) & ~_MARKED | _RANDOM:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
