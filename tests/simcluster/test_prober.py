"""Probes: thresholds in instant time, and each kind against real servers, well and unwell."""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.certificates import Authority
from simcluster.kubelet.prober import Schedule, Tally, count, probe
from simcluster.kubelet.probes import Outcome, Target, run

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def no_command(argv: list[str], timeout_s: float) -> tuple[int, str]:
    raise AssertionError("no command is probed here")


def target(address: str = "127.0.0.1", execute: Any = no_command, **container: Any) -> Target:
    return Target(address, {"name": "c"} | container, execute, "1.36")


# --- Counting


def test_defaults_are_the_apis() -> None:
    """An empty probe has the documented numbers; zeros mean defaults, too."""
    assert Schedule.of({}) == Schedule(0, 1, 10, 1, 3)
    assert Schedule.of({"periodSeconds": 0, "failureThreshold": 5}) == Schedule(0, 1, 10, 1, 5)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_results_count_in_rows_only(results: list[bool], success: int, failure: int) -> None:
    """For any history: what is known is the last kind of result that came often enough in a row."""
    schedule = Schedule(0, 1, 1, success, failure)
    tally, known = Tally.initial("readiness"), False
    for number, result in enumerate(results):
        tally = count(tally, schedule, is_success=result)
        needed = success if result else failure
        row = results[max(0, number + 1 - needed) : number + 1]
        if len(row) == needed and set(row) == {result}:
            known = result
        assert tally.is_well == known


def probing(
    results: str, kind: Any, schedule: Schedule, seconds: float, again_s: float = 0.0
) -> tuple[list[tuple[float, bool]], list[float]]:
    """When a change was told and when was probed, on a clock that jumps; of `results` (+, -) the last repeats."""
    changes: list[tuple[float, bool]] = []
    probed: list[float] = []
    loop = _JumpingLoop()

    async def check(timeout_s: float) -> Outcome:
        probed.append(loop.time())
        return Outcome(results[min(len(probed), len(results)) - 1] == "+", "unwell")

    async def scenario() -> None:
        def change(is_well: bool) -> None:
            changes.append((loop.time(), is_well))

        task = asyncio.ensure_future(
            probe(kind, schedule, check, change, lambda message: None, again_s=again_s)
        )
        await asyncio.wait({task}, timeout=seconds)
        task.cancel()

    loop.run_until_complete(scenario())
    loop.close()
    return changes, probed


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes on only when there is nothing to do: to the next timer, at once."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def test_readiness_follows_results() -> None:
    """Ready at the first success, unready at the third failure in a row, probed each period."""
    changes, probed = probing("-++---+", "readiness", Schedule(0, 1, 10, 1, 3), 65)
    assert changes == [(10, True), (50, False), (60, True)]
    assert probed == [0, 10, 20, 30, 40, 50, 60]


def test_initial_delay_ends_at_a_tick() -> None:
    """The kubelet's ticker runs from the start: with delay 5 and period 10, the first probe is at 10."""
    assert probing("+", "readiness", Schedule(5, 1, 10, 1, 3), 25)[1] == [10, 20]
    assert probing("+", "readiness", Schedule(10, 1, 5, 1, 3), 17)[1] == [10, 15]


def test_readiness_of_a_new_container_is_asked_out_of_turn() -> None:
    """As measured on a real kubelet: at 0, 1 and 2, then each period; not once it is ready, nor for another kind."""
    schedule = Schedule(0, 1, 10, 1, 3)
    assert probing("-", "readiness", schedule, 35, again_s=1)[1] == [0, 1, 2, 12, 22, 32]
    assert probing("-+", "readiness", schedule, 35, again_s=1)[1] == [0, 1, 11, 21, 31]
    assert probing("+", "readiness", schedule, 35, again_s=1)[1] == [0, 10, 20, 30]
    assert probing("-", "startup", schedule, 25, again_s=1)[1] == [0, 10, 20]
    assert probing("+", "readiness", Schedule(5, 1, 10, 1, 3), 25, again_s=1)[1] == [12, 22]


def test_liveness_and_startup_are_settled_once() -> None:
    """A liveness failure and a startup result end the probing; a live container is told of nothing."""
    assert probing("+---", "liveness", Schedule(0, 1, 10, 1, 3), 100) == ([(30, False)], [0, 10, 20, 30])
    assert probing("-+", "startup", Schedule(0, 1, 10, 1, 3), 100) == ([(10, True)], [0, 10])
    assert probing("---", "startup", Schedule(0, 1, 10, 1, 3), 100)[0] == [(20, False)]


# --- The kinds


def checking(action: dict[str, Any], where: Target, timeout_s: float = 5.0) -> Outcome:
    return asyncio.run(run(action, where, timeout_s))


@pytest.mark.parametrize(
    ("status", "service", "outcome"),
    [
        (SERVING, None, Outcome(True)),
        (SERVING, "shop", Outcome(True)),
        (NOT_SERVING, None, Outcome(False, 'service unhealthy (responded with "NOT_SERVING")')),
        (SERVING, "absent", Outcome(False, "rpc error: code = NotFound desc = ")),
    ],
    ids=["serving", "named service", "not serving", "unknown service"],
)
def test_grpc(status: Any, service: str | None, outcome: Outcome) -> None:
    """Only SERVING is well, by a real gRPC server."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    servicer = grpc_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", "shop"):
        servicer.set(name, status)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        check = {"port": port} | ({} if service is None else {"service": service})
        found = checking({"grpc": check}, target())
    finally:
        server.stop(None)
    assert (found.is_success, found.message.startswith(outcome.message)) == (outcome.is_success, True)


def test_grpc_server_without_health() -> None:
    """UNIMPLEMENTED is unwell."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    found = checking({"grpc": {"port": port}}, target())
    server.stop(None)
    assert found == Outcome(False, "rpc error: code = Unimplemented desc = Method not found!")


