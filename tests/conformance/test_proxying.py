"""Proxies: HTTP through the API server to pods, Services and nodes."""

import json
import threading
import time

import pytest
from rig.objects import container, nowhere, pod, service
from rig.upgraded import Upgraded

POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
SERVER = r"""
import http.server, json, os, ssl, sys, time
PAGE = b'<html><a href="/abs">a</a><a href="rel">b</a><img src="/i.png"><!-- <a href="/no"> --></html>'
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        path = self.path.partition("?")[0]
        if path == "/redirect": return self.say(302, b"", Location="/other?x=1")
        if path == "/relative": return self.say(302, b"", Location="other")
        if path == "/elsewhere": return self.say(302, b"", Location="http://example.com/other")
        if path == "/back": return self.say(302, b"", Location=f"http://{self.headers['Host']}/other")
        if path == "/fail": return self.say(500, b"oops", **{"Content-Type": "text/x-mine"})
        if path == "/page": return self.say(200, PAGE, **{"Content-Type": "text/html"})
        if path == "/cut": self.close_connection = True; return self.connection.close()
        if path == "/slow": return self.dribble()
        if path.startswith("/switch"): return self.switch(path)
        body = self.read()
        said = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": body}
        self.say(200, json.dumps(said).encode(), **{"Content-Type": "application/json"})
    def read(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body.decode()
    def say(self, code, body, **headers):
        self.send_response(code)
        for key, value in headers.items(): self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def dribble(self):
        # The second half is not there before somebody has asked for /go.
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        gone.wait(30)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")
    def switch(self, path):
        # What was asked is said after the switch; then what comes is said aloud.
        said = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": self.read()}
        head = "HTTP/1.1 101 Changed\r\nConnection: Upgrade\r\nUpgrade: loud\r\nX-Back: yes\r\n\r\n"
        self.wfile.write(head.encode() + json.dumps(said).encode() + b"\n")
        self.close_connection = True
        if path == "/switch/bye": return
        while piece := self.rfile.read1(65536): self.wfile.write(piece.upper())
        over[path].set()
    def do_GET(self):
        if self.path.startswith("/over"): return self.say(200, str(over[self.path[5:]].wait(30)).encode())
        if self.path == "/go": gone.set()
        self.answer()
    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer
    def log_message(self, *arguments): pass
import threading
import collections
gone, over = threading.Event(), collections.defaultdict(threading.Event)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def web(pod_room):
    """A pod that serves HTTP, with Services in front of it and of nothing."""
    one = {
        "name": "main",
        "image": pod_room.image,
        "command": ["python3", "-c", SERVER],
        "env": [POD_IP],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    pod_room.make("pods", pod("web", one, labels={"app": "web"}, terminationGracePeriodSeconds=0))
    named = [
        {"name": "http", "port": 80, "targetPort": "http"},
        {"name": "closed", "port": 81, "targetPort": 9999},
    ]
    pod_room.make("services", service("web", {"app": "web"}, *named))
    pod_room.make("services", service("one", {"app": "web"}, {"port": 80, "targetPort": 8080}))
    pod_room.make("services", service("empty", {"app": "nobody"}, {"port": 80}))
    pod_room.make("pods", nowhere(pod("pending", container(pod_room.image))))
    for name, number in (("web", 1), ("one", 1), ("empty", 0)):
        pod_room.until_all(
            "endpointslices", holds(number), labelSelector=f"kubernetes.io/service-name={name}"
        )
        # The way through a Service is found in its Endpoints, which another controller writes.
        pod_room.until(
            "endpoints", name, lambda each, number=number: len(each.get("subsets") or ()) == number
        )
    return "web"


def holds(number):
    """Whether a Service's slices are there, with so many ready endpoints."""

    def count(items):
        found = [each for one in items for each in one["endpoints"] or () if each["conditions"]["ready"]]
        return bool(items) and len(found) == number

    return count


def ask(room, where, path="/x", method="GET", body=None, headers=None):
    """The answer to a request; `where` is such as `pods/web:8080`."""
    resource, _, name = where.partition("/")
    return room.api.send(
        method, room.path(resource, name, "proxy") + path, body, headers=headers or {"Accept": "*/*"}
    )


def message(answer):
    """Status and text of a refusal."""
    return answer.status, answer.json["message"]


PLACES = [
    "pods/web",
    "pods/web:8080",
    "pods/http:web:8080",
    "services/one",
    "services/one:80",
    "services/web:http",
    "services/web:80",
    "services/http:web:http",
]


