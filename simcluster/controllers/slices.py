"""The endpoints of a Service and how they are laid out in EndpointSlices: pure.

The rule it keeps, as k8s.io/endpointslice/reconciler.go has it: one address is in one slice; a slice has one
set of ports and at most so many endpoints; what exists is written as little as possible: an endpoint stays in
its slice, slices that are changed anyway are filled first, and a new slice takes over the name of one that
would be deleted. A Service without endpoints has one empty slice, the placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simcluster.controllers import pods
from simcluster.controllers.metadata import is_deleting, labels_of, matches_labels, uid_of
from simcluster.controllers.ownership import reference_to
from simcluster.store import Object

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"

Endpoint = dict[str, Any]
Port = dict[str, Any]
Identity = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One pod as an endpoint of a Service, with the ports that it has there."""

    identity: Identity
    endpoint: Endpoint
    ports: tuple[Port, ...]
    ports_key: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write; the objects are complete, those to create have a generateName and no name."""

    create: tuple[Object, ...] = ()
    update: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()


@dataclass(slots=True)
class _Plan:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def is_headless(service: Object) -> bool:
    """Whether the Service has no address of its own."""
    return service["spec"].get("clusterIP") in (None, "", "None")


def selects(service: Object, pod: Object) -> bool:
    """Whether a Service selects a pod; one without a selector selects none."""
    selector = service["spec"].get("selector")
    return bool(selector) and matches_labels(selector, labels_of(pod))


def ports_for(service: Object, pod: Object) -> list[Port]:
    """The ports of a Service as they are on this pod; those whose named target it lacks are left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _target(port, pod)
        if number is not None:
            shown = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            also = {"appProtocol": port["appProtocol"]} if port.get("appProtocol") is not None else {}
            found.append(shown | also)
    return found


def _target(port: Port, pod: Object) -> int | None:
    target = port.get("targetPort")
    if target is None:
        target = port["port"]
    if isinstance(target, int):
        return target
    protocol = port.get("protocol", "TCP")
    sidecars = [
        each for each in pod["spec"].get("initContainers") or () if each.get("restartPolicy") == "Always"
    ]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for each in container.get("ports") or ():
            if each.get("name") == target and each.get("protocol", "TCP") == protocol:
                number: int = each["containerPort"]
                return number
    return None


def endpoint_for(service: Object, pod: Object) -> Endpoint | None:
    """The endpoint of a pod, or None if it has no address or has ended for good."""
    address = (pod.get("status") or {}).get("podIP")
    if pods.is_terminal(pod) or not address:
        return None
    serving, terminating = pods.is_ready(pod), is_deleting(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Endpoint = {
        "addresses": [address],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": pod["metadata"]["namespace"],
            "name": pod["metadata"]["name"],
            "uid": uid_of(pod),
        },
    }
    if pods.node_of(pod):
        endpoint["nodeName"] = pods.node_of(pod)
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def entry_for(service: Object, pod: Object) -> Entry | None:
    """The entry of a pod, or None if it is no endpoint."""
    endpoint = endpoint_for(service, pod)
    if endpoint is None:
        return None
    ports = tuple(ports_for(service, pod))
    return Entry(_identity(endpoint), endpoint, ports, _ports_key(ports))


def reconcile(
    service: Object,
    entries: Iterable[Entry],
    existing: Sequence[Object],
    *,
    most: int,
    triggered: str | None = None,
) -> Changes:
    """Return what to write so that the slices of a Service show its pods, at most `most` in a slice.

    `entries` are those of the pods that its selector selects, `existing` the slices that carry its name and this
    controller's; `triggered` is the text for the annotation on all that is written, None for no annotation.
    """
    plan = _Plan()
    wanted = _by_ports(entries)
    owned: dict[str, list[Object]] = {}
    for each in existing:
        if _is_owned(each, service):
            owned.setdefault(_ports_key(each.get("ports")), []).append(each)
        else:
            plan.delete.append(each)
    for key, (ports, endpoints) in wanted.items():
        _lay_out(plan, service, ports, endpoints, owned.pop(key, []), most)
    for leftover in owned.values():
        plan.delete.extend(leftover)
    _keep_placeholder(plan, service, existing)
    return _finish(plan, service, triggered)


def _by_ports(entries: Iterable[Entry]) -> dict[str, tuple[list[Port], dict[Identity, Endpoint]]]:
    wanted: dict[str, tuple[list[Port], dict[Identity, Endpoint]]] = {}
    for entry in entries:
        if entry.ports_key not in wanted:
            wanted[entry.ports_key] = (list(entry.ports), {})
        wanted[entry.ports_key][1][entry.identity] = entry.endpoint
    return wanted


