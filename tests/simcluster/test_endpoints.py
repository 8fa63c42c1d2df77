"""The Endpoints controller, over the real registry, and how subsets are packed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import Cluster, deployment, service, simulate

from simcluster.controllers import subsets
from simcluster.profile import FAITHFUL
from simcluster.store import Object


def addresses(cluster: Cluster, kind: str = "addresses") -> list[str]:
    """The pods that stand in the Endpoints as ready, or as not."""
    found = cluster.get("endpoints", "greeter").get("subsets", [])
    return sorted(each["targetRef"]["name"] for subset in found for each in subset.get(kind, []))


def test_a_service_gets_endpoints_that_follow_its_pods() -> None:
    """Ready and unready apart, labels and annotation as on a real cluster; they go with the Service."""

    async def story(cluster: Cluster) -> None:
        cluster.node.ready_s = 1.5
        cluster.apply("services", service() | {"metadata": {"name": "greeter", "labels": {"team": "a"}}})
        cluster.apply("deployments.apps", deployment(replicas=3))
        await cluster.settle()
        found = cluster.get("endpoints", "greeter")
        assert found["metadata"]["labels"] == {
            "team": "a",
            "endpoints.kubernetes.io/managed-by": "endpoint-controller",
            "service.kubernetes.io/headless": "",
        }
        assert "endpoints.kubernetes.io/last-change-trigger-time" in found["metadata"]["annotations"]
        [subset] = found["subsets"]
        assert subset["ports"] == [{"name": "grpc", "port": 50051, "protocol": "TCP"}]
        pod = cluster.get("pods", subset["addresses"][0]["targetRef"]["name"])
        assert subset["addresses"][0] == {
            "ip": pod["status"]["podIP"],
            "nodeName": "node-1",
            "targetRef": {
                "kind": "Pod",
                "namespace": "default",
                "name": pod["metadata"]["name"],
                "uid": pod["metadata"]["uid"],
            },
        }
        cluster.node.is_healthy = lambda _pod: False
        cluster.node.probe(pod)
        await cluster.settle(1)
        assert addresses(cluster, "notReadyAddresses") == [pod["metadata"]["name"]]
        assert len(addresses(cluster)) == 2
        cluster.registry.delete("services", "default", "greeter")
        await cluster.settle()
        assert cluster.names("endpoints") == []

    simulate(story)


def test_a_terminating_pod_is_left_out_unless_all_are_published() -> None:
    """As against slices, which show it as terminating."""

    async def story(cluster: Cluster) -> None:
        cluster.node.stop_s = 10.0
        cluster.apply("services", service())
        cluster.apply("services", service("all", publishNotReadyAddresses=True))
        cluster.apply("deployments.apps", deployment(replicas=1))
        await cluster.settle()
        [pod] = cluster.pods()
        cluster.edit("deployments.apps", "greeter", {"spec": {"replicas": 0}})
        await cluster.settle(1)
        assert "subsets" not in cluster.get("endpoints", "greeter")
        [subset] = cluster.get("endpoints", "all")["subsets"]
        assert [each["targetRef"]["name"] for each in subset["addresses"]] == [pod["metadata"]["name"]]

    simulate(story)


def test_endpoints_of_a_service_without_selector_are_its_owners() -> None:
    """Left as they are; those that a Service needs come back when they are deleted."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(
            "services", service("manual") | {"spec": {"ports": [{"port": 80}], "clusterIP": "None"}}
        )
        mine = {
            "metadata": {"name": "manual"},
            "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}],
        }
        cluster.apply("endpoints", mine)
        cluster.apply("services", service())
        await cluster.settle()
        assert cluster.get("endpoints", "manual")["subsets"][0]["addresses"] == [{"ip": "10.0.0.1"}]
        cluster.registry.delete("endpoints", "default", "greeter")
        await cluster.settle(1)
        assert cluster.names("endpoints") == ["greeter", "manual"]

    simulate(story)


def test_a_change_of_a_pod_is_written_after_its_delay_and_once() -> None:
    """At the profile's real delays, and no write without a change."""

    async def story(cluster: Cluster) -> None:
        cluster.apply("services", service())
        cluster.apply("deployments.apps", deployment(replicas=2))
        await cluster.settle()
        written = cluster.get("endpoints", "greeter")["metadata"]["resourceVersion"]
        pod = cluster.pods()[0]["metadata"]["name"]
        cluster.edit("pods", pod, {"metadata": {"annotations": {"a": "b"}}})
        await cluster.settle()
        assert cluster.get("endpoints", "greeter")["metadata"]["resourceVersion"] == written
        cluster.registry.delete("pods", "default", pod)
        took_s = await cluster.until(lambda: pod not in addresses(cluster))
        assert 0.008 <= took_s <= 0.020

    simulate(story, profile=FAITHFUL)


