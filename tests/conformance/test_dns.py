"""The cluster's DNS, asked from a pod."""

import time

import pytest
from rig.objects import FOREVER, container, pod, service

POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
# Asks the DNS server that pods are given, and tells the answer over HTTP: /TYPE/NAME. It knows no more of DNS than that.
RESOLVER = r"""
import http.server, json, os, random, re, socket, struct
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "AAAA": 28, "SRV": 33}
def find_server():
    if "GRPC_DNS_AUTHORITY" in os.environ:
        host, _, port = os.environ["GRPC_DNS_AUTHORITY"].partition(":")
        return host, int(port)
    return re.search(r"^nameserver (\S+)", open("/etc/resolv.conf").read(), re.M)[1], 53
def read_name(data, at):
    labels, end = [], None
    while size := data[at]:
        if size >= 192:
            end = end if end is not None else at + 2
            at = struct.unpack("!H", data[at:at + 2])[0] & 16383
        else:
            labels.append(data[at + 1:at + 1 + size].decode())
            at += 1 + size
    return ".".join(labels), at + 1 if end is None else end
def show(kind, data, at, size):
    if kind in (1, 28): return socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data[at:at + size])
    if kind in (5, 12): return read_name(data, at)[0]
    if kind == 33: return [*struct.unpack("!HHH", data[at:at + 6])[::2], read_name(data, at + 6)[0]]
def ask(kind, name):
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split(".")) + b"\0"
    question = struct.pack("!HHHHHH", random.randrange(65536), 256, 1, 0, 0, 0) + labels + struct.pack("!HH", TYPES[kind], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        udp.sendto(question, find_server())
        data = udp.recv(4096)
    _, flags, _, answers, _, _ = struct.unpack("!HHHHHH", data[:12])
    at, found = read_name(data, 12)[1] + 4, []
    for _ in range(answers):
        owner, at = read_name(data, at)
        kind, _, ttl, size = struct.unpack("!HHIH", data[at:at + 10])
        found.append([owner, show(kind, data, at + 10, size), ttl])
        at += 10 + size
    return {"code": flags & 15, "authoritative": bool(flags & 1024), "answers": found}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        _, kind, name = self.path.split("/")
        body = json.dumps(ask(kind, name)).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""
NO_ERROR, NO_SUCH_NAME = 0, 3


def is_ready(each):
    """Whether a pod is."""
    conditions = each["status"].get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


@pytest.fixture(scope="module")
def resolver(pod_room):
    """A pod that asks, and two that are asked about."""
    asks = {
        "name": "main",
        "image": pod_room.image,
        "command": ["python3", "-c", RESOLVER],
        "env": [POD_IP],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    pod_room.make("pods", pod("resolver", asks, terminationGracePeriodSeconds=0))
    idle = container(pod_room.image, FOREVER)
    named = {"hostname": "first", "subdomain": "headless"}
    pod_room.make("pods", pod("named", idle, labels={"app": "idle"}, **named))
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    pod_room.make("pods", pod("unready", idle | {"readinessProbe": never}, labels={"app": "idle"}))
    ports = [{"name": "grpc", "port": 50051}, {"name": "web", "port": 80, "targetPort": 8080}]
    pod_room.make("services", service("plain", {"app": "idle"}, *ports))
    pod_room.make("services", service("headless", {"app": "idle"}, *ports, clusterIP="None"))
    every = {"clusterIP": "None", "publishNotReadyAddresses": True}
    pod_room.make("services", service("every", {"app": "idle"}, *ports, **every))
    pod_room.make("services", service("nobody", {"app": "nobody"}, *ports, clusterIP="None"))
    pod_room.make("services", service("elsewhere", None, type="ExternalName", externalName="example.com"))
    for name in ("resolver", "named"):
        pod_room.until("pods", name, is_ready)
    pod_room.until("pods", "unready", lambda each: each["status"].get("podIP"))
    return "resolver"


def look_up(room, kind, name):
    """Code and sorted values of an answer; `name` is below the namespace's own."""
    found = ask(room, kind, f"{name}.{room.name}.svc.cluster.local")
    return found["code"], sorted(each[1] for each in found["answers"])


def ask(room, kind, name):
    """The whole answer to a question about a name in full."""
    return room.api.get(room.path("pods", "resolver:8080", f"proxy/{kind}/{name}")).ok


def until(room, kind, name, expected):
    """Ask until the answer is as expected: what DNS knows follows the objects."""
    deadline = time.monotonic() + room.api.patience_s
    while (found := look_up(room, kind, name)) != expected:
        assert time.monotonic() < deadline, (found, expected)


def address(room, name):
    """The address of a pod."""
    return room.get("pods", name).ok["status"]["podIP"]


