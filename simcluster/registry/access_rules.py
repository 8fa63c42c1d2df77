"""What the API server refuses of roles and their bindings. Pure.

Source: kubernetes pkg/apis/rbac/validation/validation.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, invalid, required
from simcluster.labels import complain_subdomain
from simcluster.registry import checks

Object = dict[str, Any]
_GROUP = ("rbac.authorization.k8s.io",)


def find_role_faults(role: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a Role."""
    return _find_rule_faults(role, namespaced=True)


def find_cluster_role_faults(role: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a ClusterRole."""
    return _find_rule_faults(role, namespaced=False)


def _find_rule_faults(role: Object, *, namespaced: bool) -> list[Cause]:
    found: list[Cause] = []
    for index, rule in enumerate(role.get("rules") or ()):
        at = f"rules[{index}]"
        if not rule.get("verbs"):
            found.append(required(f"{at}.verbs", "verbs must contain at least one value"))
        paths = rule.get("nonResourceURLs")
        if paths:
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                found.append(invalid(f"{at}.nonResourceURLs", paths, text))
            elif any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(invalid(f"{at}.nonResourceURLs", paths, text))
            continue
        if not rule.get("apiGroups"):
            found.append(required(f"{at}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            found.append(required(f"{at}.resources", "resource rules must supply at least one resource"))
    return found


def find_binding_faults(binding: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a RoleBinding."""
    return _find_binding_faults(binding, old, ("Role", "ClusterRole"))


def find_cluster_binding_faults(binding: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a ClusterRoleBinding."""
    return _find_binding_faults(binding, old, ("ClusterRole",))


def _find_binding_faults(binding: Object, old: Object | None, kinds: tuple[str, ...]) -> list[Cause]:
    reference = binding.get("roleRef", {})
    group = reference.get("apiGroup")
    found = checks.find_choice(group if group else None, _GROUP, "roleRef.apiGroup")
    found += checks.find_choice(reference.get("kind", ""), kinds, "roleRef.kind")
    if not reference.get("name"):
        found.append(required("roleRef.name"))
    for index, subject in enumerate(binding.get("subjects") or ()):
        found += _find_subject_faults(subject, f"subjects[{index}]", is_cluster=len(kinds) == 1)
    if old is not None and reference != old.get("roleRef"):
        shown = {
            "APIGroup": group,
            "Kind": reference.get("kind", ""),
            "Name": reference.get("name", ""),
        }
        found.append(invalid("roleRef", shown, "cannot change roleRef"))
    return found


def _find_subject_faults(subject: Object, at: str, *, is_cluster: bool) -> list[Cause]:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    found = [] if name else [required(f"{at}.name")]
    if kind == "ServiceAccount":
        found += checks.apply_rule(complain_subdomain, name, f"{at}.name") if name else []
        if not subject.get("namespace") and is_cluster:
            found.append(required(f"{at}.namespace"))
    elif kind in ("User", "Group"):
        found += checks.find_choice(subject.get("apiGroup"), _GROUP, f"{at}.apiGroup")
    else:
        found += checks.find_choice(kind, ("ServiceAccount", "User", "Group"), f"{at}.kind")
    return found