def test_endpoints_written_by_hand_are_mirrored_in_slices() -> None:
    """As long as the Service has no selector and nobody says to skip them; DNS and proxies read the slices."""

    def mirrored(cluster: Cluster) -> list[tuple[list[str], bool, int]]:
        return [
            (each["addresses"], each["conditions"]["ready"], piece["ports"][0]["port"])
            for piece in cluster.list("endpointslices.discovery.k8s.io")
            for each in piece["endpoints"] or ()
        ]

    async def story(cluster: Cluster) -> None:
        subset = {
            "addresses": [{"ip": "10.0.0.1"}],
            "notReadyAddresses": [{"ip": "10.0.0.2"}],
            "ports": [{"port": 81}],
        }
        mine = {"metadata": {"name": "manual", "labels": {"team": "a"}}, "subsets": [subset]}
        cluster.apply("endpoints", mine)
        await cluster.settle(1)
        assert mirrored(cluster) == []
        cluster.apply(
            "services", service("manual") | {"spec": {"ports": [{"port": 80}], "clusterIP": "None"}}
        )
        await cluster.settle(1)
        assert mirrored(cluster) == [(["10.0.0.1"], True, 81), (["10.0.0.2"], False, 81)]
        [piece] = cluster.list("endpointslices.discovery.k8s.io")
        name = piece["metadata"]["name"]
        assert piece["metadata"]["labels"] == {
            "team": "a",
            "kubernetes.io/service-name": "manual",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        }
        cluster.edit("endpoints", "manual", {"subsets": [subset | {"notReadyAddresses": None}]})
        await cluster.settle(1)
        assert mirrored(cluster) == [(["10.0.0.1"], True, 81)]
        assert cluster.names("endpointslices.discovery.k8s.io") == [name]
        cluster.edit(
            "endpoints",
            "manual",
            {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}},
        )
        await cluster.settle(1)
        assert mirrored(cluster) == []
        cluster.edit("endpoints", "manual", {"metadata": {"labels": None}})
        await cluster.settle(1)
        assert len(mirrored(cluster)) == 1
        cluster.registry.delete("endpoints", "default", "manual")
        await cluster.settle(1)
        assert mirrored(cluster) == []

    simulate(story)


def pod_at(number: int, *, ready: bool, port: int | None) -> Object:
    """A pod with an address and, perhaps, a named port."""
    ports = [] if port is None else [{"name": "p", "containerPort": port}]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"name": f"p{number}", "namespace": "default", "uid": str(number), "labels": {}},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.{number // 250}.{number % 250}",
            "conditions": conditions,
        },
    }


PORTS = st.lists(
    st.sampled_from(
        [{"name": "a", "port": 1}, {"name": "b", "port": 2}, {"name": "n", "port": 3, "targetPort": "p"}]
    ),
    unique_by=lambda each: each["name"],
)


@given(
    made=st.lists(st.tuples(st.booleans(), st.sampled_from([None, 7, 8])), max_size=8),
    ports=PORTS,
    publish=st.booleans(),
)
def test_each_pair_of_address_and_port_stands_in_one_subset(
    made: list[tuple[bool, int | None]], ports: list[Object], *, publish: bool
) -> None:
    """All that there are, each once, on the right side; no two subsets have the same addresses or ports."""
    owner = service(publishNotReadyAddresses=publish, ports=ports)
    owner["spec"]["clusterIP"] = "10.1.1.1"
    pods = [pod_at(number, ready=ready, port=port) for number, (ready, port) in enumerate(made)]
    found: list[tuple[Any, ...]] = []
    packed = subsets.pack(owner, pods)
    for subset in packed:
        for kind in ("addresses", "notReadyAddresses"):
            for address in subset.get(kind, []):
                found += [(kind, address["ip"], port["name"], port["port"]) for port in subset["ports"]]
    wanted = []
    for number, (ready, named) in enumerate(made):
        for port in ports:
            target = named if port.get("targetPort") == "p" else port["port"]
            if target is not None:
                kind = "addresses" if ready or publish else "notReadyAddresses"
                wanted.append((kind, pods[number]["status"]["podIP"], port["name"], target))
    assert sorted(found) == sorted(wanted)
    seen = [str([each.get("addresses"), each.get("notReadyAddresses")]) for each in packed]
    assert len(set(seen)) == len(seen)


@given(sizes=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=4))
def test_no_more_than_a_thousand_addresses_are_kept(sizes: list[tuple[int, int]]) -> None:
    """Exactly so many where there are more, ready ones first, and it is told."""
    given_subsets = [
        {"addresses": list(range(a)), "notReadyAddresses": list(range(b)), "ports": []} for a, b in sizes
    ]
    kept, is_cut = subsets.truncate(given_subsets)
    ready, not_ready = sum(a for a, _ in sizes), sum(b for _, b in sizes)
    kept_ready = sum(len(each.get("addresses", [])) for each in kept)
    kept_not_ready = sum(len(each.get("notReadyAddresses", [])) for each in kept)
    assert is_cut is (ready + not_ready > 1000)
    assert kept_ready == min(ready, 1000)
    assert kept_not_ready == min(not_ready, 1000 - kept_ready)
