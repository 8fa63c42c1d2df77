"""Real gRPC servers on loopback addresses, and a Kubernetes API for EndpointSlices that fails on demand.

The API here speaks the real protocol over HTTP (lists, watches with revisions, bookmarks, 410) and exists for
the faults that a healthy cluster does not show: refusals, cuts, silence.
"""

import datetime
import gc
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kube_grpc.access import Access
from kube_grpc.backoff import Backoff
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.slices import SliceReader
from kube_grpc.watch import Pace, Watch

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside it that tests share

WAIT_S = 30.0
PORT = 50051
ECHO_PROGRAM = Path(__file__).with_name("echo_program.py")

_numbers = itertools.count(1)


def new_address() -> str:
    """A loopback address of this test run that nobody has used yet."""
    number = next(_numbers)
    return f"127.{64 + os.getpid() // 250 % 128}.{os.getpid() % 250 + 1}.{number % 250 + 1}"


class Waiting:
    """Something whose changes can be waited for."""

    def __init__(self) -> None:
        self.changed = threading.Condition()

    def wait_until(self, predicate: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(predicate, WAIT_S), f"not within {WAIT_S} s: {vars(self)}"


class Backend(Waiting):
    """An Echo server in this process: Say, Count, Join and Mirror are one method of each kind. The reply
    begins with the server's name. A request of b"hold" is answered when `gate` opens; b"fail" is an error
    that quotes a lost connection.
    """

    def __init__(
        self, name: str, address: str | None = None, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        super().__init__()
        self.name = name.encode()
        self.address = new_address() if address is None else address
        self.gate = threading.Event()
        self.held = self.ended = 0
        self.metadata: list[dict[str, Any]] = []
        self._credentials = credentials
        self.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address, PORT, pod=self.name.decode())

    def start(self) -> None:
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(self._say),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Join": grpc.stream_unary_rpc_method_handler(self._join),
            "Mirror": grpc.stream_stream_rpc_method_handler(self._mirror),
        }
        self._executor = futures.ThreadPoolExecutor(8)
        self._server = grpc.server(self._executor, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        where = f"{self.address}:{PORT}"
        if self._credentials is None:
            self._server.add_insecure_port(where)
        else:
            self._server.add_secure_port(where, self._credentials)
        self._server.start()

    def stop(self) -> None:
        """Connections break, calls in flight fail."""
        self.gate.set()
        self._server.stop(0).wait()
        self._executor.shutdown()

    def _note(self, context: grpc.ServicerContext) -> None:
        with self.changed:
            self.metadata.append({item.key: item.value for item in context.invocation_metadata()})
            self.changed.notify_all()

    def _end(self) -> None:
        with self.changed:
            self.ended += 1
            self.changed.notify_all()

    def _say(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context)
        if request == b"hold":
            with self.changed:
                self.held += 1
                self.changed.notify_all()
            self.gate.wait(WAIT_S)
        if request == b"fail":
            text = "connections to all backends failing; last error: UNKNOWN: ipv4:192.0.2.1:1: refused"
            context.abort(grpc.StatusCode.UNAVAILABLE, text)
        return self.name + b":" + request

    def _count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        context.add_callback(self._end)
        for number in range(3):
            if number == 1 and request == b"hold":
                self.gate.wait(WAIT_S)
            yield self.name + b":%d" % number

    def _join(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._note(context)
        return self.name + b":" + b",".join(requests)

    def _mirror(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for request in requests:
            yield self.name + b":" + request


class ServerProcess:
    """An Echo server in a process of its own, to be killed."""

    def __init__(self, name: str, address: str | None = None) -> None:
        self.address = new_address() if address is None else address
        self.endpoint = Endpoint(self.address, PORT, pod=name)
        self.process = subprocess.Popen(
            [sys.executable, str(ECHO_PROGRAM), f"{self.address}:{PORT}", name, "--leash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"serving\n"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Log(Waiting):
    """A hook that keeps the events, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.events if isinstance(item, kind)]

    def wait_for(self, kind: type, count: int = 1) -> list[Any]:
        """The first so many events of a kind."""
        self.wait_until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[:count]


class Recorder(Waiting):
    """A watch.Report that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.sets: list[EndpointSet] = []
        self.errors: list[DiscoveryError] = []
        self.worked = 0

    def found(self, wanted: EndpointSet) -> None:
        with self.changed:
            self.sets.append(wanted)
            self.changed.notify_all()

    def works(self) -> None:
        with self.changed:
            self.worked += 1
            self.changed.notify_all()

    def failed(self, error: DiscoveryError) -> None:
        with self.changed:
            self.errors.append(error)
            self.changed.notify_all()

    def wait_for_addresses(self, *addresses: str) -> None:
        self.wait_until(
            lambda: self.sets and [item.address for item in self.sets[-1].endpoints] == sorted(addresses)
        )


class Api(Waiting):
    """EndpointSlices of all namespaces, at `url`. Set `refuse_with` to a status to have every request
    refused; `is_frozen` to have watches say nothing more; call `cut` to break the running watches, `compact`
    to make old revisions expire.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slices: dict[str, dict[str, Any]] = {}
        self.revision = 100
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.oldest = 0
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.tokens: list[str | None] = []
        self.refuse_with: dict[str, int] = {}  # verb -> status
        self.accepted_token: str | None = None
        self.is_frozen = self.is_stopped = False
        self.watching = 0
        self.generation = 0  # of watches: those of an older one end
        self.connections = 0
        self.bookmark_at: int | None = None
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with api.changed:
                    api.connections += 1

            def do_GET(self) -> None:
                api.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the signature
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self) -> None:
        """The port is closed and every watch broken. Again is no error."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self.cut()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # -- what happens in the cluster

    def put(self, name: str, *addresses: str, ready: bool = True, service: str = "greeter") -> None:
        kind = "MODIFIED" if name in self.slices else "ADDED"
        self._record(
            kind,
            name,
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "ports": [{"name": "grpc", "port": PORT, "protocol": "TCP"}],
                "endpoints": [{"addresses": [item], "conditions": {"ready": ready}} for item in addresses],
            },
        )

    def delete(self, name: str) -> None:
        self._record("DELETED", name, self.slices[name])

    def _record(self, kind: str, name: str, item: dict[str, Any]) -> None:
        with self.changed:
            self.revision += 1
            item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.revision)}}
            if kind == "DELETED":
                del self.slices[name]
            else:
                self.slices[name] = item
            self.history.append((self.revision, {"type": kind, "object": item}))
            self.changed.notify_all()

    # -- what goes wrong

    def cut(self) -> None:
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def compact(self) -> None:
        with self.changed:
            self.oldest = self.revision
            self.changed.notify_all()

    def count(self, verb: str) -> int:
        return sum(item == verb for item, _ in self.requests)

    # -- HTTP

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        query = {key: value[0] for key, value in parse_qs(urlsplit(http.path).query).items()}
        verb = "watch" if query.get("watch") == "true" else "list"
        token = http.headers.get("Authorization")
        with self.changed:
            self.requests.append((verb, query))
            self.tokens.append(token)
            status = self.refuse_with.get(verb)
            if self.accepted_token is not None and token != f"Bearer {self.accepted_token}":
                status = 401
            self.changed.notify_all()
        if status is not None:
            self._send(http, status, self._status(status, verb))
        elif verb == "list":
            self._send(http, 200, self._list(query))
        else:
            self._watch(http, query)

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        with self.changed:
            items = [item for item in self.slices.values() if self._matches(item, query)]
            return {
                "kind": "EndpointSliceList",
                "metadata": {"resourceVersion": str(self.revision)},
                "items": items,
            }

    def _matches(self, item: dict[str, Any], query: dict[str, str]) -> bool:
        return (
            "kubernetes.io/service-name=" + item["metadata"]["labels"]["kubernetes.io/service-name"]
            == (query["labelSelector"])
        )

    def _status(self, code: int, verb: str) -> dict[str, Any]:
        said = {
            401: "Unauthorized",
            403: f'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:web:client" cannot {verb} '
            'resource "endpointslices" in API group "discovery.k8s.io" in the namespace "shop"',
            410: "too old resource version: 1 (2)",
        }
        return {"kind": "Status", "status": "Failure", "code": code, "message": said.get(code, "it broke")}

    def _send(self, http: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        http.send_response(status)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(text)))
        http.end_headers()
        http.wfile.write(text)

    def _watch(self, http: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        http.close_connection = True  # Unless it ends in order.
        http.send_response(200)
        http.send_header("Content-Type", "application/json")
        http.send_header("Transfer-Encoding", "chunked")
        http.end_headers()
        since, ends_at = int(query["resourceVersion"]), time.monotonic() + float(query["timeoutSeconds"])
        with self.changed:
            generation = self.generation
            self.watching += 1
            self.changed.notify_all()
        try:
            while (events := self._next(since, ends_at, generation)) is not None:
                for revision, event in events:
                    text = json.dumps(event).encode() + b"\n"
                    # In two chunks: a client that takes a chunk for a line would fail.
                    for part in (text[:7], text[7:]):
                        http.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    since = revision
                if events and events[-1][1]["type"] == "ERROR":
                    break
            if self.generation == generation:
                http.wfile.write(b"0\r\n\r\n")
                http.close_connection = False
        except OSError:
            return  # The client went away: nobody to tell.
        finally:
            with self.changed:
                self.watching -= 1
                self.changed.notify_all()

    def _next(self, since: int, ends_at: float, generation: int) -> list[tuple[int, dict[str, Any]]] | None:
        """Events after a revision, as soon as there are any; None when the watch is over."""
        with self.changed:
            while True:
                if self.generation != generation or self.is_stopped:
                    return None
                if since < self.oldest:
                    return [(since, {"type": "ERROR", "object": self._status(410, "watch")})]
                events = [] if self.is_frozen else [item for item in self.history if item[0] > since]
                if self.bookmark_at is not None and since < self.bookmark_at:
                    mark = {"kind": "EndpointSlice", "metadata": {"resourceVersion": str(self.bookmark_at)}}
                    events.append((self.bookmark_at, {"type": "BOOKMARK", "object": mark}))
                if events:
                    return events
                left_s = ends_at - time.monotonic()
                if left_s <= 0 and not self.is_frozen:
                    return None
                self.changed.wait(WAIT_S if self.is_frozen else left_s)


@pytest.fixture
def make_address() -> Callable[[], str]:
    """Makes loopback addresses that nobody has used yet."""
    return new_address


@pytest.fixture
def make_backend() -> Iterator[Callable[..., Backend]]:
    """Starts Echo servers in this process; all are stopped afterwards."""
    started: list[Backend] = []

    def make(name: str, *args: Any) -> Backend:
        started.append(Backend(name, *args))
        return started[-1]

    yield make
    for backend in started:
        backend.stop()


@pytest.fixture
def make_process() -> Iterator[Callable[..., ServerProcess]]:
    """Starts Echo servers in processes of their own; all are killed afterwards."""
    started: list[ServerProcess] = []

    def make(name: str, *args: Any) -> ServerProcess:
        started.append(ServerProcess(name, *args))
        return started[-1]

    yield make
    for server in started:
        server.kill()


@pytest.fixture
def api() -> Iterator[Api]:
    """A Kubernetes API for EndpointSlices."""
    served = Api()
    yield served
    served.stop()


@pytest.fixture
def kubeconfig(api: Api, tmp_path: Path) -> Path:
    """A kubeconfig for `api`, with a token file beside it and the namespace shop."""
    (tmp_path / "token").write_text("first")
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "one", "cluster": {"server": api.url}}],
                "users": [{"name": "me", "user": {"tokenFile": str(tmp_path / "token")}}],
                "contexts": [
                    {"name": "here", "context": {"cluster": "one", "user": "me", "namespace": "shop"}},
                    {"name": "plain", "context": {"cluster": "one", "user": "me"}},
                ],
            }
        )
    )
    return path


