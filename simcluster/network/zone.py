"""What the cluster's DNS knows: names under `cluster.local`, as the kubernetes plugin of CoreDNS answers
them. Pure.

The rules it keeps (coredns/plugin/kubernetes, kubernetes/dns docs/specification.md): a Service with a cluster
IP has that address, with endpoints or not; a headless one has the addresses of its ready endpoints, and does
not exist while there are none; a name that exists without records of the asked type is not an error; SRV only
for named ports.

It does not shuffle, time out or talk to anybody: that is the server's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Object = dict[str, Any]
Type = Literal["A", "CNAME", "SRV", "PTR", "TXT"]
ORIGIN = ("cluster", "local")
_VERSION = "1.1.0"


class Catalogue(Protocol):
    """What there is to be named."""

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        ...

    def service(self, name: tuple[str, str]) -> Object | None:
        """The Service of that namespace and name."""
        ...

    def services(self) -> Iterable[Object]:
        """All Services."""
        ...

    def slices(self, name: tuple[str, str]) -> Iterable[Object]:
        """The EndpointSlices of a Service."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """One record: `value` is an address, a name or a text; SRV has a port besides."""

    name: str
    type: Type
    value: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`records` of the asked type; `exists` tells an empty answer (NODATA) from no such name (NXDOMAIN)."""

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


_NOTHING = Answer(exists=False)
_EMPTY = Answer(exists=True)


@dataclass(frozen=True, slots=True)
class _Host:
    """An address that a Service leads to, and the label that it goes by there."""

    label: str
    address: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


def answer(name: str, kind: str, catalogue: Catalogue) -> Answer | None:
    """The answer for a lower-case name without its last dot; None if the cluster's DNS is not in charge of
    it.
    """
    labels = tuple(name.split("."))
    if labels[-2:] == ("in-addr", "arpa"):
        return _answer_reverse(labels, kind, catalogue)
    if labels[-2:] != ORIGIN:
        return None
    match labels[:-2]:
        case ():
            return _EMPTY
        case ("dns-version",):
            return _select([Record(name, "TXT", _VERSION)], kind)
        case ("svc",) | ("pod",):
            return _EMPTY
        case (namespace, "svc" | "pod"):
            return _EMPTY if catalogue.has_namespace(namespace) else _NOTHING
        case (address, namespace, "pod"):
            return _answer_pod(name, address, namespace, kind, catalogue)
        case (*before, service, namespace, "svc"):
            found = catalogue.service((namespace, service))
            return _NOTHING if found is None else _answer_service(name, tuple(before), found, kind, catalogue)
    return _NOTHING


def _select(records: Iterable[Record], kind: str, additional: Iterable[Record] = ()) -> Answer:
    """Those records that were asked for; a CNAME answers for every type."""
    chosen = tuple(dict.fromkeys(record for record in records if record.type in (kind, "CNAME")))
    return Answer(exists=True, records=chosen, additional=tuple(dict.fromkeys(additional)) if chosen else ())


def _answer_pod(name: str, dashed: str, namespace: str, kind: str, catalogue: Catalogue) -> Answer:
    """`1-2-3-4.<namespace>.pod`: the plugin's mode `pods insecure` believes any address."""
    parts = dashed.split("-")
    is_address = len(parts) == 4 and all(part.isdecimal() and int(part) < 256 for part in parts)
    if not is_address or not catalogue.has_namespace(namespace):
        return _NOTHING
    return _select([Record(name, "A", ".".join(parts))], kind)


def _answer_service(
    name: str, before: tuple[str, ...], service: Object, kind: str, catalogue: Catalogue
) -> Answer:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return _NOTHING if before else _select([Record(name, "CNAME", spec["externalName"])], kind)
    base = _name_of(service)
    is_headless = spec.get("clusterIP") in (None, "", "None")
    hosts = list(_endpoints(catalogue.slices(_key_of(service)))) if is_headless or before else []
    if len(before) == 1:
        named = [Record(name, "A", host.address) for host in hosts if host.label == before[0]]
        return _select(named, kind) if named else _NOTHING
    if not is_headless:
        hosts = [_Host("", spec["clusterIP"], tuple(_service_ports(service)))]
    if len(before) == 2:
        hosts = _with_port(hosts, *before)
    if not hosts or len(before) > 2:
        return _NOTHING
    records, additional = [], []
    for host in hosts:
        target = f"{host.label}.{base}" if host.label else base
        records.append(Record(name, "A", host.address))
        records += [Record(name, "SRV", target, number) for port, _, number in host.ports if port]
        additional.append(Record(target, "A", host.address))
    return _select(records, kind, additional if kind == "SRV" else ())


def _with_port(hosts: Iterable[_Host], port: str, protocol: str) -> list[_Host]:
    """The hosts that have a port of that name (`_grpc`) and protocol (`_tcp`), with that port alone."""
    found = []
    for host in hosts:
        ports = tuple(each for each in host.ports if (f"_{each[0]}", f"_{each[1]}") == (port, protocol))
        if ports:
            found.append(_Host(host.label, host.address, ports))
    return found


def _endpoints(slices: Iterable[Object]) -> Iterator[_Host]:
    for each in slices:
        ports = tuple(
            (port.get("name") or "", port.get("protocol", "TCP").lower(), port["port"])
            for port in each.get("ports") or ()
        )
        for endpoint in each.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") in (None, True):
                address = endpoint["addresses"][0]
                yield _Host(endpoint.get("hostname") or address.replace(".", "-"), address, ports)


def _service_ports(service: Object) -> Iterator[tuple[str, str, int]]:
    for port in service["spec"].get("ports") or ():
        yield port.get("name", ""), port.get("protocol", "TCP").lower(), port["port"]


def _key_of(service: Object) -> tuple[str, str]:
    return service["metadata"]["namespace"], service["metadata"]["name"]


def _name_of(service: Object) -> str:
    namespace, name = _key_of(service)
    return ".".join((name, namespace, "svc", *ORIGIN))


def _answer_reverse(labels: tuple[str, ...], kind: str, catalogue: Catalogue) -> Answer | None:
    """`4.3.2.1.in-addr.arpa`: the Service of a cluster IP, or the names of an endpoint; None for other
    addresses.
    """
    if len(labels) != 6:
        return None
    address = ".".join(reversed(labels[:4]))
    found = []
    for service in catalogue.services():
        if service["spec"].get("clusterIP") == address:
            return _select([Record(".".join(labels), "PTR", _name_of(service))], kind)
        found += [
            Record(".".join(labels), "PTR", f"{host.label}.{_name_of(service)}")
            for host in _endpoints(catalogue.slices(_key_of(service)))
            if host.address == address
        ]
    return _select(found, kind) if found else None
