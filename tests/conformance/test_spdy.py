"""Commands, attached clients and port-forwards over plain SPDY, as clients that speak no WebSocket have them."""

import json

import pytest
from rig.objects import container, pod
from rig.upgraded import stream

V4, V1 = "v4.channel.k8s.io", "channel.k8s.io"
ALL = ("v5.channel.k8s.io", V4, "v3.channel.k8s.io", "v2.channel.k8s.io", V1)
FORWARD = "portforward.k8s.io"
SUCCESS = {"metadata": {}, "status": "Success"}
ECHO = r"""
import os, socket, threading
def serve(one):
    with one:
        while said := one.recv(4096): one.sendall(said.upper())
server = socket.create_server((os.environ.get("HOST", "0.0.0.0"), 8080))
while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


@pytest.fixture(scope="module")
def talker(pod_room):
    """A pod of two containers: one echoes on a port, the other what it reads."""
    # A port-forward comes to the pod's localhost on a real node, and to its address here.
    serving = container(pod_room.image, name="main") | {
        "command": ["sh", "-c", f"HOST=$([ ${{POD_IP%%.*}} = 127 ] && echo $POD_IP || echo 0.0.0.0) exec python3 -c '{ECHO}'"],
        "env": [POD_IP],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }  # fmt: skip
    parrot = container(pod_room.image, name="parrot") | {"command": ["cat"], "stdin": True}
    pod_room.make("pods", pod("talker", serving, parrot, terminationGracePeriodSeconds=0))
    pod_room.until(
        "pods",
        "talker",
        lambda each: [one["ready"] for one in each["status"].get("containerStatuses", [])] == [True, True],
    )
    return "talker"


@pytest.fixture(scope="module")
def ended(pod_room):
    """A pod that has ended."""
    pod_room.make("pods", pod("ended", container(pod_room.image, "exit 0"), restartPolicy="Never"))
    pod_room.until("pods", "ended", lambda each: each["status"]["phase"] == "Succeeded")
    return "ended"


def start(room, name, command, *streams, protocol=V4, **query):
    """A command whose streams are open, numbered in their order from 1."""
    wanted = {key: "1" for key in ("stdin", "stdout", "stderr") if key in streams}
    path = room.path("pods", name, "exec")
    session = stream(room.api, path, protocol, container="main", command=command, **wanted, **query)
    assert session.status == 101
    for number, kind in enumerate(streams):
        session.open(2 * number + 1, {"streamtype": kind})
    return session


def gather(session):
    """What was said on each stream, which ended, which were given up, and the last word."""
    said, ends, resets, goodbye = {}, [], set(), None
    for kind, number, data, is_last in session.frames():
        if kind == "data":
            said[number] = said.get(number, b"") + data
            ends += [number] if is_last else []
        elif kind == "reset":
            resets.add(number)
        elif kind == "goaway":
            goodbye = number
    return said, ends, resets, goodbye


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [(ALL, V4), ((V1,), V1), (("v9, v3.channel.k8s.io,v4.channel.k8s.io",), "v3.channel.k8s.io")],
    ids=["all", "oldest", "list"],
)
def test_the_first_protocol_that_both_know_is_spoken(pod_room, talker, asked, spoken):
    """In the order of the client."""
    path = pod_room.path("pods", talker, "exec")
    session = stream(pod_room.api, path, *asked, container="main", command="true", stdout="1")
    assert (session.status, session.headers["Upgrade"], session.headers["Connection"]) == (
        101, "SPDY/3.1", "Upgrade",
    )  # fmt: skip
    assert session.headers["X-Stream-Protocol-Version"] == spoken


@pytest.mark.parametrize(
    ("sub", "known"), [("exec", [*ALL[1:]]), ("attach", [*ALL[1:]]), ("portforward", [FORWARD])]
)
def test_a_client_that_speaks_none_of_them_is_told_which(pod_room, talker, sub, known):
    """403, with the protocols that there are."""
    path = pod_room.path("pods", talker, sub)
    refused = stream(pod_room.api, path, "x", container="main", command="true", stdout="1")
    assert (refused.status, refused.headers.get_all("X-Accepted-Stream-Protocol-Versions")) == (403, known)
    text = f"unable to upgrade: unable to negotiate protocol: client supports [x], server accepts [{' '.join(known)}]"
    assert set(refused.answer.text.splitlines()) == {text}


REFUSED = [
    ("exec", {}, {}, (400, "unable to upgrade: X-Stream-Protocol-Version is required\n")),
    ("portforward", {}, {}, (500, "invalid upgrade response: status code 200\n")),
    ("exec", {"stdout": "0"}, {"X-Stream-Protocol-Version": V4}, (400, "you must specify at least 1 of stdin, stdout, stderr")),
]  # fmt: skip


@pytest.mark.parametrize(("sub", "query", "headers", "expected"), REFUSED, ids=["exec", "forward", "nothing"])
def test_what_is_not_upgraded(pod_room, talker, sub, query, headers, expected):
    """Why, in plain text."""
    asked = {"container": "main", "command": "true", "stdout": "1"} | query
    answer = stream(pod_room.api, pod_room.path("pods", talker, sub), headers=headers, **asked).answer
    assert (answer.status, answer.text) == expected


def test_who_does_not_run(pod_room, ended):
    """Neither a command nor a client nor a port finds a container that has ended."""
    found = {
        sub: stream(pod_room.api, pod_room.path("pods", ended, sub), V4, FORWARD, command="true", stdout="1").answer
        for sub in ("exec", "attach", "portforward")
    }  # fmt: skip
    assert {sub: (answer.status, answer.text) for sub, answer in found.items()} == {
        "exec": (500, 'container not found ("main")'),
        "attach": (500, f"container main not found in pod {ended}_{pod_room.name}"),
        "portforward": (500, f'pod not found ("{ended}_{pod_room.name}")'),
    }


def test_a_command(pod_room, talker):
    """Its outputs end, the Status follows, then what is open is given up and the connection ends."""
    session = start(pod_room, talker, ["sh", "-c", "echo a; echo b >&2"], "error", "stdout", "stderr")
    said, ends, resets, goodbye = gather(session)
    assert (said.pop(1), said) == (
        json.dumps(SUCCESS, separators=(",", ":")).encode(),
        {3: b"a\n", 5: b"b\n"},
    )
    assert (sorted(ends), resets, goodbye) == ([3, 5], {1}, 5)


TEXT = b"command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3"


@pytest.mark.parametrize("protocol", ALL[1:])
def test_a_command_that_fails(pod_room, talker, protocol):
    """A Status with the code from v4 on, text before."""
    session = start(pod_room, talker, ["sh", "-c", "exit 3"], "error", "stdout", protocol=protocol)
    said = gather(session)[0][1]
    if protocol != V4:
        assert said == TEXT
        return
    assert json.loads(said) == {
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": TEXT.decode(),
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }  # fmt: skip


def test_a_command_that_is_not_there(pod_room, talker):
    """It is told on the error stream, after the upgrade."""
    status = json.loads(gather(start(pod_room, talker, ["nosuch"], "error", "stdout"))[0][1])
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert 'exec: "nosuch": executable file not found in $PATH' in status["message"]


@pytest.mark.parametrize("way", ["end", "reset"])
def test_input_ends_with_its_stream(pod_room, talker, way):
    """A stream that is closed or given up is the end of the input."""
    session = start(pod_room, talker, ["cat"], "error", "stdin", "stdout")
    session.say(3, b"hello")
    session.say(3, b" you", is_last=way == "end")
    if way == "reset":
        assert next(data for kind, _, data, _ in session.frames() if kind == "data")
        session.reset(3)
    said = gather(session)[0]
    assert json.loads(said[1]) == SUCCESS
    if way == "end":
        assert said[5] == b"hello you"


def test_large_streams(pod_room, talker):
    """A megabyte there and back."""
    session = start(pod_room, talker, ["sh", "-c", "head -c 1000000 | wc -c; head -c 1000000 /dev/zero"], "error", "stdin", "stdout")  # fmt: skip
    for _ in range(50):
        session.say(3, bytes(20_000))
    assert gather(session)[0][5] == b"1000000\n" + bytes(1_000_000)


def test_a_terminal_follows_the_client(pod_room, talker):
    """Sizes come on a stream of their own."""
    command = ["sh", "-c", "stty size; read x; stty size"]
    session = start(pod_room, talker, command, "error", "stdin", "stdout", "resize", tty="1")
    frames = session.frames()
    assert b"\r\n" in next(data for kind, _, data, _ in frames if kind == "data")
    session.say(7, b'{"Width":100,"Height":40}\n')
    session.ping(1)
    assert any(kind == "ping" for kind, *_ in frames)
    session.say(3, b"\n")
    assert gather(session)[0][5].endswith(b"40 100\r\n")


def test_questions_and_wrong_numbers(pod_room, talker):
    """A client's question is answered, a server's is not; numbers that are even or not new are refused."""
    session = start(pod_room, talker, ["cat"], "error", "stdin", "stdout")
    session.ping(2)
    session.open(4, {"streamtype": "x"})
    session.open(5, {"streamtype": "x"})
    session.say(99, b"x")
    session.reset(77)
    session.ping(7)
    seen = []
    for kind, number, data, _ in session.frames():
        seen.append((kind, number, data))
        if {("ping", 7, b""), ("reset", 4, b"\0\0\0\1"), ("reset", 5, b"\0\0\0\1")} <= set(seen):
            break
    assert ("ping", 2, b"") not in seen
    session.say(3, b"x", is_last=True)
    assert gather(session)[0][5] == b"x"


def test_a_client_that_leaves_ends_its_session(pod_room, talker):
    """After GOAWAY nothing comes."""
    session = start(pod_room, talker, ["cat"], "error", "stdin", "stdout")
    replies = [kind for kind, *_ in (next(session.frames()) for _ in range(3))]
    session.leave()
    assert (replies, session.is_over()) == (["reply"] * 3, True)


def test_an_attached_client(pod_room, talker):
    """It hears what is written from now on; what it hears ends with its own words."""
    path = pod_room.path("pods", talker, "attach")
    session = stream(pod_room.api, path, V4, container="parrot", stdin="1", stdout="1")
    for number, kind in enumerate(("error", "stdin", "stdout")):
        session.open(2 * number + 1, {"streamtype": kind})
    session.say(3, b"hello\n")
    assert next(data for kind, _, data, _ in session.frames() if kind == "data") == b"hello\n"
    session.say(3, b"", is_last=True)
    said, ends, resets, _ = gather(session)
    assert (json.loads(said[1]), ends, resets) == (SUCCESS, [5], {1, 3})


def connect(session, first, number, port=8080):
    """Open the pair of streams of a connection; the error's is `first`."""
    for kind, stream_ in (("error", first), ("data", first + 2)):
        session.open(stream_, {"streamtype": kind, "port": str(port), "requestid": str(number)})


