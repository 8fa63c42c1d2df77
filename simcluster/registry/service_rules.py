"""What the API server refuses of Services. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateService).
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, duplicate, forbidden, invalid, required
from simcluster.labels import complain_key, complain_subdomain
from simcluster.registry import checks
from simcluster.registry.naming import complain_label, find_label_faults

Object = dict[str, Any]
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_POLICIES = ("Cluster", "Local")
_LONGEST_AFFINITY_S = 86400


def find_faults(spec: Object) -> list[Cause]:
    """Return what is wrong with the spec of a Service."""
    kind = spec["type"]
    headless = spec.get("clusterIP") == "None"
    found: list[Cause] = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        found.append(required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        found.append(
            invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services")
        )
    if kind == "ExternalName":
        found += _find_external_faults(spec)
    found += _find_port_faults(spec)
    found += find_label_faults(spec.get("selector", {}), "spec.selector")
    found += checks.find_choice(spec["sessionAffinity"], _AFFINITIES, "spec.sessionAffinity")
    found += _find_affinity_faults(spec)
    found += _find_address_faults(spec)
    for index, address in enumerate(spec.get("externalIPs", ())):
        found += checks.find_special_address_fault(address, f"spec.externalIPs[{index}]")
    found += checks.find_choice(kind, _TYPES, "spec.type")
    found += _find_range_faults(spec)
    return found + _find_traffic_faults(spec)


def _find_external_faults(spec: Object) -> list[Cause]:
    found: list[Cause] = []
    if spec.get("clusterIP"):
        found.append(forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    name = spec.get("externalName", "")
    if not name:
        return [*found, required("spec.externalName")]
    return found + checks.apply_rule(complain_subdomain, name.removesuffix("."), "spec.externalName")


def _find_port_faults(spec: Object) -> list[Cause]:
    ports = spec.get("ports", [])
    found: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            found.append(required(f"{at}.name"))
        elif name:
            found += checks.apply_rule(complain_label, name, f"{at}.name")
            if name in names:
                found.append(duplicate(f"{at}.name", name))
            names.add(name)
        found += checks.find_port_fault(port.get("port", 0), f"{at}.port")
        found += checks.find_choice(port.get("protocol"), checks.PROTOCOLS, f"{at}.protocol")
        found += checks.find_target_port_fault(port.get("targetPort", 0), f"{at}.targetPort")
        if port.get("nodePort") and spec["type"] == "ClusterIP":
            found.append(forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol", ""), port.get("port", 0))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            found.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    return found


def _find_affinity_faults(spec: Object) -> list[Cause]:
    config = spec.get("sessionAffinityConfig", {}).get("clientIP", {})
    seconds = config.get("timeoutSeconds")
    if spec["sessionAffinity"] != "ClientIP" or seconds is None or 0 < seconds <= _LONGEST_AFFINITY_S:
        return []
    text = f"must be greater than 0 and less than {_LONGEST_AFFINITY_S}"
    return [invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, text)]


def _find_address_faults(spec: Object) -> list[Cause]:
    found: list[Cause] = []
    for index, family in enumerate(spec.get("ipFamilies", ())):
        found += checks.find_choice(family, ("IPv4", "IPv6"), f"spec.ipFamilies[{index}]")
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    found += checks.find_choice(spec.get("ipFamilyPolicy"), policies, "spec.ipFamilyPolicy")
    address = spec.get("clusterIP")
    if address and address != "None" and spec["type"] != "ExternalName":
        found += checks.find_address_fault(address, "spec.clusterIPs[0]")
    return found


def _find_range_faults(spec: Object) -> list[Cause]:
    found: list[Cause] = []
    for index, each in enumerate(spec.get("loadBalancerSourceRanges", ())):
        # So written by the real server.
        found += checks.find_network_fault(each, f"spec.LoadBalancerSourceRanges[{index}]")
    name = spec.get("loadBalancerClass")
    return found + (checks.apply_rule(complain_key, name, "spec.loadBalancerClass") if name else [])


def _find_traffic_faults(spec: Object) -> list[Cause]:
    policy = spec.get("externalTrafficPolicy")
    outside = spec["type"] in ("NodePort", "LoadBalancer") or spec.get("externalIPs")
    found: list[Cause] = []
    if policy is not None and not outside:
        text = "may only be set for externally-accessible services"
        found.append(invalid("spec.externalTrafficPolicy", policy, text))
    elif outside:
        found += checks.find_choice(policy, _POLICIES, "spec.externalTrafficPolicy")
    internal = spec.get("internalTrafficPolicy")
    return found + checks.find_choice(internal, _POLICIES, "spec.internalTrafficPolicy")
