"""What names stand for, against the rules of CoreDNS's kubernetes plugin."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from simcluster.network.zone import Answer, Record, answer

SVC = "svc.cluster.local"


@dataclass
class Catalogue:
    """Services and slices, given."""

    named: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    sliced: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def has_namespace(self, namespace: str) -> bool:
        return namespace in {"default", "shop"}

    def service(self, name: tuple[str, str]) -> dict[str, Any] | None:
        return self.named.get(name)

    def services(self) -> Iterable[dict[str, Any]]:
        return self.named.values()

    def slices(self, name: tuple[str, str]) -> Iterable[dict[str, Any]]:
        return self.sliced.get(name, [])


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = {"ports": [{"name": "grpc", "port": 50051}, {"name": "web", "port": 80}]}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": ports | spec}


def endpoint(number: int, ready: bool | None = True, hostname: str | None = None) -> dict[str, Any]:
    named = {} if hostname is None else {"hostname": hostname}
    return {"addresses": [f"10.0.0.{number}"], "conditions": {"ready": ready}} | named


@pytest.fixture
def catalogue() -> Catalogue:
    """A ClusterIP Service without endpoints, a headless one with three, one with none ready, and an alias."""
    found = Catalogue()
    for each in (
        service("front", clusterIP="10.96.0.9"),
        service("pods", clusterIP="None"),
        service("empty", clusterIP="None"),
        service("alias", type="ExternalName", externalName="db.example.com", ports=[]),
    ):
        found.named["shop", each["metadata"]["name"]] = each
    ports = [{"name": "grpc", "port": 7001, "protocol": "TCP"}]
    found.sliced["shop", "pods"] = [
        {"endpoints": [endpoint(1), endpoint(2, ready=False)], "ports": ports},
        {"endpoints": [endpoint(3, ready=None, hostname="web-0"), endpoint(1)], "ports": ports},
        {"endpoints": None, "ports": None},
    ]
    found.sliced["shop", "empty"] = [{"endpoints": [endpoint(5, ready=False)], "ports": ports}]
    return found


NXDOMAIN, NODATA = Answer(exists=False), Answer(exists=True)


def values(found: Answer | None) -> list[str]:
    assert found is not None
    return [record.value for record in found.records]


def test_cluster_ip_is_there_without_endpoints(catalogue: Catalogue) -> None:
    """A ClusterIP Service has its address, whether or not it has an endpoint."""
    assert answer(f"front.shop.{SVC}", "A", catalogue) == Answer(
        True, (Record(f"front.shop.{SVC}", "A", "10.96.0.9"),)
    )


def test_headless_service_is_its_ready_endpoints(catalogue: Catalogue) -> None:
    """One record per ready endpoint, over all slices, each once; absent `ready` counts."""
    assert values(answer(f"pods.shop.{SVC}", "A", catalogue)) == ["10.0.0.1", "10.0.0.3"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"empty.shop.{SVC}", "A"),
        (f"none.shop.{SVC}", "A"),
        (f"front.absent.{SVC}", "A"),
        (f"absent.{SVC}", "A"),
        (f"_grpclb._tcp.front.shop.{SVC}", "SRV"),
        (f"_grpc._udp.front.shop.{SVC}", "SRV"),
        (f"_grpc_config.front.shop.{SVC}", "TXT"),
        (f"a.b.c.front.shop.{SVC}", "A"),
        (f"10-0-0-2.pods.shop.{SVC}", "A"),
        (f"x.alias.shop.{SVC}", "A"),
        ("other.cluster.local", "A"),
        ("1-2-3-4.absent.pod.cluster.local", "A"),
        ("1-2-3-999.shop.pod.cluster.local", "A"),
    ],
)
def test_names_that_do_not_exist(catalogue: Catalogue, name: str, kind: str) -> None:
    """NXDOMAIN: also for a headless Service without a ready endpoint, and for an endpoint that is not
    ready.
    """
    assert answer(name, kind, catalogue) == NXDOMAIN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"front.shop.{SVC}", "AAAA"),
        (f"pods.shop.{SVC}", "TXT"),
        (f"shop.{SVC}", "A"),
        (SVC, "A"),
        ("cluster.local", "A"),
        ("1-2-3-4.shop.pod.cluster.local", "AAAA"),
    ],
)
def test_names_that_exist_without_such_records(catalogue: Catalogue, name: str, kind: str) -> None:
    """NODATA, which resolvers treat otherwise than NXDOMAIN."""
    assert answer(name, kind, catalogue) == NODATA


def test_endpoints_have_names(catalogue: Catalogue) -> None:
    """By the pod's hostname where it has one under this Service, else by its dashed address."""
    assert values(answer(f"web-0.pods.shop.{SVC}", "A", catalogue)) == ["10.0.0.3"]
    assert values(answer(f"10-0-0-1.pods.shop.{SVC}", "A", catalogue)) == ["10.0.0.1"]


def test_srv_of_a_named_port(catalogue: Catalogue) -> None:
    """One record per endpoint for a headless Service, one for a cluster IP; targets come with their
    addresses.
    """
    headless = answer(f"_grpc._tcp.pods.shop.{SVC}", "SRV", catalogue)
    assert headless is not None
    assert {(record.value, record.port) for record in headless.records} == {
        (f"10-0-0-1.pods.shop.{SVC}", 7001), (f"web-0.pods.shop.{SVC}", 7001),
    }  # fmt: skip
    assert {record.value for record in headless.additional} == {"10.0.0.1", "10.0.0.3"}
    single = answer(f"_web._tcp.front.shop.{SVC}", "SRV", catalogue)
    assert single is not None
    assert [(record.value, record.port) for record in single.records] == [(f"front.shop.{SVC}", 80)]


def test_alias_answers_every_type(catalogue: Catalogue) -> None:
    """An ExternalName Service is a CNAME, whatever is asked for."""
    name = f"alias.shop.{SVC}"
    assert answer(name, "A", catalogue) == Answer(True, (Record(name, "CNAME", "db.example.com"),))


def test_reverse_names(catalogue: Catalogue) -> None:
    """A cluster IP and an endpoint have names; other addresses are not this zone's."""
    assert values(answer("9.0.96.10.in-addr.arpa", "PTR", catalogue)) == [f"front.shop.{SVC}"]
    assert values(answer("3.0.0.10.in-addr.arpa", "PTR", catalogue)) == [f"web-0.pods.shop.{SVC}"]
    assert answer("8.8.8.8.in-addr.arpa", "PTR", catalogue) is None


def test_other_names(catalogue: Catalogue) -> None:
    """Pods by address, the version of the scheme, and nothing outside the cluster."""
    assert values(answer("1-2-3-4.shop.pod.cluster.local", "A", catalogue)) == ["1.2.3.4"]
    assert values(answer("dns-version.cluster.local", "TXT", catalogue)) == ["1.1.0"]
    assert answer("example.com", "A", catalogue) is None