def test_ports_side_by_side(pod_room, talker):
    """Each connection has a pair of streams and ends by itself; one that can not be made says why."""
    session = stream(pod_room.api, pod_room.path("pods", talker, "portforward"), FORWARD)
    connect(session, 1, 0)
    connect(session, 5, 1)
    connect(session, 9, 2, port=9)
    session.say(3, b"one")
    session.say(7, b"two")
    said, ended_, asked = {}, set(), False
    for kind, number, data, is_last in session.frames():
        if kind == "data":
            said[number] = said.get(number, b"") + data
            ended_ |= {number} if is_last else set()
        if (said.get(3), said.get(7)) == (b"ONE", b"TWO") and ended_ >= {9, 11}:
            if not asked:
                session.say(3, b"", is_last=True)
                session.reset(7)
                asked = True
            if ended_ == {1, 3, 5, 9, 11} or ended_ == {1, 3, 5, 7, 9, 11}:
                break
    assert said[9].startswith(b"error forwarding port 9 to pod ")
    assert b"connection refused" in said[9]
    assert (said[1], said[5]) == (b"", b"")


def test_streams_that_are_no_ports(pod_room, talker):
    """Each is given up, and the session goes on."""
    session = stream(pod_room.api, pod_room.path("pods", talker, "portforward"), FORWARD)
    wrong = [{}, {"port": "0"}, {"port": "70000"}, {"port": "x"}, {"port": "80", "streamtype": "x"}]
    for number, headers in enumerate(wrong):
        session.open(2 * number + 1, {"streamtype": "data"} | headers)
    frames = session.frames()
    assert {next(frames)[:3] for _ in wrong} == {("reset", 2 * each + 1, b"\0\0\0\5") for each in range(5)}
    connect(session, 11, 0)
    session.say(13, b"on")
    assert next(data for kind, number, data, _ in frames if (kind, number) == ("data", 13)) == b"ON"


