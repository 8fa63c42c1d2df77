"""The kernel's rules for Services, as text for the program `nft`: pure.

The rules it keeps: a new connection to a Service goes to a usable endpoint chosen at random, or, with session
affinity, to the one that its client had; one to a Service without usable endpoints is refused; one to a
cluster IP that no Service has is dropped, as kube-proxy's iptables mode lets it fade away. Rules concern new
connections alone: those that are established are the connection tracker's. A change of one route rewrites
the rules of that route and no others.

Names in the rules are made of addresses and numbers, never of what a user wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from simcluster.network.routes import Address, Route

TABLE = "ip simcluster"
# The link that routes lead over which are there for the rules alone.
NOWHERE = "nowhere"
SERVICE_RANGE = "10.96.0.0/16"
_BASE = f"""
table {TABLE} {{
  map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  set refused {{ type ipv4_addr . inet_proto . inet_service; }}
  set silent {{ type ipv4_addr; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain translate {{ ip daddr . meta l4proto . th dport vmap @services; }}
  chain admit {{
    ip daddr @silent drop
    ip daddr . meta l4proto . th dport @refused reject
    ip daddr {SERVICE_RANGE} drop
  }}
  chain arriving {{ type filter hook prerouting priority raw; ip saddr @silent drop; }}
  chain forward {{ type filter hook forward priority filter; jump admit; oifname "{NOWHERE}" drop; }}
  chain sent {{ type filter hook output priority filter; jump admit; }}
  chain arriving-nat {{ type nat hook prerouting priority dstnat; jump translate; }}
  chain sent-nat {{ type nat hook output priority -100; jump translate; }}
  chain leaving-nat {{
    type nat hook postrouting priority srcnat;
    ip saddr . ip daddr @hairpin masquerade
  }}
}}
"""


def render_base() -> str:
    """The table without any Service; whatever it had before is gone."""
    return f"table {TABLE}\ndelete table {TABLE}\n{_BASE}"


def render_change(before: Mapping[str, Route], after: Mapping[str, Route]) -> str:
    """What makes the rules of the routes `after`, by name, out of those `before`; empty if nothing changed."""
    lines: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            lines += [*_remove_match(old), *_add(new, old), *_remove_chains(old, new)]
    return "".join(f"{line}\n" for line in lines)


def render_silence(addresses: Iterable[str], *, is_silent: bool) -> str:
    """What makes these addresses silent, or lets them speak again; they must not be so already."""
    verb = "add" if is_silent else "delete"
    return f"{verb} element {TABLE} silent {{ {', '.join(sorted(addresses))} }}\n"


def _key(route: Route) -> str:
    return f"{route.address} . {route.protocol.lower()} . {route.port}"


def _chain(route: Route) -> str:
    return f"{route.protocol.lower()}-{route.address}-{route.port}"


def _endpoint_chain(route: Route, backend: Address) -> str:
    """Of one that remembers its clients, for so long: two times make two memories."""
    return f"{_chain(route)}-{backend[0]}-{backend[1]}-{route.affinity_s}s"


def _endpoint_chains(route: Route) -> set[str]:
    if route.affinity_s is None:
        return set()
    return {_endpoint_chain(route, backend) for backend in route.backends}


def _remove_match(old: Route | None) -> Iterable[str]:
    """No connection finds the old rules from here on."""
    if old is not None:
        if old.backends:
            yield f"delete element {TABLE} services {{ {_key(old)} }}"
        else:
            yield f"delete element {TABLE} refused {{ {_key(old)} }}"


def _add(new: Route | None, old: Route | None) -> Iterable[str]:
    if new is None:
        return
    if not new.backends:
        yield f"add element {TABLE} refused {{ {_key(new)} }}"
        return
    chain = _chain(new)
    yield f"add chain {TABLE} {chain}"
    yield f"flush chain {TABLE} {chain}"
    if new.affinity_s is not None:
        yield from _add_affinity(new)
    else:
        choices = ", ".join(f"{index} : {ip} . {port}" for index, (ip, port) in enumerate(new.backends))
        protocol = f"meta l4proto {new.protocol.lower()}"
        yield f"add rule {TABLE} {chain} {protocol} dnat ip to {_random(new)} map {{ {choices} }}"
    known = set() if old is None else {ip for ip, _ in old.backends}
    fresh = sorted({ip for ip, _ in new.backends} - known)
    if fresh:
        yield f"add element {TABLE} hairpin {{ {', '.join(f'{ip} . {ip}' for ip in fresh)} }}"
    yield f"add element {TABLE} services {{ {_key(new)} : goto {chain} }}"


def _random(route: Route) -> str:
    return f"numgen random mod {len(route.backends)}"


def _add_affinity(new: Route) -> Iterable[str]:
    """A chain for each endpoint, which remembers its clients; a client that is remembered goes there."""
    chain, protocol = _chain(new), new.protocol.lower()
    names = [_endpoint_chain(new, backend) for backend in new.backends]
    for name, (ip, port) in zip(names, new.backends, strict=True):
        yield f"add set {TABLE} {name} {{ type ipv4_addr; flags dynamic,timeout; timeout {new.affinity_s}s; }}"
        yield f"add chain {TABLE} {name}"
        yield f"flush chain {TABLE} {name}"
        yield f"add rule {TABLE} {name} update @{name} {{ ip saddr }}"
        yield f"add rule {TABLE} {name} meta l4proto {protocol} dnat ip to {ip}:{port}"
    for name in names:
        yield f"add rule {TABLE} {chain} ip saddr @{name} goto {name}"
    choices = ", ".join(f"{index} : goto {name}" for index, name in enumerate(names))
    yield f"add rule {TABLE} {chain} {_random(new)} vmap {{ {choices} }}"


def _remove_chains(old: Route | None, new: Route | None) -> Iterable[str]:
    """Take away what no rule leads to any more."""
    if old is None or not old.backends:
        return
    if new is None or not new.backends:
        yield f"delete chain {TABLE} {_chain(old)}"
    kept = set() if new is None else _endpoint_chains(new)
    for name in sorted(_endpoint_chains(old) - kept):
        yield f"delete chain {TABLE} {name}"
        yield f"delete set {TABLE} {name}"
