"""Zeros that Go leaves out, and instants that it writes as null: what OpenAPI does not say of a field.

The rule it keeps: a number or boolean that is no pointer in Go and is marked `omitempty` is not stored when it is
zero; an instant that is no pointer is written even when there is none. Everything else that is given is stored.

Source: the struct tags of k8s.io/api */v1/types.go and k8s.io/apimachinery meta/v1/types.go of v1.36.
"""

from __future__ import annotations

_API = "io.k8s.api."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

# By group and type: the fields.
_ZEROS: dict[str, str] = {
    _API + "apps.v1.StatefulSetSpec": "minReadySeconds",
    _API + "apps.v1.StatefulSetStatus": "observedGeneration readyReplicas currentReplicas updatedReplicas",
    _API + "apps.v1.DeploymentSpec": "minReadySeconds paused",
    _API + "apps.v1.DeploymentStatus": (
        "observedGeneration replicas updatedReplicas readyReplicas availableReplicas unavailableReplicas"
    ),
    _API + "apps.v1.DaemonSetSpec": "minReadySeconds",
    _API
    + "apps.v1.DaemonSetStatus": "observedGeneration updatedNumberScheduled numberAvailable numberUnavailable",
    _API + "apps.v1.ReplicaSetSpec": "minReadySeconds",
    _API
    + "apps.v1.ReplicaSetStatus": "fullyLabeledReplicas readyReplicas availableReplicas observedGeneration",
    _API + "batch.v1.JobStatus": "active succeeded failed",
    _API + "core.v1.PersistentVolumeClaimVolumeSource": "readOnly",
    _API + "core.v1.GlusterfsVolumeSource": "readOnly",
    _API + "core.v1.GlusterfsPersistentVolumeSource": "readOnly",
    _API + "core.v1.RBDVolumeSource": "readOnly",
    _API + "core.v1.RBDPersistentVolumeSource": "readOnly",
    _API + "core.v1.CinderVolumeSource": "readOnly",
    _API + "core.v1.CinderPersistentVolumeSource": "readOnly",
    _API + "core.v1.CephFSVolumeSource": "readOnly",
    _API + "core.v1.CephFSPersistentVolumeSource": "readOnly",
    _API + "core.v1.GCEPersistentDiskVolumeSource": "partition readOnly",
    _API + "core.v1.QuobyteVolumeSource": "readOnly",
    _API + "core.v1.FlexPersistentVolumeSource": "readOnly",
    _API + "core.v1.FlexVolumeSource": "readOnly",
    _API + "core.v1.AWSElasticBlockStoreVolumeSource": "partition readOnly",
    _API + "core.v1.NFSVolumeSource": "readOnly",
    _API + "core.v1.ISCSIVolumeSource": "readOnly chapAuthDiscovery chapAuthSession",
    _API + "core.v1.ISCSIPersistentVolumeSource": "readOnly chapAuthDiscovery chapAuthSession",
    _API + "core.v1.FCVolumeSource": "readOnly",
    _API + "core.v1.AzureFileVolumeSource": "readOnly",
    _API + "core.v1.AzureFilePersistentVolumeSource": "readOnly",
    _API + "core.v1.PortworxVolumeSource": "readOnly",
    _API + "core.v1.ScaleIOVolumeSource": "sslEnabled readOnly",
    _API + "core.v1.ScaleIOPersistentVolumeSource": "sslEnabled readOnly",
    _API + "core.v1.StorageOSVolumeSource": "readOnly",
    _API + "core.v1.StorageOSPersistentVolumeSource": "readOnly",
    _API + "core.v1.CSIPersistentVolumeSource": "readOnly",
    _API + "core.v1.ContainerPort": "hostPort",
    _API + "core.v1.VolumeMount": "readOnly",
    _API
    + "core.v1.Probe": "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold",
    _API + "core.v1.Container": "stdin stdinOnce tty",
    _API + "core.v1.ContainerStateTerminated": "signal",
    _API + "core.v1.PodCondition": "observedGeneration",
    _API + "core.v1.VolumeMountStatus": "readOnly",
    _API + "core.v1.PodSpec": "hostNetwork hostPID hostIPC",
    _API + "core.v1.PodStatus": "observedGeneration",
    _API + "core.v1.ReplicationControllerSpec": "minReadySeconds",
    _API
    + "core.v1.ReplicationControllerStatus": "fullyLabeledReplicas readyReplicas availableReplicas observedGeneration",
    _API + "core.v1.ServiceSpec": "healthCheckNodePort publishNotReadyAddresses",
    _API + "core.v1.ServicePort": "nodePort",
    _API + "core.v1.NodeSpec": "unschedulable",
    _API + "core.v1.ContainerImage": "sizeBytes",
    _API + "core.v1.Event": "count",
    _API + "core.v1.EventSeries": "count",
    _API + "events.v1.Event": "deprecatedCount",
    _API + "flowcontrol.v1.ResourcePolicyRule": "clusterScope",
    _API + "networking.v1.ServiceBackendPort": "number",
    _API + "policy.v1.PodDisruptionBudgetStatus": "observedGeneration",
    _API + "resource.v1.ExactDeviceRequest": "count",
    _API + "resource.v1.DeviceSubRequest": "count",
    _API + "scheduling.v1.PriorityClass": "globalDefault",
    _META + "ObjectMeta": "generation",
    _META + "Status": "code",
    _META + "StatusDetails": "retryAfterSeconds",
    _META + "Condition": "observedGeneration",
}

# By group and type: the instants.
_INSTANTS: dict[str, str] = {
    _API + "apps.v1.StatefulSetCondition": "lastTransitionTime",
    _API + "apps.v1.DeploymentCondition": "lastUpdateTime lastTransitionTime",
    _API + "apps.v1.DaemonSetCondition": "lastTransitionTime",
    _API + "apps.v1.ReplicaSetCondition": "lastTransitionTime",
    _API + "batch.v1.JobCondition": "lastProbeTime lastTransitionTime",
    _API + "certificates.v1.CertificateSigningRequestCondition": "lastUpdateTime lastTransitionTime",
    _API + "core.v1.PersistentVolumeClaimCondition": "lastProbeTime lastTransitionTime",
    _API + "core.v1.ContainerStateRunning": "startedAt",
    _API + "core.v1.ContainerStateTerminated": "startedAt finishedAt",
    _API + "core.v1.PodCondition": "lastProbeTime lastTransitionTime",
    _API + "core.v1.ReplicationControllerCondition": "lastTransitionTime",
    _API + "core.v1.NodeCondition": "lastHeartbeatTime lastTransitionTime",
    _API + "core.v1.NamespaceCondition": "lastTransitionTime",
    _API + "core.v1.Event": "firstTimestamp lastTimestamp eventTime",
    _API + "core.v1.EventSeries": "lastObservedTime",
    _API + "events.v1.Event": "deprecatedFirstTimestamp deprecatedLastTimestamp eventTime",
    _API + "events.v1.EventSeries": "lastObservedTime",
    _API + "flowcontrol.v1.FlowSchemaCondition": "lastTransitionTime",
    _API + "flowcontrol.v1.PriorityLevelConfigurationCondition": "lastTransitionTime",
    _API + "storage.v1.VolumeError": "time",
}

ZEROS = frozenset((type_, field) for type_, fields in _ZEROS.items() for field in fields.split())
INSTANTS = {type_: tuple(fields.split()) for type_, fields in _INSTANTS.items()}