@pytest.mark.parametrize(
    ("verbs", "method", "missing"),
    [(["create"], "POST", None), (["create"], "GET", "get"), (["get"], "GET", "create"), (["get"], "POST", "create"), (["get", "create"], "GET", None)],
)  # fmt: skip
@pytest.mark.parametrize("sub", ["exec", "attach", "portforward"])
def test_who_may(pod_room, talker, name, sub, verbs, method, missing):
    """POST is `create`; GET is `get` and `create` both, and why not the second is not said."""
    rules = [{"apiGroups": [""], "resources": [f"pods/{sub}"], "verbs": verbs}]
    pod_room.make("roles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": subject["apiGroup"], "kind": "Role", "name": name}
    pod_room.make("rolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
    review = {"spec": {"user": name, "resourceAttributes": {"namespace": pod_room.name, "verb": verbs[0], "resource": "pods", "subresource": sub}}}  # fmt: skip
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert any(pod_room.api.post(path, review).ok["status"]["allowed"] for _ in range(200))
    asked = {"container": "parrot", "command": "true", "stdout": "1"}
    found = stream(
        pod_room.api, pod_room.path("pods", talker, sub), V4, FORWARD, method=method,
        headers={"Impersonate-User": name}, **asked,
    )  # fmt: skip
    assert found.status == (101 if missing is None else 403)
    if missing is not None:
        why = f'User "{name}" cannot {missing} resource "pods/{sub}" in API group "" in the namespace "{pod_room.name}"'
        text = f'pods "{talker}" is forbidden: ' + ("" if (method, missing) == ("GET", "create") else why)
        assert found.answer.error == (403, "Forbidden", text)
