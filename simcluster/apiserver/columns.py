"""The columns that `kubectl get` shows of each kind: names, priorities and how a cell is made of an object. Pure.

The rule it keeps: columns are those of a real API server of v1.36, cell for cell; a kind without an entry has Name and
Created At, as there. Ages are told as Go tells them.

Source: kubernetes pkg/printers/internalversion/printers.go and apimachinery pkg/util/duration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simcluster.apiserver import pod_cells
from simcluster.apiserver.ages import show_age
from simcluster.registry.scale import show_selector

Object = dict[str, Any]
Cell = Callable[[Object, float], Any]
NONE = "<none>"
UNKNOWN = "<unknown>"
_ENDPOINTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those of priority 1 are shown by `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> Object:
        """Return it as it stands in a Table's columnDefinitions."""
        shown = {"name": self.name, "type": self.type, "format": self.format}
        return shown | {"description": "", "priority": self.priority}


def _wide(name: str, cell: Cell) -> Column:
    return Column(name, cell, priority=1)


def _name(obj: Object, _now: float) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Object, now: float) -> str:
    return show_age(obj["metadata"].get("creationTimestamp"), now)


NAME = Column("Name", _name, format="name")
AGE = Column("Age", _age)
CREATED_AT = Column("Created At", lambda obj, _: obj["metadata"].get("creationTimestamp"), type="date")


def _containers(obj: Object, key: str) -> str:
    return ",".join(each.get(key, "") for each in obj["spec"]["template"]["spec"].get("containers", ()))


CONTAINERS = _wide("Containers", lambda obj, _: _containers(obj, "name"))
IMAGES = _wide("Images", lambda obj, _: _containers(obj, "image"))


def _selector(obj: Object, _now: float) -> str:
    shown = show_selector(obj["spec"].get("selector"))
    return shown if shown else NONE


SELECTOR = _wide("Selector", _selector)


def _status(key: str) -> Cell:
    return lambda obj, _: obj.get("status", {}).get(key, 0)


def _ready_of(total: str) -> Cell:
    def cell(obj: Object, _now: float) -> str:
        return f"{obj.get('status', {}).get('readyReplicas', 0)}/{obj['spec'].get(total, 0)}"

    return cell


def _node_status(node: Object, _now: float) -> str:
    conditions = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions", ())}
    shown = (
        ["Unknown"]
        if "Ready" not in conditions
        else ["Ready" if conditions["Ready"] == "True" else "NotReady"]
    )
    return ",".join(shown + (["SchedulingDisabled"] if node["spec"].get("unschedulable") else []))


def _node_roles(node: Object, _now: float) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels", {})
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix) and key != prefix)
    return ",".join(roles) if roles else NONE


def _node_address(kind: str) -> Cell:
    def cell(node: Object, _now: float) -> str:
        for address in node.get("status", {}).get("addresses", ()):
            if address["type"] == kind:
                return str(address["address"])
        return NONE

    return cell


def _node_info(key: str, empty: str = UNKNOWN) -> Cell:
    def cell(node: Object, _now: float) -> str:
        found = node.get("status", {}).get("nodeInfo", {}).get(key, "")
        return str(found) if found else empty

    return cell


def _service_ports(service: Object, _now: float) -> str:
    shown = []
    for port in service["spec"].get("ports", ()):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) if shown else NONE


def _cluster_ip(service: Object, _now: float) -> str:
    address = service["spec"].get("clusterIP")
    return str(address) if address else NONE


def _external_ip(service: Object, _now: float) -> str:
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", NONE))
    addresses = list(spec.get("externalIPs", ()))
    if spec["type"] == "LoadBalancer":
        given = service.get("status", {}).get("loadBalancer", {}).get("ingress", ())
        addresses += [each.get("ip", each.get("hostname", "")) for each in given]
        return ",".join(addresses) if addresses else "<pending>"
    return ",".join(addresses) if addresses else NONE


def _service_selector(service: Object, _now: float) -> str:
    labels = service["spec"].get("selector", {})
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def _more(shown: list[str], *, empty: str) -> str:
    if not shown:
        return empty
    rest = len(shown) - _ENDPOINTS_SHOWN
    return ",".join(shown[:_ENDPOINTS_SHOWN]) + (f" + {rest} more..." if rest > 0 else "")


def _slice_ports(piece: Object, _now: float) -> str:
    ports = piece.get("ports")
    return _more([str(each.get("port", "*")) for each in ports] if ports else [], empty="<unset>")


def _slice_endpoints(piece: Object, _now: float) -> str:
    endpoints = piece.get("endpoints")
    found = [address for each in endpoints for address in each["addresses"]] if endpoints else []
    return _more(found, empty="<unset>")


def _endpoints(endpoints: Object, _now: float) -> str:
    found = []
    for subset in endpoints.get("subsets", ()):
        ports = subset.get("ports", [])
        for address in subset.get("addresses", ()):
            found += [f"{address['ip']}:{port['port']}" for port in ports] if ports else [address["ip"]]
    return _more(found, empty=NONE)


def _ingress_class(ingress: Object, _now: float) -> str:
    annotated = ingress["metadata"].get("annotations", {}).get("kubernetes.io/ingress.class", NONE)
    return str(ingress["spec"].get("ingressClassName", annotated))


def _ingress_hosts(ingress: Object, _now: float) -> str:
    hosts = [rule["host"] for rule in ingress["spec"].get("rules", ()) if rule.get("host")]
    return _more(hosts, empty="*")


def _ingress_address(ingress: Object, _now: float) -> str:
    given = ingress.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    return ",".join(each.get("ip", each.get("hostname", "")) for each in given)


