"""What the API server refuses of a pod's volumes. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateVolumes and what it calls).
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, duplicate, forbidden, invalid, required, unsupported
from simcluster.registry import checks
from simcluster.registry.naming import complain_label
from simcluster.schema import quantities

Object = dict[str, Any]
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_DOWNWARD = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
# Of the sources that a volume may have, the field that must say something.
_NEEDED = {
    "configMap": "name",
    "secret": "secretName",
    "persistentVolumeClaim": "claimName",
    "hostPath": "path",
    "csi": "driver",
}


def find_faults(volumes: list[Object], at: str) -> list[Cause]:
    """Return what is wrong with volumes that stand at a field."""
    found: list[Cause] = []
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        where = f"{at}[{index}]"
        own = _find_source_faults(volume, where)
        name = volume.get("name", "")
        if not name:
            own.append(required(f"{where}.name"))
        else:
            own += checks.apply_rule(complain_label, name, f"{where}.name")
            if name in names:
                own.append(duplicate(f"{where}.name", name))
        # Only a volume that is well takes its name.
        names |= set() if own else {name}
        found += own
    return found


def _find_source_faults(volume: Object, at: str) -> list[Cause]:
    kinds = [key for key in volume if key != "name"]
    found: list[Cause] = []
    for number, kind in enumerate(sorted(kinds, key=_rank)):
        if number:
            found.append(forbidden(f"{at}.{kind}", "may not specify more than 1 volume type"))
        else:
            found += _find_one_fault(kind, volume[kind], f"{at}.{kind}")
    return found


def _rank(kind: str) -> int:
    return 0 if kind == "emptyDir" else 1


def _find_one_fault(kind: str, source: Object, at: str) -> list[Cause]:
    needed = _NEEDED.get(kind)
    found = [required(f"{at}.{needed}")] if needed is not None and not source.get(needed) else []
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        found.append(invalid(f"{at}.defaultMode", mode, _MODE))
    if kind in ("configMap", "secret"):
        found += _find_item_faults(source.get("items", ()), f"{at}.items")
    if kind == "hostPath" and ".." in source.get("path", "").split("/"):
        found.append(invalid(f"{at}.path", source["path"], "must not contain '..'"))
    if kind == "downwardAPI":
        for item in source.get("items", ()):
            found += _find_downward_faults(item, at)
    if kind == "emptyDir" and quantities.parse(source.get("sizeLimit", "0")) < 0:
        found.append(forbidden(f"{at}.sizeLimit", "SizeLimit field must be a valid resource quantity"))
    if kind == "projected":
        found += _find_projected_faults(source, at)
    if kind == "nfs":
        found += [] if source.get("server") else [required(f"{at}.server")]
        path = source.get("path", "")
        if not path:
            found.append(required(f"{at}.path"))
        elif not path.startswith("/"):
            found.append(invalid(f"{at}.path", path, "must be an absolute path"))
    return found


def _find_item_faults(items: Any, at: str) -> list[Cause]:
    found: list[Cause] = []
    for index, item in enumerate(items):
        where = f"{at}[{index}]"
        found += [] if item.get("key") else [required(f"{where}.key")]
        found += _find_path_faults(item.get("path", ""), f"{where}.path")
        mode = item.get("mode")
        if mode is not None and not 0 <= mode <= 0o777:
            found.append(invalid(f"{where}.mode", mode, _MODE))
    return found


def _find_path_faults(path: str, at: str) -> list[Cause]:
    if not path:
        return [required(at)]
    if path.startswith("/"):
        return [invalid(at, path, "must be a relative path")]
    return [invalid(at, path, "must not contain '..'")] if ".." in path.split("/") else []


def _find_downward_faults(item: Object, at: str) -> list[Cause]:
    found = _find_path_faults(item.get("path", ""), f"{at}.path")
    path = item.get("fieldRef", {}).get("fieldPath")
    if path is not None and path.partition("[")[0] not in _DOWNWARD:
        found.append(unsupported(f"{at}.fieldRef.fieldPath", path, _DOWNWARD))
    return found


def _find_projected_faults(source: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    for index, each in enumerate(source.get("sources", ())):
        where = f"{at}.sources[{index}]"
        for kind in ("configMap", "secret"):
            if kind in each:
                found += [] if each[kind].get("name") else [required(f"{where}.{kind}.name")]
                found += _find_item_faults(each[kind].get("items", ()), f"{where}.{kind}.items")
        for item in each.get("downwardAPI", {}).get("items", ()):
            found += _find_downward_faults(item, f"{where}.downwardAPI")
        token = each.get("serviceAccountToken")
        if token is not None:
            seconds = token.get("expirationSeconds", 3600)
            if seconds < 600:
                text = "may not specify a duration less than 10 minutes"
                found.append(invalid(f"{where}.serviceAccountToken.expirationSeconds", seconds, text))
            found += [] if token.get("path") else [required(f"{at}.path")]
    return found
