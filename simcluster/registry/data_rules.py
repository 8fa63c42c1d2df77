"""What the API server refuses of ConfigMaps and Secrets. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateConfigMap, ValidateSecret and their updates).
"""

from __future__ import annotations

import base64
import json
from typing import Any

from simcluster.errors import Cause, forbidden, invalid, required
from simcluster.registry import checks

Object = dict[str, Any]
_LARGEST = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_ACCOUNT = "kubernetes.io/service-account.name"
# Of these types of Secret, the keys that must be there.
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def find_config_map_faults(config: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a ConfigMap."""
    data, binary = config.get("data", {}), config.get("binaryData", {})
    found = _find_key_faults(data, "data")
    text = "duplicate of key present in binaryData"
    found += [invalid(f"data[{key}]", key, text) for key in data if key in binary]
    found += _find_key_faults(binary, "binaryData")
    size = sum(len(value.encode()) for value in data.values())
    found += _find_size_fault(size + sum(len(value) * 3 // 4 for value in binary.values()), "[]")
    return found + _find_changes(config, old, ("data", "binaryData"))


def find_secret_faults(secret: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a Secret."""
    data, kind = secret.get("data", {}), secret["type"]
    found = _find_key_faults(data, "data")
    found += _find_size_fault(sum(len(value) * 3 // 4 for value in data.values()), "data")
    if kind == "kubernetes.io/service-account-token":
        if not secret["metadata"].get("annotations", {}).get(_ACCOUNT):
            found.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        found += [required("data[username]"), required("data[password]")]
    for key in _NEEDED.get(kind, ()):
        if key not in data:
            found.append(required(f"data[{key}]"))
        elif "docker" in kind:
            found += _find_json_fault(data[key], f"data[{key}]")
    if old is not None and kind != old["type"]:
        found.insert(0, invalid("type", kind, "field is immutable"))
    return found + _find_changes(secret, old, ("data",))


def _find_key_faults(data: Object, at: str) -> list[Cause]:
    return [
        fault for key in data for fault in checks.apply_rule(checks.complain_data_key, key, f"{at}[{key}]")
    ]


def _find_size_fault(size: int, at: str) -> list[Cause]:
    if size <= _LARGEST:
        return []
    return [Cause("FieldValueTooLong", f"Too long: may not be more than {_LARGEST} bytes", at)]


def _find_json_fault(encoded: str, at: str) -> list[Cause]:
    text = base64.b64decode(encoded).decode(errors="replace")
    try:
        json.loads(text)
    except ValueError:
        first = text.lstrip()[:1]
        why = (
            f"invalid character '{first}' looking for beginning of value"
            if first
            else "unexpected end of JSON input"
        )
        return [invalid(at, "<secret contents redacted>", why)]
    return []


def _find_changes(holder: Object, old: Object | None, keys: tuple[str, ...]) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    found = [] if holder.get("immutable") else [forbidden("immutable", _FROZEN)]
    return found + [forbidden(key, _FROZEN) for key in keys if holder.get(key, {}) != old.get(key, {})]
