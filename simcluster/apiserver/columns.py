"""The columns that `kubectl get` shows of each kind: names, priorities and how a cell is made of an object. Pure.

The rule it keeps: columns are those of a real API server of v1.36, cell for cell; a kind without an entry has Name and
Created At, as there. Ages are told as Go tells them.

Source: kubernetes pkg/printers/internalversion/printers.go and apimachinery pkg/util/duration.
"""

from __future__ import annotations

from dataclasses import replace

from simcluster.apiserver import cluster_columns, pod_cells, storage_columns, workload_columns
from simcluster.apiserver.ages import show_age
from simcluster.apiserver.column import (
    AGE,
    CONTAINERS,
    CREATED_AT,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    UNKNOWN,
    UNSET,
    Cell,
    Column,
    Object,
    at,
    integer,
    show_labels,
    show_name,
    wide,
)
from simcluster.registry.event_views import VIEW as EVENT_VIEW
from simcluster.registry.event_views import to_stored

_ENDPOINTS_SHOWN = 3


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


def _kernel(node: Object, now: float) -> str:
    architecture = node.get("status", {}).get("nodeInfo", {}).get("architecture")
    version = str(_node_info("kernelVersion")(node, now))
    return f"{version} ({architecture})" if architecture else version


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


def _more(shown: list[str], *, empty: str) -> str:
    if not shown:
        return empty
    rest = len(shown) - _ENDPOINTS_SHOWN
    return ",".join(shown[:_ENDPOINTS_SHOWN]) + (f" + {rest} more..." if rest > 0 else "")


def _slice_ports(piece: Object, _now: float) -> str:
    ports = piece.get("ports")
    return _more([str(each.get("port", "*")) for each in ports] if ports else [], empty=UNSET)


def _slice_endpoints(piece: Object, _now: float) -> str:
    endpoints = piece.get("endpoints")
    found = [address for each in endpoints for address in each["addresses"]] if endpoints else []
    return _more(found, empty=UNSET)


def _endpoints(endpoints: Object, _now: float) -> str:
    found = []
    for subset in endpoints.get("subsets", ()):
        addresses = [each["ip"] for each in subset.get("addresses", ())]
        ports = [f":{port['port']}" for port in subset.get("ports", ())]
        found += [address + port for port in ports or [""] for address in addresses]
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
    kind, name = involved.get("kind", "").lower(), involved.get("name", "")
    return f"{kind}/{name}" if name else kind


def _event_source(event: Object, _now: float) -> str:
    source = event.get("source", {})
    component = source.get("component", event.get("reportingComponent", ""))
    host = source.get("host", event.get("reportingInstance", ""))
    return f"{component}, {host}" if host else str(component)


def _first_seen(event: Object, now: float) -> str:
    first = event.get("firstTimestamp")
    return show_age(event.get("eventTime") if first is None else first, now)


def _last_seen(event: Object, now: float) -> str:
    if event.get("series"):
        return show_age(event["series"].get("lastObservedTime"), now)
    last = event.get("lastTimestamp")
    return _first_seen(event, now) if last is None else show_age(last, now)


def _event_count(event: Object, _now: float) -> int:
    if event.get("series"):
        return int(event["series"].get("count", 0))
    count = int(event.get("count", 0))
    return count if count else 1


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
    wide("Users", _subjects("User")),
    wide("Groups", _subjects("Group")),
    wide("ServiceAccounts", _subjects("ServiceAccount")),
)


def _parameters(ingress_class: Object, _now: float) -> str:
    reference = ingress_class["spec"].get("parameters")
    if reference is None:
        return NONE
    group = f".{reference['apiGroup']}" if reference.get("apiGroup") else ""
    return f"{reference['kind']}{group}/{reference['name']}"


_EVENT = (
    Column("Last Seen", _last_seen),
    Column("Type", lambda obj, _: obj.get("type", "")),
    Column("Reason", lambda obj, _: obj.get("reason", "")),
    Column("Object", _event_object),
    wide("Subobject", lambda obj, _: obj.get("involvedObject", {}).get("fieldPath", "")),
    wide("Source", _event_source),
    Column("Message", lambda obj, _: obj.get("message", "").strip()),
    wide("First Seen", _first_seen),
    wide("Count", _event_count),
    Column("Name", show_name, format="name", priority=1),
)


def _of_stored(cell: Cell) -> Cell:
    return lambda event, now: cell(to_stored(event), now)


DEFAULT = (NAME, CREATED_AT)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "scale": (
        Column("Name", show_name),
        integer("Desired", "spec.replicas"),
        integer("Available", "status.replicas"),
        AGE,
    ),
    **workload_columns.COLUMNS,
    **storage_columns.COLUMNS,
    **cluster_columns.COLUMNS,
    "nodes": (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", _node_info("kubeletVersion", "")),
        wide("Internal-IP", _node_address("InternalIP")),
        wide("External-IP", _node_address("ExternalIP")),
        wide("OS-Image", _node_info("osImage")),
        wide("Kernel-Version", _kernel),
        wide("Container-Runtime", _node_info("containerRuntimeVersion")),
    ),
    "pods": (
        NAME,
        Column("Ready", lambda pod, _: pod_cells.show_ready(pod)),
        Column("Status", lambda pod, _: pod_cells.show_status(pod)),
        Column("Restarts", pod_cells.show_restarts),
        AGE,
        wide("IP", lambda pod, _: pod.get("status", {}).get("podIP", NONE)),
        wide("Node", lambda pod, _: pod["spec"].get("nodeName", NONE)),
        wide("Nominated Node", lambda pod, _: pod.get("status", {}).get("nominatedNodeName", NONE)),
        wide("Readiness Gates", lambda pod, _: pod_cells.show_gates(pod)),
    ),
    "deployments.apps": (
        NAME,
        Column("Ready", _ready_of("replicas")),
        Column("Up-to-date", at("status.updatedReplicas", 0)),
        Column("Available", at("status.availableReplicas", 0)),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    "replicasets.apps": (
        NAME,
        integer("Desired", "spec.replicas"),
        integer("Current", "status.replicas"),
        integer("Ready", "status.readyReplicas"),
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
        wide("Selector", lambda obj, _: show_labels(obj["spec"].get("selector"))),
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
    "events": _EVENT,
    EVENT_VIEW: tuple(replace(column, cell=_of_stored(column.cell)) for column in _EVENT),
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
