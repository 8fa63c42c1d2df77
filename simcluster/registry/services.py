"""What the API server does to Services: cluster IPs, IP families, what may change. Pure but for the allocator."""

from __future__ import annotations

from typing import Any, Protocol

from simcluster.errors import Cause, Invalid, invalid
from simcluster.registry import node_ports, service_rules
from simcluster.store import Store

Object = dict[str, Any]


class Addresses(Protocol):
    """Who gives out cluster IPs."""

    def allocate(self, wanted: str | None) -> str:
        """Return a free address, or exactly the wanted one; ValueError says why not."""
        ...

    def release(self, address: str) -> None:
        """Take an address back."""
        ...


class _Around(Protocol):
    @property
    def addresses(self) -> Addresses | None: ...

    @property
    def store(self) -> Store: ...


def prepare(service: Object, old: Object | None, _around: object) -> None:
    """Give a Service its cluster IP: the one it asks for, the one it has, a new one, or none if headless."""
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        if old is not None and old["spec"]["type"] != "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                spec.pop(key, None)
        return
    before = {} if old is None else old["spec"]
    node_ports.prepare(spec, before)
    _drop_of_type(spec, before)
    if not spec.get("clusterIP"):
        kept = before.get("clusterIP")
        if kept:
            spec["clusterIP"] = kept
    spec.setdefault("ipFamilies", before.get("ipFamilies", ["IPv4"]))
    spec.setdefault("ipFamilyPolicy", before.get("ipFamilyPolicy", "SingleStack"))
    if spec.get("clusterIP"):
        spec["clusterIPs"] = [spec["clusterIP"]]


# Fields that only these types have.
_OF_TYPES = {
    "externalTrafficPolicy": ("NodePort", "LoadBalancer"),
    "allocateLoadBalancerNodePorts": ("LoadBalancer",),
}


def _drop_of_type(spec: Object, before: Object) -> None:
    """Drop what came with the type that a Service had, unless the writer changed it."""
    for key, types in _OF_TYPES.items():
        if spec["type"] not in types and key in before and spec.get(key) == before[key]:
            spec.pop(key, None)


def allocate(service: Object, old: Object | None, around: _Around) -> None:
    """Take the cluster IP out of the pool, once the Service is known to be valid."""
    spec = service["spec"]
    node_ports.allocate(service, around.store)
    held = None if old is None else old["spec"].get("clusterIP")
    if spec["type"] == "ExternalName":
        if old is not None:
            release(old, around)
        return
    if spec.get("clusterIP") == "None" or around.addresses is None:
        return
    wanted = spec.get("clusterIP")
    if wanted and wanted == held:
        return
    try:
        spec["clusterIP"] = around.addresses.allocate(wanted)
    except ValueError as error:
        fault = invalid("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: {error}")
        raise Invalid("Service", service["metadata"]["name"], [fault]) from error
    spec["clusterIPs"] = [spec["clusterIP"]]


def release(service: Object, around: _Around) -> None:
    """Give back the cluster IP of a Service that is gone."""
    address = service["spec"].get("clusterIP")
    if around.addresses is not None and address and address != "None":
        around.addresses.release(address)


def find_faults(service: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a Service, or with what an update wants to change of it."""
    found = service_rules.find_faults(service["spec"])
    return found if old is None else found + _find_changes(service["spec"], old["spec"])


def _find_changes(spec: Object, old: Object) -> list[Cause]:
    before = old.get("clusterIP")
    if "ExternalName" in (spec["type"], old["type"]) or not before or spec.get("clusterIP") == before:
        return []
    return [invalid("spec.clusterIPs[0]", [spec.get("clusterIP", "")], "may not change once set")]
