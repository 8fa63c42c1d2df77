"""The node that pods run on: its object, and the lease that says it is alive.

The rules it keeps: the node is Ready from the start, with this machine's processors and memory; the lease is
renewed every `node_status_s` (nodeStatusUpdateFrequency).
"""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
from copy import deepcopy
from pathlib import Path
from typing import Any

from simcluster.errors import AlreadyExists, StatusError
from simcluster.kubelet.host import Host
from simcluster.registry import format_time

Object = dict[str, Any]
_PODS = "1000"
_LEASE_S = 40
_LEASES = "leases.coordination.k8s.io"
_LEASE_NAMESPACE = "kube-node-lease"
# type, status, reason, message: as a healthy kubelet writes them.
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def measure_capacity() -> dict[str, str]:
    """What this machine has, as a node's capacity."""
    kibibytes = next(
        line.split()[1]
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    return {"cpu": str(os.cpu_count()), "memory": f"{kibibytes}Ki", "pods": _PODS, "ephemeral-storage": "0"}


def make_node(host: Host, now: float) -> Object:
    """The node's object with its status."""
    at = format_time(now)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": host.node,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine,
        "node-role.kubernetes.io/control-plane": "",
    }
    info = {
        "kubeletVersion": host.version, "kubeProxyVersion": "", "containerRuntimeVersion": "simcluster://1",
        "operatingSystem": "linux", "architecture": machine, "kernelVersion": platform.release(),
        "osImage": "simulated", "machineID": "", "systemUUID": "", "bootID": "",
    }  # fmt: skip
    conditions = [
        {
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at,
        }
        for kind, status, reason, message in _CONDITIONS
    ]  # fmt: skip
    addresses = [
        {"type": "InternalIP", "address": host.network.node_address},
        {"type": "Hostname", "address": host.node},
    ]
    status = {
        "capacity": dict(host.capacity), "allocatable": dict(host.capacity), "conditions": conditions,
        "addresses": addresses, "nodeInfo": info, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": host.node, "labels": labels},
        "spec": {"providerID": f"simcluster://{host.node}"},
        "status": status,
    }


class NodeStatus:
    """Registers the node and keeps its lease."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Create the node and its lease, and renew the lease from now on."""
        registry, now = self._host.registry, self._host.clock()
        node = make_node(self._host, now)
        try:
            registry.create("nodes", None, node)
        except AlreadyExists:
            copy = deepcopy(registry.get("nodes", None, self._host.node)) | {"status": node["status"]}
            registry.update("nodes", None, self._host.node, copy, subresource="status")
        self._renew()
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._host.profile.node_status_s)
            await self._host.frost.wait()
            self._renew()

    def _renew(self) -> None:
        registry, name = self._host.registry, self._host.node
        at = datetime.datetime.fromtimestamp(self._host.clock(), datetime.UTC).strftime(
            "%Y-%m-%dT%H:%M:%S.%fZ"
        )
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_S, "renewTime": at}
        lease = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": _LEASE_NAMESPACE}, "spec": spec,
        }  # fmt: skip
        try:
            copy = deepcopy(registry.get(_LEASES, _LEASE_NAMESPACE, name)) | {"spec": spec}
            registry.update(_LEASES, _LEASE_NAMESPACE, name, copy)
        except StatusError as error:
            if error.code != 404:
                raise
            registry.create(_LEASES, _LEASE_NAMESPACE, lease)

    async def stop(self) -> None:
        """Renew no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
