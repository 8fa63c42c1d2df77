"""The ingress gateway as a program, against a simulated cluster's API, with real Greeters behind it."""

import base64
import collections
import datetime
import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from kubernetes import client, config

import simcluster
from demo_server.certificate import issue_certificate
from demo_server.cluster_access import AccessError, connect_api, find_namespace
from demo_server.helloworld_pb2 import HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub
from demo_server.samples import pod_of
from demo_server.variants import Destination, open_channel

HOST = "greeter.example.test"
WAIT_S = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """A cluster without pods: the gateway needs its API."""
    with simcluster.Cluster(images={}) as running:
        yield running


@dataclass
class Namespace:
    """A namespace of the cluster's API."""

    name: str
    api: client.ApiClient
    kubeconfig: Path

    def apply_slice(self, name: str, port: int, *, ready: bool = True, service: str = "greeter") -> None:
        body = {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": "grpc", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
        }
        slices = client.DiscoveryV1Api(self.api)
        known = {each.metadata.name for each in slices.list_namespaced_endpoint_slice(self.name).items}
        if name in known:
            slices.patch_namespaced_endpoint_slice(name, self.name, {"endpoints": body["endpoints"]})
        else:
            slices.create_namespaced_endpoint_slice(self.name, body)

    def create_ingress(self, *, annotated: bool = True, ingress_class: str = "kube-grpc") -> None:
        service = {"name": "greeter", "port": {"name": "grpc"}}
        annotations = {"kube-grpc.dev/certificate": "self-signed"} if annotated else {}
        spec = {
            "ingressClassName": ingress_class,
            "tls": [{"hosts": [HOST], "secretName": "greeter-tls"}],
            "rules": [
                {
                    "host": HOST,
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": service}}]},
                }
            ],
        }
        body = {"metadata": {"name": "greeter", "annotations": annotations}, "spec": spec}
        client.NetworkingV1Api(self.api).create_namespaced_ingress(self.name, body)

    def create_secret(self, certificate: bytes, key: bytes) -> None:
        data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
        body = {"metadata": {"name": "greeter-tls"}, "type": "kubernetes.io/tls", "data": data}
        client.CoreV1Api(self.api).create_namespaced_secret(self.name, body)

    def delete_secret(self) -> None:
        client.CoreV1Api(self.api).delete_namespaced_secret("greeter-tls", self.name)

    def read_secret(self) -> dict[str, bytes]:
        secret = client.CoreV1Api(self.api).read_namespaced_secret("greeter-tls", self.name)
        return {key: base64.b64decode(value) for key, value in secret.data.items()}


