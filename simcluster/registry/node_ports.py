"""The ports of Services on every node: which need one, which they get, which are refused.

The rule it keeps: a port that is asked for is given or refused with the real text; one that a Service has it keeps; all
others get the lowest that is free, where a real server takes one at random.

Source: kubernetes pkg/registry/core/service/storage/alloc.go, pkg/registry/core/service/strategy.go.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from simcluster.errors import Invalid, StatusError, invalid
from simcluster.store import Store

Object = dict[str, Any]
FIRST, LAST = 30000, 32767
# Below it a real server gives out ports only when those above are gone, so that they are free to be asked for.
_FIRST_GIVEN = 30086


def needs_node_ports(spec: Object) -> bool:
    """Return whether a Service of this spec has ports on the nodes."""
    if spec["type"] == "LoadBalancer":
        return bool(spec.get("allocateLoadBalancerNodePorts", True))
    return bool(spec["type"] == "NodePort")


def prepare(spec: Object, before: Object) -> None:
    """Keep the ports that an update leaves out, drop those that its new type has not got."""
    had = {(port["protocol"], port["port"]): port["nodePort"] for port in _with_node_port(before)}
    for port in spec.get("ports", ()):
        key = port["protocol"], port["port"]
        if needs_node_ports(spec):
            if not port.get("nodePort") and key in had:
                port["nodePort"] = had[key]
        elif before and port.get("nodePort") == had.get(key):
            port.pop("nodePort", None)


def allocate(service: Object, store: Store) -> None:
    """Give a Service the ports that it needs; Invalid if it asks for one that can not be had."""
    spec, metadata = service["spec"], service["metadata"]
    if not needs_node_ports(spec):
        return
    others = _held_by_others(store, metadata["uid"])
    own: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.get("ports", ())):
        wanted = port.get("nodePort")
        if not wanted:
            continue
        # Only one Service's own ports may share a number, and only for different protocols.
        text = _complain(wanted, is_held=wanted in others or (port["protocol"], wanted) in own)
        if text:
            fault = invalid(f"spec.ports[{index}].nodePort", wanted, text)
            raise Invalid("Service", metadata["name"], [fault])
        own.add((port["protocol"], wanted))
    held = others | {number for _, number in own}
    for port in spec.get("ports", ()):
        if not port.get("nodePort"):
            port["nodePort"] = _choose(held)
            held.add(port["nodePort"])


def _complain(wanted: int, *, is_held: bool) -> str:
    if not FIRST <= wanted <= LAST:
        return f"provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}"
    return "provided port is already allocated" if is_held else ""


def _choose(held: set[int]) -> int:
    for port in chain(range(_FIRST_GIVEN, LAST + 1), range(FIRST, _FIRST_GIVEN)):
        if port not in held:
            return port
    raise StatusError("failed to allocate a nodePort: range is full")


def _with_node_port(spec: Object) -> list[Object]:
    return [port for port in spec.get("ports", ()) if port.get("nodePort")]


def _held_by_others(store: Store, uid: str) -> set[int]:
    return {
        port["nodePort"]
        for record in store.list("services")
        if record.object["metadata"]["uid"] != uid
        for port in _with_node_port(record.object["spec"])
    }