def _lay_out(
    plan: _Plan,
    service: Object,
    ports: list[Port],
    endpoints: dict[Identity, Endpoint],
    existing: list[Object],
    most: int,
) -> None:
    left = dict(endpoints)
    changed, unchanged = [], []
    for each in existing:
        kept, is_changed = _keep(each, left, most)
        if not kept:
            plan.delete.append(each)
        elif is_changed or labels_of(each) != _labels(service):
            changed.append(_with(each, service, kept))
        else:
            unchanged.append(each)
    for each in sorted(changed, key=lambda each: -len(each["endpoints"])):
        _fill(each, left, most)
    while left:
        roomy = _to_fill(unchanged, len(left), most)
        if roomy is None:
            target = _new(service, ports)
            plan.create.append(target)
        else:
            unchanged.remove(roomy)
            target = _with(roomy, service, roomy["endpoints"])
            changed.append(target)
        _fill(target, left, most)
    plan.update.extend(changed)


def _keep(existing: Object, left: dict[Identity, Endpoint], most: int) -> tuple[list[Endpoint], bool]:
    """Return the endpoints that stay in a slice, taking them from `left`, and whether that is a change."""
    kept: list[Endpoint] = []
    before = existing.get("endpoints") or []
    for endpoint in before:
        wanted = left.get(_identity(endpoint))
        if wanted is not None and len(kept) < most:
            kept.append(wanted)
            del left[_identity(endpoint)]
    return kept, kept != before


def _fill(target: Object, left: dict[Identity, Endpoint], most: int) -> None:
    while left and len(target["endpoints"]) < most:
        target["endpoints"].append(left.pop(next(iter(left))))


def _to_fill(unchanged: Sequence[Object], count: int, most: int) -> Object | None:
    """The unchanged slice that takes all that is left and is then fullest, or None: a new one is needed."""
    fitting = [each for each in unchanged if len(each["endpoints"]) + count <= most]
    return max(fitting, key=lambda each: len(each["endpoints"]), default=None) if count < most else None


def _keep_placeholder(plan: _Plan, service: Object, existing: Sequence[Object]) -> None:
    if len(plan.delete) < len(existing) or plan.create or plan.update:
        return
    placeholder = _new(service, [])
    for each in plan.delete:
        is_same = not each.get("endpoints") and not each.get("ports") and _is_owned(each, service)
        if is_same and labels_of(each) == labels_of(placeholder):
            plan.delete.remove(each)
            return
    plan.create.append(placeholder)


def _finish(plan: _Plan, service: Object, triggered: str | None) -> Changes:
    """Turn pairs of a creation and a deletion into updates, and mark what is written with its trigger."""
    create, delete = list(plan.create), []
    update = list(plan.update)
    for each in plan.delete:
        if create and _is_owned(each, service):
            new = create.pop()
            update.append(_with(each, service, new["endpoints"]) | {"ports": new["ports"]})
        else:
            delete.append(each)
    if is_deleting(service):
        create = []
    for each in (*create, *update):
        annotations = each["metadata"].setdefault("annotations", {})
        annotations.pop(TRIGGERED, None)
        if triggered is not None:
            annotations[TRIGGERED] = triggered
        # The real controller's empty lists are stored as null.
        each["endpoints"] = each["endpoints"] or None
        each["ports"] = each["ports"] or None
    return Changes(tuple(create), tuple(update), tuple(delete))


def _new(service: Object, ports: list[Port]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{service['metadata']['name']}-",
            "namespace": service["metadata"]["namespace"],
            "labels": _labels(service),
            "ownerReferences": [reference_to(service)],
        },
        "addressType": "IPv4",
        "endpoints": [],
        "ports": ports,
    }


def _with(existing: Object, service: Object, endpoints: list[Endpoint]) -> Object:
    """A slice with other endpoints; shares with `existing` all that `_finish` leaves alone."""
    metadata = existing["metadata"]
    changed = {"labels": _labels(service), "annotations": dict(metadata.get("annotations") or {})}
    return existing | {"metadata": metadata | changed, "endpoints": list(endpoints)}


def _labels(service: Object) -> dict[str, str]:
    reserved = (SERVICE_NAME, MANAGED_BY, HEADLESS)
    copied = {key: value for key, value in labels_of(service).items() if key not in reserved}
    headless = {HEADLESS: ""} if is_headless(service) else {}
    return copied | headless | {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: CONTROLLER}


def _is_owned(existing: Object, service: Object) -> bool:
    owners = existing["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid_of(service) and owner["kind"] == "Service" for owner in owners)


def _identity(endpoint: Endpoint) -> Identity:
    target = endpoint.get("targetRef") or {}
    addresses = endpoint["addresses"] if len(endpoint["addresses"]) == 1 else sorted(endpoint["addresses"])
    names = target.get("namespace", ""), target.get("name", ""), endpoint.get("hostname", "")
    return (*names, *addresses)


def _ports_key(ports: Sequence[Port] | None) -> str:
    shown = sorted((json.dumps(port, sort_keys=True) for port in ports), key=str) if ports else []
    return ",".join(shown)
