"""Faults on the namespace network, where pods have addresses that can fall silent and a way of their own to the API."""

import threading
import time
from collections.abc import Callable
from typing import Any

import kubernetes.client
import kubernetes.config
from namespaces import needs_namespaces

import simcluster

pytestmark = needs_namespaces

SERVER = """
import socketserver
socketserver.ThreadingTCPServer(('', 7000), socketserver.BaseRequestHandler).serve_forever()
"""
# Tells, again and again, how a connection to the other pod and one to the API went.
CLIENT = """
import socket, time
def reach(*where):
    try:
        socket.create_connection(where, timeout=0.5).close()
        return 'ok'
    except OSError as error:
        return type(error).__name__
while True:
    print(reach('s.default.svc.cluster.local', 7000), reach('10.96.0.1', 443), flush=True)
    time.sleep(0.1)
"""


def until(condition: Callable[[], Any], what: str, seconds: float = 40) -> None:
    deadline_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_at, what
        threading.Event().wait(0.05)


def test_pods_are_refused_by_an_api_that_is_away_and_a_frozen_node_is_silent() -> None:
    """Refused is refused, silence is a time-out, names fail; and after each all is well again."""
    with simcluster.Cluster({"python:1": "python -c"}, network="namespace", nodes=2) as cluster:
        owner = kubernetes.client.CoreV1Api(
            kubernetes.config.new_client_from_config(str(cluster.owner_kubeconfig))
        )
        spec = {"selector": {"app": "server"}, "clusterIP": "None", "ports": [{"port": 7000}]}
        owner.create_namespaced_service("default", {"metadata": {"name": "s"}, "spec": spec})
        first, second = (each.metadata.name for each in owner.list_node().items)
        for name, program, node in (("server", SERVER, second), ("client", CLIENT, first)):
            container = {"name": "c", "image": "python:1", "args": [program]}
            metadata = {"name": name, "labels": {"app": name}}
            body = {"metadata": metadata, "spec": {"nodeName": node, "containers": [container]}}
            owner.create_namespaced_pod("default", body)

        def sees(pod: str, api: str) -> Callable[[], bool]:
            def look() -> bool:
                try:
                    said = owner.read_namespaced_pod_log("client", "default", tail_lines=1).split()
                except kubernetes.client.ApiException:  # its container has not begun
                    return False
                return bool(said == [pod, api])

            return look

        until(sees("ok", "ok"), "the client reaches nobody")
        with cluster.faults.api_away():
            until(sees("ok", "ConnectionRefusedError"), "the API is not away")
        until(sees("ok", "ok"), "the API is not back")
        with cluster.faults.freeze_node(second):
            until(sees("TimeoutError", "ok"), "the node is not silent")
        until(sees("ok", "ok"), "the node did not thaw")
        with cluster.faults.dns("nxdomain", services=("s.default",)):
            until(sees("gaierror", "ok"), "the name does not fail")
        until(sees("ok", "ok"), "the name is not back")
