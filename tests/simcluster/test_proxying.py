"""Proxies to pods against a whole cluster, on both networks: kubectl, HTTPS, WebSocket, large bodies, and clients
that go.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import kubernetes.client
import kubernetes.config
import pytest
import urllib3
from namespaces import needs_namespaces
from test_streaming import Kubectl, programs

import simcluster
from simcluster.certificates import Authority

SERVER = Path(__file__).with_name("echoing_pod.py")
NETWORKS = ["loopback", pytest.param("namespace", marks=needs_namespaces)]
PODS = "/api/v1/namespaces/default/pods"
_MEBIBYTE = 1 << 20


def make_pod(name: str, folder: Path | None = None, image: str = "echo:1") -> dict[str, Any]:
    """A pod that echoes; with a folder, over TLS with the certificate that lies there."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    secret = [] if folder is None else [{"name": "TLS", "value": str(folder)}]
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    one = {"name": "c", "image": image, "env": [address, *secret], "readinessProbe": probe}
    spec = {"containers": [one], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Api:
    """The administrator's requests, with nothing between."""

    def __init__(self, cluster: simcluster.Cluster) -> None:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
        self.cluster, self.url, self.configuration = cluster, configuration.host, configuration
        self.pool = urllib3.PoolManager(
            retries=False,
            timeout=60,
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
        )

    def send(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        return self.pool.request(method, f"{self.url}{PODS}/{path}", **options)


@pytest.fixture(scope="module", params=NETWORKS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A cluster with a pod that echoes over HTTP, one over HTTPS, and one with WebSockets over both."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)
    pair = Authority(now).issue_server(("nobody",), (), now)
    (folder / "certificate").write_bytes(pair.certificate)
    (folder / "key").write_bytes(pair.key)
    talker = SERVER.with_name("talking_pod.py")
    images = {"echo:1": [sys.executable, str(SERVER)], "talk:1": [sys.executable, str(talker)]}
    with simcluster.Cluster(images, network=request.param, seed=1) as cluster:
        found = Api(cluster)
        pods = (make_pod("plain"), make_pod("secure", folder), make_pod("talking", folder, "talk:1"))
        for pod in pods:
            made = found.pool.request("POST", found.url + PODS, json=pod)
            assert made.status == 201, made.data
        for pod in pods:
            wait_until_ready(found, pod["metadata"]["name"])
        yield found


def wait_until_ready(api: Api, name: str) -> None:
    deadline = time.monotonic() + 60
    while not is_ready(api, name):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_ready(api: Api, name: str) -> bool:
    conditions = api.send("GET", name).json()["status"].get("conditions", [])
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def test_a_pod_with_a_certificate_of_its_own_is_reached(api: Api) -> None:
    """`https:` takes whichever certificate the pod has, as a real API server does."""
    answer = api.send("GET", "https:secure:8080/proxy/x")

    assert (answer.status, answer.json()["path"]) == (200, "/x")
    assert api.send("GET", "http:secure:8080/proxy/x").status == 503


def test_large_bodies_pass_whole_in_both_directions(api: Api) -> None:
    """Sixteen megabytes there and back, byte for byte, in pieces of no known sum."""
    block = bytes(range(256)) * (_MEBIBYTE // 256)
    answer = api.send("POST", "plain:8080/proxy/echo", body=iter([block] * 16))

    assert (answer.status, answer.data == block * 16) == (200, True)


def test_what_runs_for_a_client_that_went_is_told(api: Api) -> None:
    """The pod's connection ends with the client's."""
    endless = api.send("GET", "plain:8080/proxy/endless", preload_content=False)
    assert next(endless.stream(16))
    endless.close()
    deadline = time.monotonic() + 60
    while api.send("GET", "plain:8080/proxy/gone").data != b"1":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_that_breaks_off_is_not_taken_for_whole(api: Api) -> None:
    """The client's connection breaks, too."""
    with pytest.raises(urllib3.exceptions.HTTPError):
        api.send("GET", "plain:8080/proxy/half")


def test_a_pod_on_no_port_of_its_own_is_refused(api: Api) -> None:
    """Where nobody listens, the answer names the pod's address."""
    address = api.send("GET", "plain").json()["status"]["podIP"]
    told = api.send("GET", "plain:9/proxy/").json()["message"]

    assert told == f"error trying to reach service: dial tcp {address}:9: connect: connection refused"


def test_nobody_is_led_to_this_machine(api: Api) -> None:
    """A pod that claims an address of the machine itself is not called there."""
    pod = make_pod("liar") | {
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "echo:1"}]}
    }
    assert api.pool.request("POST", api.url + PODS, json=pod).status == 201
    status = {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    headers = {"Content-Type": "application/merge-patch+json"}
    patched = api.send("PATCH", "liar/status", body=json.dumps(status), headers=headers)
    assert patched.status == 200, patched.data
    refused = api.send("GET", "liar:22/proxy/")

    assert (refused.status, refused.json()["message"]) == (400, "address not allowed")


@pytest.mark.parametrize("program", programs() or [pytest.param("", marks=pytest.mark.skip("no kubectl"))])
def test_kubectl_reads_what_a_pod_says(api: Api, program: str) -> None:
    """`kubectl get --raw` and `kubectl create --raw` reach the pod."""
    kubectl = Kubectl(program, api.cluster.kubeconfig)

    assert json.loads(kubectl("get", "--raw", f"{PODS}/plain:8080/proxy/a?b=c"))["path"] == "/a?b=c"
    assert kubectl("create", "--raw", f"{PODS}/plain:8080/proxy/echo", "-f", "-", given="hello") == "hello"


@contextlib.asynccontextmanager
async def talking(api: Api, where: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket to a pod, through the proxy."""
    tls = ssl.create_default_context(cafile=api.configuration.ssl_ca_cert)
    tls.load_cert_chain(api.configuration.cert_file, api.configuration.key_file)
    async with (
        aiohttp.ClientSession() as session,
        asyncio.timeout(60),
        session.ws_connect(
            f"{api.url}{PODS}/{where}", ssl=tls, protocols=("x", "loud"), max_msg_size=0
        ) as socket,
    ):
        yield socket


def transport_of(socket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    """The connection below a WebSocket."""
    connection = socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    return connection.transport


@pytest.mark.parametrize("where", ["talking:8080", "https:talking:8443"])
def test_a_websocket_reaches_a_pod(api: Api, where: str) -> None:
    """Protocol, text, large messages, pings and the code of its end, on HTTP and HTTPS."""

    async def talk() -> None:
        async with talking(api, f"{where}/proxy/echo") as socket:
            assert socket.protocol == "loud"
            await socket.send_str("hello")
            assert await socket.receive_str() == "HELLO"
            await socket.ping(b"there?")
            await socket.send_bytes(bytes(8 * _MEBIBYTE))
            assert await socket.receive_bytes() == bytes(8 * _MEBIBYTE)
            await socket.send_str("bye")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4001

    asyncio.run(talk())


def test_a_pod_hears_the_last_words_of_a_client_and_its_end(api: Api) -> None:
    """What was sent before the connection ended arrives, and then the pod's connection ends, too."""

    async def talk() -> None:
        async with talking(api, "talking:8080/proxy/last") as socket:
            connection = socket._response.connection
            assert connection is not None
            assert connection.protocol is not None
            for number in range(300):
                await socket.send_str(f"{number}".rjust(30_000))
            transport_of(socket).close()
            await connection.protocol.closed  # once all is sent

    asyncio.run(talk())
    deadline = time.monotonic() + 60
    while (heard := api.send("GET", "talking:8080/proxy/heard").data) != b"299 closed":
        assert time.monotonic() < deadline, heard
        time.sleep(0.05)


def test_a_client_that_does_not_read_stops_the_pod(api: Api) -> None:
    """What a pod says without end is held up, not stored."""

    async def talk() -> None:
        async with talking(api, "talking:8080/proxy/endless") as socket:
            seen, now = -1, 0
            while not now or now != seen:
                await asyncio.sleep(0.5)
                answer = await asyncio.to_thread(api.send, "GET", "talking:8080/proxy/said")
                seen, now = now, int(answer.data)
            assert 0 < now < 100 * _MEBIBYTE
            transport_of(socket).abort()

    asyncio.run(talk())


def test_a_pod_that_is_killed_ends_the_talk(api: Api) -> None:
    """The client's connection ends with the pod."""
    made = api.pool.request("POST", api.url + PODS, json=make_pod("doomed", image="talk:1"))
    assert made.status == 201, made.data
    wait_until_ready(api, "doomed")

    async def talk() -> None:
        async with talking(api, "doomed:8080/proxy/echo") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "HELLO"
            assert (await asyncio.to_thread(api.send, "DELETE", "doomed")).status == 200
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    asyncio.run(talk())
