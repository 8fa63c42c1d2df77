"""Logs and exec."""

import json
import re
import ssl
from urllib.parse import urlencode

import pytest
import websocket
from rig.objects import container, nowhere, pod


@pytest.fixture(scope="module")
def talker(pod_room):
    """A pod that has said three lines and ended."""
    pod_room.make(
        "pods",
        pod("talker", container(pod_room.image, "echo one; echo two; echo three >&2"), restartPolicy="Never"),
    )
    pod_room.until("pods", "talker", lambda each: each["status"]["phase"] == "Succeeded")
    return "talker"


@pytest.fixture(scope="module")
def runner(pod_room):
    """A pod that runs, of one container."""
    pod_room.make("pods", pod("runner", container(pod_room.image), terminationGracePeriodSeconds=0))
    pod_room.until(
        "pods",
        "runner",
        lambda each: any(one["ready"] for one in each["status"].get("containerStatuses", [])),
    )
    return "runner"


@pytest.fixture(scope="module")
def pair(pod_room):
    """A pod of two containers that have ended."""
    pod_room.make(
        "pods",
        pod(
            "pair",
            container(pod_room.image, "echo a", name="a"),
            container(pod_room.image, "echo b", name="b"),
            restartPolicy="Never",
        ),
    )
    pod_room.until("pods", "pair", lambda each: each["status"]["phase"] == "Succeeded")
    return "pair"


def log(room, name, **query):
    """The answer to a request for a log."""
    return room.get("pods", name, "log", **query)


def test_a_log(pod_room, talker):
    """What both streams said, as text."""
    answer = log(pod_room, talker)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain")
    assert sorted(answer.text.splitlines()) == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("query", "lines"),
    [({"tailLines": 1}, 1), ({"tailLines": 0}, 0), ({"tailLines": 99}, 3), ({"sinceSeconds": 10000}, 3)],
    ids=["one", "none", "many", "since"],
)
def test_parts_of_a_log(pod_room, talker, query, lines):
    """The end of a log, or what is not too old."""
    assert len(log(pod_room, talker, **query).text.splitlines()) == lines


def test_the_first_bytes(pod_room, talker):
    """limitBytes cuts; either stream may have been read first."""
    assert log(pod_room, talker, limitBytes=2).text in ("on", "th")


def test_timestamps(pod_room, talker):
    """Each line can have its instant."""
    line = log(pod_room, talker, timestamps="true").text.splitlines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (one|three)", line)


def test_since_a_time(pod_room, talker):
    """sinceTime leaves out what is older."""
    assert log(pod_room, talker, sinceTime="2099-01-01T00:00:00Z").text == ""


def test_following_ends(pod_room, talker):
    """To follow a log of what has ended ends."""
    assert len(log(pod_room, talker, follow="true").text.splitlines()) == 3


def test_a_container_has_to_be_named(pod_room, pair):
    """Of several containers one has to be chosen."""
    text = f"a container name must be specified for pod {pair}, choose one of: [a b]"
    assert log(pod_room, pair).error == (400, "BadRequest", text)
    assert log(pod_room, pair, container="b").text == "b\n"


def test_a_container_that_is_not_there(pod_room, talker):
    """A name that no container has is refused."""
    assert log(pod_room, talker, container="x").error == (
        400,
        "BadRequest",
        f"container x is not valid for pod {talker}",
    )


def test_a_pod_that_is_not_there(pod_room):
    """There is no log of nobody."""
    assert log(pod_room, "nobody").error == (404, "NotFound", 'pods "nobody" not found')


