"""DNS while the Kubernetes API tells nothing: a real DNS server, real calls, and the way back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from dnslib import QTYPE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from kube_grpc import hooks
from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.fallback import Fallback, resolve_by_name
from kube_grpc.target import parse

SAY = "/test.Echo/Say"
NAME = "greeter.shop.svc.cluster.local."


class Names(BaseResolver):  # type: ignore[misc]  # untyped
    """Answers for one name with these addresses."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def resolve(self, request: Any, handler: Any) -> Any:
        reply = request.reply()
        if str(request.q.qname) == NAME and request.q.qtype == QTYPE.A:
            for address in self.addresses:
                reply.add_answer(RR(NAME, QTYPE.A, rdata=A(address), ttl=1))
        return reply


def listen(resolver: Names) -> list[DNSServer]:
    """A server for UDP and one for TCP on the same port; one that is free for UDP may be taken for TCP."""
    logger = DNSLogger(logf=lambda _text: None)
    for _ in range(20):
        udp = DNSServer(resolver, address="127.0.0.1", port=0, logger=logger)
        try:
            port = udp.server.server_address[1]
            return [udp, DNSServer(resolver, address="127.0.0.1", port=port, tcp=True, logger=logger)]
        except OSError:
            udp.server.server_close()
    raise AssertionError("no port is free for both")


@pytest.fixture
def names(make_address: Callable[[], str]) -> Iterator[Any]:
    """A DNS server; `authority` says where."""
    resolver = Names()
    servers = listen(resolver)
    resolver.authority = f"127.0.0.1:{servers[0].server.server_address[1]}"
    for server in servers:
        server.start_thread()
    yield resolver
    for server in servers:
        server.server.shutdown()
        server.server.server_close()
        server.thread.join()


@pytest.fixture
def open_channel(kubeconfig: Path, names: Any, log: Any) -> Iterator[Callable[..., Channel]]:
    opened: list[Channel] = []

    def begin(**options: Any) -> Channel:
        target = options.pop("target", "greeter.shop:50051")
        given = {"kubeconfig": str(kubeconfig), "hook": log, "dns_authority": names.authority, **options}
        opened.append(Channel(target, **given))
        return opened[-1]

    yield begin
    for channel in opened:
        channel.close()


def say(channel: Channel) -> bytes:
    answer: bytes = channel.unary_unary(SAY)(b"x", timeout=20)
    return answer


def test_a_missing_right_is_no_outage(
    api: Any, names: Any, open_channel: Any, make_backend: Any, log: Any
) -> None:
    """With 403 calls go to whom DNS names, the reason is told with the Role; with the right they follow the slices."""
    by_name, by_slice = make_backend("by-name"), make_backend("by-slice")
    api.put("greeter-1", by_slice.address)
    api.refuse_with = {"list": 403, "watch": 403}
    names.addresses = [by_name.address]
    channel = open_channel()

    assert say(channel) == b"by-name:x"
    (failed,) = log.wait_for(hooks.DiscoveryFailed)
    assert failed.kind == "forbidden"
    assert [view.peer for view in channel.members()] == [
        f"dns://{names.authority}/greeter.shop.svc.cluster.local:50051"
    ]

    api.refuse_with = {}
    log.wait_for(hooks.DiscoveryRecovered)
    log.wait_for(hooks.MemberReady, 2)
    assert say(channel) == b"by-slice:x"


def test_all_pods_of_a_headless_service_are_called(
    api: Any, names: Any, open_channel: Any, make_backend: Any
) -> None:
    """Where DNS names several pods, gRPC goes round them."""
    pods = [make_backend(name) for name in "ab"]
    api.refuse_with = {"list": 403}
    names.addresses = [item.address for item in pods]
    channel = open_channel()

    assert {say(channel) for _ in range(50)} == {b"a:x", b"b:x"}