@pytest.mark.parametrize("where", PLACES)
def test_ways_to_name_it(pod_room, web, where):
    """With and without scheme and port; a Service's by name or by its own number."""
    answer = ask(pod_room, where, "/a/b?x=1&y=%20z")
    assert (answer.status, answer.json["path"]) == (200, "/a/b?x=1&y=%20z")


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method(pod_room, web, method):
    """Each is handed on, with its body and its headers."""
    body = b"hello" if method in ("POST", "PUT", "PATCH") else None
    answer = ask(
        pod_room, "pods/web:8080", "/x", method, body, {"X-Mine": "1", "Content-Type": "text/x-mine"}
    )
    said = answer.json
    assert (answer.status, said["method"], said["body"]) == (200, method, "hello" if body else "")
    assert said["headers"]["X-Mine"] == "1"


def test_a_head(pod_room, web):
    """HEAD has the headers alone."""
    answer = ask(pod_room, "pods/web:8080", "/x", "HEAD")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "application/json", b"")


def test_what_the_pod_is_told_of_the_client(pod_room, web):
    """Where the request came from and which path it had; not who sent it."""
    given = {"Authorization": "Bearer x", "X-Forwarded-For": "1.2.3.4"} if not pod_room.api.headers else {}
    said = ask(pod_room, "pods/web:8080", "/x", headers={"Accept": "*/*"} | given).json["headers"]
    assert said["X-Forwarded-Uri"] == pod_room.path("pods", "web:8080", "proxy/x")
    assert said["X-Forwarded-For"].startswith("1.2.3.4, " if given else "")
    assert "Authorization" not in said


@pytest.mark.parametrize(
    ("path", "expected"), [("/a%2Fb/c%20d", "/a/b/c%20d"), ("/x/", "/x/"), ("/", "/"), ("//x//y", "/x/y")]
)
def test_paths(pod_room, web, path, expected):
    """A path is read and written again; what ends with a slash does so still."""
    assert ask(pod_room, "pods/web:8080", path).json["path"] == expected


def test_the_root_has_a_slash(pod_room, web):
    """A reader of the subresource alone is redirected to the root behind it; a writer is handed on."""
    answer = ask(pod_room, "pods/web:8080", "?x=1")
    where = pod_room.path("pods", "web:8080", "proxy/?x=1")
    assert (answer.status, answer.headers["Location"], answer.body) == (301, where, b"")
    assert ask(pod_room, "pods/web:8080", "", "POST").json["path"] == "/"


REDIRECTS = [
    ("/redirect", "BEFORE/other?x=1"),
    ("/relative", "other"),
    ("/elsewhere", "http://example.com/other"),
    ("/back", "http://HOSTBEFORE/other"),
]


@pytest.mark.parametrize(("path", "expected"), REDIRECTS, ids=[each[0][1:] for each in REDIRECTS])
def test_redirects(pod_room, web, path, expected):
    """One to the pod itself leads through the proxy; any other is as it was. The server follows none."""
    answer = ask(pod_room, "pods/web:8080", path)
    host = pod_room.api.url.partition("://")[2]
    before = pod_room.path("pods", "web:8080", "proxy")
    assert (answer.status, answer.headers["Location"]) == (
        302,
        expected.replace("BEFORE", before).replace("HOST", host),
    )


def test_pages(pod_room, web):
    """Links of an HTML page lead through the proxy."""
    before = pod_room.path("services", "one", "proxy")
    assert ask(pod_room, "services/one", "/page").text == (
        f'<html><a href="{before}/abs">a</a><a href="rel">b</a><img src="{before}/i.png"><!-- <a href="/no"> --></html>'
    )


def test_failures_are_the_pods_own(pod_room, web):
    """Its status, body and headers come back as they are."""
    answer = ask(pod_room, "pods/web:8080", "/fail")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (500, b"oops", "text/x-mine")


def test_what_is_said_comes_at_once(pod_room, web):
    """An answer is not held back until it is whole."""
    path = pod_room.path("pods", "web:8080", "proxy")
    api = pod_room.api
    response = api._pool.request(
        "GET", f"{api.url}{path}/slow", headers=api.headers, preload_content=False, timeout=api.patience_s
    )
    pieces = response.stream(None)
    assert next(pieces) == b"first"
    threading.Thread(target=ask, args=(pod_room, "pods/web:8080", "/go")).start()
    assert b"".join(pieces) == b"second"


UNREACHED = [
    ("pods/web:9999", 503, "error trying to reach service: dial tcp IP:9999: connect: connection refused"),
    ("pods/web:99999", 503, "error trying to reach service: dial tcp: address 99999: invalid port"),
    (
        "pods/https:web:8080",
        503,
        "error trying to reach service: tls: first record does not look like a TLS handshake",
    ),
    ("pods/pending:80", 400, "address not allowed"),
    ("pods/nobody", 404, 'pods "nobody" not found'),
    ("pods/ftp:web:8080", 400, 'invalid pod request "ftp:web:8080"'),
    ("pods/a:b:c:d", 400, 'invalid pod request "a:b:c:d"'),
    ("services/nobody", 404, 'services "nobody" not found'),
    ("services/nobody:80", 404, 'services "nobody" not found'),
    ("services/empty", 503, 'no endpoints available for service "empty"'),
    ("services/web", 503, 'no endpoints available for service "web"'),
    ("services/web:nope", 503, 'no endpoints available for service "web:nope"'),
    ("services/web:8080", 503, 'no service port 8080 found for service "web"'),
    (
        "services/web:closed",
        503,
        "error trying to reach service: dial tcp IP:9999: connect: connection refused",
    ),
    ("services/ftp:one:80", 400, 'invalid service request "ftp:one:80"'),
]


