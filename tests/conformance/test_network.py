"""ClusterIP and DNS, as pods see them."""

import pytest
from rig.objects import pod, service

POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
SERVER = """
import os, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(os.environ["HOSTNAME"].encode() + b"\\n")
        while line := self.rfile.readline():
            self.wfile.write(line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""
CALL = """
import socket, sys
for _ in range(int(sys.argv[3])):
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as s:
            print(s.makefile().readline().strip(), flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


def serve(room, name, case, **probe):
    """A pod that says its name to each caller."""
    one = {
        "name": "main",
        "image": room.image,
        "command": ["python3", "-c", SERVER],
        "env": [POD_IP],
        "readinessProbe": probe or {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    room.make("pods", pod(name, one, labels={"app": case}, terminationGracePeriodSeconds=0))


def slices(room, name, number):
    """Wait until a Service has so many ready endpoints."""

    def holds(items):
        found = [each for one in items for each in one["endpoints"] or [] if each["conditions"]["ready"]]
        return len(found) == number

    room.until_all(
        "endpointslices",
        lambda items: bool(items) and holds(items),
        labelSelector=f"kubernetes.io/service-name={name}",
    )


def call(room, name, host, port, number=1):
    """What a pod is told that calls an address so many times, each time by a new connection."""
    one = {
        "name": "main",
        "image": room.image,
        "command": ["python3", "-c", CALL, host, str(port), str(number)],
    }
    room.make("pods", pod(name, one, restartPolicy="Never"))
    room.until("pods", name, lambda each: each["status"]["phase"] in ("Succeeded", "Failed"))
    return room.get("pods", name, "log").text.split()


def test_an_address_leads_to_pods(pod_room, name):
    """Connections to a ClusterIP reach each ready pod, at random."""
    for each in "ab":
        serve(pod_room, f"{name}-{each}", name)
    address = pod_room.make("services", service(name, {"app": name}, {"port": 2080, "targetPort": 8080}))[
        "spec"
    ]["clusterIP"]
    slices(pod_room, name, 2)
    # A rule takes its time to be written.
    for index in range(20):
        answers = call(pod_room, f"{name}-c{index}", address, 2080, 64)
        if set(answers) == {f"{name}-a", f"{name}-b"}:
            break
    assert set(answers) == {f"{name}-a", f"{name}-b"}


def test_nobody_there_is_refused(pod_room, name):
    """A ClusterIP without a ready pod refuses."""
    address = pod_room.make("services", service(name, {"app": name}, {"port": 2080, "targetPort": 8080}))[
        "spec"
    ]["clusterIP"]
    for index in range(20):
        answers = call(pod_room, f"{name}-c{index}", address, 2080)
        if answers == ["ConnectionRefusedError"]:
            break
    assert answers == ["ConnectionRefusedError"]


def test_an_unready_pod_gets_nothing(pod_room, name):
    """A pod that is not ready is called by nobody."""
    serve(pod_room, f"{name}-a", name)
    serve(pod_room, f"{name}-b", name, tcpSocket={"port": 9999}, periodSeconds=1)
    address = pod_room.make("services", service(name, {"app": name}, {"port": 2080, "targetPort": 8080}))[
        "spec"
    ]["clusterIP"]
    slices(pod_room, name, 1)
    for index in range(20):
        answers = call(pod_room, f"{name}-c{index}", address, 2080, 32)
        if set(answers) == {f"{name}-a"}:
            break
    assert set(answers) == {f"{name}-a"}


def test_a_pod_is_reached_by_its_address(pod_room, name):
    """Pods reach each other directly."""
    serve(pod_room, f"{name}-a", name)
    address = pod_room.until(
        "pods",
        f"{name}-a",
        lambda each: (
            each["status"].get("podIP")
            and any(one["ready"] for one in each["status"].get("containerStatuses", []))
            and each["status"]["podIP"]
        ),
    )
    assert call(pod_room, f"{name}-c", address, 8080) == [f"{name}-a"]


ADDRESSES = [
    ({"type": "ClusterIP"}, True),
    ({"clusterIP": "None"}, False),
    ({"type": "ExternalName", "externalName": "example.com"}, None),
    ({"type": "NodePort"}, True),
]


@pytest.mark.parametrize(
    ("spec", "has_address"), ADDRESSES, ids=["cluster-ip", "headless", "external-name", "node-port"]
)
def test_addresses_of_services(pod_room, name, spec, has_address):
    """Which Services have an address."""
    made = pod_room.make("services", service(name, {"app": name}, {"port": 80}, **spec))["spec"]
    expected = {
        True: lambda: made["clusterIPs"] == [made["clusterIP"]] and made["clusterIP"] != "None",
        False: lambda: (made["clusterIP"], made["clusterIPs"]) == ("None", ["None"]),
        None: lambda: "clusterIP" not in made,
    }
    assert expected[has_address]()


def test_node_ports(pod_room, name):
    """A NodePort is given a port of the node's range."""
    made = pod_room.make("services", service(name, {"app": name}, {"port": 80}, type="NodePort"))
    assert 30000 <= made["spec"]["ports"][0]["nodePort"] <= 32767


def test_a_headless_service_needs_no_port(pod_room, name):
    """A headless Service may have no ports at all."""
    assert (
        pod_room.make("services", service(name, {"app": name}, clusterIP="None"))["spec"]["clusterIP"]
        == "None"
    )


def test_session_affinity(pod_room, name):
    """ClientIP lasts three hours."""
    made = pod_room.make("services", service(name, {"app": name}, {"port": 80}, sessionAffinity="ClientIP"))
    assert made["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
