"""What writers are told of the spec of a pod, or of a template, although it is taken. Pure.

Source: kubernetes pkg/api/pod/warnings.go and pkg/api/node/util.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simcluster.labels import complain_value
from simcluster.registry import path_warnings
from simcluster.registry.address_warnings import warn_of_address
from simcluster.schema import quantities

Object = dict[str, Any]
_Place = tuple[str, Object]

_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SOURCES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
# A real server writes it as it is called in its own types.
_SHOWN = {"storageos": "storageOS"}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_MATCHES_NONE = "a null labelSelector results in matching no pod"
_OF_BYTES = ("memory", "ephemeral-storage")
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_USE_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_USE_APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'


def find_warnings(spec: Object, metadata: Object, at: str) -> list[str]:
    """Return what is odd about a spec and the metadata beside it; `at` is where a template stands, empty for a pod."""
    prefix = f"{at}." if at else ""
    where, annotations = f"{prefix}spec", metadata.get("annotations", {})
    noted = f"{prefix}metadata.annotations"
    containers = list(_visit(spec, where))
    return [
        *_warn_of_placement(spec, where),
        *(f"{noted}[{key}]: {text}" for key, text in _ANNOTATIONS.items() if key in annotations),
        *_warn_of_volumes(spec.get("volumes", ()), f"{where}.volumes"),
        *path_warnings.find_warnings(spec.get("volumes", [])),
        *_warn_of_doubles(spec.get("hostAliases", ()), "ip", f"{where}.hostAliases"),
        *_warn_of_doubles(spec.get("imagePullSecrets", ()), "name", f"{where}.imagePullSecrets"),
        *_warn_of_empty_names(spec.get("imagePullSecrets", ()), f"{where}.imagePullSecrets"),
        *_warn_of_fractions(spec.get("overhead", {}), f"{where}.overhead"),
        *_warn_of_profiles(spec, annotations, containers, noted),
        *_warn_of_ports(containers),
        *_warn_of_port_names(containers),
        *_warn_of_grace(spec, where),
        *_warn_of_affinity(spec.get("affinity", {}), f"{where}.affinity"),
        *_warn_of_addresses(spec, where),
    ]


def warn_of_label(key: str, at: str) -> Iterator[str]:
    """Yield what has become of a label of nodes that is the key of a map."""
    if key in _LABELS:
        yield f"{at}: {_LABELS[key]}"


def warn_of_label_key(key: str, at: str) -> Iterator[str]:
    """Yield what has become of a label of nodes that stands in a field."""
    if key in _LABELS:
        yield f"{at}: {key} is {_LABELS[key]}"


def warn_of_term(term: Object, at: str, *, values: bool) -> Iterator[str]:
    """Yield what is odd about a term that selects nodes, if asked for also about its values."""
    for index, each in enumerate(term.get("matchExpressions", ())):
        where = f"{at}.matchExpressions[{index}]"
        yield from warn_of_label_key(each.get("key", ""), f"{where}.key")
        for number, value in enumerate(each.get("values", ()) if values else ()):
            for text in complain_value(value):
                yield f"{where}.values[{number}]: {value} is invalid, {text}"


def warn_of_fraction(amounts: Object, name: str, at: str) -> Iterator[str]:
    """Yield that an amount is no whole number of bytes."""
    amount = amounts.get(name)
    if amount is not None and quantities.parse(amount).denominator != 1:
        yield f'{at}[{name}]: fractional byte value "{amount}" is invalid, must be an integer'


def warn_of_claim(spec: Object, at: str) -> Iterator[str]:
    """Yield what is odd about the spec of a PersistentVolumeClaim."""
    for kind in ("requests", "limits"):
        amounts = spec.get("resources", {}).get(kind, {})
        yield from warn_of_fraction(amounts, "storage", f"{at}.resources.{kind}")


def warn_of_sources(volume: Object, kinds: tuple[str, ...], at: str) -> Iterator[str]:
    """Yield what has become of these kinds of storage, of which a volume has one."""
    for kind in kinds:
        if kind in volume:
            yield f"{at}.{_SHOWN.get(kind, kind)}: {_SOURCES[kind]}"


def _visit(spec: Object, at: str) -> Iterator[_Place]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, each in enumerate(spec.get(kind, ())):
            yield f"{at}.{kind}[{index}]", each


def _warn_of_placement(spec: Object, at: str) -> Iterator[str]:
    for key in spec.get("nodeSelector", {}):
        yield from warn_of_label(key, f"{at}.nodeSelector[{key}]")
    affinity, where = spec.get("affinity", {}).get("nodeAffinity", {}), f"{at}.affinity.nodeAffinity"
    for index, term in enumerate(affinity.get(_REQUIRED, {}).get("nodeSelectorTerms", ())):
        yield from warn_of_term(term, f"{where}.{_REQUIRED}.nodeSelectorTerms[{index}]", values=False)
    for index, each in enumerate(affinity.get(_PREFERRED, ())):
        yield from warn_of_term(
            each.get("preference", {}), f"{where}.{_PREFERRED}[{index}].preference", values=True
        )
    for index, each in enumerate(spec.get("topologySpreadConstraints", ())):
        where = f"{at}.topologySpreadConstraints[{index}]"
        yield from warn_of_label_key(each.get("topologyKey", ""), f"{where}.topologyKey")
        if "labelSelector" not in each:
            yield f"{where}.labelSelector: {_MATCHES_NONE}"


def _warn_of_volumes(volumes: Any, at: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        yield from warn_of_sources(volume, tuple(_SOURCES), f"{at}[{index}]")
        claim = volume.get("ephemeral", {}).get("volumeClaimTemplate", {}).get("spec", {})
        yield from warn_of_claim(claim, f"{at}[{index}].ephemeral.volumeClaimTemplate.spec")


def _warn_of_doubles(items: Any, key: str, at: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, each in enumerate(items):
        value = each.get(key, "")
        if value in seen:
            yield f'{at}[{index}].{key}: duplicate {key} "{value}"'
        seen.add(value)


def _warn_of_empty_names(items: Any, at: str) -> Iterator[str]:
    for index, each in enumerate(items):
        if not each.get("name"):
            yield f'{at}[{index}].name: invalid empty name ""'


def _warn_of_fractions(amounts: Object, at: str) -> Iterator[str]:
    for name in _OF_BYTES:
        yield from warn_of_fraction(amounts, name, at)


def _warn_of_profiles(spec: Object, noted: Object, containers: list[_Place], at: str) -> Iterator[str]:
    """Yield what is said by annotations and not by fields; then, container by container, what is odd of each."""
    context = spec.get("securityContext", {})
    if _SECCOMP_POD in noted and "seccompProfile" not in context:
        yield f"{at}[{_SECCOMP_POD}]: {_USE_SECCOMP}"
    for where, container in containers:
        own, name = container.get("securityContext", {}), container.get("name", "")
        if _SECCOMP + name in noted and "seccompProfile" not in own:
            yield f"{at}[{_SECCOMP}{name}]: {_USE_SECCOMP}"
        said = noted.get(_APP_ARMOR + name)
        if said is not None and "appArmorProfile" not in own:
            profile = _read_profile(said)
            if profile is None or profile != context.get("appArmorProfile"):
                yield f"{at}[{_APP_ARMOR}{name}]: {_USE_APP_ARMOR}"
        resources = container.get("resources", {})
        for amount in _OF_BYTES:
            for kind in ("limits", "requests"):
                yield from warn_of_fraction(resources.get(kind, {}), amount, f"{where}.resources.{kind}")
        yield from _warn_of_environment(container.get("env", ()), f"{where}.env")


def _read_profile(said: str) -> Object | None:
    """Return the field that an AppArmor annotation stands for."""
    if said.startswith("localhost/") and said != "localhost/":
        return {"type": "Localhost", "localhostProfile": said.removeprefix("localhost/")}
    kind = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}.get(said)
    return None if kind is None else {"type": kind}


def _warn_of_environment(variables: Any, at: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, each in enumerate(variables):
        name, value = each.get("name", ""), each.get("value", "")
        before = f"$({name})"
        # One that goes on from the value before it hides nothing.
        if name in seen and ("valueFrom" in each or value == before or before not in value):
            yield f'{at}[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _warn_of_ports(containers: list[_Place]) -> Iterator[str]:
    taken: dict[tuple[int, str], list[_Place]] = {}
    for at, container in containers:
        for index, port in enumerate(container.get("ports", ())):
            where = f"{at}.ports[{index}]"
            host_ip, host_port = port.get("hostIP", ""), port.get("hostPort", 0)
            if host_ip and not host_port:
                yield f"{where}: hostIP set without hostPort: {_show_port(port)}"
            others = taken.setdefault((port.get("containerPort", 0), port.get("protocol", "")), [])
            for other, before in others:
                ip, number = before.get("hostIP", ""), before.get("hostPort", 0)
                if (ip, number) == (host_ip, host_port):
                    yield f"{where}: duplicate port definition with {other}"
                elif not host_port or not number:
                    yield f"{where}: overlapping port definition with {other}"
                elif number == host_port and bool(ip) is not bool(host_ip):
                    yield f"{where}: dangerously ambiguous port definition with {other}"
            others.append((where, port))


def _show_port(port: Object) -> str:
    """Return a port as Go prints it."""
    name, number, protocol = port.get("name", ""), port.get("containerPort", 0), port.get("protocol", "")
    return f"{{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{port['hostIP']}}}"


def _warn_of_port_names(containers: list[_Place]) -> Iterator[str]:
    first: dict[str, str] = {}
    for at, container in containers:
        for index, port in enumerate(container.get("ports", ())):
            name, where = port.get("name", ""), f"{at}.ports[{index}]"
            other = first.get(name)
            if other is not None:
                used = f"services and probes that select ports by name will use {other}"
                yield f'{where}: duplicate port name "{name}" with {other}, {used}'
            elif name:
                first[name] = where


def _warn_of_grace(spec: Object, at: str) -> Iterator[str]:
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}.terminationGracePeriodSeconds: {text}"


def _warn_of_affinity(affinity: Object, at: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind, {})
        for index, each in enumerate(terms.get(_REQUIRED, ())):
            if "labelSelector" not in each:
                yield f"{at}.{kind}.{_REQUIRED}[{index}].labelSelector: {_MATCHES_NONE}"
        for index, each in enumerate(terms.get(_PREFERRED, ())):
            if "labelSelector" not in each.get("podAffinityTerm", {}):
                yield f"{at}.{kind}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_MATCHES_NONE}"


def _warn_of_addresses(spec: Object, at: str) -> Iterator[str]:
    for index, server in enumerate(spec.get("dnsConfig", {}).get("nameservers", ())):
        yield from warn_of_address(server, f"{at}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases", ())):
        yield from warn_of_address(alias.get("ip", ""), f"{at}.hostAliases[{index}].ip")
