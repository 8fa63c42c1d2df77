"""The layout of a Service's endpoints in slices."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.controllers import slices

Object = dict[str, Any]


def service(**spec: Any) -> Object:
    """A Service as it is stored."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "greeter", "namespace": "default", "uid": "svc-1", "labels": {"team": "a"}},
        "spec": {
            "clusterIP": "10.96.0.10",
            "selector": {"app": "greeter"},
            "ports": [{"name": "grpc", "port": 50051, "targetPort": "grpc", "protocol": "TCP"}],
        }
        | spec,
    }


def pod(
    number: int, *, ready: bool = True, deleting: bool = False, port: int = 50051, **status: Any
) -> Object:
    """A running pod with the address 10.244.0.<number>."""
    metadata = {"name": f"greeter-{number}", "namespace": "default", "uid": f"pod-{number}"}
    if deleting:
        metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "server", "ports": [{"name": "grpc", "containerPort": port}]}],
        },
        "status": {
            "phase": "Running",
            "podIP": f"10.244.0.{number}",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        | status,
    }


class Stored:
    """Slices as a registry would hold them after each set of changes."""

    def __init__(self) -> None:
        self.slices: dict[str, Object] = {}
        self.made = 0

    def apply(self, changes: slices.Changes) -> None:
        """Carry changes out."""
        for each in changes.create:
            self.made += 1
            each["metadata"]["name"] = name = f"{each['metadata'].pop('generateName')}{self.made}"
            self.slices[name] = deepcopy(each)
        for each in changes.update:
            assert each["metadata"]["name"] in self.slices
            self.slices[each["metadata"]["name"]] = deepcopy(each)
        for each in changes.delete:
            del self.slices[each["metadata"]["name"]]

    def endpoints(self) -> list[Object]:
        """All endpoints of all slices."""
        return [endpoint for each in self.slices.values() for endpoint in each["endpoints"] or ()]

    def sizes(self) -> list[int]:
        """How many endpoints each slice has."""
        return sorted(len(each["endpoints"] or ()) for each in self.slices.values())


def entries(of: Object, pods: list[Object]) -> list[slices.Entry]:
    """The entries of those pods that are endpoints."""
    found = (slices.entry_for(of, each) for each in pods)
    return [each for each in found if each is not None]


def reconcile(stored: Stored, pods: list[Object], most: int = 2, of: Object | None = None) -> slices.Changes:
    """Reconcile, carry out and return the changes."""
    changes = slices.reconcile(
        service() if of is None else of,
        entries(service() if of is None else of, pods),
        [*stored.slices.values()],
        most=most,
        triggered=None,
    )
    stored.apply(deepcopy(changes))
    return changes


pods_strategy = st.lists(
    st.builds(
        pod,
        st.integers(1, 12),
        ready=st.booleans(),
        deleting=st.booleans(),
        port=st.sampled_from([50051, 50052]),
        phase=st.sampled_from(["Running", "Running", "Succeeded"]),
    ),
    max_size=10,
    unique_by=lambda each: each["metadata"]["name"],
)


def check_layout(stored: Stored, pods: list[Object], most: int) -> None:
    """The union of the slices is the wanted set, no slice is too large, no address is there twice."""
    wanted = {
        each["status"]["podIP"]: slices.endpoint_for(service(), each)
        for each in pods
        if each["status"]["phase"] == "Running"
    }
    shown = stored.endpoints()
    assert [endpoint["addresses"][0] for endpoint in shown if shown.count(endpoint) > 1] == []
    assert {endpoint["addresses"][0]: endpoint for endpoint in shown} == wanted
    assert len(shown) == len(wanted)
    assert all(size <= most for size in stored.sizes())
    assert all(size > 0 for size in stored.sizes()) or stored.sizes() == [0]
    ports = {each["status"]["podIP"]: slices.ports_for(service(), each) for each in pods}
    for each in stored.slices.values():
        for endpoint in each["endpoints"] or ():
            assert each["ports"] == ports[endpoint["addresses"][0]]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(pods_strategy, min_size=1, max_size=6), st.integers(1, 4))
