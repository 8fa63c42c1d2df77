"""The columns of what a cluster is configured by: policies, classes, certificates, devices, flow control. Pure.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from simcluster.apiserver.ages import show_duration
from simcluster.apiserver.column import AGE, NAME, NONE, Cell, Column, Object, at, boolean, integer
from simcluster.registry.scale import show_selector


def _pod_selector(policy: Object, _now: float) -> str:
    shown = show_selector(policy["spec"].get("podSelector"))
    return shown if shown else NONE


def _parent(address: Object, _now: float) -> str:
    reference = address["spec"].get("parentRef")
    if reference is None:
        return NONE
    group = f".{reference['group']}" if reference.get("group") else ""
    namespace = f"/{reference['namespace']}" if reference.get("namespace") else ""
    return f"{reference.get('resource', '')}{group}".lower() + f"{namespace}/{reference.get('name', '')}"


def _requested_s(request: Object, _now: float) -> str:
    seconds = request["spec"].get("expirationSeconds")
    return NONE if seconds is None else show_duration(seconds)


def _request_state(request: Object, _now: float) -> str:
    status = request.get("status", {})
    held = {each["type"] for each in status.get("conditions", ())}
    shown = next((kind for kind in ("Denied", "Approved") if kind in held), "Pending")
    return shown + (",Failed" if "Failed" in held else "") + (",Issued" if status.get("certificate") else "")


def _claim_state(claim: Object, _now: float) -> str:
    is_deleted = "deletionTimestamp" in claim["metadata"]
    states = ["deleted"] if is_deleted else []
    status = claim.get("status", {})
    if "allocation" in status:
        states += ["allocated", *(["reserved"] if status.get("reservedFor") else [])]
    elif not is_deleted:
        states.append("pending")
    return ",".join(states)


def _dangling(schema: Object, _now: float) -> str:
    conditions = schema.get("status", {}).get("conditions", ())
    return next((str(each["status"]) for each in conditions if each["type"] == "Dangling"), "?")


def _limited(path: str) -> Cell:
    inner = at(f"spec.limited.{path}", 0)

    def cell(level: Object, now: float) -> object:
        limited = level["spec"].get("limited")
        if limited is None or ("queuing" in path and "queuing" not in limited.get("limitResponse", {})):
            return NONE
        return inner(level, now)

    return cell


_QUEUING = "limitResponse.queuing."

COLUMNS: dict[str, tuple[Column, ...]] = {
    "networkpolicies.networking.k8s.io": (NAME, Column("Pod-Selector", _pod_selector), AGE),
    "ipaddresses.networking.k8s.io": (NAME, Column("ParentRef", _parent)),
    "servicecidrs.networking.k8s.io": (
        NAME,
        Column("CIDRs", lambda obj, _: ",".join(obj["spec"].get("cidrs", ()))),
        AGE,
    ),
    "certificatesigningrequests.certificates.k8s.io": (
        NAME,
        AGE,
        Column("SignerName", at("spec.signerName", NONE)),
        Column("Requestor", at("spec.username")),
        Column("RequestedDuration", _requested_s),
        Column("Condition", _request_state),
    ),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        integer("Value", "value"),
        boolean("Global-Default", "globalDefault"),
        AGE,
        Column("PreemptionPolicy", at("preemptionPolicy")),
    ),
    "runtimeclasses.node.k8s.io": (NAME, Column("Handler", at("handler")), AGE),
    "deviceclasses.resource.k8s.io": (NAME, AGE),
    "resourceclaims.resource.k8s.io": (NAME, Column("State", _claim_state), AGE),
    "resourceclaimtemplates.resource.k8s.io": (NAME, AGE),
    "resourceslices.resource.k8s.io": (
        NAME,
        Column("Node", at("spec.nodeName")),
        Column("Driver", at("spec.driver")),
        Column("Pool", at("spec.pool.name")),
        AGE,
    ),
    "flowschemas.flowcontrol.apiserver.k8s.io": (
        NAME,
        Column("PriorityLevel", at("spec.priorityLevelConfiguration.name")),
        Column("MatchingPrecedence", at("spec.matchingPrecedence", 0)),
        Column("DistinguisherMethod", at("spec.distinguisherMethod.type", NONE)),
        AGE,
        Column("MissingPL", _dangling),
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": (
        NAME,
        Column("Type", at("spec.type")),
        Column("NominalConcurrencyShares", _limited("nominalConcurrencyShares")),
        Column("Queues", _limited(_QUEUING + "queues")),
        Column("HandSize", _limited(_QUEUING + "handSize")),
        Column("QueueLengthLimit", _limited(_QUEUING + "queueLengthLimit")),
        AGE,
    ),
}
