"""What the fuzzer takes for a misfit."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz_connection import find_fault
from schema_check import find_faults

from simcluster.schema import load

SCHEMAS = load().schemas


def faults_of(kind: str, value: Any) -> list[str]:
    return list(find_faults(value, {"$ref": f"io.k8s.api.{kind}"}, SCHEMAS))


def test_an_object_of_its_kind_fits() -> None:
    """No fault, also where Go writes null for what is not there."""
    container = {"name": "c", "resources": {"limits": {"cpu": "100m"}}, "ports": None}
    pod = {"metadata": {"name": "p", "creationTimestamp": None}, "spec": {"containers": [container]}}

    assert faults_of("core.v1.Pod", pod) == []


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"containers": {}}, ".spec.containers: {} is no list"),
        ({"containers": [{"name": 1}]}, ".spec.containers[0].name: 1 is no string"),
        ({"containers": [{}]}, ".spec.containers[0].name: required, and not there"),
        ({"containers": [], "x": 1}, ".spec.x: there is no such field"),
        ({"containers": [], "priority": 2**31}, ".spec.priority: 2147483648 is no int32"),
        ({"containers": [], "priority": True}, ".spec.priority: True is no integer"),
        ({"containers": [], "hostNetwork": None}, ".spec.hostNetwork: None is no boolean"),
        ({"containers": [], "overhead": {"cpu": "x"}}, ".spec.overhead.cpu: 'x' is no quantity"),
        ({"containers": [], "overhead": 1}, ".spec.overhead: 1 is no map"),
        ({"containers": [], "dnsPolicy": "x"}, ".spec.dnsPolicy: 'x' is not among the values"),
        ([], ".spec: [] is no object"),
    ],
)
def test_what_does_not_fit_is_found(spec: Any, fault: str) -> None:
    """Each kind of misfit, with its path."""
    assert faults_of("core.v1.Pod", {"spec": spec}) == [fault]


def test_a_time_that_is_none_is_found() -> None:
    """Times have a form."""
    assert faults_of("core.v1.Pod", {"metadata": {"deletionTimestamp": "soon"}}) == [
        ".metadata.deletionTimestamp: 'soon' is no time"
    ]


def test_a_failure_of_the_server_is_a_fault() -> None:
    """500 is, but for what a real server answers so; a refusal is none."""
    assert find_fault(422, b"{}") == ""
    assert find_fault(500, b'{"message": "KeyError"}') == "500: KeyError"
    assert find_fault(502, b"x") == "502: b'x'"
    assert find_fault(500, b'{"message": "map: 1 does not contain declared merge key: name"}') == ""
