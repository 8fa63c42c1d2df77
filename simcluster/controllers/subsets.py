"""The subsets of an Endpoints object: which addresses of a Service's pods have which ports. Pure.

The rule it keeps: ports that the same addresses offer stand together, ready addresses apart from those that are not;
a pod that is being deleted is no endpoint unless the Service publishes what is not ready; of more than 1 000
addresses the ready ones are kept first. Source: pkg/controller/endpoint/endpoints_controller.go,
pkg/api/v1/endpoints/util.go.
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Iterable
from typing import Any

from simcluster.controllers import pods, slices
from simcluster.controllers.metadata import is_deleting
from simcluster.store import Object

MOST = 1000
Address = dict[str, Any]
Subset = dict[str, Any]


def address_for(service: Object, pod: Object) -> Address | None:
    """The address of a pod, or None if it is no endpoint."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint = slices.endpoint_for(service, pod)
    if endpoint is None or (is_deleting(pod) and not publish):
        return None
    kept = {key: endpoint[key] for key in ("hostname", "nodeName", "targetRef") if key in endpoint}
    return {"ip": endpoint["addresses"][0]} | kept


def pack(service: Object, selected: Iterable[Object]) -> list[Subset]:
    """The subsets of a Service, all addresses in them."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    by_port: dict[str, dict[tuple[str, str], tuple[Address, bool]]] = {}
    for pod in selected:
        address = address_for(service, pod)
        if address is None:
            continue
        is_ready = publish or pods.is_ready(pod)
        for port in _ports(service, pod):
            key = json.dumps(port, sort_keys=True)
            by_port.setdefault(key, {})[address["ip"], address["targetRef"]["uid"]] = (address, is_ready)
    groups: dict[frozenset[tuple[str, str]], list[str]] = {}
    for key, found in by_port.items():
        groups.setdefault(frozenset(found), []).append(key)
    packed = [_subset(by_port[keys[0]].values(), keys) for keys in groups.values()]
    return sorted(packed, key=lambda each: json.dumps(each.get("ports"), sort_keys=True))


def _ports(service: Object, pod: Object) -> list[Object | None]:
    if not service["spec"].get("ports"):
        # A headless Service may have none; its addresses count all the same.
        return [None] if slices.is_headless(service) else []
    return [
        {key: value for key, value in port.items() if value or key != "name"}
        for port in slices.ports_for(service, pod)
    ]


def _subset(found: Iterable[tuple[Address, bool]], keys: Iterable[str]) -> Subset:
    ready: list[Address] = []
    not_ready: list[Address] = []
    for address, is_ready in found:
        (ready if is_ready else not_ready).append(address)
    ports = [json.loads(key) for key in sorted(keys)]
    subset = {
        "addresses": sorted(ready, key=_order),
        "notReadyAddresses": sorted(not_ready, key=_order),
        "ports": [port for port in ports if port is not None],
    }
    return {key: value for key, value in subset.items() if value}


def _order(address: Address) -> tuple[bytes, str]:
    return ipaddress.ip_address(address["ip"]).packed, address["targetRef"]["uid"]


def truncate(subsets: list[Subset]) -> tuple[list[Subset], bool]:
    """Return at most 1 000 addresses of these, each subset its share, and whether any were left out."""
    ready = sum(len(each.get("addresses", ())) for each in subsets)
    not_ready = sum(len(each.get("notReadyAddresses", ())) for each in subsets)
    if ready + not_ready <= MOST:
        return subsets, False
    kind, total, room = "notReadyAddresses", not_ready, MOST - ready
    if ready > MOST:
        kind, total, room = "addresses", ready, MOST
    left = room
    kept = []
    for each in subsets:
        addresses = each.get(kind, [])
        share = min(math.ceil(len(addresses) / total * room), left)
        left -= min(share, len(addresses))
        cut = each | {kind: addresses[:share]} | ({"notReadyAddresses": []} if ready > MOST else {})
        kept.append({key: value for key, value in cut.items() if value})
    return kept, True
