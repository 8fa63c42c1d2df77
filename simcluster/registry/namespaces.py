"""What the API server does to namespaces. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def prepare(namespace: Object, old: Object | None, _around: object) -> None:
    """Give a namespace its label, and on creation its finalizer and phase."""
    metadata = namespace["metadata"]
    metadata["labels"] = {
        **metadata.get("labels", {}),
        "kubernetes.io/metadata.name": metadata.get("name", ""),
    }
    if old is None:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
        namespace["status"] = {"phase": "Active"}
    else:
        namespace["spec"] = old["spec"]


def is_finished(namespace: Object) -> bool:
    """Return whether a namespace that is being deleted has nothing left that holds it."""
    held = namespace.get("spec", {}).get("finalizers") or namespace["metadata"].get("finalizers")
    return "deletionTimestamp" in namespace["metadata"] and not held