@pytest.mark.parametrize(("where", "code", "text"), UNREACHED, ids=[each[0] for each in UNREACHED])
def test_who_is_not_reached(pod_room, web, where, code, text):
    """Why, in the server's words."""
    address = pod_room.get("pods", "web").ok["status"]["podIP"]
    assert message(ask(pod_room, where)) == (code, text.replace("IP", address))


def test_an_answer_that_is_none(pod_room, web):
    """A pod that hangs up is told of."""
    expected = (503, "error trying to reach service: EOF")
    assert message(ask(pod_room, "pods/web:8080", "/cut")) == expected


def test_who_may(pod_room, web):
    """Each method is a verb on the subresource of its own."""
    role = {"rules": [{"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]}]}
    pod_room.make("roles", {"metadata": {"name": "reader"}} | role)
    subject = {"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    given = {
        "roleRef": {"apiGroup": subject["apiGroup"], "kind": "Role", "name": "reader"},
        "subjects": [subject],
    }
    pod_room.make("rolebindings", {"metadata": {"name": "reader"}} | given)
    who = {"Impersonate-User": "reader"}
    first = [None]

    def is_let_in():
        first[0] = ask(pod_room, "pods/web:8080", headers=who)
        return first[0].status == 200

    assert any(is_let_in() for _ in range(50))
    assert "Impersonate-User" not in first[0].json["headers"]
    refused = 'is forbidden: User "reader" cannot'
    assert message(ask(pod_room, "pods/web:8080", "/x", "POST", headers=who)) == (
        403,
        f'pods "web:8080" {refused} create resource "pods/proxy" in API group "" in the namespace "{pod_room.name}"',
    )
    assert message(ask(pod_room, "services/one", headers=who)) == (
        403,
        f'services "one" {refused} get resource "services/proxy" in API group "" in the namespace "{pod_room.name}"',
    )


CHANGE = (("Connection", "Upgrade"), ("Upgrade", "loud"))


def change(room, where, path, method="GET", headers=(), body=b""):
    """A request for a change of protocol, and what follows it."""
    resource, name = where.split("/")
    return Upgraded(room.api, method, room.path(resource, name, "proxy") + path, [*CHANGE, *headers], body)


def hear(session):
    """What the pod says first: what it was asked."""
    line = b""
    while not line.endswith(b"\n"):
        line += session.read(1)
    return json.loads(line)


@pytest.mark.parametrize("where", ["pods/web:8080", "services/one", "services/web:http"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_change_of_protocol(pod_room, web, where, method):
    """The pod is asked, but without the query; its consent comes back as it is, and then both talk."""
    body = b"abc" if method == "POST" else b""
    given = [("X-Mine", "1"), ("X-Forwarded-For", "1.2.3.4")]
    given += [] if method == "GET" else [("Content-Length", str(len(body)))]
    session = change(pod_room, where, "/switch/a?x=1", method, given, body)
    assert (session.status, session.headers.items()) == (
        101, [("Connection", "Upgrade"), ("Upgrade", "loud"), ("X-Back", "yes")],
    )  # fmt: skip
    said = hear(session)
    headers = said.pop("headers")
    assert said == {"method": method, "path": "/switch/a", "body": body.decode()}
    assert (headers["Upgrade"], headers["X-Mine"], "X-Forwarded-Uri" in headers) == ("loud", "1", False)
    assert headers["X-Forwarded-For"].startswith("1.2.3.4, ")
    session.socket.sendall(b"hello")
    assert session.read(5) == b"HELLO"


def test_a_websocket(pod_room, web):
    """Its headers reach the pod, and credentials do not."""
    given = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
    given += [("Sec-WebSocket-Protocol", "a, b"), ("Origin", "http://x")]
    asked = [("Connection", "Upgrade"), ("Upgrade", "websocket"), *given]
    path = pod_room.path("pods", "web:8080", "proxy/switch")
    secret = [] if pod_room.api.headers else [("Authorization", "Bearer x")]
    headers = hear(Upgraded(pod_room.api, "GET", path, asked + secret))["headers"]
    found = {key.lower(): value for key, value in headers.items()}
    assert {key: found.get(key.lower()) for key, _ in asked} == dict(asked)
    assert "authorization" not in found


def test_large_talk(pod_room, web):
    """A megabyte there and back."""
    session = change(pod_room, "pods/web:8080", "/switch")
    hear(session)
    for _ in range(20):
        session.socket.sendall(b"x" * 50_000)
        assert session.read(50_000) == b"X" * 50_000


def test_a_pod_that_ends_the_talk(pod_room, web):
    """The client's connection ends with the pod's."""
    session = change(pod_room, "pods/web:8080", "/switch/bye")
    assert (hear(session)["path"], session.is_over()) == ("/switch/bye", True)


def test_a_client_that_ends_the_talk(pod_room, web):
    """The pod's connection ends with the client's."""
    session = change(pod_room, "pods/web:8080", "/switch/mine")
    hear(session)
    session.socket.close()
    assert ask(pod_room, "pods/web:8080", "/over/switch/mine").text == "True"


def test_a_refusal_of_a_change(pod_room, web):
    """The pod's own comes back as it is, and the connection ends."""
    session = change(pod_room, "pods/web:8080", "/fail")
    answer = session.answer
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (500, "text/x-mine", b"oops")
    assert session.socket.recv(1) == b""


UNCHANGED = [
    ("pods/web:8080", "/x", 500, "invalid upgrade response: status code 200"),
    ("pods/web:8080", "", 500, "invalid upgrade response: status code 200"),
    ("pods/web:8080", "/redirect", 500, "invalid upgrade response: status code 302"),
    ("pods/web:8080", "/cut", 500, "unexpected EOF"),
    ("pods/web:9999", "/x", 500, "error dialing backend: dial tcp IP:9999: connect: connection refused"),
    ("pods/web:99999", "/x", 500, "error dialing backend: dial tcp: address 99999: invalid port"),
    ("pods/https:web:8080", "/x", 500, "error dialing backend: tls: first record does not look like a TLS handshake"),
    ("pods/nobody", "/x", 404, 'pods "nobody" not found'),
    ("services/empty", "/x", 503, 'no endpoints available for service "empty"'),
    ("pods/pending:80", "/x", 400, "address not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "path", "code", "text"), UNCHANGED, ids=[f"{each[0]}{each[1]}" for each in UNCHANGED]
)
def test_no_change_of_protocol(pod_room, web, where, path, code, text):
    """Why, in the server's words: an answer that is neither consent nor refusal, or none."""
    address = pod_room.get("pods", "web").ok["status"]["podIP"]
    assert message(change(pod_room, where, path).answer) == (code, text.replace("IP", address))


def test_a_node_changes_no_protocol(pod_room, web):
    """What it answers is no consent."""
    node = pod_room.get("pods", web).ok["spec"]["nodeName"]
    session = Upgraded(pod_room.api, "GET", f"/api/v1/nodes/{node}/proxy/healthz", CHANGE)
    assert message(session.answer) == (500, "invalid upgrade response: status code 200")


def runs(room, path):
    """The names of the pods that a kubelet finds running."""
    return [each["metadata"]["name"] for each in room.api.get(path).json["items"]]


def test_a_nodes_own_answers(pod_room, web):
    """A kubelet says that it is well and which pods it has, and knows no other path here."""
    node = pod_room.get("pods", "web").ok["spec"]["nodeName"]
    path = f"/api/v1/nodes/{node}/proxy"
    assert (pod_room.api.get(f"{path}/healthz").status, pod_room.api.get(f"{path}/healthz").text) == (
        200,
        "ok",
    )
    assert pod_room.api.get(f"/api/v1/nodes/{node}:10250/proxy/healthz").text == "ok"
    listed = json.loads(pod_room.api.get(f"{path}/pods").body)
    names = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in listed["items"]]
    assert (listed["kind"], (pod_room.name, "web") in names) == ("PodList", True)
    patient_until = time.monotonic() + pod_room.api.patience_s  # a kubelet reads its runtime each two seconds
    while "web" not in runs(pod_room, f"{path}/runningpods/"):
        assert time.monotonic() < patient_until
    nothing = pod_room.api.get(f"{path}/nope")
    assert (nothing.status, nothing.text) == (404, "404 page not found\n")


def test_nodes_that_are_not_reached(pod_room, name):
    """One that is not there is not found; a wrong port refuses."""
    missing = pod_room.api.get(f"/api/v1/nodes/{name}/proxy/healthz")
    assert message(missing) == (404, f'nodes "{name}" not found')
    node = pod_room.api.get("/api/v1/nodes").ok["items"][0]
    [address] = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    answer = pod_room.api.get(f"/api/v1/nodes/{node['metadata']['name']}:1/proxy/healthz")
    assert message(answer) == (
        503,
        f"error trying to reach service: dial tcp {address}:1: connect: connection refused",
    )
