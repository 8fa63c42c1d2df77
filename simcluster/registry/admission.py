"""May anything be created here, and may this namespace go? The admission plug-in NamespaceLifecycle. Pure.

Source: k8s.io/apiserver pkg/admission/plugin/namespace/lifecycle/admission.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, Forbidden, NotFound
from simcluster.schema import Resource
from simcluster.store import Key, Store

_IMMORTAL = ("default", "kube-public", "kube-system")


def check_deletion(resource: str, name: str) -> None:
    """Raise Forbidden for the namespaces that no cluster is without."""
    if resource == "namespaces" and name in _IMMORTAL:
        raise Forbidden(resource, name, "this namespace may not be deleted")


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