def _event_object(event: Object, _now: float) -> str:
    involved = event.get("involvedObject", {})
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"


def _event_source(event: Object, _now: float) -> str:
    source = event.get("source", {})
    component = source.get("component", event.get("reportingComponent", ""))
    host = source.get("host", event.get("reportingInstance", ""))
    return f"{component}, {host}" if host else str(component)


def _last_seen(event: Object, now: float) -> str:
    series = event.get("series", {})
    seen = series.get("lastObservedTime", event.get("lastTimestamp"))
    return show_age(event.get("eventTime") if seen is None else seen, now)


def _first_seen(event: Object, now: float) -> str:
    first = event.get("firstTimestamp")
    return show_age(event.get("eventTime") if first is None else first, now)


def _event_count(event: Object, _now: float) -> str:
    return str(event.get("series", {}).get("count", event.get("count", 1)))


def _data_count(holder: Object, _now: float) -> int:
    return len(holder.get("data", {})) + len(holder.get("binaryData", {}))


def _role(binding: Object, _now: float) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _subjects(kind: str) -> Cell:
    def cell(binding: Object, _now: float) -> str:
        found = [each for each in binding.get("subjects", ()) if each["kind"] == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{each.get('namespace', '')}/{each['name']}" for each in found)
        return ", ".join(each["name"] for each in found)

    return cell


_BINDING = (
    NAME,
    Column("Role", _role),
    AGE,
    _wide("Users", _subjects("User")),
    _wide("Groups", _subjects("Group")),
    _wide("ServiceAccounts", _subjects("ServiceAccount")),
)


def _parameters(ingress_class: Object, _now: float) -> str:
    reference = ingress_class["spec"].get("parameters")
    if reference is None:
        return NONE
    group = f".{reference['apiGroup']}" if reference.get("apiGroup") else ""
    return f"{reference['kind']}{group}/{reference['name']}"


DEFAULT = (NAME, CREATED_AT)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "nodes": (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", _node_info("kubeletVersion", "")),
        _wide("Internal-IP", _node_address("InternalIP")),
        _wide("External-IP", _node_address("ExternalIP")),
        _wide("OS-Image", _node_info("osImage")),
        _wide("Kernel-Version", _node_info("kernelVersion")),
        _wide("Container-Runtime", _node_info("containerRuntimeVersion")),
    ),
    "pods": (
        NAME,
        Column("Ready", lambda pod, _: pod_cells.show_ready(pod)),
        Column("Status", lambda pod, _: pod_cells.show_status(pod)),
        Column("Restarts", pod_cells.show_restarts),
        AGE,
        _wide("IP", lambda pod, _: pod.get("status", {}).get("podIP", NONE)),
        _wide("Node", lambda pod, _: pod["spec"].get("nodeName", NONE)),
        _wide("Nominated Node", lambda pod, _: pod.get("status", {}).get("nominatedNodeName", NONE)),
        _wide("Readiness Gates", lambda pod, _: pod_cells.show_gates(pod)),
    ),
    "deployments.apps": (
        NAME,
        Column("Ready", _ready_of("replicas")),
        Column("Up-to-date", _status("updatedReplicas")),
        Column("Available", _status("availableReplicas")),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    "replicasets.apps": (
        NAME,
        Column("Desired", lambda obj, _: obj["spec"].get("replicas", 0), type="integer"),
        Column("Current", _status("replicas"), type="integer"),
        Column("Ready", _status("readyReplicas"), type="integer"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    "statefulsets.apps": (NAME, Column("Ready", _ready_of("replicas")), AGE, CONTAINERS, IMAGES),
    "services": (
        NAME,
        Column("Type", lambda obj, _: obj["spec"]["type"]),
        Column("Cluster-IP", _cluster_ip),
        Column("External-IP", _external_ip),
        Column("Port(s)", _service_ports),
        AGE,
        _wide("Selector", _service_selector),
    ),
    "endpointslices.discovery.k8s.io": (
        NAME,
        Column("AddressType", lambda obj, _: obj["addressType"]),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    "endpoints": (NAME, Column("Endpoints", _endpoints), AGE),
    "namespaces": (NAME, Column("Status", lambda obj, _: obj["status"]["phase"]), AGE),
    "ingresses.networking.k8s.io": (
        NAME,
        Column("Class", _ingress_class),
        Column("Hosts", _ingress_hosts),
        Column("Address", _ingress_address),
        Column("Ports", lambda obj, _: "80, 443" if obj["spec"].get("tls") else "80"),
        AGE,
    ),
    "ingressclasses.networking.k8s.io": (
        NAME,
        Column("Controller", lambda obj, _: obj["spec"].get("controller", "")),
        Column("Parameters", _parameters),
        AGE,
    ),
    "events": (
        Column("Last Seen", _last_seen),
        Column("Type", lambda obj, _: obj.get("type", "")),
        Column("Reason", lambda obj, _: obj.get("reason", "")),
        Column("Object", _event_object),
        _wide("Subobject", lambda obj, _: obj.get("involvedObject", {}).get("fieldPath", "")),
        _wide("Source", _event_source),
        Column("Message", lambda obj, _: obj.get("message", "").strip()),
        _wide("First Seen", _first_seen),
        _wide("Count", _event_count),
        Column("Name", _name, format="name", priority=1),
    ),
    "secrets": (NAME, Column("Type", lambda obj, _: obj["type"]), Column("Data", _data_count), AGE),
    "configmaps": (NAME, Column("Data", _data_count), AGE),
    "serviceaccounts": (NAME, AGE),
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "leases.coordination.k8s.io": (
        NAME,
        Column("Holder", lambda obj, _: obj.get("spec", {}).get("holderIdentity", "")),
        AGE,
    ),
}
