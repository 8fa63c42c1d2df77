"""Node ports of Services: given, kept, dropped, refused. Texts measured on v1.36.3."""

from __future__ import annotations

from typing import Any

import pytest

from simcluster.errors import Invalid
from simcluster.registry import Registry


def service(name: str, *ports: dict[str, Any], kind: str = "NodePort") -> dict[str, Any]:
    named = [{"name": f"p{index}", "port": 80 + index} | port for index, port in enumerate(ports)]
    return {"metadata": {"name": name}, "spec": {"type": kind, "ports": named}}


def ports_of(obj: dict[str, Any]) -> list[int | None]:
    return [port.get("nodePort") for port in obj["spec"]["ports"]]


def test_ports_are_given_to_the_types_that_need_them(registry: Registry) -> None:
    """NodePort and LoadBalancer get different ones of the range; ClusterIP gets none."""
    first = ports_of(registry.create("services", "default", service("a", {}, {})))
    second = ports_of(registry.create("services", "default", service("b", {}, kind="LoadBalancer")))
    given = [port for port in first + second if port is not None]
    assert len(set(given)) == 3
    assert all(30000 <= port <= 32767 for port in given)
    assert ports_of(registry.create("services", "default", service("c", {}, kind="ClusterIP"))) == [None]
    without = service("d", {}, kind="LoadBalancer")
    without["spec"]["allocateLoadBalancerNodePorts"] = False
    assert ports_of(registry.create("services", "default", without)) == [None]


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        (
            ({"nodePort": 31111},),
            "spec.ports[0].nodePort: Invalid value: 31111: provided port is already allocated",
        ),
        (
            ({"nodePort": 31112}, {"nodePort": 31112}),
            "spec.ports[1].nodePort: Invalid value: 31112: provided port is already allocated",
        ),
        (
            ({"nodePort": 80},),
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid "
            "ports is 30000-32767",
        ),
    ],
)
def test_a_port_that_can_not_be_had_is_refused(
    registry: Registry, ports: tuple[dict[str, Any], ...], text: str
) -> None:
    """Taken by another Service or by the Service itself, or out of range; nothing is stored."""
    registry.create("services", "default", service("a", {"nodePort": 31111}))
    with pytest.raises(Invalid) as caught:
        registry.create("services", "default", service("b", *ports))
    assert caught.value.message == f'Service "b" is invalid: {text}'


def test_two_protocols_of_one_service_share_a_port(registry: Registry) -> None:
    """As DNS does."""
    ports = ({"nodePort": 31200}, {"nodePort": 31200, "protocol": "UDP"})
    assert ports_of(registry.create("services", "default", service("a", *ports))) == [31200, 31200]


def test_ports_are_kept_by_updates_and_dropped_by_other_types(registry: Registry) -> None:
    """An update that leaves them out keeps them; ClusterIP has none; back again there are new ones."""
    created = registry.create("services", "default", service("a", {}, {}))
    kept = registry.update("services", "default", "a", service("a", {}, {}))
    assert ports_of(kept) == ports_of(created)
    dropped = registry.patch("services", "default", "a", {"spec": {"type": "ClusterIP"}}, "merge")
    assert ports_of(dropped) == [None, None]
    back = registry.patch("services", "default", "a", {"spec": {"type": "NodePort"}}, "merge")
    assert all(ports_of(back))
    with pytest.raises(Invalid, match="may not be used when `type` is 'ClusterIP'"):
        registry.create("services", "default", service("b", {"nodePort": 31300}, kind="ClusterIP"))
