"""The objects that a new cluster has before anybody did anything: namespaces, roles, the `kubernetes` Service.

The rule it keeps: they are made through the registry like any other, and only where they are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcluster.errors import AlreadyExists
from simcluster.registry import Registry
from simcluster.registry.priorities import CLASSES

Object = dict[str, Any]
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
# What the roles for users of a namespace cover, by group.
_CONTENT: Mapping[str, list[str]] = {
    "": [
        "configmaps",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "pods",
        "pods/log",
        "pods/status",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "serviceaccounts",
        "services",
        "services/status",
    ],
    "apps": [
        "controllerrevisions",
        "daemonsets",
        "deployments",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ],
    "batch": ["jobs"],
    "discovery.k8s.io": ["endpointslices"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "policy": ["poddisruptionbudgets"],
}
_SENSITIVE = ["secrets", "pods/exec", "pods/eviction", "serviceaccounts/token"]
_OPEN_PATHS = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
]
_OPEN_PATHS += ["/version", "/version/"]


def _rules(verbs: list[str], *, sensitive: bool) -> list[Object]:
    rules: list[Object] = [
        {"apiGroups": [group], "resources": resources, "verbs": verbs}
        for group, resources in _CONTENT.items()
    ]
    if sensitive:
        rules.append({"apiGroups": [""], "resources": _SENSITIVE, "verbs": verbs})
    return rules


def _cluster_roles() -> Mapping[str, list[Object]]:
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    own_rights = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    both = [*_READ, *_WRITE]
    roles = {"apiGroups": [_RBAC], "resources": ["roles", "rolebindings"], "verbs": both}
    namespaces = {"apiGroups": [""], "resources": ["namespaces"], "verbs": _READ}
    return {
        "cluster-admin": everything,
        "admin": [*_rules(both, sensitive=True), namespaces, roles],
        "edit": [*_rules(both, sensitive=True), namespaces],
        "view": [*_rules(_READ, sensitive=False), namespaces],
        "system:discovery": [{"nonResourceURLs": _OPEN_PATHS, "verbs": ["get"]}],
        "system:basic-user": [
            {"apiGroups": ["authorization.k8s.io"], "resources": own_rights, "verbs": ["create"]},
            {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["selfsubjectreviews"],
                "verbs": ["create"],
            },
        ],
    }


_BINDINGS = {
    "cluster-admin": "system:masters",
    "system:discovery": "system:authenticated",
    "system:basic-user": "system:authenticated",
}


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


def create_bootstrap_objects(registry: Registry) -> None:
    """Create namespaces, priority classes, cluster roles and their bindings."""
    for name in NAMESPACES:
        _create(registry, "namespaces", None, {"metadata": {"name": name}})
    for name, (value, text) in _PRIORITIES.items():
        _create(registry, CLASSES, None, {"metadata": {"name": name}, "value": value, "description": text})
    marked = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    for name, rules in _cluster_roles().items():
        metadata = {"name": name, "labels": marked}
        _create(registry, f"clusterroles.{_RBAC}", None, {"metadata": metadata, "rules": rules})
    for role, group in _BINDINGS.items():
        binding = {
            "metadata": {"name": role, "labels": marked},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group}],
        }
        _create(registry, f"clusterrolebindings.{_RBAC}", None, binding)


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
