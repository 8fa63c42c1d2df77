"""The mirroring controller: EndpointSlices for Endpoints that somebody writes by hand.

The rule it keeps: a Service without a selector gets one slice for each subset of its Endpoints, so that proxies and
DNS, which read slices alone, follow them; Endpoints that are marked to be skipped, or are a leader's lock, get none.
Source: pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable

from simcluster.controllers import slices
from simcluster.controllers.endpoints import ENDPOINTS
from simcluster.controllers.endpointslice import SLICES
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, annotations_of, is_deleting, labels_of, name_of, uid_of
from simcluster.controllers.ownership import controller_of, reference_to
from simcluster.errors import NotFound
from simcluster.store import Object

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
_SKIPPED = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = (slices.TRIGGERED, "kubectl.kubernetes.io/last-applied-configuration")
_MOST = 1000


class MirroredEndpoints:
    """Brings the mirrored slices of each Endpoints object to what it says."""

    def __init__(self, context: Context) -> None:
        self._registry = context.registry
        self._services = context.informers.of("services")
        self._endpoints = context.informers.of(ENDPOINTS)
        self._slices = context.informers.of(SLICES)
        self.loop: ControlLoop[Name] = ControlLoop("endpointslicemirroring", context, self.sync)
        self._services.handle(self._on_change)
        self._endpoints.handle(self._on_change)
        self._slices.handle(self._on_slice)

    def sync(self, key: Name) -> None:
        """Write what the slices of one Endpoints object lack."""
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        wanted = [] if endpoints is None or not _is_mirrored(service, endpoints) else mirror(endpoints)
        left = {_place(each): each for each in self._present(endpoints)}
        for each in wanted:
            current = left.pop(_place(each), None)
            if current is None:
                self._registry.create(SLICES, key[0], each)
            elif _shown(current) != _shown(each):
                kept = {"name": name_of(current)[1], "generateName": ""}
                each["metadata"] |= kept
                self._registry.update(SLICES, *name_of(current), each)
        for each in left.values():
            self._delete(each)

    def _present(self, endpoints: Object | None) -> list[Object]:
        """The slices of an object; the garbage collector takes those of one that is gone."""
        owned = () if endpoints is None else self._slices.owned(uid_of(endpoints))
        return [each for each in owned if _is_ours(each) and not is_deleting(each)]

    def _delete(self, each: Object) -> None:
        try:
            self._registry.delete(SLICES, *name_of(each), uid=uid_of(each))
        except NotFound:
            return

    # --- What leads to a sync

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None:
            self.loop.queue.add(name_of(changed))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None and _is_ours(changed):
            self.loop.queue.add((name_of(changed)[0], labels_of(changed).get(slices.SERVICE_NAME, "")))


def _is_ours(each: Object) -> bool:
    owner = controller_of(each)
    is_owned = owner is not None and owner["kind"] == "Endpoints"
    return is_owned and labels_of(each).get(slices.MANAGED_BY) == CONTROLLER


def _is_mirrored(service: Object | None, endpoints: Object) -> bool:
    if service is None or service["spec"].get("selector"):
        return False
    return labels_of(endpoints).get(_SKIPPED) != "true" and _LEADER not in annotations_of(endpoints)


def mirror(endpoints: Object) -> list[Object]:
    """The slices that say what an Endpoints object says, one for each subset and family of addresses."""
    mirrored = []
    for subset in endpoints.get("subsets") or ():
        found = [(address, True) for address in subset.get("addresses") or ()]
        found += [(address, False) for address in subset.get("notReadyAddresses") or ()]
        families: dict[str, list[Object]] = {}
        for address, is_ready in found[:_MOST]:
            try:
                ip = ipaddress.ip_address(address["ip"])
            except ValueError:
                # As on a real cluster, what is no address is left out.
                continue
            families.setdefault(f"IPv{ip.version}", []).append(_endpoint(address, str(ip), is_ready=is_ready))
        mirrored += [_slice(endpoints, subset, family, each) for family, each in families.items()]
    return mirrored


def _endpoint(address: Object, ip: str, *, is_ready: bool) -> Object:
    kept = {key: address[key] for key in ("targetRef", "nodeName", "hostname") if address.get(key)}
    return {"addresses": [ip], "conditions": {"ready": is_ready}} | kept


def _slice(endpoints: Object, subset: Object, family: str, members: list[Object]) -> Object:
    namespace, name = name_of(endpoints)
    ports = [
        {"name": port.get("name", ""), "port": port["port"], "protocol": port.get("protocol", "TCP")}
        | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})
        for port in subset.get("ports") or ()
    ]
    marks = {slices.SERVICE_NAME: name, slices.MANAGED_BY: CONTROLLER}
    copied = {key: value for key, value in annotations_of(endpoints).items() if key not in _NOT_COPIED}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name}-",
            "namespace": namespace,
            "labels": labels_of(endpoints) | marks,
            "annotations": copied,
            "ownerReferences": [reference_to(endpoints)],
        },
        "addressType": family,
        "endpoints": members,
        "ports": ports,
    }


def _place(each: Object) -> tuple[str, str]:
    """What tells the slices of one object apart: family and ports."""
    return each["addressType"], json.dumps(each.get("ports") or [], sort_keys=True)


def _shown(each: Object) -> tuple[Iterable[Object], dict[str, str], dict[str, str]]:
    return each.get("endpoints") or [], labels_of(each), annotations_of(each)
