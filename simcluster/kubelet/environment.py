"""The environment and the command line of a container, as the kubelet makes them. Pure.

The rule it keeps (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables): Services of the namespace, then
`envFrom`, then `env` in its order; later entries win, and each value may refer to earlier ones. What a
reference can not be resolved to is a `ConfigProblem` in the kubelet's words, which a later try may not meet
any more.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcluster.kubelet.expansion import expand
from simcluster.schema.quantities import divide

Object = dict[str, Any]
# (resource, name) → the object in the pod's namespace, or None.
Lookup = Callable[[str, str], Object | None]
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


class ConfigProblem(Exception):  # noqa: N818 -- Kubernetes calls it CreateContainerConfigError
    """The container's configuration refers to what is not there."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pod's own object does not say: addresses, the node, and other objects of its namespace."""

    pod_ip: str
    host_ip: str
    lookup: Lookup
    services: Sequence[Object]  # those of the pod's namespace
    node_capacity: Mapping[str, str]


def make_environment(pod: Object, container: Object, around: Surroundings) -> dict[str, str]:
    """The variables that the pod declares, and those of its Services; ConfigProblem if one can not be had."""
    links = pod["spec"].get("enableServiceLinks")
    services = service_variables(around.services) if links is None or links else {}
    declared: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        declared.update(_read_source(source, around))
    for entry in container.get("env") or ():
        known = services | declared
        value = _resolve(pod, container, entry, around, known)
        if value is not None:
            declared[entry["name"]] = value
    return services | declared


def make_command(
    container: Object, image_command: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """The argument list: `command` replaces the image's command, `args` follow (and replace no command)."""
    command = container.get("command") or ()
    chosen = [expand(part, environment) for part in command] if command else list(image_command)
    return chosen + [expand(part, environment) for part in container.get("args") or ()]


def service_variables(services: Iterable[Object]) -> dict[str, str]:
    """The variables of Services with a cluster IP (pkg/kubelet/envvars/envvars.go)."""
    found: dict[str, str] = {}
    for service in services:
        spec = service["spec"]
        if spec.get("clusterIP") not in (None, "", "None") and spec.get("ports"):
            prefix = service["metadata"]["name"].upper().replace("-", "_")
            found.update(_variables_of(prefix, spec["clusterIP"], spec["ports"]))
    return found


def _variables_of(prefix: str, address: str, ports: Sequence[Object]) -> Iterator[tuple[str, str]]:
    yield f"{prefix}_SERVICE_HOST", address
    yield f"{prefix}_SERVICE_PORT", str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            yield f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}", str(port["port"])
    for index, port in enumerate(ports):
        number, protocol = port["port"], port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{address}:{number}"
        if index == 0:
            yield f"{prefix}_PORT", url
        stem = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield stem, url
        yield f"{stem}_PROTO", protocol.lower()
        yield f"{stem}_PORT", str(number)
        yield f"{stem}_ADDR", address


def _read_source(source: Object, around: Surroundings) -> Iterator[tuple[str, str]]:
    """The entries of one `envFrom`."""
    prefix = source.get("prefix", "")
    for kind, resource, word in (
        ("configMapRef", "configmaps", "configmap"),
        ("secretRef", "secrets", "secret"),
    ):
        reference = source.get(kind)
        if reference is None:
            continue
        holder = around.lookup(resource, reference["name"])
        if holder is None:
            if not reference.get("optional"):
                raise ConfigProblem(f'{word} "{reference["name"]}" not found')
            continue
        for key in sorted(holder.get("data") or {}):
            yield prefix + key, _decode(resource, holder["data"][key])


def _decode(resource: str, value: str) -> str:
    if resource != "secrets":
        return value
    # As os.environ holds bytes that are no text; a process sees the bytes themselves.
    return base64.b64decode(value).decode("utf-8", "surrogateescape")


def _resolve(
    pod: Object, container: Object, entry: Object, around: Surroundings, known: Mapping[str, str]
) -> str | None:
    """The value of one `env` entry; None if it is optional and absent."""
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value", ""), known)
    if "fieldRef" in source:
        return read_field(pod, source["fieldRef"]["fieldPath"], around)
    if "resourceFieldRef" in source:
        return read_resource(pod, container, source["resourceFieldRef"], around)
    if "configMapKeyRef" in source:
        return _read_key(pod, source["configMapKeyRef"], "configmaps", "configmap", "ConfigMap", around)
    if "secretKeyRef" in source:
        return _read_key(pod, source["secretKeyRef"], "secrets", "secret", "Secret", around)
    raise ConfigProblem(
        f"env {entry['name']}: valueFrom {', '.join(source)} is not supported by this cluster"
    )


def _read_key(
    pod: Object, reference: Object, resource: str, word: str, kind: str, around: Surroundings
) -> str | None:
    name, key = reference["name"], reference["key"]
    holder = around.lookup(resource, name)
    if holder is None:
        if reference.get("optional"):
            return None
        raise ConfigProblem(f'{word} "{name}" not found')
    value = (holder.get("data") or {}).get(key)
    if value is None:
        if reference.get("optional"):
            return None
        raise ConfigProblem(f"couldn't find key {key} in {kind} {pod['metadata']['namespace']}/{name}")
    return _decode(resource, value)


def read_field(pod: Object, path: str, around: Surroundings) -> str:
    """One field of the downward API; ConfigProblem for a path that it does not have."""
    match = _SUBSCRIPT.fullmatch(path)
    if match is not None:
        value: str = (pod["metadata"].get(match.group(1)) or {}).get(match.group(2), "")
        return value
    metadata, spec = pod["metadata"], pod["spec"]
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": around.pod_ip,
        "status.podIPs": around.pod_ip,
        "status.hostIP": around.host_ip,
        "status.hostIPs": around.host_ip,
    }
    if path not in fields:
        raise ConfigProblem(f"failed to fetch field path {path}: unsupported fieldPath: {path}")
    return str(fields[path])


def read_resource(pod: Object, container: Object, reference: Object, around: Surroundings) -> str:
    """One request or limit of a container, in units of the divisor; ConfigProblem for an unknown container."""
    name = reference.get("containerName")
    if name:
        every = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
        found = [each for each in every if each["name"] == name]
        if not found:
            raise ConfigProblem(f'container "{name}" not found')
        container = found[0]
    group, _, resource = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    value = (resources.get(group) or {}).get(resource)
    if value is None:
        # Without a limit, the node's capacity is the limit; without a request, nothing is requested.
        value = around.node_capacity.get(resource, "0") if group == "limits" else "0"
    return divide(str(value), reference.get("divisor"))
