"""EndpointSlices to addresses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server.backends import Resolved, resolve_backend
from demo_server.ingress_rules import Backend

GRPC = Backend("greeter", "grpc", None)


def make_slice(*endpoints: dict[str, Any], service: str = "greeter", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "greeter-x", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": 50051}],
        "endpoints": list(endpoints),
        **changes,
    }


def make_endpoint(ip: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [ip], "conditions": conditions}


def addresses(*slices: dict[str, Any], backend: Backend = GRPC) -> list[str]:
    return [ip for ip, _ in resolve_backend(backend, slices).addresses]


def test_union_over_slices() -> None:
    """All slices of the Service count, each address once; slices of other Services do not."""
    one = make_slice(make_endpoint("10.0.0.2", ready=True), make_endpoint("10.0.0.1", ready=True))
    two = make_slice(make_endpoint("10.0.0.3", ready=True), make_endpoint("10.0.0.1", ready=True))
    other = make_slice(make_endpoint("10.0.0.9", ready=True), service="other")
    assert addresses(one, other, two) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(
    ("conditions", "usable"),
    [
        ({}, True),
        ({"ready": None}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True}, False),
        ({"ready": False, "serving": True, "terminating": True}, True),
        ({"ready": False, "serving": False, "terminating": True}, False),
        ({"ready": False, "terminating": True}, False),
    ],
)
def test_conditions_of_a_single_endpoint(conditions: dict[str, bool | None], *, usable: bool) -> None:
    """nil means ready; an endpoint that still serves while it terminates is used if there is nothing better."""
    assert addresses(make_slice(make_endpoint("10.0.0.1", **conditions))) == (["10.0.0.1"] if usable else [])


def test_missing_conditions_mean_ready() -> None:
    """An endpoint without conditions at all is ready."""
    assert addresses(make_slice({"addresses": ["10.0.0.1"]})) == ["10.0.0.1"]


def test_terminating_endpoint_is_not_used_beside_a_ready_one() -> None:
    """Negative control of the fallback: with one ready endpoint, those that terminate get nothing."""
    leaving = make_endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
    assert addresses(make_slice(leaving, make_endpoint("10.0.0.2", ready=True))) == ["10.0.0.2"]


def test_target_port_comes_from_the_slice() -> None:
    """Each slice's own target port counts: they differ while a rollout renumbers a named port."""
    old = make_slice(make_endpoint("10.0.0.1"), ports=[{"name": "grpc", "port": 1}])
    new = make_slice(
        make_endpoint("10.0.0.2"), ports=[{"name": "grpc", "port": 2}, {"name": "web", "port": 80}]
    )
    assert resolve_backend(GRPC, [old, new]).addresses == (("10.0.0.1", 1), ("10.0.0.2", 2))


def test_number_means_the_only_port() -> None:
    """A backend port by number is served where the Service has one port, named or not."""
    by_number = Backend("greeter", None, 80)
    assert addresses(make_slice(make_endpoint("10.0.0.1")), backend=by_number) == ["10.0.0.1"]
    unnamed = make_slice(make_endpoint("10.0.0.1"), ports=[{"name": "", "port": 50051}])
    assert addresses(unnamed, backend=by_number) == ["10.0.0.1"]


def test_number_among_several_ports_is_a_problem_in_words() -> None:
    """With several ports, a number could only be looked up in the Service, which the gateway may not read."""
    several = make_slice(
        make_endpoint("10.0.0.1"), ports=[{"name": "web", "port": 1}, {"name": "grpc", "port": 2}]
    )
    assert resolve_backend(Backend("greeter", None, 80), [several]) == Resolved(
        (), "backend greeter:80: the Service has several ports (grpc, web); name one in the Ingress"
    )


def test_unknown_port_name_is_a_problem_in_words() -> None:
    """A port name that no slice has is named with those that there are."""
    found = resolve_backend(Backend("greeter", "http", None), [make_slice(make_endpoint("10.0.0.1"))])
    assert found == Resolved((), 'backend greeter:http: no port "http" in its EndpointSlices; there is grpc')


def test_no_slices_is_no_problem() -> None:
    """A Service that is not there yet has no endpoints, and that is all."""
    assert resolve_backend(GRPC, []) == Resolved(())
    assert resolve_backend(GRPC, [make_slice(endpoints=None, ports=None)]) == Resolved(())


def test_dual_stack_pod_counts_once() -> None:
    """A pod that is in slices of both families gets one share, not two."""
    six = make_slice(make_endpoint("fd00::1"), addressType="IPv6")
    assert addresses(six, make_slice(make_endpoint("10.0.0.1"))) == ["10.0.0.1"]
    assert addresses(six) == ["fd00::1"]


conditions = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([True, False, None]) for name in ("ready", "serving", "terminating")}
)
endpoints = st.builds(
    lambda ip, found: {"addresses": [str(ip)], "conditions": found}, st.ip_addresses(v=4), conditions
)


@given(st.lists(endpoints, max_size=8), st.integers(1, 4), st.randoms())
def test_slicing_and_order_do_not_matter(found: list[dict[str, Any]], count: int, random: Any) -> None:
    """The same endpoints in one slice or spread over several, in any order, are the same addresses."""
    whole = resolve_backend(GRPC, [make_slice(*found)])
    shuffled = random.sample(found, len(found))
    parts = [make_slice(*shuffled[start::count]) for start in range(count)]
    assert resolve_backend(GRPC, parts) == whole
    ready = {each["addresses"][0] for each in found if each["conditions"].get("ready") is not False}
    if ready:
        assert {ip for ip, _ in whole.addresses} == ready
