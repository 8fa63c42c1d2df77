"""What the API server refuses of where a pod may run: tolerations, selectors, affinity, spread, taints. Pure.

Source: kubernetes pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, invalid, required
from simcluster.labels import complain_key, complain_value
from simcluster.registry import checks
from simcluster.registry.naming import find_label_faults

Object = dict[str, Any]
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT = "must be in the range 1-100"


def find_faults(spec: Object, at: str) -> list[Cause]:
    """Return what is wrong with where a pod's spec that stands at a field says that it may run."""
    found = find_label_faults(spec.get("nodeSelector", {}), f"{at}.nodeSelector")
    found += _find_affinity_faults(spec.get("affinity", {}), f"{at}.affinity")
    for index, toleration in enumerate(spec.get("tolerations", ())):
        found += _find_toleration_faults(toleration, f"{at}.tolerations[{index}]")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints", ())):
        found += _find_spread_faults(constraint, f"{at}.topologySpreadConstraints[{index}]")
    return found


def _find_toleration_faults(toleration: Object, at: str) -> list[Cause]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    found = checks.apply_rule(complain_key, key, f"{at}.key") if key else []
    if not key and operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        found.append(invalid(f"{at}.operator", operator, text))
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        found.append(invalid(f"{at}.effect", toleration.get("effect", ""), text))
    if operator == "Exists":
        if toleration.get("value"):
            text = "value must be empty when `operator` is 'Exists'"
            found.append(invalid(f"{at}.operator", toleration["value"], text))
    elif operator in ("", "Equal"):
        found += checks.apply_rule(complain_value, toleration.get("value", ""), f"{at}.operator")
    else:
        found += checks.find_choice(operator, ("Equal", "Exists"), f"{at}.operator")
    effect = toleration.get("effect")
    return found + (checks.find_choice(effect, _EFFECTS, f"{at}.effect") if effect else [])


def _find_affinity_faults(affinity: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    of_nodes = affinity.get("nodeAffinity", {})
    where = f"{at}.nodeAffinity"
    if _REQUIRED in of_nodes:
        terms = of_nodes[_REQUIRED].get("nodeSelectorTerms")
        field = f"{where}.{_REQUIRED}.nodeSelectorTerms"
        if not terms:
            found.append(required(field, "must have at least one node selector term"))
        for index, term in enumerate(terms or ()):
            found += _find_node_faults(term, f"{field}[{index}]")
    for index, wish in enumerate(of_nodes.get(_PREFERRED, ())):
        field = f"{where}.{_PREFERRED}[{index}]"
        if not 1 <= wish.get("weight", 0) <= 100:
            found.append(invalid(f"{field}.weight", wish.get("weight", 0), _WEIGHT))
        found += _find_node_faults(wish.get("preference", {}), f"{field}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        of_pods = affinity.get(kind, {})
        for index, term in enumerate(of_pods.get(_REQUIRED, ())):
            found += _find_pod_term_faults(term, f"{at}.{kind}.{_REQUIRED}[{index}]")
        for index, wish in enumerate(of_pods.get(_PREFERRED, ())):
            field = f"{at}.{kind}.{_PREFERRED}[{index}]"
            if not 1 <= wish.get("weight", 0) <= 100:
                found.append(invalid(f"{field}.weight", wish.get("weight", 0), _WEIGHT))
            found += _find_pod_term_faults(wish.get("podAffinityTerm", {}), f"{field}.podAffinityTerm")
    return found


def _find_node_faults(term: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    for index, each in enumerate(term.get("matchExpressions", ())):
        found += checks.find_node_term_faults(each, f"{at}.matchExpressions[{index}]")
    return found


def _find_pod_term_faults(term: Object, at: str) -> list[Cause]:
    found = checks.find_selector_faults(term.get("labelSelector", {}), f"{at}.labelSelector")
    key = term.get("topologyKey", "")
    if not key:
        found.append(required(f"{at}.topologyKey", "can not be empty"))
    return found + checks.apply_rule(complain_key, key, f"{at}.topologyKey")


def _find_spread_faults(constraint: Object, at: str) -> list[Cause]:
    found: list[Cause] = []
    when = constraint.get("whenUnsatisfiable", "")
    if constraint.get("maxSkew", 0) <= 0:
        found.append(invalid(f"{at}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero"))
    if not constraint.get("topologyKey"):
        found.append(required(f"{at}.topologyKey", "can not be empty"))
    found += checks.find_choice(when, ("DoNotSchedule", "ScheduleAnyway"), f"{at}.whenUnsatisfiable")
    least = constraint.get("minDomains")
    if least is not None and least <= 0:
        found.append(invalid(f"{at}.minDomains", least, "must be greater than zero"))
    if least is not None and when != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
        found.append(invalid(f"{at}.minDomains", least, text))
    return found + checks.find_selector_faults(constraint.get("labelSelector", {}), f"{at}.labelSelector")


def find_taint_faults(taints: list[Object], at: str) -> list[Cause]:
    """Return what is wrong with the taints of a node."""
    found: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where = f"{at}[{index}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        found += checks.apply_rule(complain_key, key, f"{where}.key")
        found += checks.apply_rule(complain_value, taint.get("value", ""), f"{where}.value")
        found += [required(f"{where}.effect")] if not effect else []
        found += checks.find_choice(effect if effect else None, _EFFECTS, f"{where}.effect")
        if (key, effect) in seen:
            shown = {"Key": key, "Value": taint.get("value", ""), "Effect": effect, "TimeAdded": None}
            fault = invalid(where, shown, "taints must be unique by key and effect pair")
            found.append(
                Cause("FieldValueDuplicate", fault.message.replace("Invalid", "Duplicate", 1), where)
            )
        seen.add((key, effect))
    return found
