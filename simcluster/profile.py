"""Every delay of a real cluster that the simulation imitates, named, in one table.

The rule it keeps: no other module of the simulation holds a delay of its own; it takes a `Profile`.
`faithful` has the delays of a real cluster, `fast` the least with which every race of a real cluster is
still a race. A delay says how long the simulation *adds*: what its own processes need comes on top.

It does not hold what an object itself declares (probe periods, grace periods, minReadySeconds).

Sources: "measured" is kind v1.36.3, one idle node, medians of eight rounds seen by a watching client; file
names are those of kubernetes/kubernetes v1.36 unless another repository is named.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All delays in seconds. A field `x_jitter_s` adds a seeded, uniform 0..x_jitter_s to its field `x_s`."""

    name: str

    # --- Controllers
    # Measured: scale request -> pod object 0.013, which is three writes by two controllers.
    # An object changed -> Deployment, ReplicaSet and the like act on it.
    workload_sync_s: float
    # First retry of a key that failed; doubles each time (client-go default_rate_limiters.go).
    requeue_base_s: float
    # Longest wait between two tries of a key (the same file).
    requeue_max_s: float
    # A pod became Ready or got its address -> its endpoint. Measured: 0.009.
    endpoint_ready_s: float
    # DeletionTimestamp -> endpoint not ready, least. Measured: 0.013 (0.020 less 0.007).
    endpoint_not_ready_s: float
    # One side of the termination race; the other is `sigterm_jitter_s`. Measured: 0.014 to 0.026.
    endpoint_not_ready_jitter_s: float
    # Someone else changed a slice -> it is put right (endpointSliceChangeMinSyncDelay).
    slice_change_sync_s: float
    # Namespace deleted -> its content is deleted (namespaceDeletionGracePeriod).
    namespace_grace_s: float
    # Something of a namespace that goes is still there -> it is looked at again (half the estimate, plus 1).
    namespace_retry_s: float
    # Pod evicted, or marked to be -> it counts again if it is still there (DeletionTimeout of disruption.go).
    eviction_timeout_s: float
    # A daemon pod failed -> the next one on its node that fails stays so long; doubles (daemon_controller.go).
    daemon_backoff_s: float
    # Longest such wait (the same: NewBackOff(1 s, 15 min)).
    daemon_backoff_max_s: float
    # An Event was last written -> it is gone (kube-apiserver --event-ttl).
    event_ttl_s: float
    # A pod of many changed -> all of them are looked through, per pod: what comes meanwhile is looked at in one go.
    # A real controller is as slow by its work queue and its client's limits.
    batch_per_pod_s: float
    # A Job's pod changed -> the Job is looked at (SyncJobBatchPeriod of job_controller.go).
    job_batch_s: float
    # A Job's pod failed -> the next one is made; doubles (DefaultJobPodFailureBackOff).
    job_backoff_s: float
    # Longest such wait (MaxJobPodFailureBackOff).
    job_backoff_max_s: float
    # Pod object -> bound to a node; a part of the measured 0.513 to Running.
    schedule_s: float
    # A pod that fits nowhere goes behind others for this long; doubles each time (scheduler/backend/queue).
    schedule_backoff_s: float
    # Longest such time (podMaxBackoffSeconds).
    schedule_backoff_max_s: float
    # A pod that fitted nowhere is looked at again, whatever happened (podMaxInUnschedulablePodsDuration).
    unschedulable_flush_s: float
    # A claim's provisioner was asked -> its volume is there; the same to delete it. Measured: 3 (a helper pod).
    provision_s: float

    # --- Kubelet
    # Bound -> first container running. Measured: pod object -> Running 0.513, less schedule_s.
    pod_start_s: float
    # Running -> first probe.
    first_probe_s: float
    # Running -> the kubelet looks at a new container, and as long again: readiness that is not there yet is probed at
    # once (prober_manager.go UpdatePodStatus), and its period begins anew. Measured: probes at 0.13, 0.97, 2.0, 12.0.
    probe_again_s: float
    # A connection of a gRPC probe was refused -> it is tried again, within the probe's time-out (grpc-go's base delay).
    probe_connect_s: float
    # A change that the kubelet saw -> written to the API.
    status_update_s: float
    # DeletionTimestamp -> SIGTERM (or preStop), least: watch, sync loop, container runtime.
    sigterm_s: float
    # The other side of the termination race.
    sigterm_jitter_s: float
    # A container that was told to stop has ended -> terminal phase. Measured: endpoint gone at 0.227.
    exit_seen_s: float
    # A container ended by itself -> the kubelet knows, at most (relist period of pleg/generic.go).
    crash_seen_s: float
    # Terminal phase -> pod object gone. Measured: 0.966 less 0.227. `fast` is not 0: `kubectl delete` asks twice if the
    # pod is there, and takes a successor of the same name (StatefulSet) that came in between for the pod itself.
    pod_removed_s: float
    # Wait before the second restart of a container; doubles each time (MaxContainerBackOff's base).
    crash_backoff_s: float
    # Longest such wait.
    crash_backoff_max_s: float
    # Running for this long forgets the back-off.
    crash_backoff_reset_s: float
    # Between two beats of a node (nodeStatusUpdateFrequency; its lease of 40 s is renewed at a quarter of that).
    node_status_s: float
    # A node's status is written again even if nothing changed (nodeStatusReportFrequency).
    node_report_s: float
    # Between two looks at all nodes (node-monitor-period of kube-controller-manager).
    node_monitor_s: float
    # No beat for this long -> the node's conditions are Unknown (node-monitor-grace-period).
    node_monitor_grace_s: float

    # Pods have to leave a node -> those of the next node have to (one by node-eviction-rate).
    node_eviction_s: float
    # A node is gone -> its pods are removed (quarantineTime of podgc/gc_controller.go).
    orphan_quarantine_s: float

    # A ConfigMap, Secret or pod changed -> its volumes follow, at most (syncFrequency, a pod's full sync).
    volume_sync_s: float

    # A volume could not be mounted -> the next try; doubles (exponentialbackoff of pkg/util/goroutinemap).
    mount_backoff_s: float
    # Longest such wait (the same).
    mount_backoff_max_s: float

    # --- Network
    # Slice changed -> connections follow it.
    proxy_sync_s: float
    # Least time between two syncs; the first is at once (kube-proxy minSyncPeriod).
    proxy_min_interval_s: float
    # Slice or Service changed -> answers follow it (the watch of coredns/plugin/kubernetes).
    dns_sync_s: float
    # TTL in answers: kubeadm's Corefile says 30, the plugin's own default is 5.
    dns_ttl_s: float
    # The same, in the SOA of NXDOMAIN and NODATA answers.
    dns_negative_ttl_s: float


