"""The defaults that a real API server fills in and its OpenAPI does not state.

The rule it keeps: one table by type for values that are always the same, one function by type for those that
depend on their neighbours; both only add what is absent. They hold wherever the type appears, so the template
of a Deployment is filled in like a Pod, as in a real cluster.

Source: kubernetes pkg/apis/*/v1/defaults.go of v1.36; each compared with a running v1.36.3.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
_CORE = "io.k8s.api.core.v1."
_APPS = "io.k8s.api.apps.v1."

STATIC: dict[str, Json] = {
    _CORE + "PodSpec": {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
    },
    _CORE + "Container": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    _CORE + "EphemeralContainer": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    _CORE + "ContainerPort": {"protocol": "TCP"},
    _CORE + "EndpointPort": {"protocol": "TCP"},
    # Instants that Go writes as null when they are not set.
    _CORE + "Event": {"eventTime": None, "firstTimestamp": None, "lastTimestamp": None},
    _CORE + "Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    _CORE + "HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    _CORE + "GRPCAction": {"service": ""},
    _CORE + "ObjectFieldSelector": {"apiVersion": "v1"},
    _CORE + "ConfigMapVolumeSource": {"defaultMode": 0o644},
    _CORE + "SecretVolumeSource": {"defaultMode": 0o644},
    _CORE + "DownwardAPIVolumeSource": {"defaultMode": 0o644},
    _CORE + "ProjectedVolumeSource": {"defaultMode": 0o644},
    _CORE + "ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    _CORE + "HostPathVolumeSource": {"type": ""},
    _CORE + "Secret": {"type": "Opaque"},
    _CORE + "ServicePort": {"protocol": "TCP"},
    _CORE + "ServiceSpec": {"type": "ClusterIP", "sessionAffinity": "None"},
    _CORE + "NamespaceStatus": {"phase": "Active"},
    _CORE + "PodStatus": {"phase": "Pending"},
    _CORE + "PodCondition": {"lastProbeTime": None},
    _CORE + "PersistentVolumeStatus": {"phase": "Pending"},
    _CORE + "PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    _CORE + "PersistentVolumeClaimStatus": {"phase": "Pending"},
    _CORE + "PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    _CORE + "ReplicationControllerSpec": {"replicas": 1},
    _APPS + "DeploymentSpec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    _APPS + "ReplicaSetSpec": {"replicas": 1},
    _APPS + "ReplicaSetStatus": {"replicas": 0},
    _APPS + "StatefulSetSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "podManagementPolicy": "OrderedReady",
    },
    _APPS + "StatefulSetStatus": {"replicas": 0, "availableReplicas": 0},
    _APPS + "StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    },
    _APPS + "DaemonSetSpec": {"revisionHistoryLimit": 10},
    _APPS + "DaemonSetStatus": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "io.k8s.api.batch.v1.JobSpec": {
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "backoffLimit": 6,
        "podReplacementPolicy": "TerminatingOrFailed",
    },
    "io.k8s.api.policy.v1.PodDisruptionBudgetStatus": {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    "io.k8s.api.discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    # Lists that Go writes as null when they are empty: clients must cope with that, so they are given it.
    "io.k8s.api.discovery.v1.EndpointSlice": {"endpoints": None, "ports": None},
    "io.k8s.api.rbac.v1.Role": {"rules": None},
    "io.k8s.api.rbac.v1.ClusterRole": {"rules": None},
    "io.k8s.api.networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "io.k8s.api.storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "io.k8s.api.scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
}

# Optional texts that are pointers in Go: given but empty means something, and is stored.
KEPT_EMPTY = frozenset(
    {
        (_CORE + "GRPCAction", "service"),
        (_CORE + "HostPathVolumeSource", "type"),
        (_CORE + "PersistentVolumeClaimSpec", "storageClassName"),
        ("io.k8s.api.discovery.v1.EndpointPort", "name"),
        ("io.k8s.api.discovery.v1.EndpointPort", "protocol"),
    }
)


def _container(container: Json) -> None:
    if "imagePullPolicy" not in container and "image" in container:
        _, _, last = container["image"].rpartition("/")
        tag = last.partition("@")[0].partition(":")[2]
        untagged = tag in ("", "latest") and "@" not in last
        container["imagePullPolicy"] = "Always" if untagged else "IfNotPresent"


def _pod_spec(spec: Json) -> None:
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]


def _pod(pod: Json) -> None:
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    # Of a pod alone, not of a template: what is limited is requested.
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        limits = container["resources"].get("limits")
        if limits:
            container["resources"]["requests"] = limits | container["resources"].get("requests", {})


def _service_port(port: Json) -> None:
    if port.get("targetPort") in (None, "", 0) and "port" in port:
        port["targetPort"] = port["port"]


def _service_spec(spec: Json) -> None:
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", 10800)


def _deployment_strategy(strategy: Json) -> None:
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _daemon_set_strategy(strategy: Json) -> None:
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)


def _stateful_set_strategy(strategy: Json) -> None:
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)


def _stateful_set_spec(spec: Json) -> None:
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})


def _secret(secret: Json) -> None:
    """Fold the write-only `stringData` into `data`."""
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        secret["data"] = secret.get("data", {}) | encoded


def _job_spec(spec: Json) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)


def _role_binding(binding: Json) -> None:
    reference = binding.get("roleRef", {})
    if "name" in reference and not reference.get("apiGroup"):
        reference["apiGroup"] = "rbac.authorization.k8s.io"
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _network_policy_spec(spec: Json) -> None:
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


CONDITIONAL: dict[str, Callable[[Json], None]] = {
    _CORE + "Container": _container,
    _CORE + "EphemeralContainer": _container,
    _CORE + "PodSpec": _pod_spec,
    _CORE + "Pod": _pod,
    _CORE + "ServicePort": _service_port,
    _CORE + "ServiceSpec": _service_spec,
    _CORE + "Secret": _secret,
    _APPS + "DeploymentStrategy": _deployment_strategy,
    _APPS + "DaemonSetUpdateStrategy": _daemon_set_strategy,
    _APPS + "StatefulSetUpdateStrategy": _stateful_set_strategy,
    _APPS + "StatefulSetSpec": _stateful_set_spec,
    "io.k8s.api.batch.v1.JobSpec": _job_spec,
    "io.k8s.api.rbac.v1.RoleBinding": _role_binding,
    "io.k8s.api.rbac.v1.ClusterRoleBinding": _role_binding,
    "io.k8s.api.networking.v1.NetworkPolicySpec": _network_policy_spec,
}
