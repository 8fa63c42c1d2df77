"""The DNS server, asked over real sockets by a DNS client and by gRPC's own resolver."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from concurrent import futures
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import dnslib
import grpc
import pytest

from simcluster.controllers.loop import Context
from simcluster.network.addresses import Block, claim_block, pod_pool
from simcluster.network.dns import DnsServer
from simcluster.network.observed import Observed
from simcluster.profile import FAITHFUL, FAST, Profile

NAME = "pods.default.svc.cluster.local"


@dataclass
class Names:
    """A DNS server over a registry with the headless Service `pods`."""

    context: Context
    server: DnsServer
    block: Block
    port: int

    def show(self, *addresses: str) -> None:
        """Make these the endpoints of the Service."""
        registry = self.context.registry
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "pods-1", "labels": {"kubernetes.io/service-name": "pods"}},
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": [{"name": "grpc", "port": 7702}],
        }  # fmt: skip
        if registry.list("endpointslices.discovery.k8s.io", "default")[0]:
            registry.update("endpointslices.discovery.k8s.io", "default", "pods-1", slice_)
        else:
            registry.create("endpointslices.discovery.k8s.io", "default", slice_)

    async def ask(
        self, name: str = NAME, kind: str = "A", *, tcp: bool = False, edns: int | None = None
    ) -> Any:
        """The reply to one question."""
        question = dnslib.DNSRecord.question(name, kind)
        if edns is not None:
            question.add_ar(dnslib.EDNS0(udp_len=edns))
        reply = await asyncio.to_thread(question.send, self.block.dns_address, self.port, tcp=tcp, timeout=5)
        return dnslib.DNSRecord.parse(reply)


@asynccontextmanager
async def running(make_context: Any, profile: Profile = FAST) -> AsyncIterator[Names]:
    block = claim_block(random.Random())
    context = make_context(profile)
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "pods"},
        "spec": {"clusterIP": "None", "ports": [{"name": "grpc", "port": 7702}]},
    }  # fmt: skip
    context.registry.create("services", "default", service)
    server = DnsServer(
        Observed(context.informers, context.call_later, profile.dns_sync_s), profile, random.Random(5)
    )
    try:
        yield Names(context, server, block, await server.start(block.dns_address))
    finally:
        await server.stop()
        block.close()


def addresses(reply: Any) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_headless_service_by_dns_client(make_context: Any, tcp: bool) -> None:
    """All ready endpoints come with the profile's TTL and an authoritative answer; new ones are there at
    once.
    """

    async def scenario() -> tuple[Any, Any]:
        async with running(make_context, replace(FAST, dns_ttl_s=30.0)) as names:
            names.show("127.20.128.1", "127.20.128.2")
            first = await names.ask(tcp=tcp)
            names.show("127.20.128.3")
            return first, await names.ask(NAME.upper(), tcp=tcp)

    first, second = asyncio.run(scenario())
    assert sorted(addresses(first)) == ["127.20.128.1", "127.20.128.2"]
    assert ({record.ttl for record in first.rr}, first.header.aa) == ({30}, 1)
    assert addresses(second) == ["127.20.128.3"]
    assert str(second.rr[0].rname) == f"{NAME.upper()}."  # as it was asked


def test_no_such_name_and_no_such_record(make_context: Any) -> None:
    """NXDOMAIN and NODATA carry the zone's SOA, whose last number is the negative TTL; foreign names are
    refused.
    """

    async def scenario() -> list[Any]:
        async with running(make_context, FAITHFUL) as names:
            empty = await names.ask()
            names.show("127.20.128.1")
            await asyncio.sleep(FAITHFUL.dns_sync_s * 4)
            return [empty, await names.ask(kind="AAAA"), await names.ask("example.com"), await names.ask()]

    nxdomain, nodata, foreign, control = asyncio.run(scenario())
    assert dnslib.RCODE[nxdomain.header.rcode] == "NXDOMAIN"
    assert (dnslib.RCODE[nodata.header.rcode], nodata.rr) == ("NOERROR", [])
    for reply in (nxdomain, nodata):
        (soa,) = reply.auth
        assert (str(soa.rname), soa.rdata.times[4]) == ("cluster.local.", 30)
    assert dnslib.RCODE[foreign.header.rcode] == "REFUSED"
    assert addresses(control) == ["127.20.128.1"]


def test_order_is_shuffled(make_context: Any) -> None:
    """Each of six orders of three addresses comes; one of them stays away by chance once in 10^8 runs."""

    async def scenario() -> set[tuple[str, ...]]:
        async with running(make_context) as names:
            names.show("127.20.128.1", "127.20.128.2", "127.20.128.3")
            question = dnslib.DNSRecord.question(NAME).pack()
            replies = [names.server.respond(question, limit_bytes=512) for _ in range(120)]
            return {tuple(addresses(dnslib.DNSRecord.parse(reply))) for reply in replies}

    assert len(asyncio.run(scenario())) == 6


def test_answer_too_long_for_a_datagram(make_context: Any) -> None:
    """60 endpoints: truncated over plain UDP, whole over TCP and for a client that takes 4096 bytes."""

    async def scenario() -> list[Any]:
        async with running(make_context) as names:
            names.show(*(f"127.20.128.{number}" for number in range(1, 61)))
            return [await names.ask(), await names.ask(tcp=True), await names.ask(edns=4096)]

    plain, tcp, edns = asyncio.run(scenario())
    assert plain.header.tc == 1
    assert str(plain.q.qname).rstrip(".") == NAME.rstrip(".")
    assert 0 < len(plain.rr) < 60
    assert len(plain.pack()) <= 512
    assert (tcp.header.tc, len(tcp.rr)) == (0, 60)
    assert (edns.header.tc, len(edns.rr)) == (0, 60)


def test_garbage_is_ignored(make_context: Any) -> None:
    """What is no question gets no answer, and the server goes on."""

    async def scenario() -> Any:
        async with running(make_context) as names:
            names.show("127.20.128.1")
            assert names.server.respond(b"x", limit_bytes=512) is None
            assert names.server.respond(b"\xff" * 40, limit_bytes=512) is None
            reply = dnslib.DNSRecord.question(NAME).reply().pack()
            assert names.server.respond(reply, limit_bytes=512) is None
            _, writer = await asyncio.open_connection(names.block.dns_address, names.port)
            writer.write(struct.pack(">H", 3) + b"abc")
            writer.close()
            return await names.ask(tcp=True)

    assert addresses(asyncio.run(scenario())) == ["127.20.128.1"]


class _Pod(grpc.GenericRpcHandler):
    def __init__(self, name: str) -> None:
        self._name = name

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._name.encode())


def test_grpc_resolves_through_it(make_context: Any) -> None:
    """A `dns://authority/name` channel with round_robin reaches every pod of a headless Service."""

    async def scenario() -> set[bytes]:
        async with running(make_context) as names:
            pool = pod_pool(names.block)
            pods = [pool.allocate() for _ in range(3)]
            servers = []
            for pod in pods:
                server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[_Pod(pod)])
                server.add_insecure_port(f"{pod}:7702")
                server.start()
                servers.append(server)
            names.show(*pods)
            target = f"dns://{names.block.dns_address}:{names.port}/{NAME}:7702"
            seen = await asyncio.to_thread(_call, target)
            for server in servers:
                server.stop(None)
            assert seen == {pod.encode() for pod in pods}
            return seen

    assert len(asyncio.run(scenario())) == 3


def _call(target: str) -> set[bytes]:
    config = '{"loadBalancingConfig": [{"round_robin": {}}]}'
    with grpc.insecure_channel(target, options=[("grpc.service_config", config)]) as channel:
        call = channel.unary_unary("/x/y", request_serializer=None, response_deserializer=None)
        return {call(b"", timeout=10, wait_for_ready=True) for _ in range(60)}
