"""The objects that cases make: small, and the same on every target."""

from __future__ import annotations

from typing import Any

from rig.client import Object

FOREVER = "trap 'exit 0' TERM; sleep 1000000 & wait"


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Object:
    """A ConfigMap."""
    body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name} | metadata}
    return body if data is None else body | {"data": data}


def container(image: str, script: str = FOREVER, name: str = "main", **more: Any) -> Object:
    """A container that runs a shell script; by default one that ends, with 0, when it is asked to."""
    return {"name": name, "image": image, "command": ["sh", "-c", script]} | more


def pod(name: str, *containers: Object, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A pod with a short grace."""
    metadata = {"name": name} | ({} if labels is None else {"labels": labels})
    given = {"containers": list(containers), "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": given | spec}


def template(*containers: Object, labels: dict[str, str], **spec: Any) -> Object:
    """A pod template."""
    given = {"containers": list(containers), "terminationGracePeriodSeconds": 1}
    return {"metadata": {"labels": labels}, "spec": given | spec}


def workload(kind: str, name: str, pods: Object, **spec: Any) -> Object:
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet over the template's labels."""
    selector = {"matchLabels": pods["metadata"]["labels"]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": pods} | spec,
    }


def service(name: str, labels: dict[str, str] | None, *ports: Object, **spec: Any) -> Object:
    """A Service."""
    given: Object = {"ports": list(ports)} if ports else {}
    given |= {} if labels is None else {"selector": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": given | spec}


def nowhere(pods: Object) -> Object:
    """The same pod or template, for a scheduler that does not exist: it stays Pending."""
    return pods | {"spec": pods["spec"] | {"schedulerName": "nobody"}}


def ready(address: str | None = None, *, is_ready: bool = True) -> Object:
    """The status of a pod that runs, as a kubelet would write it."""
    conditions = [
        {"type": each, "status": "True" if is_ready else "False"} for each in ("ContainersReady", "Ready")
    ]
    addresses = {} if address is None else {"podIP": address, "podIPs": [{"ip": address}]}
    return {"status": {"phase": "Running", "conditions": conditions} | addresses}
