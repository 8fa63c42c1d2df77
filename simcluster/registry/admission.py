"""May anything be created here? The admission plug-in NamespaceLifecycle. Pure.

Source: k8s.io/apiserver pkg/admission/plugin/namespace/lifecycle/admission.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, Forbidden, NotFound
from simcluster.schema import Resource
from simcluster.store import Key, Store


def check_namespace(kind: Resource, metadata: dict[str, Any], store: Store) -> None:
    """Raise NotFound or Forbidden if a new object's namespace is missing or being deleted."""
    if not kind.namespaced:
        return
    name = metadata["namespace"]
    found = store.get(Key("namespaces", "", name))
    if found is None:
        raise NotFound("namespaces", name)
    if "deletionTimestamp" in found.object["metadata"]:
        why = f"namespace {name} is being terminated"
        because = f"unable to create new content in namespace {name} because it is being terminated"
        causes = [Cause("NamespaceTerminating", why, "metadata.namespace")]
        raise Forbidden(kind.name, metadata.get("name", metadata.get("generateName", "")), because, causes)
