"""What the API server refuses of Ingresses, their classes, NetworkPolicies and EndpointSlices. Pure.

Source: kubernetes pkg/apis/networking/validation/validation.go and pkg/apis/discovery/validation/validation.go.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Protocol

from simcluster.errors import Cause, duplicate, forbidden, invalid, required, unsupported
from simcluster.labels import complain_subdomain
from simcluster.registry import checks
from simcluster.registry.default_classes import choose_default
from simcluster.registry.naming import complain_label
from simcluster.store import Store

Object = dict[str, Any]
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_ODD = ("//", "/./", "/../", "%2f", "%2F")
_ODD_ENDS = ("/..", "/.")
_WILDCARD = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    r"regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_FAMILIES = ("FQDN", "IPv4", "IPv6")


_NO_ADDRESS = "must be a DNS name, not an IP address"
CLASS = "kubernetes.io/ingress.class"
_IS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_CLASSES = "ingressclasses.networking.k8s.io"


class _Around(Protocol):
    @property
    def store(self) -> Store: ...


def prepare_ingress(ingress: Object, old: Object | None, around: _Around) -> None:
    """Give a new Ingress without a class the default one."""
    if old is not None or "ingressClassName" in ingress["spec"] or CLASS in _annotations_of(ingress):
        return
    default = choose_default((each.object for each in around.store.list(_CLASSES, None)), _IS_DEFAULT)
    if default is not None:
        ingress["spec"]["ingressClassName"] = default["metadata"]["name"]


def _annotations_of(obj: Object) -> dict[str, str]:
    annotations: dict[str, str] = obj["metadata"].get("annotations", {})
    return annotations


def find_ingress_faults(ingress: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with an Ingress."""
    spec = ingress["spec"]
    found: list[Cause] = []
    said, named = _annotations_of(ingress).get(CLASS), spec.get("ingressClassName")
    if old is None and said is not None and named is not None and said != named:
        text = "must match `ingressClassName` when both are specified"
        found.append(invalid(f"annotations.{CLASS}", said, text))
    if not spec.get("rules") and "defaultBackend" not in spec:
        found.append(invalid("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if "defaultBackend" in spec:
        found += _find_backend_faults(spec["defaultBackend"], "spec.defaultBackend")
    for number, rule in enumerate(spec.get("rules", ())):
        at = f"spec.rules[{number}]"
        found += _find_host_faults(rule.get("host", ""), f"{at}.host")
        if "http" in rule:
            found += _find_path_faults(rule["http"].get("paths", ()), f"{at}.http.paths")
    for number, tls in enumerate(spec.get("tls", ())):
        for index, host in enumerate(tls.get("hosts", ())):
            rule_of = _complain_wildcard if "*" in host else complain_subdomain
            found += checks.apply_rule(rule_of, host, f"spec.tls[{number}].hosts[{index}]")
    name = spec.get("ingressClassName")
    return found + (checks.apply_rule(complain_subdomain, name, "spec.ingressClassName") if name else [])


def find_ingress_status_faults(ingress: Object) -> list[Cause]:
    """Return what is wrong with the status of an Ingress: addresses that are none, names that are addresses."""
    found: list[Cause] = []
    given = ingress["status"].get("loadBalancer", {}).get("ingress", ())
    for index, each in enumerate(given):
        at = f"status.loadBalancer.ingress[{index}]"
        if each.get("ip"):
            found += checks.find_address_fault(each["ip"], f"{at}.ip")
        host = each.get("hostname", "")
        if checks.read_address(host) is not None:
            found.append(invalid(f"{at}.hostname", host, _NO_ADDRESS))
        elif host:
            found += checks.apply_rule(complain_subdomain, host, f"{at}.hostname")
    return found


def _complain_wildcard(host: str) -> list[str]:
    return [] if host.startswith("*.") and not complain_subdomain(host[2:]) else [_WILDCARD]


def _find_host_faults(host: str, at: str) -> list[Cause]:
    if not host:
        return []
    if checks.read_address(host) is not None:
        return [invalid(at, host, _NO_ADDRESS)]
    return checks.apply_rule(_complain_wildcard if "*" in host else complain_subdomain, host, at)


def _find_path_faults(paths: Any, at: str) -> list[Cause]:
    if not paths:
        return [required(at)]
    found: list[Cause] = []
    for index, path in enumerate(paths):
        where = f"{at}[{index}]"
        kind, text = path.get("pathType"), path.get("path", "")
        if not kind:
            found.append(required(f"{where}.pathType", "pathType must be specified"))
            continue
        if kind not in _PATH_TYPES:
            found.append(unsupported(f"{where}.pathType", kind, _PATH_TYPES))
        elif kind != "ImplementationSpecific" or text:
            found += _find_path_text_faults(text, f"{where}.path", exactly=kind != _PATH_TYPES[1])
        found += _find_backend_faults(path.get("backend", {}), f"{where}.backend")
    return found


def _find_path_text_faults(path: str, at: str, *, exactly: bool) -> list[Cause]:
    if not path.startswith("/"):
        return [invalid(at, path, "must be an absolute path")]
    if not exactly:
        return []
    found = [invalid(at, path, f"must not contain '{each}'") for each in _ODD if each in path]
    return found + [
        invalid(at, path, f"cannot end with '{each}'") for each in _ODD_ENDS if path.endswith(each)
    ]


def _find_backend_faults(backend: Object, at: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(at, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [required(f"{at}.resource.{key}") for key in ("kind", "name") if not resource.get(key)]
    if service is None:
        return [invalid(at, "", "resource or service backend is required")]
    name, port = service.get("name", ""), service.get("port", {})
    where = f"{at}.service"
    found = checks.apply_rule(complain_label, name, f"{where}.name") if name else [required(f"{where}.name")]
    if port.get("name") and port.get("number"):
        return [*found, invalid(at, "", "cannot set both port name & port number")]
    if port.get("name"):
        return found + checks.apply_rule(checks.complain_port_name, port["name"], f"{where}.port.name")
    if port.get("number"):
        return found + checks.find_port_fault(port["number"], f"{where}.port.number")
    return [*found, required(at, "port name or number is required")]


def find_class_faults(of_class: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with an IngressClass."""
    controller = of_class.get("spec", {}).get("controller", "")
    if old is not None and controller != old.get("spec", {}).get("controller", ""):
        return [invalid("spec.controller", controller, "field is immutable")]
    return []


def find_policy_faults(policy: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a NetworkPolicy."""
    spec = policy.get("spec", {})
    found = checks.find_selector_faults(spec.get("podSelector", {}), "spec.podSelector")
    for kind, peers in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(spec.get(kind, ())):
            at = f"spec.{kind}[{number}]"
            for index, port in enumerate(rule.get("ports", ())):
                found += _find_policy_port_faults(port, f"{at}.ports[{index}]")
            for index, peer in enumerate(rule.get(peers, ())):
                found += _find_peer_faults(peer, f"{at}.{peers}[{index}]")
    types = spec.get("policyTypes", [])
    if len(types) > 2:
        return [*found, invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
    for index, each in enumerate(types):
        found += checks.find_choice(each, ("Ingress", "Egress"), f"spec.policyTypes[{index}]")
    return found


def _find_policy_port_faults(port: Object, at: str) -> list[Cause]:
    found = checks.find_choice(port.get("protocol"), ("TCP", "UDP", "SCTP"), f"{at}.protocol")
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        return (
            found
            if end is None
            else [*found, required(f"{at}.port", "must be specified when `endPort` is set")]
        )
    found += checks.find_target_port_fault(number, f"{at}.port")
    if end is not None and isinstance(number, int) and end < number:
        # The real server shows the port, not its end.
        found.append(invalid(f"{at}.endPort", number, "must be greater than or equal to `port`"))
    return found


def _find_peer_faults(peer: Object, at: str) -> list[Cause]:
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if key in peer]
    found: list[Cause] = []
    for key in given[: 3 - ("ipBlock" in given)]:
        found += checks.find_selector_faults(peer.get(key, {}), f"{at}.{key}") if key != "ipBlock" else []
    if "ipBlock" in peer:
        found += _find_block_faults(peer["ipBlock"], f"{at}.ipBlock")
    if not given:
        found.append(required(at, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        found.append(forbidden(at, "may not specify both ipBlock and another peer"))
    return found


def _find_block_faults(block: Object, at: str) -> list[Cause]:
    cidr = block.get("cidr", "")
    if not cidr:
        return [required(f"{at}.cidr")]
    found = checks.find_network_fault(cidr, f"{at}.cidr")
    if found:
        return found
    whole: Any = ipaddress.ip_network(cidr, strict=False)
    for index, each in enumerate(block.get("except", ())):
        where = f"{at}.except[{index}]"
        faults = checks.find_network_fault(each, where)
        found += faults
        if not faults:
            part: Any = ipaddress.ip_network(each, strict=False)
            inside = part.version == whole.version and part.subnet_of(whole) and part != whole
            found += [] if inside else [invalid(where, each, "must be a strict subset of `cidr`")]
    return found


def find_slice_faults(piece: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with an EndpointSlice."""
    family = piece.get("addressType", "")
    found: list[Cause] = [] if family else [required("addressType")]
    found += checks.find_choice(family if family else None, _FAMILIES, "addressType")
    found += _find_slice_port_faults(piece.get("ports") or ())
    if family in _FAMILIES:
        for index, endpoint in enumerate(piece.get("endpoints") or ()):
            found += _find_endpoint_faults(endpoint, family, f"endpoints[{index}]")
    if old is not None and family != old.get("addressType"):
        found.append(invalid("addressType", family, "field is immutable"))
    return found


def _find_slice_port_faults(ports: Any) -> list[Cause]:
    found: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"ports[{index}]", port.get("name", "")
        found += checks.apply_rule(complain_label, name, f"{at}.name") if name else []
        found += [duplicate(f"{at}.name", name)] if name in names else []
        names.add(name)
        found += checks.find_choice(port.get("protocol"), checks.PROTOCOLS, f"{at}.protocol")
    return found


def _find_endpoint_faults(endpoint: Object, family: str, at: str) -> list[Cause]:
    addresses = endpoint.get("addresses", [])
    found: list[Cause] = []
    if not addresses:
        found.append(required(f"{at}.addresses", "must contain at least 1 address"))
    for index, address in enumerate(addresses):
        where = f"{at}.addresses[{index}]"
        if family == "FQDN":
            found += checks.apply_rule(complain_subdomain, address, where)
            continue
        known = checks.read_address(address)
        if known is not None and known.version != int(family[-1]):
            found.append(invalid(f"{at}.addresses", address, f"must be an {family} address"))
        found += checks.find_special_address_fault(address, where)
    for key, rule in (("nodeName", complain_subdomain), ("hostname", complain_label)):
        if endpoint.get(key):
            found += checks.apply_rule(rule, endpoint[key], f"{at}.{key}")
    return found
