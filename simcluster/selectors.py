"""Label and field selectors: reading them from a query, and asking whether an object matches.

The rule it keeps: `!=` and `notin` match an object that has not got the label at all. A field that a kind
does not offer is refused, never silently ignored. It is pure.

Sources: k8s.io/apimachinery pkg/labels/selector.go, pkg/fields/selector.go; kubernetes
pkg/apis/core/v1/conversion.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simcluster.errors import BadRequest
from simcluster.label_grammar import read_conditions

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label: `operator` is in, notin, exists, !exists, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels fulfil the condition."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value in self.values
        if self.operator == "notin":
            return value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!exists":
            return value is None
        return value is not None and _compares(value, self.operator, next(iter(self.values)))


def _compares(value: str, operator: str, bound: str) -> bool:
    try:
        return int(value) > int(bound) if operator == "gt" else int(value) < int(bound)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field: equal to a text, or not."""

    field: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions on labels and fields, all of which must hold; none at all match everything."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether it matches every object."""
        return not self.labels and not self.fields

    def matches(self, obj: Object) -> bool:
        """Return whether an object fulfils all conditions."""
        if self.labels:
            labels = obj["metadata"].get("labels", {})
            if not all(each.matches(labels) for each in self.labels):
                return False
        return all((_read_field(obj, each.field) == each.value) is each.equal for each in self.fields)


EVERYTHING = Selector()


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read `a=b,c!=d,e in (f,g),h notin (i),j,!k`; BadRequest says what can not be read."""
    return tuple(Requirement(*condition) for condition in read_conditions(text))


# The fields that each kind can be selected by, beside metadata.name and metadata.namespace.
_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_EVENT_VIEW_FIELDS = (
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
)
FIELDS: dict[str, tuple[str, ...]] = {
    "pods": _POD_FIELDS,
    "nodes": ("spec.unschedulable",),
    "services": ("spec.clusterIP", "spec.type"),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "events": _EVENT_FIELDS,
    "events.events.k8s.io": _EVENT_VIEW_FIELDS,
    "replicationcontrollers": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "resourceslices.resource.k8s.io": ("spec.nodeName", "spec.driver"),
    "certificatesigningrequests.certificates.k8s.io": ("spec.signerName",),
}
# Kinds with fields of their own that are not in namespaces, and kinds that refuse in words of their own.
_WITHOUT_NAMESPACE = (
    "nodes",
    "namespaces",
    "certificatesigningrequests.certificates.k8s.io",
    "resourceslices.resource.k8s.io",
)
_REFUSALS = {
    "jobs.batch": 'field label "{}" not supported for Job',
    "resourceslices.resource.k8s.io": "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
}
_ALIASES = {"spec.host": "spec.nodeName"}
# What an absent field reads as, where that is not the empty text.
_ABSENT = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}


def parse_fields(text: str, resource: str) -> tuple[FieldTerm, ...]:
    """Read `a.b=c,d!=e` for a resource; BadRequest for a field that it can not be selected by."""
    terms = [_read_term(text, term) for term in sorted(re.split(r"(?<!\\),", text)) if term]
    return tuple(replace(term, field=_check_field(term.field, resource)) for term in terms)


def _read_term(text: str, term: str) -> FieldTerm:
    parts = re.match(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
    if parts is None:
        raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
    name, operator, value = parts.groups()
    return FieldTerm(name, _unescape(value), equal=operator != "!=")


def _unescape(value: str) -> str:
    plain, rest = "", iter(value)
    for char in rest:
        if char == "\\":
            escaped = next(rest, "")
            if escaped not in ("\\", ",", "="):
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{escaped}")
            plain += escaped
        elif char in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            plain += char
    return plain


def _check_field(name: str, resource: str) -> str:
    field = _ALIASES.get(name, name) if resource == "pods" else name
    offered = FIELDS.get(resource, ())
    usual = ("metadata.name",) if resource in _WITHOUT_NAMESPACE else ("metadata.name", "metadata.namespace")
    if field in usual or field in offered:
        return field
    if resource in _REFUSALS:
        raise BadRequest(_REFUSALS[resource].format(field))
    if offered:
        raise BadRequest(f"field label not supported: {field}")
    known = '"metadata.name", "metadata.namespace"'
    raise BadRequest(f'"{field}" is not a known field selector: only {known}')


def parse(labels: str, fields: str, resource: str) -> Selector:
    """Read both selectors of a query; empty texts select everything."""
    if not labels and not fields:
        return EVERYTHING
    return Selector(parse_labels(labels), parse_fields(fields, resource))


def _read_field(obj: Object, field: str) -> str:
    value: Any = obj
    for part in field.split("."):
        if field == "source" and isinstance(value, Mapping):
            value = value.get("source", {}).get("component")
            break
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return _ABSENT.get(field, "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(each.get("ip", "") for each in value)
    return str(value)


def from_label_selector(selector: Object) -> tuple[Requirement, ...]:
    """Return the conditions of a `LabelSelector` object: matchLabels and matchExpressions."""
    found = [
        Requirement(key, "in", frozenset({value})) for key, value in selector.get("matchLabels", {}).items()
    ]
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}
    for each in selector.get("matchExpressions", ()):
        operator = names.get(each["operator"])
        if operator is None:
            raise BadRequest(f'"{each["operator"]}" is not a valid label selector operator')
        found.append(Requirement(each["key"], operator, frozenset(each.get("values", ()))))
    return tuple(found)


def matches_label_selector(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether labels fulfil a `LabelSelector` object; an empty one matches everything."""
    return all(each.matches(labels) for each in from_label_selector(selector))
