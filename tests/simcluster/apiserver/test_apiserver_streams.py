"""Logs and commands in containers over HTTP."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from typing import Any

import aiohttp
import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.stream
import kubernetes.watch
import orjson
import pytest
from api_process import Plain, Running, pod

from simcluster.apiserver.channels import V4, V5


def test_logs_are_what_the_kubelet_gives(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """With every option passed on."""
    cluster.node.lines = [b"one\n", b"two\n"]

    assert core.read_namespaced_pod_log(bound_pod, namespace) == "one\ntwo\n"
    core.read_namespaced_pod_log(
        bound_pod, namespace, tail_lines=1, since_seconds=5, timestamps=True, limit_bytes=9, previous=True
    )
    assert cluster.node.asked == {
        "namespace": namespace,
        "pod": "p",
        "container": "c",
        "follow": False,
        "previous": True,
        "since_s": 5,
        "since_at": None,
        "tail_lines": 1,
        "timestamps": True,
        "limit_bytes": 9,
    }


def test_followed_logs_come_as_they_are_written(
    cluster: Running, plain: Plain, namespace: str, bound_pod: str
) -> None:
    """A line written later reaches a client that waits."""
    cluster.node.lines = [b"one\n"]
    answer = plain.open("GET", f"/api/v1/namespaces/{namespace}/pods/{bound_pod}/log?follow=true")
    assert answer.readline() == b"one\n"
    cluster.node.lines.append(b"two\n")
    cluster.call(cluster.node.more.set)
    assert answer.readline() == b"two\n"
    answer.close()


def test_which_container_is_meant_must_be_clear(plain: Plain, namespace: str) -> None:
    """The real texts; the annotation for it is for clients, not for the server."""
    two = pod("two", initContainers=[{"name": "i", "image": "i"}])
    two["spec"]["containers"].append({"name": "d", "image": "i"})
    two["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "d"}
    path = f"/api/v1/namespaces/{namespace}/pods"
    plain.ask("POST", path, two)
    unclear = "a container name must be specified for pod two, choose one of: [i c d]"

    assert plain.ask("GET", f"{path}/two/log")[1]["message"] == unclear
    assert plain.ask("GET", f"{path}/two/exec?command=ls&stdout=1")[1]["message"] == unclear
    invalid = plain.ask("GET", f"{path}/two/log?container=x")[1]["message"]
    assert invalid == "container x is not valid for pod two"
    assert plain.ask("GET", f"{path}/two/log?container=d")[0] == 204
    unbound = plain.ask("GET", f"{path}/two/exec?command=ls&stdout=1&container=d")[1]["message"]
    assert unbound == "pod two does not have a host assigned"


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("stream=Stdout", 422, "stream: Forbidden: may not be specified"),
        (
            "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            422,
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ("sinceSeconds=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("sinceTime=x", 400, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
    ],
)
def test_what_a_log_can_not_be_asked_for(
    plain: Plain, namespace: str, bound_pod: str, query: str, code: int, message: str
) -> None:
    """As kube-apiserver v1.36.3 words it."""
    got, status = plain.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{bound_pod}/log?{query}")

    prefix = 'PodLogOptions "p" is invalid: ' if code == 422 else ""
    assert (got, status["message"]) == (code, prefix + message)


def run(core: kubernetes.client.CoreV1Api, namespace: str, *command: str, **more: Any) -> Any:
    options = {"stderr": True, "stdin": False, "stdout": True, "tty": False} | more
    return kubernetes.stream.stream(
        core.connect_get_namespaced_pod_exec, "p", namespace, command=list(command), **options
    )


def test_commands_run_with_output_and_exit_code(
    core: kubernetes.client.CoreV1Api, namespace: str, bound_pod: str
) -> None:
    """Both streams apart, and how it ended, through the client's WebSocket."""
    session = run(core, namespace, "sh", "-c", "echo out; echo err >&2; exit 3", _preload_content=False)
    session.run_forever(timeout=10)

    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)
    fine = run(core, namespace, "true", _preload_content=False)
    fine.run_forever(timeout=10)
    assert fine.returncode == 0


