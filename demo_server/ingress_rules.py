"""What Ingress objects ask for, read into rules. Pure.

The rule it keeps: only Ingresses of our class count; where two claim the same host and path, the older one
wins, then the one that sorts first by name, whatever the order they come in. What can not be served is a
problem in words, and never stops the rest from being served.

Objects are the API's JSON as dictionaries (networking.k8s.io/v1). Not supported, and reported: plain HTTP (an
Ingress without `tls`: gRPC clients need HTTP/2, and TLS is how it is agreed on) and backends that are not
Services.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SELF_SIGNED = "kube-grpc.dev/certificate"
"""Annotation; the value `self-signed` asks the gateway to make the certificate where its Secret is missing.
"""

_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH = re.compile(r"/[^?#\x00-\x20]*")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """A Service's port, by name or by number; exactly one of both is set."""

    service: str
    port_name: str | None
    port_number: int | None

    def __str__(self) -> str:
        return f"{self.service}:{self.port_number if self.port_name is None else self.port_name}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls to `host` (None: any host) whose path fits go to the backend. `exact` False means by path
    elements.
    """

    host: str | None
    path: str
    exact: bool
    backend: Backend


@dataclass(frozen=True, slots=True)
class Termination:
    """TLS for these hosts with the certificate of a Secret; `self_signed`: to be made where it is missing."""

    secret: str
    hosts: tuple[str, ...]
    self_signed: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything to serve, in a stable order, and what could not be read."""

    rules: tuple[Rule, ...] = ()
    terminations: tuple[Termination, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Each backend once, sorted."""
        return tuple(sorted({rule.backend for rule in self.rules}, key=str))


def read_rules(ingresses: Iterable[Object], ingress_class: str) -> Rules:
    """The rules of all Ingresses whose `spec.ingressClassName` is `ingress_class`."""
    mine = [each for each in ingresses if each.get("spec", {}).get("ingressClassName") == ingress_class]
    rules: dict[tuple[str | None, str, bool], Rule] = {}
    terminations: dict[str, Termination] = {}
    problems: list[str] = []
    for ingress in sorted(mine, key=_age):
        name = f"Ingress {ingress['metadata']['name']}"
        tls = list(_read_tls(ingress, name, problems))
        if not tls:
            problems.append(
                f"{name}: has no tls section with a secretName; only TLS is served, so nothing of it is"
            )
            continue
        for termination in tls:
            _merge(terminations, termination, name, problems)
        for rule in _read_paths(ingress, name, problems):
            key = (rule.host, rule.path, rule.exact)
            if rules.setdefault(key, rule) != rule:
                where = f"host {rule.host}, path {rule.path}"
                problems.append(f"{name}: {where} is taken by an older Ingress; that one is served")
    return Rules(tuple(rules.values()), tuple(terminations.values()), tuple(problems))


def _age(ingress: Object) -> tuple[str, str]:
    metadata = ingress["metadata"]
    return (str(metadata.get("creationTimestamp")), metadata["name"])


def _merge(terminations: dict[str, Termination], found: Termination, name: str, problems: list[str]) -> None:
    # A host is served with one certificate: two would be an ambiguous listener, which Envoy refuses as a
    # whole.
    taken = {host: each.secret for each in terminations.values() for host in each.hosts}
    fresh = [host for host in dict.fromkeys(found.hosts) if host not in taken]
    problems.extend(
        f"{name}: host {host} is served with Secret {taken[host]} of an older Ingress"
        for host in found.hosts
        if taken.get(host, found.secret) != found.secret
    )
    known = terminations.get(found.secret)
    if known is not None:
        hosts, self_signed = (*known.hosts, *fresh), known.self_signed or found.self_signed
        terminations[found.secret] = Termination(found.secret, hosts, self_signed)
    elif fresh:
        terminations[found.secret] = Termination(found.secret, tuple(fresh), found.self_signed)


def _read_tls(ingress: Object, name: str, problems: list[str]) -> Iterator[Termination]:
    annotations = ingress["metadata"].get("annotations") or {}
    self_signed = annotations.get(SELF_SIGNED) == "self-signed"
    spec = ingress["spec"]
    for entry in spec.get("tls") or ():
        secret = entry.get("secretName") or ""
        if not _SECRET.fullmatch(secret):
            problems.append(f'{name}: tls secretName "{secret}" is not the name of a Secret')
            continue
        hosts = entry.get("hosts") or [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
        unfit = [host for host in hosts if not _HOST.fullmatch(host)]
        if unfit or not hosts:
            said = f'host "{unfit[0]}" is not a DNS name' if unfit else "names no host"
            problems.append(f"{name}: tls of Secret {secret} {said}")
            continue
        yield Termination(secret, tuple(hosts), self_signed)


def _read_paths(ingress: Object, name: str, problems: list[str]) -> Iterator[Rule]:
    spec = ingress["spec"]
    for rule in spec.get("rules") or ():
        host = rule.get("host") or None
        if host is not None and not _HOST.fullmatch(host):
            problems.append(f'{name}: host "{host}" is not a DNS name')
            continue
        for path in (rule.get("http") or {}).get("paths") or ():
            backend = _read_backend(path.get("backend") or {}, name, problems)
            where = path.get("path") or "/"
            if not _PATH.fullmatch(where):
                problems.append(f'{name}: path "{where}" is not a path; it begins with / and has no query')
            elif backend is not None:
                yield Rule(host, where, path.get("pathType") == "Exact", backend)
    if spec.get("defaultBackend"):
        backend = _read_backend(spec["defaultBackend"], name, problems)
        if backend is not None:
            yield Rule(None, "/", exact=False, backend=backend)


def _read_backend(backend: Object, name: str, problems: list[str]) -> Backend | None:
    service = backend.get("service")
    if service is None:
        problems.append(f"{name}: a backend that is not a Service can not be served")
        return None
    port = service.get("port") or {}
    port_name, port_number = port.get("name") or None, port.get("number")
    if not _SERVICE.fullmatch(service.get("name") or ""):
        problems.append(f'{name}: backend "{service.get("name")}" is not the name of a Service')
        return None
    if port_name is None and not isinstance(port_number, int):
        problems.append(f"{name}: backend {service['name']} has neither a port name nor a port number")
        return None
    if port_name is not None and not _PORT_NAME.fullmatch(port_name):
        problems.append(f'{name}: backend port "{port_name}" is not the name of a port')
        return None
    return Backend(service["name"], port_name, None if port_name is not None else port_number)