def test_slices_show_the_pods_whatever_happened_before(history: list[list[Object]], most: int) -> None:
    """After any history: every endpoint once, in slices of the size that is allowed, and then nothing to write."""
    stored = Stored()
    for pods in history:
        before = deepcopy(stored.slices)
        changes = reconcile(stored, pods, most)
        check_layout(stored, pods, most)
        touched = {each["metadata"]["name"] for each in (*changes.update, *changes.delete)}
        for name, each in before.items():
            assert name in touched or stored.slices[name] == each
        assert reconcile(stored, pods, most) == slices.Changes()


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(pods_strategy, min_size=2, max_size=4), st.integers(1, 4))
def test_an_endpoint_that_stays_wanted_stays_in_its_slice(history: list[list[Object]], most: int) -> None:
    """Clients that follow one slice see no endpoint wander to another without need."""
    stored = Stored()
    reconcile(stored, history[0], most)
    for pods in history[1:]:
        before = {endpoint["addresses"][0]: name for name, endpoint in _places(stored)}
        ports = {each["status"]["podIP"]: slices.ports_for(service(), each) for each in pods}
        kept_ports = {
            address: stored.slices[name]["ports"] == ports.get(address) for address, name in before.items()
        }
        reconcile(stored, pods, most)
        for name, endpoint in _places(stored):
            address = endpoint["addresses"][0]
            if kept_ports.get(address):
                assert name == before[address]


def _places(stored: Stored) -> list[tuple[str, Object]]:
    return [(name, endpoint) for name, each in stored.slices.items() for endpoint in each["endpoints"] or ()]


@pytest.mark.parametrize("damage", ["lost", "doubled", "stale", "too large"])
def test_the_check_sees_a_wrong_layout(damage: str) -> None:
    """Negative control: each kind of wrong layout is found."""
    stored, pods = Stored(), [pod(1), pod(2), pod(3)]
    reconcile(stored, pods)
    first, second = (each["endpoints"] for each in stored.slices.values())
    if damage == "lost":
        first.pop()
    elif damage == "doubled":
        second.append(first[0])
    elif damage == "stale":
        first[0]["conditions"]["ready"] = False
    else:
        first.extend([second.pop(), *second])
    with pytest.raises(AssertionError):
        check_layout(stored, pods, 2)


def test_three_pods_make_two_slices_of_at_most_two() -> None:
    """The default that catches clients which take one slice for the whole."""
    stored = Stored()
    reconcile(stored, [pod(1), pod(2), pod(3)])
    assert stored.sizes() == [1, 2]


