"""The objects that a new cluster has before anybody did anything: namespaces, classes, roles, the `kubernetes` Service.

The rule it keeps: they are made through the registry like any other, and only where they are missing.
"""

from __future__ import annotations

import copy
from importlib import resources as package_files
from typing import Any

import orjson

from simcluster.errors import AlreadyExists
from simcluster.registry import Registry
from simcluster.registry.priorities import CLASSES
from simcluster.registry.volumes import CLASSES as STORAGE_CLASSES

Object = dict[str, Any]
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_RBAC = "rbac.authorization.k8s.io"
_MARKED = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_UPDATED = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


_PRIORITIES = {
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
}


# As a kind cluster has it.
_STORAGE = {
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "rancher.io/local-path",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def create_bootstrap_objects(registry: Registry) -> None:
    """Create namespaces, priority classes, cluster roles and their bindings."""
    for name in NAMESPACES:
        _create(registry, "namespaces", None, {"metadata": {"name": name}})
    for name, (value, text) in _PRIORITIES.items():
        _create(registry, CLASSES, None, {"metadata": {"name": name}, "value": value, "description": text})
    _create_roles(registry)


def create_default_class(registry: Registry) -> None:
    """Create the StorageClass that a kind cluster has; no part of an API server."""
    _create(registry, STORAGE_CLASSES, None, copy.deepcopy(_STORAGE))


def _create_roles(registry: Registry) -> None:
    """Create the ClusterRoles and bindings that kube-apiserver v1.36.3 has, but those of its controllers."""
    found = orjson.loads((package_files.files("simcluster.apiserver") / "roles.json").read_bytes())
    for name, role in found["clusterRoles"].items():
        labels = _MARKED | role.pop("labels", {})
        metadata = {"name": name, "labels": labels, "annotations": _UPDATED}
        _create(registry, f"clusterroles.{_RBAC}", None, {"metadata": metadata} | role)
    for name, binding in found["clusterRoleBindings"].items():
        groups = [
            each if each["kind"] == "ServiceAccount" else each | {"apiGroup": _RBAC}
            for each in binding["subjects"]
        ]
        made = {
            "metadata": {"name": name, "labels": _MARKED, "annotations": _UPDATED},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": binding["role"]},
            "subjects": groups,
        }
        _create(registry, f"clusterrolebindings.{_RBAC}", None, made)


def publish(registry: Registry, address: str, port: int) -> None:
    """Create the Service `kubernetes`, and the slice and the Endpoints that say where the API server is."""
    about = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    service = {
        "metadata": {"name": "kubernetes", "labels": about},
        "spec": {"ports": ports, "type": "ClusterIP", "sessionAffinity": "None"},
    }
    _create(registry, "services", "default", service)
    piece = {
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    _create(registry, "endpointslices.discovery.k8s.io", "default", piece)
    endpoints = {
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": piece["ports"]}],
    }
    _create(registry, "endpoints", "default", endpoints)


def _create(registry: Registry, resource: str, namespace: str | None, obj: Object) -> None:
    try:
        registry.create(resource, namespace, obj)
    except AlreadyExists:
        # A store that was filled before, by a test or from a file.
        return