def test_without_the_fallback_a_refusal_fails_calls(
    api: Any, names: Any, open_channel: Any, make_backend: Any
) -> None:
    """`dns_fallback=False`: the call says that the right is missing."""
    api.refuse_with = {"list": 403}
    names.addresses = [make_backend("a").address]

    with pytest.raises(grpc.RpcError, match="may not list endpointslices"):
        say(open_channel(dns_fallback=False))


def test_a_name_that_does_not_exist_either(api: Any, open_channel: Any) -> None:
    """The call's error names the Service, DNS and what the API said."""
    api.refuse_with = {"list": 403}

    with pytest.raises(grpc.RpcError, match=r"greeter\.shop:50051.*may not list endpointslices"):
        say(open_channel())


class Told:
    """A report that keeps the sets."""

    def __init__(self) -> None:
        self.sets: list[EndpointSet] = []

    def found(self, wanted: EndpointSet) -> None:
        self.sets.append(wanted)

    def works(self) -> None:
        pass

    def failed(self, error: DiscoveryError) -> None:
        pass


REFUSED = DiscoveryError("no", kind="forbidden")


def test_what_the_api_told_once_is_never_replaced_by_dns() -> None:
    """An API that goes away later changes nothing, and calls that find nobody change nothing while it answers."""
    told = Told()
    fallback = Fallback(told, parse("greeter.shop:50051"), authority=None)
    fallback.found(EndpointSet())
    fallback.hurry()
    fallback.failed(REFUSED)
    fallback.works()
    fallback.hurry()

    assert told.sets == [EndpointSet()]


def test_dns_beside_what_can_not_be_reached() -> None:
    """While the API fails and calls find nobody: the name beside what was told, once; until the API tells again."""
    told = Told()
    known = EndpointSet((Endpoint("10.0.0.1", 50051),), slices=1)
    fallback = Fallback(told, parse("greeter.shop:50051"), authority=None)
    fallback.found(known)
    fallback.failed(REFUSED)
    fallback.hurry()
    fallback.hurry()
    fallback.found(known)

    assert [[item.address for item in each.endpoints] for each in told.sets] == [
        ["10.0.0.1"],
        ["10.0.0.1", "dns:///greeter.shop.svc.cluster.local"],
        ["10.0.0.1"],
    ]


def test_all_pods_are_replaced_while_the_api_is_away(
    api: Any, names: Any, open_channel: Any, make_backend: Any, log: Any
) -> None:
    """Calls go to whom DNS names; once the API is back they follow the slices."""
    old, new = make_backend("old"), make_backend("new")
    api.put("greeter-1", old.address)
    channel = open_channel()
    assert say(channel) == b"old:x"

    api.refuse_with = {"list": 503, "watch": 503}
    api.cut()
    log.wait_for(hooks.DiscoveryFailed)
    names.addresses = [new.address]
    old.stop()
    assert channel.unary_unary(SAY)(b"x", timeout=20, wait_for_ready=True) == b"new:x"

    api.put("greeter-1", new.address)
    api.refuse_with = {}
    log.wait_for(hooks.DiscoveryRecovered)
    log.wait_for(hooks.MemberRemoved, 2)
    assert [view.peer for view in channel.members()] == [new.endpoint.uri]


def test_dns_is_said_once_and_with_a_note() -> None:
    """However often the API fails; the note says where the endpoints come from."""
    told = Told()
    fallback = Fallback(told, parse("greeter.shop:50051"), authority=None)
    fallback.failed(REFUSED)
    fallback.failed(REFUSED)

    (only,) = told.sets
    assert [item.uri for item in only.endpoints] == ["dns:///greeter.shop.svc.cluster.local:50051"]
    assert "come from DNS" in only.notes[0]


def test_a_named_port_has_no_fallback() -> None:
    """DNS does not know names of ports here, so nothing is made up."""
    assert resolve_by_name(parse("greeter.shop:grpc"), None) is None
