"""Label and field selectors: reading them from a query, and asking whether an object matches.

The rule it keeps: `!=` and `notin` match an object that has not got the label at all. A field that a kind
does not offer is refused, never silently ignored. It is pure.

Sources: k8s.io/apimachinery pkg/labels/selector.go, pkg/fields/selector.go; kubernetes
pkg/apis/core/v1/conversion.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simcluster.errors import BadRequest

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

_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|\(|\)|,|<|>)|([^\s=!(),<>]+))")
_KEY = re.compile(
    r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


class _Reader:
    """The tokens of a selector, one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                if text[at:].strip():
                    raise self.complain(f"unexpected {text[at:].strip()!r}")
                break
            self._tokens.append(found.group(1) if found.group(2) is None else found.group(2))
            at = found.end()
        self._tokens.reverse()

    def peek(self) -> str | None:
        """Return the next token and leave it."""
        return self._tokens[-1] if self._tokens else None

    def take(self, expected: str) -> str:
        """Return the next token; BadRequest if there is none."""
        if not self._tokens:
            raise self.complain(f"found '', expected: {expected}")
        return self._tokens.pop()

    def complain(self, why: str) -> BadRequest:
        """Return the error for a selector that can not be read."""
        return BadRequest(f"unable to parse requirement: {why}")


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read `a=b,c!=d,e in (f,g),h notin (i),j,!k`; BadRequest says what can not be read."""
    reader = _Reader(text)
    found: list[Requirement] = []
    while reader.peek() is not None:
        found.append(_read_requirement(reader))
        separator = reader.peek()
        if separator is None:
            break
        if reader.take("','") != ",":
            raise reader.complain(f"found '{separator}', expected: ',' or 'end of string'")
        if reader.peek() is None:
            raise reader.complain("found '', expected: identifier after ','")
    return tuple(found)


def _read_requirement(reader: _Reader) -> Requirement:
    first = reader.take("identifier")
    if first == "!":
        return Requirement(_check_key(reader, reader.take("identifier")), "!exists")
    key = _check_key(reader, first)
    operator = reader.peek()
    if operator in (None, ","):
        return Requirement(key, "exists")
    reader.take("operator")
    if operator in ("=", "==", "!="):
        following = reader.peek()
        value = "" if following in (None, ",") else _check_value(reader, reader.take("value"))
        return Requirement(key, "notin" if operator == "!=" else "in", frozenset({value}))
    if operator in ("in", "notin"):
        return Requirement(key, operator, _read_values(reader))
    if operator in ("<", ">"):
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset({reader.take("a number")}))
    raise reader.complain(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _read_values(reader: _Reader) -> frozenset[str]:
    if reader.take("'('") != "(":
        raise reader.complain("expected: '('")
    values: set[str] = set()
    pending = ""
    while True:
        part = reader.take("',' or ')'")
        if part in (",", ")"):
            values.add(pending)
            pending = ""
            if part == ")":
                return frozenset(values)
        elif pending:
            raise reader.complain(f"found '{part}', expected: ',' or ')'")
        else:
            pending = _check_value(reader, part)


def _check_key(reader: _Reader, key: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise reader.complain(f"key: Invalid value: {key!r}: not a label key")
    return key


def _check_value(reader: _Reader, value: str) -> str:
    if _VALUE.fullmatch(value) is None:
        raise reader.complain(f"values: Invalid value: {value!r}: not a label value")
    return value


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
FIELDS: dict[str, tuple[str, ...]] = {
    "pods": _POD_FIELDS,
    "nodes": ("spec.unschedulable",),
    "services": ("spec.clusterIP", "spec.type"),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "events": _EVENT_FIELDS,
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "certificatesigningrequests.certificates.k8s.io": ("spec.signerName",),
}
_ALIASES = {"spec.host": "spec.nodeName"}
# What an absent field reads as, where that is not the empty text.
_ABSENT = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}


def parse_fields(text: str, resource: str) -> tuple[FieldTerm, ...]:
    """Read `a.b=c,d!=e` for a resource; BadRequest for a field that it can not be selected by."""
    found: list[FieldTerm] = []
    for term in re.split(r"(?<!\\),", text):
        if not term.strip():
            continue
        parts = re.fullmatch(r"\s*([^=!]+?)\s*(!=|==|=)(.*)", term)
        if parts is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term.strip()}'")
        name, operator, value = parts.groups()
        field = _ALIASES.get(name, name) if resource == "pods" else name
        if field not in ("metadata.name", "metadata.namespace", *FIELDS.get(resource, ())):
            raise BadRequest(f"field label not supported: {field}")
        plain = re.sub(r"\\([\\,=])", r"\1", value)
        found.append(FieldTerm(field, plain, equal=operator != "!="))
    return tuple(found)


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
