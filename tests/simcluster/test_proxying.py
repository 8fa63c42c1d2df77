"""Proxies to pods against a whole cluster, on both networks: kubectl, HTTPS, large bodies, and clients that go."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def make_pod(name: str, folder: Path | None = None) -> dict[str, Any]:
    """A pod that echoes; with a folder, over TLS with the certificate that lies there."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    secret = [] if folder is None else [{"name": "TLS", "value": str(folder)}]
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    one = {"name": "c", "image": "echo:1", "env": [address, *secret], "readinessProbe": probe}
    spec = {"containers": [one], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Api:
    """The administrator's requests, with nothing between."""

    def __init__(self, cluster: simcluster.Cluster) -> None:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
        self.cluster, self.url = cluster, configuration.host
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
    """A cluster with a pod that echoes over HTTP, and one over HTTPS."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)
    pair = Authority(now).issue_server(("nobody",), (), now)
    (folder / "certificate").write_bytes(pair.certificate)
    (folder / "key").write_bytes(pair.key)
    images = {"echo:1": [sys.executable, str(SERVER)]}
    with simcluster.Cluster(images, network=request.param, seed=1) as cluster:
        found = Api(cluster)
        for pod in (make_pod("plain"), make_pod("secure", folder)):
            made = found.pool.request("POST", found.url + PODS, json=pod)
            assert made.status == 201, made.data
        deadline = time.monotonic() + 60
        while not all(is_ready(found, each) for each in ("plain", "secure")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield found


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


def test_a_protocol_is_not_changed(api: Api) -> None:
    """A request for another protocol is handed on as one for none."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "X-Mine": "1"}
    said = api.send("GET", "plain:8080/proxy/x", headers=headers).json()["headers"]

    assert (said.get("X-Mine"), "Upgrade" in said) == ("1", False)
