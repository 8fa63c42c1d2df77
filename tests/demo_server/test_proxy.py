"""Envoy under the gateway's configuration, with real Greeters behind it and a real client in front."""

import collections
import contextlib
import datetime
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from demo_server.address import ListenAddress
from demo_server.backends import Address
from demo_server.certificate import Issued, issue_certificate
from demo_server.helloworld_pb2 import HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub
from demo_server.ingress_rules import Backend, Rule, Rules, Termination
from demo_server.proxy import Proxy, ProxyError
from demo_server.readiness import find_tls_fault
from demo_server.samples import pod_of
from demo_server.variants import Destination, open_channel
from demo_server.xds import render_files
from demo_server.xds_files import XdsFiles
from demo_server.xds_resources import Certificate

HOST = "greeter.example.test"
BACKEND = Backend("greeter", "grpc", None)
RULES = Rules((Rule(HOST, "/", False, BACKEND),), (Termination("greeter-tls", (HOST,), True),))
WAIT_S = 10.0


def wait_until(truth: Callable[[], bool], what: str) -> None:
    """Envoy announces nothing; ask until it is so."""
    deadline_s = time.monotonic() + WAIT_S
    while not truth():
        assert time.monotonic() < deadline_s, f"not within {WAIT_S} s: {what}"
        time.sleep(0.01)


@dataclass
class Front:
    """Envoy with the gateway's configuration, listening."""

    proxy: Proxy
    files: XdsFiles
    issued: Issued
    listen: ListenAddress
    exits: list[int] = field(default_factory=list)

    def set_endpoints(self, *addresses: Address) -> None:
        pair = Certificate(self.issued.certificate.decode(), self.issued.key.decode())
        self.files.replace(render_files(RULES, {BACKEND: addresses}, {"greeter-tls": pair}, self.listen))

    def wait_endpoints(self, count: int) -> None:
        def known() -> bool:
            try:
                return self.proxy.count("^cluster.greeter_grpc.membership_total$") == count
            except ProxyError:
                return False

        wait_until(known, f"{count} endpoints")

    def wait_tls(self) -> None:
        wait_until(lambda: find_tls_fault(self.listen, HOST, self.issued.certificate) is None, "TLS")

    def open(self, authority: str = HOST) -> grpc.Channel:
        return open_channel(
            "ingress",
            Destination(f"ipv4:{self.listen}", authority=authority, ca_certificate=self.issued.authority),
        )


@pytest.fixture
def front(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Front]:
    """Envoy with no endpoint yet."""
    directory = tmp_path / "xds"
    directory.mkdir()
    issued = issue_certificate([HOST], datetime.datetime.now(datetime.UTC))
    exits: list[int] = []
    proxy = Proxy(directory, 5.0, exits.append)
    made = Front(proxy, XdsFiles(directory), issued, ListenAddress("127.0.0.1", free_port()), exits)
    made.set_endpoints()
    proxy.start()
    yield made
    proxy.stop()


def say_hello(channel: grpc.Channel, timeout_s: float = 5.0) -> str:
    return GreeterStub(channel).SayHello(HelloRequest(name="world"), timeout=timeout_s).message


def test_calls_of_one_channel_go_round_all_pods(front: Front, start_greeter) -> None:
    """Thirty calls over one connection reach each of three pods exactly ten times."""
    pods = [start_greeter(f"greeter-{name}") for name in "abc"]
    front.set_endpoints(*((pod.host, pod.port) for pod in pods))
    front.wait_endpoints(3)
    front.wait_tls()
    with front.open() as channel:
        counted = collections.Counter(pod_of(say_hello(channel)) for _ in range(30))
    assert counted == {"greeter-a": 10, "greeter-b": 10, "greeter-c": 10}


def test_endpoint_that_leaves_finishes_its_call(front: Front, start_greeter) -> None:
    """A call in flight on an endpoint that is taken away ends OK, and the next call goes elsewhere."""
    slow, other = start_greeter("greeter-slow", "--delay-s", "1"), start_greeter("greeter-other")
    front.set_endpoints((slow.host, slow.port))
    front.wait_endpoints(1)
    front.wait_tls()
    with front.open() as channel:
        call = GreeterStub(channel).SayHello.future(HelloRequest(name="world"), timeout=5)
        wait_until(
            lambda: front.proxy.count("^cluster.greeter_grpc.upstream_rq_active$") == 1, "call in flight"
        )
        front.set_endpoints((other.host, other.port))
        wait_until(lambda: pod_of(say_hello(channel)) == "greeter-other", "calls on the other pod")
        assert pod_of(call.result().message) == "greeter-slow"


