"""What the API server refuses of the spec of a pod, or of a template. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidatePodSpec).
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from simcluster.errors import Cause, invalid, required, unsupported
from simcluster.labels import complain_key, complain_subdomain
from simcluster.registry import checks, containers, placement, pod_volumes
from simcluster.registry.naming import complain_label

Object = dict[str, Any]

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SEARCH = re.compile(r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*")
_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    rf"'{_SEARCH.pattern}')"
)
_LARGEST = 2**31 - 1
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")


# Specs in which nothing was wrong: the pods of one template are looked at once.
_MOST_KNOWN = 1_000
_known: set[bytes] = set()


def find_spec_faults(spec: Object, at: str) -> list[Cause]:
    """Return what is wrong with the spec of a pod, or of a template, that stands at a field."""
    encoded = orjson.dumps(spec)
    if encoded in _known:
        return []
    found = _find_all(spec, at)
    if not found:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known.add(encoded)
    return found


def _find_all(spec: Object, at: str) -> list[Cause]:
    found = pod_volumes.find_faults(spec.get("volumes", []), f"{at}.volumes")
    found += containers.find_faults(spec, at)
    found += checks.find_choice(spec["restartPolicy"], _RESTART_POLICIES, f"{at}.restartPolicy")
    found += checks.find_choice(spec["dnsPolicy"], _DNS_POLICIES, f"{at}.dnsPolicy")
    found += _find_security_faults(spec.get("securityContext", {}), f"{at}.securityContext")
    found += _find_dns_faults(spec, f"{at}.dnsConfig")
    found += _find_gate_faults(spec, at)
    found += placement.find_faults(spec, at)
    for key, rule in (
        ("serviceAccountName", complain_subdomain),
        ("nodeName", complain_subdomain),
        ("hostname", complain_label),
        ("subdomain", complain_label),
    ):
        if spec.get(key):
            found += checks.apply_rule(rule, spec[key], f"{at}.{key}")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _LARGEST:
        text = f"must be between 1 and {_LARGEST}, inclusive"
        found.append(invalid(f"{at}.activeDeadlineSeconds", deadline, text))
    for index, alias in enumerate(spec.get("hostAliases", ())):
        where = f"{at}.hostAliases[{index}]"
        found += checks.find_address_fault(alias.get("ip", ""), f"{where}.ip")
        for name in alias.get("hostnames", ()):
            found += checks.apply_rule(complain_subdomain, name, f"{where}.hostnames")
    if spec.get("priorityClassName"):
        found += checks.apply_rule(complain_subdomain, spec["priorityClassName"], f"{at}.priorityClassName")
    if "os" in spec and spec["os"].get("name") not in ("linux", "windows"):
        found.append(unsupported(f"{at}.os", spec["os"].get("name", ""), ("linux", "windows")))
    return found


def _find_dns_faults(spec: Object, at: str) -> list[Cause]:
    config = spec.get("dnsConfig", {})
    found: list[Cause] = []
    if spec["dnsPolicy"] == "None":
        if "dnsConfig" not in spec:
            return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{at}.nameservers", text)]
    for index, server in enumerate(config.get("nameservers", ())):
        found += checks.find_address_fault(server, f"{at}.nameservers[{index}]")
    for index, search in enumerate(config.get("searches", ())):
        if not _SEARCH.fullmatch(search.removesuffix(".")):
            found.append(invalid(f"{at}.searches[{index}]", search, _SEARCH_TEXT))
    for index, option in enumerate(config.get("options", ())):
        found += [] if option.get("name") else [required(f"{at}.options[{index}]", "must not be empty")]
    return found


def _find_gate_faults(spec: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    for index, gate in enumerate(spec.get("readinessGates", ())):
        where = f"{at}.readinessGates[{index}].conditionType"
        found += checks.apply_rule(complain_key, gate.get("conditionType", ""), where)
    for index, gate in enumerate(spec.get("schedulingGates", ())):
        found += checks.apply_rule(complain_key, gate.get("name", ""), f"{at}.schedulingGates[{index}]")
    return found


def _find_security_faults(context: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        value = context.get(key)
        if value is not None and not 0 <= value <= _LARGEST:
            text = f"must be between 0 and {_LARGEST}, inclusive"
            found.append(invalid(f"{at}.{key}", value, text))
    for index, sysctl in enumerate(context.get("sysctls", ())):
        name = sysctl.get("name", "")
        if not _SYSCTL.fullmatch(name):
            text = f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$"
            found.append(invalid(f"{at}.sysctls[{index}].name", name, text))
    policy = context.get("fsGroupChangePolicy")
    found += checks.find_choice(policy, ("Always", "OnRootMismatch"), f"{at}.fsGroupChangePolicy")
    profile = context.get("seccompProfile", {}).get("type")
    allowed = ("Localhost", "RuntimeDefault", "Unconfined")
    return found + checks.find_choice(profile, allowed, f"{at}.seccompProfile.type")