def test_a_pod_on_no_node(pod_room, name):
    """A pod that is on no node has an empty log."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"))))
    answer = log(pod_room, name)
    assert (answer.status, answer.text) == (204, "")


def test_a_container_that_waits(pod_room, name):
    """There is no log of a container that has not started, and why is said."""
    pod_room.make("pods", pod(name, container("localhost:1/no-such:image", imagePullPolicy="Never")))
    pod_room.until(
        "pods",
        name,
        lambda each: any(
            "waiting" in one["state"] and one["state"]["waiting"]["reason"] == "ErrImageNeverPull"
            for one in each["status"].get("containerStatuses", [])
        ),
    )
    text = f'container "main" in pod "{name}" is waiting to start: ErrImageNeverPull'
    assert log(pod_room, name).error == (400, "BadRequest", text)


def test_no_previous_log(pod_room, talker):
    """There is no log of a start before the first."""
    text = f'previous terminated container "main" in pod "{talker}" not found'
    assert log(pod_room, talker, previous="true").error == (400, "BadRequest", text)


def test_the_previous_log(pod_room, name):
    """The log of the start before can be had."""
    pod_room.make("pods", pod(name, container(pod_room.image, "echo last words; exit 1")))
    pod_room.until(
        "pods",
        name,
        lambda each: any(one["restartCount"] for one in each["status"].get("containerStatuses", [])),
    )
    assert log(pod_room, name, previous="true").text == "last words\n"


@pytest.mark.parametrize(("query", "text"), [
    ({"tailLines": -1}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
    ({"limitBytes": 0}, "limitBytes: Invalid value: 0: must be greater than 0"),
    ({"sinceSeconds": 0}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
    ({"sinceSeconds": 1, "sinceTime": "2020-01-01T00:00:00Z"}, "at most one of `sinceTime` or `sinceSeconds` may be specified"),
], ids=["tail", "limit", "since", "both"])  # fmt: skip
def test_options_that_do_not_go(pod_room, talker, query, text):
    """Options of a log are checked."""
    answer = log(pod_room, talker, **query)
    assert answer.error[:2] == (422, "Invalid")
    assert text in answer.error[2]


class Session:
    """A command in a container, over a WebSocket: what its channels said, and its end."""

    def __init__(self, room, name, *command, protocol="v5.channel.k8s.io", stdin=None, **query):
        asked = [("command", each) for each in command] + [(key, str(value)) for key, value in query.items()]
        asked += [("stdout", "true"), ("stderr", "true")] + ([("stdin", "true")] if stdin is not None else [])
        settings = room.api.configuration
        tls = {"ca_certs": settings.ssl_ca_cert, "certfile": settings.cert_file, "keyfile": settings.key_file}
        if not settings.verify_ssl:
            tls["cert_reqs"] = ssl.CERT_NONE
        socket = websocket.create_connection(
            room.api.url.replace("https", "wss") + room.path("pods", name, "exec") + "?" + urlencode(asked),
            subprotocols=[protocol], header=[f"{key}: {value}" for key, value in room.api.headers.items()],
            sslopt=tls, timeout=room.api.patience_s, suppress_origin=True,
        )  # fmt: skip
        self.protocol = socket.getsubprotocol()
        if stdin is not None:
            socket.send_binary(b"\0" + stdin)
            if self.protocol == "v5.channel.k8s.io":
                socket.send_binary(b"\xff\0")
        self.channels = {}
        while True:
            code, data = socket.recv_data()
            if code == websocket.ABNF.OPCODE_CLOSE:
                break
            if len(data) > 1:
                self.channels[data[0]] = self.channels.get(data[0], b"") + data[1:]
        socket.close()
        self.status = json.loads(self.channels[3])


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_a_command(pod_room, runner, protocol):
    """A command's streams have channels, and its end is a Status on the third."""
    done = Session(pod_room, runner, "sh", "-c", "echo out; echo err >&2", protocol=protocol)
    assert (done.protocol, done.channels[1], done.channels[2]) == (protocol, b"out\n", b"err\n")
    assert done.status == {"metadata": {}, "status": "Success"}


def test_a_command_that_fails(pod_room, runner):
    """A code that is not 0 is a Failure with the code."""
    assert Session(pod_room, runner, "sh", "-c", "exit 3").status == {
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: command terminated with exit code 3",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }  # fmt: skip


def test_a_command_that_reads(pod_room, runner):
    """A command reads from channel 0 until that is closed."""
    done = Session(pod_room, runner, "cat", stdin=b"hello\n")
    assert (done.channels[1], done.status["status"]) == (b"hello\n", "Success")


def test_a_command_sees_the_container(pod_room, runner):
    """A command has the variables of its container."""
    assert Session(pod_room, runner, "sh", "-c", "echo $HOSTNAME").channels[1] == b"runner\n"


def test_a_command_that_is_not_there(pod_room, runner):
    """A command that can not be started is a failure."""
    status = Session(pod_room, runner, "/no/such/program").status
    assert status["status"] == "Failure"
    assert "no such file or directory" in status["message"]


def test_no_upgrade(pod_room, runner):
    """exec is a stream: a plain request is refused."""
    answer = pod_room.api.get(pod_room.path("pods", runner, "exec"), command="true", stdout="true")
    assert answer.error == (400, "BadRequest", "Upgrade request required")


def test_exec_in_nobody(pod_room):
    """Nobody runs no commands."""
    answer = pod_room.api.get(pod_room.path("pods", "nobody", "exec"), command="true", stdout="true")
    assert answer.error == (404, "NotFound", 'pods "nobody" not found')
