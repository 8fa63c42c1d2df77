"""The defaults that depend on their neighbours: one function by type, each only adds what is absent.

The rule it keeps: a function sees the object that it is named for, already filled in below, and nothing around
it. What is always the same stands in `defaults`.

Source: kubernetes pkg/apis/*/v1/defaults.go of v1.36; each compared with a running v1.36.3.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
_CORE = "io.k8s.api.core.v1."
_APPS = "io.k8s.api.apps.v1."
_RESOURCE = "io.k8s.api.resource.v1."


def _container(container: Json) -> None:
    if "imagePullPolicy" not in container and "image" in container:
        container["imagePullPolicy"] = _choose_pull_policy(container["image"])


def _image_volume(volume: Json) -> None:
    if "pullPolicy" not in volume and "reference" in volume:
        volume["pullPolicy"] = _choose_pull_policy(volume["reference"])


def _choose_pull_policy(image: str) -> str:
    _, _, last = image.rpartition("/")
    tag = last.partition("@")[0].partition(":")[2]
    untagged = tag in ("", "latest") and "@" not in last
    return "Always" if untagged else "IfNotPresent"


def _volume(volume: Json) -> None:
    """A volume without a source is an empty directory."""
    if len(volume) == 1:
        volume["emptyDir"] = {}


def _pod_spec(spec: Json) -> None:
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("hostNetwork"):
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
            for port in container.get("ports", ()):
                port.setdefault("hostPort", port.get("containerPort", 0))


def _pod(pod: Json) -> None:
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    # Of a pod alone, not of a template: what is limited is requested.
    containers = (*spec.get("containers", ()), *spec.get("initContainers", ()))
    for resources in (spec.get("resources", {}), *(each["resources"] for each in containers)):
        if resources.get("limits"):
            resources["requests"] = resources["limits"] | resources.get("requests", {})


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


def _node_spec(spec: Json) -> None:
    if "podCIDR" in spec:
        spec.setdefault("podCIDRs", [spec["podCIDR"]])


def _node_status(status: Json) -> None:
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))


def _replication_controller(controller: Json) -> None:
    """Select what the template makes, and be labelled like it."""
    spec = controller.get("spec", {})
    labels = spec.get("template", {}).get("metadata", {}).get("labels")
    if labels:
        spec.setdefault("selector", dict(labels))
        controller["metadata"] = {**controller.get("metadata", {})}
        controller["metadata"].setdefault("labels", dict(labels))


def _claim_template(claim: Json) -> None:
    """What a StatefulSet holds says of itself what it is."""
    claim.setdefault("kind", "PersistentVolumeClaim")
    claim.setdefault("apiVersion", "v1")


def _stateful_set(stateful_set: Json) -> None:
    for claim in stateful_set.get("spec", {}).get("volumeClaimTemplates", ()):
        _claim_template(claim)


def _limit_range_item(item: Json) -> None:
    """Of a container's limits, what is left open follows from what is said."""
    if item.get("type") != "Container":
        return
    limits = item.get("max", {}) | item.get("default", {})
    requests = item.get("min", {}) | limits | item.get("defaultRequest", {})
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


def _device_request(request: Json) -> None:
    request.setdefault("allocationMode", "ExactCount")
    if request["allocationMode"] == "ExactCount":
        request.setdefault("count", 1)


def _limited(limited: Json) -> None:
    limited.setdefault("nominalConcurrencyShares", 30)
    limited.setdefault("lendablePercent", 0)


def _flow_schema_spec(spec: Json) -> None:
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _job(job: Json) -> None:
    """Be labelled like what the template makes."""
    labels = job.get("spec", {}).get("template", {}).get("metadata", {}).get("labels")
    if labels and not job.get("metadata", {}).get("labels"):
        job["metadata"] = {**job.get("metadata", {}), "labels": dict(labels)}


def _job_spec(spec: Json) -> None:
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)


def _pod_condition_pattern(pattern: Json) -> None:
    if not pattern.get("status"):
        pattern["status"] = "True"


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
    _CORE + "Volume": _volume,
    _CORE + "NodeSpec": _node_spec,
    _CORE + "NodeStatus": _node_status,
    _CORE + "ImageVolumeSource": _image_volume,
    _CORE + "ReplicationController": _replication_controller,
    _CORE + "LimitRangeItem": _limit_range_item,
    _CORE + "Secret": _secret,
    _APPS + "StatefulSet": _stateful_set,
    "io.k8s.api.batch.v1.Job": _job,
    "io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern": _pod_condition_pattern,
    _RESOURCE + "ExactDeviceRequest": _device_request,
    _RESOURCE + "DeviceSubRequest": _device_request,
    "io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration": _limited,
    "io.k8s.api.flowcontrol.v1.FlowSchemaSpec": _flow_schema_spec,
    _APPS + "DeploymentStrategy": _deployment_strategy,
    _APPS + "DaemonSetUpdateStrategy": _daemon_set_strategy,
    _APPS + "StatefulSetUpdateStrategy": _stateful_set_strategy,
    _APPS + "StatefulSetSpec": _stateful_set_spec,
    "io.k8s.api.batch.v1.JobSpec": _job_spec,
    "io.k8s.api.rbac.v1.RoleBinding": _role_binding,
    "io.k8s.api.rbac.v1.ClusterRoleBinding": _role_binding,
    "io.k8s.api.networking.v1.NetworkPolicySpec": _network_policy_spec,
}
