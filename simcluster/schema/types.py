"""The types of the API's fields, made from OpenAPI on first use.

The rule it keeps: a `Type` holds all that decoding, defaulting, patching and applying ask of a field, so that
none of them reads OpenAPI itself. Types refer to each other lazily: only what a request touches is made.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cached_property
from typing import Any

Json = dict[str, Any]


class Form(enum.Enum):
    """How a value looks in JSON."""

    OBJECT = "object"
    LIST = "list"
    MAP = "map"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    QUANTITY = "quantity"
    INT_OR_STRING = "int-or-string"
    ANY = "any"

    # Decoding looks one up for every value; Enum's own hash is written in Python.
    __hash__ = object.__hash__


_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_SCALARS = {
    "string": Form.STRING,
    "integer": Form.INTEGER,
    "number": Form.NUMBER,
    "boolean": Form.BOOLEAN,
}
# Forms that have no parts.
_PLAIN = frozenset(
    {
        Form.STRING,
        Form.INTEGER,
        Form.NUMBER,
        Form.BOOLEAN,
        Form.TIME,
        Form.QUANTITY,
        Form.INT_OR_STRING,
        Form.ANY,
    }
)
# The bounds of Go's integers, by OpenAPI's name of their size.
BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


class Field:
    """One field of an object type, with what its place in the object adds to its type."""

    __slots__ = ("default", "element", "merge_key", "name", "required", "strategies", "type")

    def __init__(self, name: str, schema: Json, types: Types, *, required: bool) -> None:
        self.name = name
        # How sets of fields call it.
        self.element = f"f:{name}"
        self.type = types.of(schema)
        self.required = required
        self.default = schema.get("default")
        self.strategies = frozenset(filter(None, schema.get("x-kubernetes-patch-strategy", "").split(",")))
        self.merge_key: str | None = schema.get("x-kubernetes-patch-merge-key")


class Type:
    """The type of a value. `name` is OpenAPI's for named types, else empty."""

    def __init__(self, name: str, schema: Json, types: Types) -> None:
        self.name = name
        self._schema = schema
        self._types = types
        self.form = _form(name, schema)
        self.enum: tuple[str, ...] = tuple(schema.get("enum", ()))
        self.format: str = schema.get("format", "")
        self.bounds = BOUNDS.get(self.format)
        # Whether every text will do.
        self.is_text = self.form is Form.STRING and self.format != "byte"
        # Whether it is owned and replaced as one: what has no parts, and what the schema says so of.
        self.atomic = self.form in _PLAIN or _is_atomic(self.form, schema)
        # The fields that tell the elements of a list apart: none for a set of plain values.
        self.keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        # What is filled in for absent fields, whatever the others are, once `decoding` has asked for it.
        self.filled: list[tuple[str, Any]] | None = None
        # What of an object of this type is there before anybody writes it, once `comparison` has asked for it.
        self.blank: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Type({self.name or self.form.value})"

    @property
    def short_name(self) -> str:
        """The Go name of the type, such as `DeploymentSpec`."""
        return self.name.rpartition(".")[2]

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields of an OBJECT, by their JSON names."""
        required = self._schema.get("required", ())
        listed = self._schema.get("properties", {}).items()
        return {name: Field(name, each, self._types, required=name in required) for name, each in listed}

    @cached_property
    def item(self) -> Type:
        """The type of the elements of a LIST, or of the values of a MAP."""
        key = "items" if self.form is Form.LIST else "additionalProperties"
        return self._types.of(self._schema[key])

    @cached_property
    def go_name(self) -> str:
        """The type as Go's JSON decoder names it in its errors."""
        if self.form is Form.LIST:
            return "[]" + self.item.go_name
        if self.form is Form.MAP:
            return "map[string]" + self.item.go_name
        if self.form is Form.INTEGER:
            return str(self._schema.get("format", "int64"))
        if self.form is Form.NUMBER:
            return "float64"
        if self.form is Form.BOOLEAN:
            return "bool"
        if self.name:
            return ".".join(self.name.split(".")[-2:])
        return "string"


def _form(name: str, schema: Json) -> Form:
    if name == _QUANTITY:
        return Form.QUANTITY
    if schema.get("format") == "int-or-string":
        return Form.INT_OR_STRING
    if schema.get("format") == "date-time":
        return Form.TIME
    kind = schema.get("type")
    if kind == "array":
        return Form.LIST
    if "properties" in schema:
        return Form.OBJECT
    if "additionalProperties" in schema:
        return Form.MAP
    return _SCALARS.get(kind, Form.ANY) if isinstance(kind, str) else Form.ANY


def _is_atomic(form: Form, schema: Json) -> bool:
    """Return whether a list, map or struct is owned as one; only lists are, where the schema does not say."""
    if form is Form.LIST:
        return schema.get("x-kubernetes-list-type") not in ("map", "set")
    is_atomic: bool = schema.get("x-kubernetes-map-type") == "atomic"
    return is_atomic


class Types:
    """All named types of one server."""

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self._schemas = schemas
        self._named: dict[str, Type] = {}

    def named(self, name: str) -> Type:
        """Return the type of that OpenAPI name; KeyError if there is none."""
        found = self._named.get(name)
        if found is None:
            found = self._named[name] = Type(name, self._schemas[name], self)
        return found

    def of(self, schema: Json) -> Type:
        """Return the type that a schema stands for: the one it refers to, or one of its own."""
        reference = schema.get("$ref")
        if reference is None:
            return Type("", schema, self)
        relation = schema.get("x-kubernetes-map-type")
        if relation is None:
            return self.named(reference)
        # Of one field, an `ObjectReference` is taken apart although elsewhere it is not.
        return Type(reference, self._schemas[reference] | {"x-kubernetes-map-type": relation}, self)