@pytest.fixture
def namespace(cluster: simcluster.Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace of this test's own."""
    name = f"test-{abs(hash(request.node.name)) % 10**8}"
    api = config.new_client_from_config(config_file=str(cluster.kubeconfig))
    client.CoreV1Api(api).create_namespace({"metadata": {"name": name}})
    yield Namespace(name, api, Path(cluster.kubeconfig))
    api.close()


@dataclass
class Running:
    """A gateway process."""

    program: Any
    port: int
    ready_port: int

    def find_reason(self) -> str:
        """What the readiness probe answers; "ready" if it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ready_port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().read().decode().strip()
        except OSError as error:
            return str(error)
        finally:
            connection.close()

    def wait_reason(self, wanted: str) -> None:
        wait_until(
            lambda: self.find_reason() == wanted,
            lambda: f"{self.find_reason()!r}, log:\n{self.program.log()}",
        )

    def open(self, authority: bytes) -> grpc.Channel:
        return open_channel(
            "ingress", Destination(f"ipv4:127.0.0.1:{self.port}", authority=HOST, ca_certificate=authority)
        )


def wait_until(truth: Callable[[], bool], explain: Callable[[], str]) -> None:
    """Kubelets ask again and again, and so do we."""
    deadline_s = time.monotonic() + WAIT_S
    while not truth():
        assert time.monotonic() < deadline_s, explain()
        time.sleep(0.02)


@pytest.fixture
def start_gateway(start, namespace: Namespace, free_port) -> Callable[..., Running]:
    """Start a gateway in the test's namespace."""

    def run(*arguments: str) -> Running:
        port, ready_port = free_port(), free_port()
        options = [f"--listen=127.0.0.1:{port}", f"--ready-port={ready_port}", "--directory=.", "--grace=5"]
        environ = {"KUBECONFIG": str(namespace.kubeconfig), "POD_NAMESPACE": namespace.name}
        return Running(start("demo_server.gateway", *options, *arguments, **environ), port, ready_port)

    return run


def count_pods(channel: grpc.Channel, calls: int) -> dict[str | None, int]:
    stub = GreeterStub(channel)
    return collections.Counter(
        pod_of(stub.SayHello(HelloRequest(name="x"), timeout=10).message) for _ in range(calls)
    )


def test_from_ingress_to_answers(namespace: Namespace, start_gateway, start_greeter) -> None:
    """It makes the certificate, becomes ready, serves the pods evenly, follows them, and ends with code 0."""
    one, two = start_greeter("greeter-1"), start_greeter("greeter-2")
    gateway = start_gateway()
    gateway.wait_reason("no Ingress of class kube-grpc with tls is known yet")
    namespace.create_ingress()
    gateway.wait_reason("backend greeter:grpc has had no endpoint yet")
    namespace.apply_slice("greeter-a", one.port)
    gateway.wait_reason("ready")
    with gateway.open(namespace.read_secret()["ca.crt"]) as channel:
        assert count_pods(channel, 4) == {"greeter-1": 4}
        namespace.apply_slice("greeter-b", two.port)
        wait_until(lambda: set(count_pods(channel, 2)) == {"greeter-1", "greeter-2"}, gateway.program.log)
        assert count_pods(channel, 10) == {"greeter-1": 5, "greeter-2": 5}
        namespace.apply_slice("greeter-a", one.port, ready=False)
        wait_until(lambda: count_pods(channel, 2) == {"greeter-2": 2}, gateway.program.log)
        # No endpoint at all: the gateway stays ready and says UNAVAILABLE at once.
        namespace.apply_slice("greeter-b", two.port, ready=False)

        def fails() -> bool:
            try:
                count_pods(channel, 1)
            except grpc.RpcError as error:
                return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
            return False

        wait_until(fails, gateway.program.log)
    assert gateway.find_reason() == "ready"
    gateway.program.process.terminate()
    assert gateway.program.process.wait(WAIT_S) == 0
    assert "PRIVATE" not in gateway.program.log()


def test_brought_certificate_is_served_and_renewed(
    namespace: Namespace, start_gateway, start_greeter
) -> None:
    """A Secret that is brought is served; without it the gateway is not ready and makes none; a new one takes over."""
    greeter = start_greeter("greeter-1")
    namespace.create_ingress(annotated=False)
    namespace.apply_slice("greeter-a", greeter.port)
    gateway = start_gateway()
    gateway.program.wait_for(
        "Secret greeter-tls is missing; create it, or let the Ingress ask for a self-signed certificate"
    )
    assert gateway.find_reason() == "Secret greeter-tls has no usable certificate yet"
    now = datetime.datetime.now(datetime.UTC)
    first, second = issue_certificate([HOST], now), issue_certificate([HOST], now)
    namespace.create_secret(first.certificate, first.key)
    gateway.wait_reason("ready")
    with gateway.open(first.authority) as channel:
        assert count_pods(channel, 1) == {"greeter-1": 1}
    namespace.delete_secret()
    namespace.create_secret(second.certificate, second.key)

    def trusts_second() -> bool:
        try:
            with gateway.open(second.authority) as channel:
                return count_pods(channel, 1) == {"greeter-1": 1}
        except grpc.RpcError:
            return False

    wait_until(trusts_second, gateway.program.log)
    gateway.wait_reason("ready")


def test_two_gateways_agree_on_one_certificate(namespace: Namespace, start_gateway, start_greeter) -> None:
    """Two gateways that start at once both serve the certificate that the first of them created."""
    namespace.apply_slice("greeter-a", start_greeter("greeter-1").port)
    namespace.create_ingress()
    both = [start_gateway(), start_gateway()]
    for gateway in both:
        gateway.wait_reason("ready")
    authority = namespace.read_secret()["ca.crt"]
    for gateway in both:
        with gateway.open(authority) as channel:
            assert count_pods(channel, 1) == {"greeter-1": 1}


def test_other_class_is_left_to_others(namespace: Namespace, start_gateway) -> None:
    """Negative control: an Ingress of another class gets no listener and no certificate."""
    namespace.create_ingress(ingress_class="nginx")
    gateway = start_gateway()
    gateway.wait_reason("no Ingress of class kube-grpc with tls is known yet")
    with pytest.raises(client.ApiException) as failure:
        namespace.read_secret()
    assert failure.value.status == 404


def test_killed_envoy_is_started_again(namespace: Namespace, start_gateway, start_greeter) -> None:
    """An Envoy that dies after it served is replaced, with the same configuration."""
    namespace.apply_slice("greeter-a", start_greeter("greeter-1").port)
    namespace.create_ingress()
    gateway = start_gateway()
    gateway.wait_reason("ready")
    authority = namespace.read_secret()["ca.crt"]
    # Its first five seconds are those in which a restart is thought to be of no use.
    pid = int(gateway.program.wait_for(r"envoy started, process (\d+)")[1])
    time.sleep(5.1)
    os.kill(pid, signal.SIGKILL)
    gateway.program.wait_for("envoy ended with code -9, starting it again")
    gateway.wait_reason("ready")
    with gateway.open(authority) as channel:
        assert count_pods(channel, 1) == {"greeter-1": 1}


def test_taken_port_is_not_ready(namespace: Namespace, start_gateway, start_greeter) -> None:
    """Where its port is taken, the gateway is not ready, though who holds it shows the very same certificate."""
    namespace.apply_slice("greeter-a", start_greeter("greeter-1").port)
    namespace.create_ingress()
    first = start_gateway()
    first.wait_reason("ready")
    second = start_gateway(f"--listen=127.0.0.1:{first.port}")
    second.program.wait_for("cannot bind|Address already in use")
    assert second.find_reason() == f"envoy does not listen on 127.0.0.1:{first.port} yet"
    assert first.find_reason() == "ready"


def test_no_way_to_the_api_is_said(start) -> None:
    """Outside a pod and without a kubeconfig it ends with code 2 and what to do."""
    program = start("demo_server.gateway")
    assert program.process.wait(WAIT_S) == 2
    program.wait_for(
        "no way to the Kubernetes API through the pod's service account: .*; run it in a pod with a service account, "
        "set KUBECONFIG, or give --kubeconfig FILE"
    )


def test_namespace_comes_from_the_pod(tmp_path: Path) -> None:
    """POD_NAMESPACE, else the service account's file, else a sentence."""
    file = tmp_path / "namespace"
    file.write_text("from-file\n")
    assert find_namespace({"POD_NAMESPACE": "from-env"}, file) == "from-env"
    assert find_namespace({}, file) == "from-file"
    with pytest.raises(AccessError) as failure:
        find_namespace({}, tmp_path / "missing")
    assert str(failure.value) == "no namespace: set POD_NAMESPACE (metadata.namespace) or give --namespace"


def test_unreadable_kubeconfig_is_named(tmp_path: Path) -> None:
    """A kubeconfig that is not there is named, and no other is taken instead."""
    missing = str(tmp_path / "missing")
    for environ, given in (({"KUBECONFIG": missing}, None), ({}, missing)):
        with pytest.raises(AccessError, match=f"no way to the Kubernetes API through kubeconfig {missing}: "):
            connect_api(environ, given)
