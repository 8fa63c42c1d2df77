"""The channels of the variants, against real servers and a real DNS server."""

import collections
import threading
from collections.abc import Callable, Iterator

import dnslib
import dnslib.server
import grpc
import pytest

from demo_server import variants
from demo_server.helloworld_pb2 import HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub
from demo_server.samples import pod_of
from demo_server.variants import (
    VARIANTS,
    Destination,
    SettingsError,
    open_aio_channel,
    open_channel,
    resolvable,
)

NAME = "greeter-headless.demo.svc.cluster.local"


class Zone(dnslib.server.BaseResolver):
    """Answers A queries for one name; counts them."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked = 0
        self.changed = threading.Condition()

    def resolve(self, request: dnslib.DNSRecord, handler: object) -> dnslib.DNSRecord:
        reply = request.reply()
        if str(request.q.qname).rstrip(".") != NAME:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        elif request.q.qtype == dnslib.QTYPE.A:
            with self.changed:
                self.asked += 1
                self.changed.notify_all()
            for address in self.addresses:
                reply.add_answer(dnslib.RR(NAME, dnslib.QTYPE.A, rdata=dnslib.A(address), ttl=5))
        return reply


Serve = Callable[[list[str]], tuple[Zone, str]]


@pytest.fixture
def serve_dns() -> Iterator[Serve]:
    """A DNS server on loopback; gives the zone and the server's address."""
    servers: list[dnslib.server.DNSServer] = []

    def run(addresses: list[str]) -> tuple[Zone, str]:
        zone = Zone(addresses)
        server = dnslib.server.DNSServer(
            zone, port=0, address="127.0.0.1", logger=dnslib.server.DNSLogger("-log")
        )
        servers.append(server)
        server.start_thread()
        return zone, f"127.0.0.1:{server.server.server_address[1]}"

    yield run
    for server in servers:
        server.stop()
        server.server.server_close()


def count_pods(channel: grpc.Channel, calls: int) -> dict[str | None, int]:
    stub = GreeterStub(channel)
    request = HelloRequest(name="world")
    return collections.Counter(pod_of(stub.SayHello(request, timeout=10).message) for _ in range(calls))


def start_three(start_greeter, port: int) -> None:
    for number in (2, 3, 4):
        start_greeter(f"greeter-{number}", host=f"127.0.0.{number}", port=port)


def test_round_robin_over_dns_is_even(start_greeter, serve_dns: Serve, free_port) -> None:
    """headless-rr: thirty calls are ten for each of the three pods that DNS names."""
    port = free_port()
    start_three(start_greeter, port)
    _, authority = serve_dns(["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    with open_channel("headless-rr", Destination(f"{NAME}:{port}", authority)) as channel:
        # Until all three connections are up, round robin goes over those that are.
        while set(count_pods(channel, 3).values()) != {1}:
            pass
        assert set(count_pods(channel, 30).values()) == {10}


@pytest.mark.parametrize("variant", ["clusterip", "headless"])
def test_pick_first_over_dns_is_one_pod(start_greeter, serve_dns: Serve, free_port, variant: str) -> None:
    """headless and clusterip, gRPC's default: all calls go to one pod, though DNS names three."""
    port = free_port()
    start_three(start_greeter, port)
    _, authority = serve_dns(["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    with open_channel(variant, Destination(f"{NAME}:{port}", authority)) as channel:
        assert list(count_pods(channel, 30).values()) == [30]


def test_channels_do_not_share_connections(start_greeter, connections) -> None:
    """Two channels of one process to one address are two connections, as those of two clients."""
    greeter = start_greeter("greeter-a")
    with (
        open_channel("headless", Destination(f"ipv4:{greeter.address}")) as one,
        open_channel("headless", Destination(f"ipv4:{greeter.address}")) as other,
    ):
        count_pods(one, 1)
        count_pods(other, 1)
        assert connections(greeter.port) == 2


def test_proxy_of_the_environment_is_not_used(start_greeter, monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP proxy in the environment is no detour for the calls."""
    greeter = start_greeter("greeter-a")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with open_channel("clusterip", Destination(f"localhost:{greeter.port}")) as channel:
        assert count_pods(channel, 1) == {"greeter-a": 1}


@pytest.mark.parametrize(
    ("target", "authority", "uri"),
    [
        ("a.b.svc:1", None, "dns:///a.b.svc:1"),
        ("a.b.svc:1", "127.0.0.1:5353", "dns://127.0.0.1:5353/a.b.svc:1"),
        ("ipv4:127.0.0.1:1", "127.0.0.1:5353", "ipv4:127.0.0.1:1"),
        ("dns:///a:1", "127.0.0.1:5353", "dns:///a:1"),
    ],
)
def test_target_of_a_name(target: str, authority: str | None, uri: str) -> None:
    """A name is resolved by DNS, at the given server if there is one; a URI stays as it is."""
    assert resolvable(target, authority) == uri


def test_there_are_the_ways_of_the_table() -> None:
    """The table of the module is what can be opened."""
    rows = [line.split("|")[1] for line in str(variants.__doc__).splitlines() if line.startswith("| ")]
    assert sorted(name.strip() for row in rows[1:] for name in row.split(",")) == sorted(VARIANTS)


@pytest.mark.parametrize("opener", [open_channel, open_aio_channel])
def test_unknown_variant_is_named(opener) -> None:
    """An unknown variant is named with those that are known."""
    with pytest.raises(SettingsError) as refusal:
        opener("poll", Destination("a:1"))
    assert str(refusal.value) == (
        'unknown variant "poll"; known variants: clusterip, headless, headless-rr, ingress, pool, pool-poll, '
        "pool-random, pool-least-outstanding, pool-power-of-two, pool-consistent-hash, pool-aio"
    )


def test_ingress_needs_authority_and_host() -> None:
    """The way through the gateway says what it lacks: the CA first, then the host."""
    with pytest.raises(SettingsError) as refusal:
        open_channel("ingress", Destination("a:1"))
    assert str(refusal.value) == (
        "variant ingress needs the certificate authority of the gateway: set INGRESS_CA to the PEM text "
        "(Secret greeter-tls, key ca.crt) or give --ca-file FILE"
    )
    with pytest.raises(SettingsError) as refusal:
        open_channel("ingress", Destination("a:1", ca_certificate=b"pem"))
    assert str(refusal.value) == "variant ingress needs the Ingress host: give --authority HOST"
