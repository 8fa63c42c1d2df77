"""Which endpoints a connection to a Service may be led to."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.network.routes import find_backends, find_routes

CONDITIONS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([None, True, False]) for name in ("ready", "serving", "terminating")}
)


def endpoint(number: int, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [f"127.20.128.{number}"], "conditions": conditions}


def slice_of(
    *endpoints: dict[str, Any], ports: tuple[tuple[str, int], ...] = (("grpc", 50051),)
) -> dict[str, Any]:
    return {"endpoints": list(endpoints), "ports": [{"name": name, "port": port} for name, port in ports]}


def service(**spec: Any) -> dict[str, Any]:
    usual = {"clusterIP": "127.20.1.1", "ports": [{"name": "grpc", "port": 80, "protocol": "TCP"}]}
    return {"metadata": {"namespace": "shop", "name": "greeter"}, "spec": usual | spec}


@pytest.mark.parametrize(
    ("endpoints", "usable"),
    [
        ([endpoint(1, ready=True), endpoint(2, ready=False, serving=True, terminating=True)], [1]),
        (
            [
                endpoint(1, ready=False, serving=False),
                endpoint(2, ready=False, serving=True, terminating=True),
            ],
            [2],
        ),
        ([endpoint(1, ready=False, serving=False, terminating=True)], []),
        ([endpoint(1, ready=False, serving=True, terminating=False)], []),
        ([endpoint(1), endpoint(2, ready=None)], [1, 2]),
        ([endpoint(1, ready=False, terminating=True)], [1]),
        ([], []),
    ],
    ids=[
        "ready first",
        "leaving if none is ready",
        "not serving",
        "not leaving",
        "absent",
        "absent serving",
        "none",
    ],
)
def test_usable_endpoints(endpoints: list[dict[str, Any]], usable: list[int]) -> None:
    """Kube-proxy's rule, line by line."""
    expected = tuple((f"127.20.128.{number}", 50051) for number in usable)
    assert find_backends([slice_of(*endpoints)], "grpc") == expected


def test_endpoints_of_all_slices_count_once() -> None:
    """Two slices are one set; an address in both, as while it moves between them, is one backend."""
    slices = [slice_of(endpoint(1), endpoint(2)), slice_of(endpoint(2), endpoint(3))]
    assert [address[-1] for address, _ in find_backends(slices, "grpc")] == ["1", "2", "3"]


def test_ports_are_matched_by_name() -> None:
    """Each port of the Service leads to the slice's port of its name; one that no slice has leads nowhere."""
    ports = [{"name": name, "port": port} for name, port in (("grpc", 80), ("web", 81), ("gone", 82))]
    routes = find_routes(service(ports=ports), [slice_of(endpoint(1), ports=(("grpc", 5), ("web", 6)))])
    assert [(route.port, route.backends) for route in routes] == [
        (80, (("127.20.128.1", 5),)), (81, (("127.20.128.1", 6),)), (82, ()),
    ]  # fmt: skip


def test_services_without_a_proxied_address() -> None:
    """Headless and ExternalName Services, UDP ports, and the API server's own Service have no routes."""
    slices = [slice_of(endpoint(1))]
    assert find_routes(service(clusterIP="None"), slices) == []
    assert find_routes(service(type="ExternalName"), slices) == []
    assert find_routes(service(ports=[{"port": 53, "protocol": "UDP"}]), slices) == []
    kubernetes = service() | {"metadata": {"namespace": "default", "name": "kubernetes"}}
    assert find_routes(kubernetes, slices) == []
    assert len(find_routes(service(), slices)) == 1  # negative control


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.lists(st.tuples(st.integers(1, 9), CONDITIONS), max_size=4), max_size=4))
def test_a_ready_endpoint_never_shares_with_a_leaving_one(
    slices: list[list[tuple[int, dict[str, Any]]]],
) -> None:
    """Over any slices: if any endpoint is ready, exactly the ready ones are used; else only leaving ones."""
    built = [slice_of(*({"addresses": [str(n)], "conditions": c} for n, c in each)) for each in slices]
    every = [(str(n), c) for each in slices for n, c in each]
    ready = {n for n, c in every if c.get("ready") in (None, True)}
    leaving = {n for n, c in every if c.get("serving") in (None, True) and c.get("terminating")}
    backends = find_backends(built, "grpc")
    assert {address for address, _ in backends} == (ready if ready else leaving)
    assert list(backends) == sorted(set(backends))
