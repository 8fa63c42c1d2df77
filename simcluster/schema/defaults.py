"""The defaults that a real API server fills in and its OpenAPI does not state.

The rule it keeps: one table by type, for values that are always the same; they are only added where they are absent,
wherever the type appears, so that the template of a Deployment is filled in like a Pod, as in a real cluster. What
depends on its neighbours is in `defaulting`.

Source: kubernetes pkg/apis/*/v1/defaults.go of v1.36; each compared with a running v1.36.3.
"""

from __future__ import annotations

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
    },
    "io.k8s.api.policy.v1.PodDisruptionBudgetStatus": {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    "io.k8s.api.discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    _CORE + "LimitRangeSpec": {"limits": None},
    _CORE + "ResourceFieldSelector": {"divisor": "0"},
    "io.k8s.api.networking.v1.IngressClassParametersReference": {"scope": "Cluster"},
    "io.k8s.api.storage.v1.CSIDriverSpec": {
        "attachRequired": True,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": False,
        "requiresRepublish": False,
        "seLinuxMount": False,
        "storageCapacity": False,
        "volumeLifecycleModes": ["Persistent"],
    },
    _CORE + "TypedLocalObjectReference": {"apiGroup": None},
    _CORE + "TypedObjectReference": {"apiGroup": None},
    "io.k8s.api.storage.v1.CSINodeDriver": {"topologyKeys": None},
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
