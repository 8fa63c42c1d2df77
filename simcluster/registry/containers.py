"""What the API server refuses of containers: names, images, ports, environment, probes, hooks, mounts. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go (validateContainers and what it calls).
"""

from __future__ import annotations

import re
from typing import Any

from simcluster.errors import Cause, absent, duplicate, forbidden, invalid, required, unsupported
from simcluster.labels import complain_subdomain
from simcluster.registry import checks
from simcluster.registry.naming import complain_label
from simcluster.registry.resources import find_resource_faults

Object = dict[str, Any]

_ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_ENV_NAME = re.compile(r"[ -<>-~]+")
_FIELDS = re.compile(
    r"metadata\.(name|namespace|uid|labels\['.*'\]|annotations\['.*'\])"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs)"
)
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE = re.compile(r"(limits|requests)\.hugepages-.+")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_NOT_EPHEMERAL = ("ports", "resources", "resizePolicy", "restartPolicy", *_PROBES, "lifecycle")


def find_faults(spec: Object, at: str) -> list[Cause]:
    """Return what is wrong with the containers of a pod's spec that stands at a field."""
    if not spec.get("containers"):
        return [required(f"{at}.containers")]
    volumes = {volume.get("name", "") for volume in spec.get("volumes", ())}
    found: list[Cause] = []
    names: set[str] = set()
    for index, container in enumerate(spec["containers"]):
        where = f"{at}.containers[{index}]"
        found += _find_container_faults(container, where, names, volumes)
        found += _find_hook_faults(container, where, spec["terminationGracePeriodSeconds"])
        found += _find_probe_faults(container, where)
    found += _find_host_port_faults(spec["containers"], f"{at}.containers")
    for index, container in enumerate(spec.get("initContainers", ())):
        where = f"{at}.initContainers[{index}]"
        found += _find_container_faults(container, where, names, volumes)
        found += _find_init_faults(container, where, spec)
    targets = set(names)
    for index, container in enumerate(spec.get("ephemeralContainers", ())):
        where = f"{at}.ephemeralContainers[{index}]"
        found += _find_container_faults(container, where, names, volumes)
        found += _find_ephemeral_faults(container, where, targets)
    return found


