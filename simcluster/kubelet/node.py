"""The node that pods run on: its object, and the lease that says it is alive.

The rules it keeps: the node is Ready from the start, with its share of this machine's processors and memory;
with each beat its lease is renewed, and its status put right if somebody else wrote it, or if it is older than
`node_report_s`. A node that was deleted is not made again: a real kubelet does that when it starts.

When to beat is `fleet`'s part.
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcluster.controllers.metadata import uid_of
from simcluster.errors import AlreadyExists, NotFound
from simcluster.network.driver import Place
from simcluster.registry import Registry, format_time
from simcluster.schema.quantities import parse

if TYPE_CHECKING:
    from simcluster.kubelet.host import Host

Object = dict[str, Any]
_PODS = "1000"
_LEASE_S = 40
# Label, and taint where there are other nodes, of nodes whose pods are status only.
STATUS_ONLY = "simcluster/status-only"
# What such a node offers: no machine limits it.
IMAGINED = {"cpu": "32", "memory": "256Gi", "pods": _PODS, "ephemeral-storage": "1Ti"}
_LEASES = "leases.coordination.k8s.io"
_LEASE_NAMESPACE = "kube-node-lease"
# type, status, reason, message: as a healthy kubelet writes them.
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a node says of itself. `version` is its kubelet's, `v1.36.3`; the rest as in `Host`."""

    node: str
    version: str
    place: Place
    capacity: Mapping[str, str]
    is_control_plane: bool
    is_status_only: bool = False
    is_repelling: bool = False


def measure_capacity(directory: Path) -> dict[str, str]:
    """What this machine has, as a node's capacity; the storage is that of the directory."""
    kibibytes = next(
        line.split()[1]
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    storage = f"{shutil.disk_usage(directory).total // 1024}Ki"
    return {
        "cpu": str(os.cpu_count()), "memory": f"{kibibytes}Ki", "pods": _PODS, "ephemeral-storage": storage,
    }  # fmt: skip


def share_capacity(capacity: Mapping[str, str], count: int) -> dict[str, str]:
    """What each of `count` nodes has of a machine; the number of pods is each node's own."""
    if count == 1:
        return dict(capacity)
    shares = {name: parse(text) / count for name, text in capacity.items()}
    kibibytes = {name: f"{shares[name] // 1024}Ki" for name in ("memory", "ephemeral-storage")}
    return {"cpu": _show_processors(shares["cpu"]), "pods": capacity["pods"]} | kibibytes


def _show_processors(number: Fraction) -> str:
    return str(number) if number.denominator == 1 else f"{number * 1000 // 1}m"


def make_node(host: Description | Host, now: float) -> Object:
    """The node's object with its status."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": host.node,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine,
    }
    if host.is_control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
    if host.is_status_only:
        labels[STATUS_ONLY] = "true"
    info = {
        "kubeletVersion": host.version, "kubeProxyVersion": "", "containerRuntimeVersion": "simcluster://1",
        "operatingSystem": "linux", "architecture": machine, "kernelVersion": platform.release(),
        "osImage": "simulated", "machineID": "", "systemUUID": "", "bootID": "",
    }  # fmt: skip
    addresses = [
        {"type": "InternalIP", "address": host.place.address},
        {"type": "Hostname", "address": host.node},
    ]
    status = {
        "capacity": dict(host.capacity), "allocatable": dict(host.capacity), "conditions": make_conditions(now),
        "addresses": addresses, "nodeInfo": info, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": host.node, "labels": labels},
        "spec": {
            "providerID": f"simcluster://{host.node}",
            "podCIDR": host.place.pod_cidr,
            "podCIDRs": [host.place.pod_cidr],
            "taints": [{"key": STATUS_ONLY, "effect": "NoSchedule"}] if host.is_repelling else [],
        },
        "status": status,
    }


def make_conditions(now: float, before: Sequence[Object] = ()) -> list[Object]:
    """The conditions of a healthy node; one that was so before keeps its time. Others' conditions stay."""
    at = format_time(now)
    known = {each["type"]: each for each in before}
    made = []
    for kind, status, reason, message in _CONDITIONS:
        old = known.pop(kind, None)
        since = at if old is None or old["status"] != status else old["lastTransitionTime"]
        made.append(
            {
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": at, "lastTransitionTime": since,
            }
        )  # fmt: skip
    return [*known.values(), *made]


def register(registry: Registry, node: Description | Host) -> None:
    """Create a node and its lease; AlreadyExists if there is a node of that name."""
    registry.create("nodes", None, make_node(node, registry.clock()))
    _renew(registry, node.node)


class NodeStatus:
    """Registers the node and keeps its lease and its status."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reported_at = 0.0

    def start(self) -> None:
        """Create the node and its lease, if that is not done yet; take over a node of that name that is there."""
        host = self._host
        self._reported_at = host.clock()
        if host.is_registered:
            return
        try:
            register(host.registry, host)
        except AlreadyExists:
            self._report()
            _renew(host.registry, host.node)

    def beat(self) -> None:
        """Renew the lease, and the status if it needs that."""
        host = self._host
        if host.frost.is_frozen:
            return
        _renew(host.registry, host.node)
        is_due = host.clock() - self._reported_at >= host.profile.node_report_s
        try:
            if is_due or not self._is_as_written():
                self._report()
        except NotFound:
            return

    def _is_as_written(self) -> bool:
        node = self._host.registry.get("nodes", None, self._host.node)
        found = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions", ())}
        return all(found.get(kind) == status for kind, status, _, _ in _CONDITIONS)

    def _report(self) -> None:
        host = self._host
        self._reported_at = host.clock()
        node = host.registry.get("nodes", None, host.node)
        status = make_node(host, host.clock())["status"]
        status["conditions"] = make_conditions(host.clock(), node.get("status", {}).get("conditions", ()))
        made = {**node, "metadata": dict(node["metadata"]), "status": status}
        host.registry.update("nodes", None, host.node, made, subresource="status")


def _renew(registry: Registry, name: str) -> None:
    at = datetime.datetime.fromtimestamp(registry.clock(), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_S, "renewTime": at}
    try:
        lease = registry.get(_LEASES, _LEASE_NAMESPACE, name)
    except NotFound:
        registry.create(_LEASES, _LEASE_NAMESPACE, _make_lease(registry, name, spec))
    else:
        renewed = {**lease, "metadata": dict(lease["metadata"]), "spec": spec}
        registry.update(_LEASES, _LEASE_NAMESPACE, name, renewed)


def _make_lease(registry: Registry, name: str, spec: Object) -> Object:
    metadata: Object = {"name": name, "namespace": _LEASE_NAMESPACE}
    try:
        node = registry.get("nodes", None, name)
    except NotFound:
        pass
    else:
        # The lease goes with its node.
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(node)}
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec,
    }  # fmt: skip