FAST = Profile(
    name="fast",
    workload_sync_s=0.0,
    requeue_base_s=0.005,
    requeue_max_s=1.0,
    endpoint_ready_s=0.0,
    endpoint_not_ready_s=0.0,
    endpoint_not_ready_jitter_s=0.010,
    slice_change_sync_s=0.0,
    namespace_grace_s=0.0,
    namespace_retry_s=0.0,
    eviction_timeout_s=2.0,
    daemon_backoff_s=0.1,
    daemon_backoff_max_s=2.0,
    event_ttl_s=3600.0,
    batch_per_pod_s=0.0001,
    job_batch_s=0.0,
    job_backoff_s=0.1,
    job_backoff_max_s=2.0,
    schedule_s=0.0,
    schedule_backoff_s=0.05,
    schedule_backoff_max_s=1.0,
    unschedulable_flush_s=300.0,
    provision_s=0.0,
    pod_start_s=0.0,
    first_probe_s=0.0,
    probe_again_s=0.1,
    probe_connect_s=0.05,
    status_update_s=0.0,
    sigterm_s=0.0,
    sigterm_jitter_s=0.010,
    exit_seen_s=0.0,
    crash_seen_s=0.0,
    pod_removed_s=0.05,
    crash_backoff_s=0.1,
    crash_backoff_max_s=2.0,
    crash_backoff_reset_s=10.0,
    node_status_s=1.0,
    node_report_s=300.0,
    node_monitor_s=0.5,
    node_monitor_grace_s=4.0,
    node_eviction_s=0.1,
    orphan_quarantine_s=0.5,
    volume_sync_s=0.0,
    mount_backoff_s=0.1,
    mount_backoff_max_s=2.0,
    proxy_sync_s=0.0,
    proxy_min_interval_s=0.0,
    dns_sync_s=0.0,
    dns_ttl_s=5.0,
    dns_negative_ttl_s=5.0,
)

FAITHFUL = Profile(
    name="faithful",
    workload_sync_s=0.004,
    requeue_base_s=0.005,
    requeue_max_s=1000.0,
    endpoint_ready_s=0.008,
    endpoint_not_ready_s=0.008,
    endpoint_not_ready_jitter_s=0.010,
    slice_change_sync_s=1.0,
    namespace_grace_s=5.0,
    namespace_retry_s=5.0,
    eviction_timeout_s=120.0,
    daemon_backoff_s=1.0,
    daemon_backoff_max_s=900.0,
    event_ttl_s=3600.0,
    batch_per_pod_s=0.0001,
    job_batch_s=1.0,
    job_backoff_s=10.0,
    job_backoff_max_s=600.0,
    schedule_s=0.010,
    schedule_backoff_s=1.0,
    schedule_backoff_max_s=10.0,
    unschedulable_flush_s=300.0,
    provision_s=3.0,
    pod_start_s=0.490,
    first_probe_s=0.0,
    probe_again_s=1.0,
    probe_connect_s=1.0,
    status_update_s=0.004,
    sigterm_s=0.010,
    sigterm_jitter_s=0.010,
    exit_seen_s=0.200,
    crash_seen_s=1.0,
    pod_removed_s=0.740,
    crash_backoff_s=10.0,
    crash_backoff_max_s=300.0,
    crash_backoff_reset_s=600.0,
    node_status_s=10.0,
    node_report_s=300.0,
    node_monitor_s=5.0,
    node_monitor_grace_s=50.0,
    node_eviction_s=10.0,
    orphan_quarantine_s=40.0,
    volume_sync_s=60.0,
    mount_backoff_s=0.5,
    mount_backoff_max_s=122.0,
    proxy_sync_s=0.010,
    proxy_min_interval_s=1.0,
    dns_sync_s=0.005,
    dns_ttl_s=30.0,
    dns_negative_ttl_s=30.0,
)

PROFILES = {profile.name: profile for profile in (FAST, FAITHFUL)}


def choose(name: str) -> Profile:
    """The profile of that name; ValueError, naming the known ones, when there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(
            f'unknown profile "{name}"\n  known profiles: {", ".join(sorted(PROFILES))}'
        ) from None