def _find_container_faults(container: Object, at: str, names: set[str], volumes: set[str]) -> list[Cause]:
    found: list[Cause] = []
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        found.append(required(f"{at}.name"))
    else:
        found += checks.apply_rule(complain_label, name, f"{at}.name")
        if name in names:
            found.append(duplicate(f"{at}.name", name))
    names.add(name)
    if not image:
        found.append(required(f"{at}.image"))
    elif image.strip() != image:
        found.append(invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("terminationMessagePolicy")
    found += checks.find_choice(policy, ("File", "FallbackToLogsOnError"), f"{at}.terminationMessagePolicy")
    found += _find_port_faults(container.get("ports", ()), f"{at}.ports")
    for index, variable in enumerate(container.get("env", ())):
        found += _find_env_faults(variable, f"{at}.env[{index}]")
    for index, source in enumerate(container.get("envFrom", ())):
        found += _find_env_from_faults(source, f"{at}.envFrom", index)
    found += _find_mount_faults(container.get("volumeMounts", ()), f"{at}.volumeMounts", volumes)
    policy = container.get("imagePullPolicy")
    found += checks.find_choice(policy, ("Always", "IfNotPresent", "Never"), f"{at}.imagePullPolicy")
    return found + find_resource_faults(container.get("resources", {}), f"{at}.resources")


def _find_port_faults(ports: Any, at: str) -> list[Cause]:
    found: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{at}[{index}]"
        name, number = port.get("name", ""), port.get("containerPort", 0)
        if name:
            texts = checks.complain_port_name(name)
            found += [invalid(f"{where}.name", name, text) for text in texts]
            if not texts and name in names:
                found.append(duplicate(f"{where}.name", name))
            names |= set() if texts else {name}
        if number == 0:
            found.append(required(f"{where}.containerPort"))
        else:
            found += checks.find_port_fault(number, f"{where}.containerPort")
        if port.get("hostPort", 0) != 0:
            found += checks.find_port_fault(port["hostPort"], f"{where}.hostPort")
        found += checks.find_choice(port.get("protocol"), checks.PROTOCOLS, f"{where}.protocol")
    return found


def _find_host_port_faults(containers: list[Object], at: str) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for number, container in enumerate(containers):
        for index, port in enumerate(container.get("ports", ())):
            if not port.get("hostPort"):
                continue
            key = f"{port['protocol']}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                found.append(duplicate(f"{at}[{number}].ports[{index}].hostPort", key))
            taken.add(key)
    return found


def _find_env_faults(variable: Object, at: str) -> list[Cause]:
    name = variable.get("name", "")
    found: list[Cause] = []
    if not name:
        found.append(required(f"{at}.name"))
    elif not _ENV_NAME.fullmatch(name):
        found.append(invalid(f"{at}.name", name, _ENV_TEXT))
    source = variable.get("valueFrom")
    if source is None:
        return found
    at = f"{at}.valueFrom"
    given = [key for key in _SOURCES if key in source]
    if not given:
        listed = ", ".join(f"`{key}`" for key in _SOURCES[:-1])
        return [*found, invalid(at, "", f"must specify one of: {listed} or `{_SOURCES[-1]}`")]
    for key in given:
        found += _find_source_faults(key, source[key], f"{at}.{key}")
    if variable.get("value"):
        found.append(invalid(at, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        found.append(invalid(at, "", "may not have more than one field specified at a time"))
    return found


def _find_source_faults(kind: str, source: Object, at: str) -> list[Cause]:
    if kind == "fieldRef":
        path = source.get("fieldPath", "")
        if not path:
            return [required(f"{at}.fieldPath")]
        if _FIELDS.fullmatch(path):
            return []
        text = f"error converting fieldPath: field label not supported: {path}"
        return [invalid(f"{at}.fieldPath", path, text)]
    if kind == "resourceFieldRef":
        name = source.get("resource", "")
        if not name:
            return [required(f"{at}.resource")]
        known = name in _RESOURCES or _HUGE.fullmatch(name)
        return [] if known else [unsupported(f"{at}.resource", name, _RESOURCES)]
    if kind not in ("configMapKeyRef", "secretKeyRef"):
        return []
    found = checks.apply_rule(complain_subdomain, source.get("name", ""), f"{at}.name")
    key = source.get("key", "")
    if not key:
        return [*found, required(f"{at}.key")]
    return found + checks.apply_rule(checks.complain_data_key, key, f"{at}.key")


def _find_env_from_faults(source: Object, at: str, index: int) -> list[Cause]:
    found: list[Cause] = []
    prefix = source.get("prefix", "")
    if prefix and not _ENV_NAME.fullmatch(prefix):
        found.append(invalid(f"{at}[{index}].prefix", prefix, _ENV_TEXT))
    given = [key for key in ("configMapRef", "secretRef") if key in source]
    for key in given:
        name = source[key].get("name", "")
        where = f"{at}[{index}].{key}.name"
        found += checks.apply_rule(complain_subdomain, name, where) if name else [required(where)]
    if not given:
        found.append(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        found.append(invalid(at, "", "may not have more than one field specified at a time"))
    return found


def _find_mount_faults(mounts: Any, at: str, volumes: set[str]) -> list[Cause]:
    found: list[Cause] = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        where = f"{at}[{index}]"
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            found.append(required(f"{where}.name"))
        if name not in volumes:
            found.append(absent(f"{where}.name", name))
        if not path:
            found.append(required(f"{where}.mountPath"))
        if path in paths:
            found.append(invalid(f"{where}.mountPath", path, "must be unique"))
        paths.add(path)
        sub = mount.get("subPath", "")
        # The real server leaves the index out of these two.
        if sub.startswith("/"):
            found.append(invalid(f"{at}.subPath", sub, "must be a relative path"))
        elif ".." in sub.split("/"):
            found.append(invalid(f"{at}.subPath", sub, "must not contain '..'"))
        modes = ("Bidirectional", "HostToContainer", "None")
        found += checks.find_choice(mount.get("mountPropagation"), modes, f"{at}.mountPropagation")
    return found


def _find_hook_faults(container: Object, at: str, grace_s: int) -> list[Cause]:
    found: list[Cause] = []
    for hook in ("postStart", "preStop"):
        if hook in container.get("lifecycle", {}):
            found += _find_handler_faults(
                container["lifecycle"][hook], f"{at}.lifecycle.{hook}", grace_s, optional=False
            )
    return found


def _find_handler_faults(handler: Object, at: str, grace_s: int | None, *, optional: bool) -> list[Cause]:
    given = [key for key in _HANDLERS if key in handler]
    if not given:
        return [] if optional else [required(at, "must specify a handler type")]
    found: list[Cause] = []
    for number, key in enumerate(given):
        if number:
            found.append(forbidden(f"{at}.{key}", "may not specify more than 1 handler type"))
        else:
            found += _find_one_handler_faults(key, handler[key], f"{at}.{key}", grace_s)
    return found


def _find_one_handler_faults(kind: str, handler: Object, at: str, grace_s: int | None) -> list[Cause]:
    if kind == "exec":
        return [] if handler.get("command") else [required(f"{at}.command")]
    if kind == "sleep":
        seconds = handler.get("seconds", 0)
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
        return [] if grace_s is None or 0 <= seconds <= grace_s else [invalid(at, seconds, text)]
    found = [] if kind != "httpGet" or handler.get("path") else [required(f"{at}.path")]
    found += checks.find_target_port_fault(handler.get("port", 0), f"{at}.port")
    return found + checks.find_choice(handler.get("scheme"), ("HTTP", "HTTPS"), f"{at}.scheme")


def _find_probe_faults(container: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    for kind in _PROBES:
        probe = container.get(kind)
        if probe is None:
            continue
        where = f"{at}.{kind}"
        found += _find_handler_faults(probe, where, None, optional=False)
        for key in (
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ):
            found += checks.find_negative(probe.get(key), f"{where}.{key}")
        grace_s = probe.get("terminationGracePeriodSeconds")
        if kind == "readinessProbe":
            if grace_s is not None:
                text = "must not be set for readinessProbes"
                found.append(invalid(f"{where}.terminationGracePeriodSeconds", grace_s, text))
            continue
        if grace_s is not None and grace_s <= 0:
            text = "must be greater than 0"
            found.append(invalid(f"{where}.terminationGracePeriodSeconds", grace_s, text))
        if probe.get("successThreshold", 1) != 1:
            found.append(invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _find_init_faults(container: Object, at: str, spec: Object) -> list[Cause]:
    if container.get("restartPolicy") == "Always":
        found = _find_hook_faults(container, at, spec["terminationGracePeriodSeconds"])
        return found + _find_probe_faults(container, at)
    text = "may not be set for init containers without restartPolicy=Always"
    keys = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
    return [forbidden(f"{at}.{key}", text) for key in keys if key in container]


def _find_ephemeral_faults(container: Object, at: str, targets: set[str]) -> list[Cause]:
    text = "cannot be set for an Ephemeral Container"
    found = [forbidden(f"{at}.{key}", text) for key in _NOT_EPHEMERAL if container.get(key)]
    for index, mount in enumerate(container.get("volumeMounts", ())):
        where = f"{at}.volumeMounts[{index}]"
        found += [forbidden(f"{where}.{key}", text) for key in ("subPath", "subPathExpr") if mount.get(key)]
    target = container.get("targetContainerName")
    if target and target not in targets:
        found.append(absent(f"{at}.targetContainerName", target))
    return found
