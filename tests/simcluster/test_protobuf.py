"""Kubernetes' protobuf: objects of every kind go there and back, and no bytes do harm. Bytes measured on v1.36.3."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.schema import Form, Protobuf, Type, UnwritableError, load
from simcluster.schema.decoding import Malformed
from simcluster.schema.wire import write_bytes, write_number

CATALOGUE = load()
PROTOBUF = Protobuf(CATALOGUE)
KINDS = [resource for resource in CATALOGUE if resource.type.name in CATALOGUE.numbers]
MAGIC = b"k8s\0"
# What kube-apiserver v1.36.3 answered to a GET, and the same object as it answered it in JSON.
REAL = (
    b'k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12IG\n\x01x\x12\x00\x1a\x07default"\x00*$a7ad1273-a3cf-4a7e-98fe-'
    b"dce2c32d3d582\x032318\x00B\x08\x08\xf3\xd5\x86\xd8\x06\x10\x00"
).replace(b"IG\n\x01x", b"I\nG\n\x01x")
SHOWN = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {
        "name": "x",
        "namespace": "default",
        "uid": "a7ad1273-a3cf-4a7e-98fe-dce2c32d3d58",
        "resourceVersion": "231",
        "creationTimestamp": "2026-11-21T14:30:11Z",
    },
}


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    head = write_bytes(1, api_version.encode()) + write_bytes(2, kind.encode())
    return MAGIC + write_bytes(1, head) + write_bytes(2, raw)


def texts(*, empty: bool = True) -> st.SearchStrategy[str]:
    # No lone surrogates: they are in no JSON text.
    return st.text(st.characters(codec="utf-8"), min_size=0 if empty else 1, max_size=5)


def values(type_: Type, depth: int) -> st.SearchStrategy[Any]:
    """Values of a type as Go writes them into JSON: nothing empty that it would leave out."""
    form = type_.form
    if form is Form.OBJECT:
        return objects(type_, depth)
    if form is Form.LIST:
        return st.lists(values(type_.item, depth - 1), min_size=1, max_size=2)
    if form is Form.MAP:
        return st.dictionaries(texts(), values(type_.item, depth - 1), min_size=1, max_size=2)
    if form is Form.STRING and type_.format == "byte":
        return st.binary(min_size=1, max_size=5).map(lambda data: base64.b64encode(data).decode())
    if form is Form.INTEGER:
        bits = 31 if type_.format == "int32" else 63
        return st.integers(-(2**bits), 2**bits - 1).filter(bool)
    instants = st.integers(1, 4 * 10**9)
    plain: dict[Form, st.SearchStrategy[Any]] = {
        Form.STRING: texts(empty=False),
        Form.BOOLEAN: st.just(value=True),
        Form.QUANTITY: st.sampled_from(["1", "100m", "1Gi"]),
        Form.INT_OR_STRING: st.one_of(st.integers(-5, 2**31 - 1), texts()),
        Form.TIME: instants.map(lambda at: show(at, type_.short_name)),
        Form.ANY: st.dictionaries(texts(), st.integers(0, 9), max_size=2),
    }
    return plain[form]


def show(at: int, name: str) -> str:
    second, digits = at % 60, f".{at % 1000000:06d}" if name == "MicroTime" else ""
    return f"{1970 + at % 8000:04d}-02-28T23:59:{second:02d}{digits}Z"


def objects(type_: Type, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    if depth <= 0:
        return st.just({})
    fields = {
        name: values(field.type, depth - 1)
        for name, field in type_.fields.items()
        if name not in ("kind", "apiVersion") and (depth > 1 or field.type.form is not Form.LIST)
    }
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def kinds_and_objects(draw: st.DrawFn) -> dict[str, Any]:
    resource = draw(st.sampled_from(KINDS))
    head = {"kind": resource.kind, "apiVersion": resource.api_version}
    return head | draw(objects(resource.type, 4))


@settings(max_examples=200, deadline=None)
@given(kinds_and_objects())
def test_what_is_written_reads_the_same(obj: dict[str, Any]) -> None:
    """Objects of every kind, all forms of fields in them, come back as they were."""
    assert PROTOBUF.decode(PROTOBUF.encode(obj), obj["kind"]) == obj


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=60), st.booleans())
def test_no_bytes_do_harm(resource: Any, data: bytes, wrapped: bool) -> None:
    """Any bytes, bare or in an envelope, are an object or are refused as malformed."""
    body = envelope(resource.api_version, resource.kind, data) if wrapped else MAGIC + data
    try:
        read = PROTOBUF.decode(body, resource.kind)
    except Malformed:
        return
    assert isinstance(read, dict)


@settings(max_examples=200, deadline=None)
@given(kinds_and_objects(), st.data())
def test_a_damaged_object_is_an_object_or_is_refused(obj: dict[str, Any], data: st.DataObject) -> None:
    """One byte changed, or the end cut off: never anything but an object or a refusal."""
    body = bytearray(PROTOBUF.encode(obj))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        assert isinstance(
            PROTOBUF.decode(bytes(body[: data.draw(st.integers(0, len(body)))]), obj["kind"]), dict
        )


def test_a_real_answer_is_read_and_written() -> None:
    """The bytes of a real server read as its JSON, and what is written here reads the same."""
    assert PROTOBUF.decode(REAL, "ConfigMap") == SHOWN
    assert PROTOBUF.decode(PROTOBUF.encode(SHOWN), "ConfigMap") == SHOWN


def test_a_zero_is_absent_where_go_has_no_pointer() -> None:
    """A probe's zero delay is left out and defaulted, a Deployment's zero replicas are kept."""
    spec = envelope("apps/v1", "Deployment", write_bytes(2, write_number(1, 0) + write_number(5, 0)))
    assert PROTOBUF.decode(spec, "Deployment")["spec"] == {"replicas": 0}


def test_packed_numbers_are_read() -> None:
    """Go reads repeated numbers in both forms, so both are read."""
    groups = write_bytes(4, bytes([1, 2]))
    pod = envelope("v1", "Pod", write_bytes(2, write_bytes(14, groups)))
    assert PROTOBUF.decode(pod, "Pod")["spec"]["securityContext"] == {"supplementalGroups": [1, 2]}


CONFIG_MAP = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b"xx",
            UNRECOGNIZED
            + "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (7878)",
        ),
        (MAGIC, UNRECOGNIZED + "empty body (6b387300)"),
        (MAGIC + b"\xff", UNRECOGNIZED + "unexpected EOF (6b387300ff)"),
        (envelope("v1", "ConfigMap", b"\xff"), CONFIG_MAP + "unexpected EOF"),
        (
            envelope("v1", "ConfigMap", b"\x08\x01"),
            CONFIG_MAP + "proto: wrong wireType = 0 for field Metadata",
        ),
        (
            envelope("foo/v1", "Nope", b""),
            'Nope in version "foo/v1" cannot be handled as a ConfigMap: no kind "Nope" is registered for version '
            '"foo/v1" in scheme "pkg/runtime/scheme.go:111"',
        ),
    ],
)
def test_what_is_refused_is_refused_in_real_words(body: bytes, text: str) -> None:
    """The texts are those of v1.36.3; only a field is called by its name in JSON."""
    with pytest.raises(Malformed) as caught:
        PROTOBUF.decode(body, "ConfigMap")
    assert caught.value.message == text


def test_kinds_without_a_protobuf_form_are_not_written() -> None:
    """A Table has none here."""
    with pytest.raises(UnwritableError, match=r"Table in version meta.k8s.io/v1"):
        PROTOBUF.encode({"kind": "Table", "apiVersion": "meta.k8s.io/v1"})