@pytest.fixture
def start(kubeconfig: Path, recorder: Any) -> Iterator[Callable[..., Watch]]:
    """Starts watches of Service greeter in namespace shop that report to `recorder`; they are stopped
    afterwards.
    """
    running: list[tuple[Watch, threading.Thread, Access]] = []

    def begin(pace: Pace | None = None, late_s: float = 10.0) -> Watch:
        access = Access(kubeconfig=str(kubeconfig))
        watch = Watch(
            SliceReader(access, "shop", "greeter", late_s=late_s),
            50051,
            recorder,
            pace=Pace(backoff=Backoff(first_s=0.01, most_s=0.05)) if pace is None else pace,
            rng=random.Random(1),
        )
        thread = threading.Thread(target=watch.run)
        thread.start()
        running.append((watch, thread, access))
        return watch

    yield begin
    for watch, thread, access in running:
        watch.stop()
        thread.join(10)
        assert not thread.is_alive()
        access.close()


@pytest.fixture
def log() -> Log:
    """A hook that keeps the events."""
    return Log()


@pytest.fixture
def recorder() -> Recorder:
    """A report that keeps what discovery says."""
    return Recorder()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """After each test, the threads of this package, of gRPC's connectivity and of servers have ended: those of the
    API wait for connections to be closed, which must not take Python's search for cycles.
    """
    before = set(threading.enumerate())
    gc.disable()
    try:
        yield
        deadline = time.monotonic() + WAIT_S
        for thread in set(threading.enumerate()) - before:
            if thread.name.endswith("(_poll_wrapper)"):
                continue  # grpc.aio's own, one for the process
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"left running: {thread}"
    finally:
        gc.enable()


@pytest.fixture
def certificate() -> Callable[[str], tuple[bytes, bytes]]:
    """Makes a self-signed certificate for a name: key and certificate, PEM."""

    def make(name: str) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return text, signed.public_bytes(serialization.Encoding.PEM)

    return make
