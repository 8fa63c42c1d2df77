"""What the API server refuses of Deployments and their like, and of the smaller kinds of the same manifests. Pure."""

from __future__ import annotations

import re
from typing import Any

from simcluster.errors import Cause, invalid, required, unsupported
from simcluster.registry.naming import find_label_faults
from simcluster.registry.pods import find_spec_faults
from simcluster.selectors import matches_label_selector

Object = dict[str, Any]
_IMMUTABLE = "field is immutable"
_STRATEGIES = ("Recreate", "RollingUpdate")
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_DATA_KEY = re.compile("[-._a-zA-Z0-9]+")
_DATA_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def prepare_daemon_set(daemon_set: Object, old: Object | None, _around: object) -> None:
    """Count the changes of a DaemonSet's template, where no writer can change the count."""
    metadata = daemon_set["metadata"]
    number = 1
    if old is not None:
        before = old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "1")
        number = int(before) + (daemon_set["spec"]["template"] != old["spec"]["template"])
    metadata["annotations"] = metadata.get("annotations", {}) | {TEMPLATE_GENERATION: str(number)}


def find_faults(workload: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a Deployment, ReplicaSet, StatefulSet or DaemonSet."""
    spec = workload["spec"]
    found: list[Cause] = []
    replicas = spec.get("replicas", 0)
    if replicas < 0:
        found.append(invalid("spec.replicas", replicas, "must be greater than or equal to 0"))
    found += _find_template_faults(spec)
    if old is not None and spec.get("selector") != old["spec"].get("selector"):
        found.append(invalid("spec.selector", spec.get("selector"), _IMMUTABLE))
    strategy = spec.get("strategy", {}).get("type", _STRATEGIES[0])
    if strategy not in _STRATEGIES:
        found.append(unsupported("spec.strategy.type", strategy, _STRATEGIES))
    elif strategy == "RollingUpdate":
        found += _find_rolling_faults(spec["strategy"].get("rollingUpdate", {}))
    return found


def _find_template_faults(spec: Object) -> list[Cause]:
    found: list[Cause] = []
    selector = spec.get("selector")
    labels = spec["template"]["metadata"].get("labels")
    if selector is None:
        found.append(required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        found.append(invalid("spec.selector", selector, "empty selector is invalid for deployment"))
    if selector is None or not matches_label_selector(selector, labels if labels is not None else {}):
        text = "`selector` does not match template `labels`"
        found.append(invalid("spec.template.metadata.labels", labels, text))
    found += find_label_faults({} if labels is None else labels, "spec.template.labels")
    found += find_spec_faults(spec["template"]["spec"], "spec.template.spec")
    policy = spec["template"]["spec"]["restartPolicy"]
    if policy != "Always":
        found.append(unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    return found


def _find_rolling_faults(rolling: Object) -> list[Cause]:
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    if surge in (0, "0%") and unavailable in (0, "0%"):
        text = "may not be 0 when `maxSurge` is 0"
        return [invalid("spec.strategy.rollingUpdate.maxUnavailable", unavailable, text)]
    return []


def find_ingress_faults(ingress: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with an Ingress."""
    spec = ingress["spec"]
    if not spec.get("rules") and "defaultBackend" not in spec:
        return [invalid("spec", {}, "either `defaultBackend` or `rules` must be specified")]
    found: list[Cause] = []
    for number, rule in enumerate(spec.get("rules", ())):
        for index, path in enumerate(rule.get("http", {}).get("paths", ())):
            at = f"spec.rules[{number}].http.paths[{index}]"
            kind = path.get("pathType")
            if not kind:
                found.append(required(f"{at}.pathType", "pathType must be specified"))
            elif kind not in _PATH_TYPES:
                found.append(unsupported(f"{at}.pathType", kind, _PATH_TYPES))
    return found


def find_binding_faults(binding: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a RoleBinding or ClusterRoleBinding."""
    reference = binding.get("roleRef", {})
    found = [] if reference.get("name") else [required("roleRef.name")]
    if reference.get("kind") not in ("Role", "ClusterRole"):
        found.append(unsupported("roleRef.kind", reference.get("kind", ""), ("Role", "ClusterRole")))
    if old is not None and reference != old.get("roleRef"):
        found.append(invalid("roleRef", reference, "cannot change roleRef"))
    return found


def find_data_faults(holder: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a ConfigMap or Secret."""
    data = holder.get("data", {})
    found = [invalid(f"data[{key}]", key, _DATA_KEY_TEXT) for key in data if not _DATA_KEY.fullmatch(key)]
    if old is None:
        return found
    if old.get("immutable") and (data != old.get("data", {}) or not holder.get("immutable")):
        found.append(
            Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", "data")
        )
    if "type" in old and holder.get("type") != old["type"]:
        found.append(invalid("type", holder.get("type", ""), _IMMUTABLE))
    return found