def test_a_slice_has_what_clients_select_it_by() -> None:
    """Labels of the Service and the controller's own, the owner, the type of address."""
    [each] = slices.reconcile(
        service(), entries(service(), [pod(1)]), [], most=2, triggered="2027-01-15T08:00:00Z"
    ).create
    assert each["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "greeter",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert each["metadata"]["generateName"] == "greeter-"
    assert each["metadata"]["annotations"] == {
        "endpoints.kubernetes.io/last-change-trigger-time": "2027-01-15T08:00:00Z"
    }
    [owner] = each["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Service", "svc-1", True)
    assert each["addressType"] == "IPv4"
    assert each["ports"] == [{"name": "grpc", "port": 50051, "protocol": "TCP"}]
    assert each["endpoints"] == [
        {
            "addresses": ["10.244.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "greeter-1", "uid": "pod-1"},
            "nodeName": "node-1",
        }
    ]


@pytest.mark.parametrize(
    ("ready", "deleting", "publish", "conditions"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, False, (False, False, True)),
        (False, False, True, (True, False, False)),
        (True, True, True, (True, True, True)),
    ],
)
def test_conditions(*, ready: bool, deleting: bool, publish: bool, conditions: tuple[bool, ...]) -> None:
    """Ready is publishNotReadyAddresses or (pod ready and not terminating); serving is pod ready."""
    endpoint = slices.endpoint_for(
        service(publishNotReadyAddresses=publish), pod(1, ready=ready, deleting=deleting)
    )
    assert endpoint is not None
    assert tuple(endpoint["conditions"][key] for key in ("ready", "serving", "terminating")) == conditions


@pytest.mark.parametrize("status", [{"phase": "Failed"}, {"phase": "Succeeded"}, {"podIP": ""}])
def test_pods_that_have_ended_or_have_no_address_are_left_out(status: Object) -> None:
    """They are no endpoints at all."""
    assert slices.endpoint_for(service(), pod(1, **status)) is None


def test_a_service_without_endpoints_has_one_empty_slice() -> None:
    """The placeholder has null endpoints and null ports, and is written once."""
    stored = Stored()
    [placeholder] = reconcile(stored, []).create
    assert placeholder["endpoints"] is None
    assert placeholder["ports"] is None
    assert reconcile(stored, []) == slices.Changes()


def test_the_placeholder_becomes_the_first_slice_and_the_last_slice_the_placeholder() -> None:
    """The name stays: one slice is updated rather than one created and one deleted."""
    stored = Stored()
    reconcile(stored, [])
    [name] = stored.slices
    changes = reconcile(stored, [pod(1)])
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (0, 1, 0)
    assert [*stored.slices] == [name]
    changes = reconcile(stored, [])
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (0, 1, 0)
    assert stored.slices[name]["endpoints"] is None


def test_one_change_writes_one_slice() -> None:
    """Of two slices, the one whose pod stopped being ready is written, the other is not."""
    stored = Stored()
    reconcile(stored, [pod(1), pod(2), pod(3)])
    changes = reconcile(stored, [pod(1), pod(2), pod(3, ready=False)])
    assert len(changes.update) == 1
    assert changes.create == changes.delete == ()


def test_named_target_ports_differ_from_pod_to_pod() -> None:
    """Pods on which the name means another number are in slices of their own."""
    stored = Stored()
    reconcile(stored, [pod(1), pod(2, port=50052)])
    assert sorted(each["ports"][0]["port"] for each in stored.slices.values()) == [50051, 50052]


def test_a_port_that_a_pod_does_not_name_is_left_out() -> None:
    """The pod is still an endpoint, without that port."""
    [each] = slices.reconcile(service(), entries(service(), [_nameless()]), [], most=2).create
    assert each["ports"] is None
    assert len(each["endpoints"]) == 1


def _nameless() -> Object:
    each = pod(1)
    del each["spec"]["containers"][0]["ports"]
    return each


def test_a_numeric_target_port_needs_no_declaration() -> None:
    """It is taken as it is; without one, the Service's own port is."""
    ports = [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 81}]
    found = slices.ports_for(service(ports=ports), _nameless())
    assert [(each["name"], each["port"]) for each in found] == [("a", 8080), ("b", 81)]


def test_headless_services_say_so_and_name_hosts() -> None:
    """A label on the slice; a hostname on endpoints of pods whose subdomain is the Service."""
    named = pod(1)
    named["spec"] |= {"hostname": "first", "subdomain": "greeter"}
    [each] = slices.reconcile(
        service(clusterIP="None"), entries(service(clusterIP="None"), [named]), [], most=2
    ).create
    assert each["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert each["endpoints"][0]["hostname"] == "first"


def test_slices_of_an_earlier_service_of_that_name_are_deleted_not_reused() -> None:
    """The uid of the owner decides."""
    stored = Stored()
    reconcile(stored, [pod(1)])
    later = service()
    later["metadata"]["uid"] = "svc-2"
    changes = reconcile(stored, [pod(1)], of=later)
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (1, 0, 1)


def test_a_service_that_is_being_deleted_gets_no_new_slices() -> None:
    """What is there is still kept up to date."""
    going = service()
    going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert slices.reconcile(going, entries(going, [pod(1)]), [], most=2) == slices.Changes()


def test_changed_labels_of_a_service_reach_its_slices() -> None:
    """A label alone is a reason to write."""
    stored = Stored()
    reconcile(stored, [pod(1)])
    relabelled = service()
    relabelled["metadata"]["labels"] = {"team": "b"}
    reconcile(stored, [pod(1)], of=relabelled)
    [each] = stored.slices.values()
    assert each["metadata"]["labels"]["team"] == "b"