def test_a_command_is_given_its_input(
    core: kubernetes.client.CoreV1Api, namespace: str, bound_pod: str
) -> None:
    """What the client writes the command reads."""
    session = run(core, namespace, "head", "-n", "1", stdin=True, _preload_content=False)
    session.write_stdin("hello\n")
    session.run_forever(timeout=10)

    assert session.read_stdout() == "hello\n"


def test_a_command_ends_with_its_client(
    core: kubernetes.client.CoreV1Api, cluster: Running, namespace: str, bound_pod: str
) -> None:
    """A client that closes its connection leaves no process behind."""
    session = run(core, namespace, "sleep", "600", _preload_content=False)
    process = cluster.node.commands[-1]._process
    session.close()
    ended = asyncio.run_coroutine_threadsafe(process.wait(), cluster.loop).result(10)

    assert ended == -9


def test_a_command_needs_a_websocket(plain: Plain, namespace: str, bound_pod: str) -> None:
    """400 with the real text, for every subresource that upgrades; other methods are none."""
    for sub in ("exec?command=ls&stdout=1", "attach?stdout=1", "portforward?ports=80"):
        path = f"/api/v1/namespaces/{namespace}/pods/p/{sub}"
        for method in ("GET", "POST"):
            code, status = plain.ask(method, path)
            assert (code, status["message"]) == (400, "Upgrade request required")
        assert plain.ask("PUT", path)[0] == 405


def talk(
    cluster: Running, path: str, protocols: tuple[str, ...], *sent: bytes | str
) -> tuple[str | None, list[bytes | str], int | None]:
    """Open a WebSocket, send, and listen to its end: the protocol, what came, the code of the closing."""

    async def run() -> tuple[str | None, list[bytes | str], int | None]:
        context = Plain(cluster).context
        url = f"https://127.0.0.1:{cluster.server.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, protocols=protocols, ssl=context) as socket,
        ):
            for each in sent:
                await (socket.send_str(each) if isinstance(each, str) else socket.send_bytes(each))
            return socket.protocol, [each.data async for each in socket], socket.close_code

    return asyncio.run(asyncio.wait_for(run(), 20))


SUCCESS = b'{"metadata":{},"status":"Success"}'


@pytest.mark.parametrize(
    ("protocols", "spoken", "came"),
    [
        (("v5.channel.k8s.io",), "v5.channel.k8s.io", [b"\x01", b"\x01hi\n", b"\x03" + SUCCESS]),
        (("x", "v4.channel.k8s.io"), "v4.channel.k8s.io", [b"\x01", b"\x01hi\n", b"\x03" + SUCCESS]),
        (
            ("v4.base64.channel.k8s.io",),
            "v4.base64.channel.k8s.io",
            ["1", "1aGkK", "3" + base64.b64encode(SUCCESS).decode()],
        ),
        (("base64.channel.k8s.io",), "base64.channel.k8s.io", ["1", "1aGkK"]),
        (("channel.k8s.io",), "channel.k8s.io", [b"\x01", b"\x01hi\n"]),
        ((), None, [b"\x01", b"\x01hi\n"]),
    ],
)
def test_every_subprotocol_of_a_real_server_is_spoken(
    cluster: Running,
    namespace: str,
    bound_pod: str,
    protocols: tuple[str, ...],
    spoken: str | None,
    came: list[bytes | str],
) -> None:
    """Frame by frame as v1.36.3 sends them: an empty one first, the Status last where the protocol has one."""
    path = f"/api/v1/namespaces/{namespace}/pods/p/exec?stdout=1&command=echo&command=hi"

    assert talk(cluster, path, protocols) == (spoken, came, 1000)


