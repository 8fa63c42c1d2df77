"""Commands and port-forwards over plain SPDY, frame by frame: what ends them, and what holds one of them up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from api_process import Plain, Running

from simcluster.apiserver.spdy import Answered, Data, Frame, GoAway, Opened, Reader, Reset, Writer

V4, V1 = "v4.channel.k8s.io", "channel.k8s.io"


def ask(path: str, protocol: str) -> bytes:
    """A request for an upgrade."""
    lines = f"POST {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1"
    return "\r\n".join((*lines, f"X-Stream-Protocol-Version: {protocol}", "", "")).encode()


class Client:
    """A connection that was upgraded to SPDY."""

    def __init__(self, cluster: Running, path: str, protocol: str) -> None:
        plain = Plain(cluster)
        made = socket.create_connection(("127.0.0.1", plain.port), timeout=20)
        self.socket = plain.context.wrap_socket(made, server_hostname="127.0.0.1")
        self._writer, self._reader = Writer(), Reader()
        lines = f"POST {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1"
        self.socket.sendall("\r\n".join((*lines, f"X-Stream-Protocol-Version: {protocol}", "", "")).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, *frames: Frame) -> None:
        self.socket.sendall(b"".join(self._writer.write(frame) for frame in frames))

    def frames(self) -> Iterator[Frame]:
        """What comes until the connection ends."""
        while data := self.socket.recv(65536):
            yield from self._reader.feed(data)


def command(cluster: Running, namespace: str, *argv: str, protocol: str = V4, **wanted: str) -> Client:
    """A command, with the streams of `wanted` asked for and not opened yet."""
    query = "&".join([*(f"command={each}" for each in argv), *(f"{key}=1" for key in wanted)])
    return Client(cluster, f"/api/v1/namespaces/{namespace}/pods/p/exec?{query}", protocol)


def open_all(*types: str) -> list[Frame]:
    return [Opened(2 * number + 1, {"streamtype": each}) for number, each in enumerate(types)]


def last_process(cluster: Running) -> asyncio.subprocess.Process:
    return cluster.node.commands[-1]._process


def test_what_comes_before_the_last_stream_is_not_lost(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """Input may be sent, and ended, while other streams are still to be opened; header names have no case."""
    client = command(cluster, namespace, "cat", stdin="", stdout="")
    client.send(Opened(1, {"StreamType": "stdin"}), Data(1, b"early"), Data(1, b"", is_last=True))
    client.send(Opened(3, {"streamtype": "error"}), Opened(5, {"streamtype": "stdout"}))

    assert list(client.frames()) == [
        Answered(1, {}), Answered(3, {}), Answered(5, {}),
        Data(5, b"early"), Data(5, b"", is_last=True), Data(3, b'{"metadata":{},"status":"Success"}'),
        Reset(1, 5), Reset(3, 5), GoAway(5),
    ]  # fmt: skip


def test_a_stream_that_begins_with_its_end_is_no_input(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """A command that reads from it ends."""
    client = command(cluster, namespace, "cat", stdin="", stdout="")
    client.send(
        *open_all("error", "stdout"),
        Data(3, b"", is_last=True),
        Opened(5, {"streamtype": "stdin"}, is_last=True),
    )

    assert Data(1, b'{"metadata":{},"status":"Success"}') in client.frames()


def test_the_oldest_version_ends_its_input_at_once(cluster: Running, namespace: str, bound_pod: str) -> None:
    """Its error stream is given up before the command starts; what it then says is text."""
    client = command(cluster, namespace, "false", protocol=V1, stdin="", stdout="")
    client.send(*open_all("error", "stdin", "stdout"))
    text = b"command terminated with non-zero exit code: error executing command [false], exit code 1"

    assert list(client.frames())[3:] == [
        Data(3, b"", is_last=True), Reset(1, 5), Data(5, b"", is_last=True), Data(1, text), GoAway(5),
    ]  # fmt: skip


def test_sizes_reach_the_terminal_in_whatever_pieces(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """A stream of JSON, as over a WebSocket."""
    client = command(cluster, namespace, "cat", stdin="", stdout="", tty="")
    client.send(*open_all("error", "stdin", "stdout", "resize"))
    client.send(Data(7, b'{"Width":80,"Hei'), Data(7, b'ght":24}'), Data(3, b"", is_last=True))
    list(client.frames())

    assert cluster.node.commands[-1].sizes == [(80, 24)]


def list_connections(cluster: Running) -> list[object]:
    """What the server holds for one."""
    runner = cluster.server._runner
    assert runner is not None
    assert runner.server is not None
    return runner.server.connections


@pytest.mark.parametrize("way", ["goaway", "close", "noise", "noise below TLS"])
def test_a_command_ends_with_its_client(
    cluster: Running, namespace: str, bound_pod: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However that goes, it leaves no process, no connection and nothing to complain of."""
    others = cluster.call(list_connections, cluster)
    client = command(cluster, namespace, "sh", "-c", "echo%20x;exec%20sleep%20600", stdout="")
    client.send(*open_all("error", "stdout"))
    assert Data(3, b"x\n") in client.frames()
    process = last_process(cluster)
    if way == "goaway":
        client.send(GoAway(0))
    elif way == "noise":
        client.socket.sendall(b"\x80\x02\x00\x06\x00\x00\x00\x04abcd")
    elif way == "close":
        client.socket.close()
    else:
        socket.socket.send(client.socket, bytes(100))

    assert asyncio.run_coroutine_threadsafe(process.wait(), cluster.loop).result(10) == -9
    client.socket.close()
    deadline = time.monotonic() + 10
    while left := [each for each in cluster.call(list_connections, cluster) if each not in others]:
        assert time.monotonic() < deadline, left
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_no_command_is_run_for_a_client_that_opens_too_few_streams(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """A client that goes before that has started nothing."""
    started = len(cluster.node.commands)
    client = command(cluster, namespace, "cat", stdin="", stdout="")
    client.send(*open_all("error", "stdout"), GoAway(0))
    list(client.frames())

    assert len(cluster.node.commands) == started


def pair(first: int, port: int) -> tuple[Frame, Frame]:
    """The streams of a connection: the error's is `first`, the data's two more."""
    headers = {"port": str(port), "requestID": str(first)}
    return Opened(first, headers | {"streamtype": "error"}), Opened(
        first + 2, headers | {"streamtype": "data"}
    )


def test_a_pod_that_reads_nothing_and_ends_holds_nobody_up(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """What the client still sends to it is dropped, and another connection of the session goes on."""
    is_held_up = threading.Event()

    def serve(server: socket.socket) -> None:
        deaf, _ = server.accept()
        is_held_up.wait(20)
        deaf.shutdown(socket.SHUT_WR)
        other, _ = server.accept()
        with deaf, other:
            other.sendall(other.recv(100).upper())

    async def talk(port: int) -> list[Frame]:
        tls = Plain(cluster).context
        reader, writer = await asyncio.open_connection("127.0.0.1", cluster.server.port, ssl=tls)
        writer.write(ask(f"/api/v1/namespaces/{namespace}/pods/p/portforward", "portforward.k8s.io"))
        await reader.readuntil(b"\r\n\r\n")
        packing, unpacking, frames = Writer(), Reader(), []
        # More than the pod's socket and the server keep; the rest waits in the connection.
        writer.write(b"".join(map(packing.write, pair(1, port))))

        async def fill() -> None:
            while True:
                writer.write(packing.write(Data(3, bytes(65536))))
                await asyncio.wait_for(writer.drain(), 1)

        with pytest.raises(TimeoutError):
            await fill()
        is_held_up.set()
        writer.write(b"".join(map(packing.write, (*pair(5, port), Data(7, b"hello")))))
        while Data(7, b"HELLO") not in frames:
            frames += unpacking.feed(await reader.read(65536))
        writer.close()
        return frames

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve, args=(server,))
        serving.start()
        frames = asyncio.run(asyncio.wait_for(talk(server.getsockname()[1]), 30))
        serving.join(20)

    assert Data(3, b"", is_last=True) in frames


def test_a_stream_that_is_given_up_ends_its_connection(
    cluster: Running, namespace: str, bound_pod: str
) -> None:
    """The pod sees the end, and the client that nothing went wrong."""
    client = Client(cluster, f"/api/v1/namespaces/{namespace}/pods/p/portforward", "portforward.k8s.io")
    with socket.create_server(("127.0.0.1", 0)) as server:
        client.send(*pair(1, server.getsockname()[1]))
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            client.send(Data(3, b"x"))
            assert connection.recv(10) == b"x"
            client.send(Reset(3, 5))
            assert connection.recv(10) == b""
    frames = client.frames()

    assert [next(frames) for _ in range(3)] == [Answered(1, {}), Answered(3, {}), Data(1, b"", is_last=True)]