def test_a_service_has_its_address(pod_room, resolver):
    """The name of a Service is its ClusterIP, whoever is behind it."""
    given = pod_room.get("services", "plain").ok["spec"]["clusterIP"]
    until(pod_room, "A", "plain", (NO_ERROR, [given]))


def test_a_headless_one_has_its_ready_pods(pod_room, resolver):
    """The name of a headless Service is the addresses of its ready pods."""
    until(pod_room, "A", "headless", (NO_ERROR, [address(pod_room, "named")]))


def test_all_pods_if_it_says_so(pod_room, resolver):
    """With publishNotReadyAddresses, those of all."""
    every = sorted(address(pod_room, each) for each in ("named", "unready"))
    until(pod_room, "A", "every", (NO_ERROR, every))


def test_a_pod_with_a_host_name(pod_room, resolver):
    """A pod of a headless Service that is its subdomain has a name of its own there."""
    until(pod_room, "A", "first.headless", (NO_ERROR, [address(pod_room, "named")]))
    assert look_up(pod_room, "A", "second.headless") == (NO_SUCH_NAME, [])


def test_a_pod_without_one(pod_room, resolver):
    """Another goes by its address, with dashes."""
    dashed = address(pod_room, "unready").replace(".", "-")
    until(pod_room, "A", f"{dashed}.every", (NO_ERROR, [address(pod_room, "unready")]))


def test_ports_of_a_service(pod_room, resolver):
    """A named port is an SRV record: its number, and the name of who serves it."""
    until(
        pod_room,
        "SRV",
        "_web._tcp.plain",
        (NO_ERROR, [[0, 80, f"plain.{pod_room.name}.svc.cluster.local"]]),
    )
    assert look_up(pod_room, "SRV", "_web._udp.plain") == (NO_SUCH_NAME, [])
    assert look_up(pod_room, "SRV", "_nope._tcp.plain") == (NO_SUCH_NAME, [])


def test_ports_of_a_headless_one(pod_room, resolver):
    """There it is the pods' own port, and their own names."""
    expected = [[0, 8080, f"first.headless.{pod_room.name}.svc.cluster.local"]]
    until(pod_room, "SRV", "_web._tcp.headless", (NO_ERROR, expected))


def test_a_name_elsewhere(pod_room, resolver):
    """An ExternalName is a CNAME."""
    found = ask(pod_room, "CNAME", f"elsewhere.{pod_room.name}.svc.cluster.local")
    assert [each[1] for each in found["answers"]] == ["example.com"]


def test_nobody_is_there(pod_room, resolver):
    """A headless Service without pods, a Service and a namespace that are not there: no such name."""
    for name in ("nobody", "nothing"):
        assert look_up(pod_room, "A", name) == (NO_SUCH_NAME, []), name
    assert ask(pod_room, "A", "plain.no-such-namespace.svc.cluster.local")["code"] == NO_SUCH_NAME


def test_no_such_record(pod_room, resolver):
    """A name that has records of other types only is no error."""
    until(pod_room, "AAAA", "plain", (NO_ERROR, []))


def test_names_are_of_any_case(pod_room, resolver):
    """Upper and lower case are one."""
    given = pod_room.get("services", "plain").ok["spec"]["clusterIP"]
    until(pod_room, "A", "PLAIN", (NO_ERROR, [given]))


def test_back_from_an_address(pod_room, resolver):
    """The address of a Service leads back to its name."""
    given = pod_room.get("services", "plain").ok["spec"]["clusterIP"]
    until(pod_room, "A", "plain", (NO_ERROR, [given]))
    found = ask(pod_room, "PTR", ".".join(reversed(given.split("."))) + ".in-addr.arpa")
    assert [each[1] for each in found["answers"]] == [f"plain.{pod_room.name}.svc.cluster.local"]


def test_who_answers(pod_room, resolver):
    """The cluster's DNS is in charge of its names, and says for how long an answer holds."""
    found = ask(pod_room, "A", "kubernetes.default.svc.cluster.local")
    [(name, _value, ttl)] = found["answers"]
    assert (found["code"], found["authoritative"], name) == (
        NO_ERROR,
        True,
        "kubernetes.default.svc.cluster.local",
    )
    assert 0 < ttl <= 30


def test_a_pod_by_its_address(pod_room, resolver):
    """An address with dashes below `pod` is that address."""
    own = address(pod_room, "named")
    found = ask(pod_room, "A", f"{own.replace('.', '-')}.{pod_room.name}.pod.cluster.local")
    assert [each[1] for each in found["answers"]] == [own]


def test_it_follows(pod_room, resolver, name):
    """A Service that comes has a name; when it goes, that is no name any more."""
    made = pod_room.make("services", service(name, {"app": "idle"}, {"port": 80}))
    until(pod_room, "A", name, (NO_ERROR, [made["spec"]["clusterIP"]]))
    assert pod_room.delete("services", name).status == 200
    until(pod_room, "A", name, (NO_SUCH_NAME, []))