def test_how_a_command_failed_is_said_as_the_protocol_has_it(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """v5 and v4 word the exit differently; before v4 there is only text."""
    path = f"/api/v1/namespaces/{namespace}/pods/p/exec?stdout=1&command=false"
    said = "command terminated with non-zero exit code: "
    statuses = [orjson.loads(talk(cluster, path, (each,))[1][-1][1:]) for each in (V5, V4)]

    assert [each["message"] for each in statuses] == [
        f"{said}command terminated with exit code 1",
        f"{said}error executing command [false], exit code 1",
    ]
    assert statuses[0] | {"message": ""} == {
        "metadata": {},
        "status": "Failure",
        "message": "",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "1"}]},
    }
    text = talk(cluster, path, ("channel.k8s.io",))[1][-1]
    assert text == b"\x03" + f"{said}error executing command [false], exit code 1".encode()


def test_input_ends_when_the_client_says_so(cluster: Running, namespace: str, bound_pod: str) -> None:
    """255 and the channel, in v5; `cat` then ends by itself."""
    path = f"/api/v1/namespaces/{namespace}/pods/p/exec?stdin=1&stdout=1&command=cat"
    _, came, _ = talk(cluster, path, (V5,), b"\x00hello", b"\xff\x00")

    assert came == [b"\x01", b"\x01hello", b"\x03" + SUCCESS]


def test_sizes_of_the_terminal_reach_the_command(cluster: Running, namespace: str, bound_pod: str) -> None:
    """Also in pieces; what is no size is passed over."""
    path = f"/api/v1/namespaces/{namespace}/pods/p/exec?stdin=1&stdout=1&tty=1&command=cat"
    sizes = (b'{"Width":80,"Hei', b'ght":24}{"Width":1', b',"Height":2}', b'{"Width":0,"Height":2}', b"}}{]")
    talk(cluster, path, (V5,), *(b"\x04" + each for each in sizes), b"\xff\x00")

    assert cluster.node.commands[-1].sizes == [(80, 24), (1, 2)]


@pytest.mark.parametrize("sub", ["exec?stdout=1&command=ls", "attach?stdout=1", "portforward?ports=80"])
def test_an_unknown_subprotocol_is_refused_before_the_upgrade(
    cluster: Running, namespace: str, bound_pod: str, sub: str
) -> None:
    """403 without a word, as the WebSocket library of a real server has it."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        talk(cluster, f"/api/v1/namespaces/{namespace}/pods/p/{sub}", ("v3.channel.k8s.io",))

    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("query", "code"), [("", 400), ("?ports=x", 400), ("?ports=0", 400), ("?ports=70000", 400)]
)
def test_ports_must_be_ports(cluster: Running, namespace: str, bound_pod: str, query: str, code: int) -> None:
    """400 before the upgrade."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        talk(cluster, f"/api/v1/namespaces/{namespace}/pods/p/portforward{query}", (V4,))

    assert caught.value.status == code


def test_a_port_where_nobody_listens_is_told_on_its_error_channel(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """The port first on both channels, then why; the other port of the same request goes on."""
    with socket.socket() as holder, socket.create_server(("127.0.0.1", 0)) as server:
        holder.bind(("127.0.0.1", 0))
        closed, open_ = holder.getsockname()[1], server.getsockname()[1]
        greeter = threading.Thread(target=lambda: greet(server))
        greeter.start()
        path = f"/api/v1/namespaces/{namespace}/pods/p/portforward?ports={closed}&ports={open_}"
        _, came, _ = talk(cluster, path, (V4,), b"\x02hello")
        greeter.join()

    assert came[:4] == [
        bytes([channel]) + port.to_bytes(2, "little")
        for channel, port in enumerate((closed, closed, open_, open_))
    ]
    rest = sorted(each for each in came[4:] if isinstance(each, bytes))
    assert rest[0].startswith(f"\x01error forwarding port {closed} to pod ".encode())
    assert rest[0].endswith(f"failed to connect to p:{closed}: connection refused".encode())
    assert rest[1:] == [b"\x02HELLO"]


def greet(server: socket.socket) -> None:
    """Answer one connection."""
    connection, _ = server.accept()
    with connection:
        connection.sendall(connection.recv(100).upper())