def test_grpc_server_that_listens_late() -> None:
    """A refused connection is tried again within the time-out, and only then is what a kubelet says."""

    async def scenario() -> list[Outcome]:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            where = Target("127.0.0.1", {"name": "c"}, no_command, "1.36", connect_delay_s=0.01)
            refused = await run({"grpc": {"port": port}}, where, 0.1)
            late = asyncio.create_task(run({"grpc": {"port": port}}, where, 60))
            await asyncio.wait({late}, timeout=0.1)
            taken.listen()
            async with await asyncio.start_server(say_goodbye, sock=taken.dup()):
                return [refused, await late]

    refused, late = asyncio.run(scenario())
    assert re.fullmatch(
        r'timeout: failed to connect service "127.0.0.1:\d+" within 0.1s: context deadline exceeded',
        refused.message,
    )
    assert late == Outcome(False, "rpc error: code = Unavailable desc = connection closed by the server")


async def say_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(9999)
    writer.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(
    handler: Handler, action: Callable[[int], dict[str, Any]], timeout_s: float = 5.0, tls: Any = None
) -> Outcome:
    """The outcome of a probe against a server of that behaviour."""

    async def scenario() -> Outcome:
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        try:
            return await run(action(port), target(ports=[{"name": "web", "containerPort": port}]), timeout_s)
        finally:
            server.close()

    return asyncio.run(scenario())


def answering(line: str, requests: list[str]) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"{line}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    return handle


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("HTTP/1.1 200 OK", Outcome(True)),
        ("HTTP/1.0 399 Odd", Outcome(True)),
        ("HTTP/1.1 404 Not Found", Outcome(False, "HTTP probe failed with statuscode: 404")),
        ("HTTP/1.1 500 Oops", Outcome(False, "HTTP probe failed with statuscode: 500")),
        ("SSH-2.0-x", Outcome(False, "HTTP GET: malformed HTTP response 'SSH-2.0-x\\r\\n'")),
    ],
)
def test_http(line: str, outcome: Outcome) -> None:
    """From 200 up to 399 is well; the request is the kubelet's, with the probe's path and headers."""
    requests: list[str] = []
    headers = [{"name": "X-A", "value": "b"}, {"name": "Host", "value": "shop"}]
    found = against(
        answering(line, requests),
        lambda port: {"httpGet": {"port": "web", "path": "healthz?x=1", "httpHeaders": headers}},
    )
    assert found == outcome
    assert requests[0].splitlines()[0] == "GET /healthz?x=1 HTTP/1.1"
    assert {"User-Agent: kube-probe/1.36", "Accept: */*", "X-A: b", "Host: shop", "Connection: close"} <= set(
        requests[0].splitlines()
    )


def test_https_is_not_verified(tmp_path: Any) -> None:
    """A certificate of an unknown authority for another name will do, as for the kubelet."""
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    pair = Authority(now).issue_server(["elsewhere"], [], now)
    (tmp_path / "pem").write_bytes(pair.certificate + pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "pem")
    found = against(
        answering("HTTP/1.1 200 OK", []), lambda port: {"httpGet": {"port": port, "scheme": "HTTPS"}}, tls=tls
    )
    assert found == Outcome(True)


def test_tcp() -> None:
    """A port that accepts is well; one that nobody listens on is not."""
    assert against(stay_silent, lambda port: {"tcpSocket": {"port": port}}) == Outcome(True)
    refused = checking({"tcpSocket": {"port": 1}}, target("127.0.0.77"))
    assert refused == Outcome(False, "dial tcp 127.0.0.77:1: connect: connection refused")


@pytest.mark.parametrize(
    ("action", "what"),
    [
        (lambda port: {"httpGet": {"port": port}}, "HTTP GET"),
        (lambda port: {"grpc": {"port": port}}, "gRPC health check"),
    ],
    ids=["http", "grpc"],
)
def test_server_that_says_nothing(action: Any, what: str) -> None:
    """A probe that takes longer than its time-out has failed."""
    found = against(stay_silent, action, timeout_s=0.05)
    assert found == Outcome(False, f"{what}: context deadline exceeded after 0.05 s")


def test_named_port_that_the_container_lacks() -> None:
    """The message names the port and the container."""
    found = checking({"tcpSocket": {"port": "nope"}}, target())
    assert found == Outcome(False, "TCP connect: couldn't find port: nope in container c")


@pytest.mark.parametrize(
    ("status", "output", "outcome"),
    [
        (0, "", Outcome(True)),
        (1, "broken\n", Outcome(False, "broken\n")),
        (2, "", Outcome(False, "")),
    ],
)
def test_command(status: int, output: str, outcome: Outcome) -> None:
    """Exit code 0 is well; else the output tells why not."""

    async def execute(argv: list[str], timeout_s: float) -> tuple[int, str]:
        assert (argv, timeout_s) == (["test", "-e", "x"], 5.0)
        return status, output

    assert checking({"exec": {"command": ["test", "-e", "x"]}}, target(execute=execute)) == outcome


def test_command_that_is_late() -> None:
    """The message has the command and the time."""

    async def execute(argv: list[str], timeout_s: float) -> tuple[int, str]:
        raise TimeoutError

    found = checking({"exec": {"command": ["sleep", "9"]}}, target(execute=execute))
    assert found == Outcome(False, 'command timed out: "sleep 9" timed out after 5s')