def test_refused_connection_is_tried_on_another_pod(front: Front, start_greeter, free_port) -> None:
    """With one dead endpoint of two, every call still succeeds; with only dead ones, calls are UNAVAILABLE."""
    alive = start_greeter("greeter-alive")
    dead = ("127.0.0.1", free_port())
    front.set_endpoints((alive.host, alive.port), dead)
    front.wait_endpoints(2)
    front.wait_tls()
    with front.open() as channel:
        assert {pod_of(say_hello(channel)) for _ in range(10)} == {"greeter-alive"}
        front.set_endpoints(dead)
        front.wait_endpoints(1)
        with pytest.raises(grpc.RpcError) as failure:
            say_hello(channel)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


def test_no_endpoint_is_unavailable_at_once(front: Front) -> None:
    """A backend without endpoints answers UNAVAILABLE long before the caller's deadline."""
    front.wait_tls()
    began_s = time.monotonic()
    with front.open() as channel, pytest.raises(grpc.RpcError) as failure:
        say_hello(channel)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began_s < 4


def test_host_of_no_ingress_gets_no_answer_of_a_pod(front: Front, start_greeter) -> None:
    """TLS for a host that no Ingress names is refused in the handshake."""
    pod = start_greeter("greeter-a")
    front.set_endpoints((pod.host, pod.port))
    front.wait_endpoints(1)
    front.wait_tls()
    with front.open(authority="other.example.test") as channel, pytest.raises(grpc.RpcError) as failure:
        say_hello(channel, timeout_s=2)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


def test_drain_lets_calls_finish(front: Front, start_greeter) -> None:
    """Drain returns after the call in flight ended OK; without the drain the call is cut."""
    pod = start_greeter("greeter-a", "--delay-s", "1")
    front.set_endpoints((pod.host, pod.port))
    front.wait_endpoints(1)
    front.wait_tls()
    with front.open() as channel:
        stub = GreeterStub(channel)
        call = stub.SayHello.future(HelloRequest(name="world"), timeout=5)
        wait_until(lambda: front.proxy.count("^http.ingress.downstream_rq_active$") == 1, "call in flight")
        front.proxy.drain()
        assert call.done()
        assert call.code() is grpc.StatusCode.OK
        cut = stub.SayHello.future(HelloRequest(name="world"), timeout=5, wait_for_ready=True)
        wait_until(lambda: front.proxy.count("^http.ingress.downstream_rq_active$") == 1, "call in flight")
        front.proxy.stop()
        assert cut.code() is not grpc.StatusCode.OK


def test_no_port_but_the_listener(front: Front) -> None:
    """Envoy listens on nothing but the gateway's address: the admin interface is a socket file for its owner."""
    front.wait_tls()
    process = front.proxy._process
    assert process is not None
    inodes = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile, so not what listens
            kind, _, rest = str(link.readlink()).partition(":[")
            inodes |= {rest[:-1]} if kind == "socket" else set()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[9] in inodes and row[3] == "0A"]
    assert listening == [f"0100007F:{front.listen.port:04X}"]
    admin = Path(front.proxy._directory) / "admin.sock"
    assert admin.stat().st_mode & 0o077 == 0


def test_exit_is_told(front: Front) -> None:
    """An Envoy that is killed is noticed without being asked, with its code."""
    front.wait_tls()
    told = threading.Event()
    front.proxy._on_exit = lambda code: (front.exits.append(code), told.set())  # type: ignore[func-returns-value]
    process = front.proxy._process
    assert process is not None
    process.kill()
    process.wait()
    wait_until(lambda: bool(front.exits), "exit code")
    assert front.exits == [-signal.SIGKILL]


def test_stopped_proxy_does_not_answer(front: Front) -> None:
    """After stop, asking says so in words."""
    front.wait_tls()
    front.proxy.stop()
    with pytest.raises(ProxyError, match="envoy does not answer: "):
        front.proxy.ask("/ready")
