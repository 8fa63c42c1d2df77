"""Fifty threads and two hundred tasks call while members come, go, fail and drain: no call or member is lost track of.

Each of the two kinds runs for KUBE_GRPC_STRESS_S seconds, 20 if that is not set; tox has it at 30, a minute in all.
"""

import asyncio
import faulthandler
import gc
import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

import kube_grpc
import kube_grpc.aio
from kube_grpc.endpoints import Endpoint
from kube_grpc.member import Member

RUN_S = float(os.environ.get("KUBE_GRPC_STRESS_S", "20"))
THREADS, TASKS, SERVERS = 50, 200, 6
TIMEOUT_S = 3.0
# How much later than its deadline a call may end on a machine that does other things as well.
LATE_S = 20.0
DRAIN_GRACE_S = 0.5
PORT = 50051
# What a call may end with when its server is killed, its member cancelled, its deadline over, or nobody serves.
ENDINGS = {"OK", "dropped", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"}
# A stream on a server that is stopped without grace may end so: gRPC's server then says GOAWAY with INTERNAL_ERROR.
RARE = {"INTERNAL"}
OPTIONS: dict[str, Any] = {
    "policy": "power_of_two",
    "ejection": kube_grpc.Ejection(errors=3, base_s=0.2, most_s=1.0),
    "retry": kube_grpc.Retry(),
    "hedge": kube_grpc.Hedge(after_s=0.3),
    "drain_grace_s": DRAIN_GRACE_S,
    "dns_fallback": False,
}


class Ledger:
    """Every call, from before it is made until it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._open: dict[int, tuple[str, float]] = {}
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []

    def begin(self, what: str) -> int:
        with self._lock:
            number = next(self._numbers)
            self._open[number] = (what, time.monotonic())
            return number

    def end(self, number: int, how: str) -> None:
        with self._lock:
            what, begun_at = self._open.pop(number)
            self.ended[how] += 1
            if how not in ENDINGS | RARE:
                self.wrong.append(f"{what} {number} ended with {how}")
            if time.monotonic() - begun_at > TIMEOUT_S + LATE_S:
                self.wrong.append(f"{what} {number} ended {time.monotonic() - begun_at:.1f} s after it began")

    def audit(self, members: list[Member]) -> list[str]:
        """What does not add up, now that nobody calls."""
        lost = [f"{what} {number} never ended" for number, (what, _) in self._open.items()]
        counted = [f"{len(item.in_flight)} in flight on {item.key}" for item in members if item.in_flight]
        return self.wrong[:5] + lost[:5] + counted


class Server:
    """An Echo server that can be killed and started again; `nap` in a request makes it slow, even past the grace."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name.encode(), address
        self.start()

    def start(self) -> None:
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(self._say),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Mirror": grpc.stream_stream_rpc_method_handler(self._mirror),
        }
        self._executor = futures.ThreadPoolExecutor(32)
        self._server = grpc.server(self._executor, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        self._server.add_insecure_port(f"{self.address}:{PORT}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _say(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if request.startswith(b"nap"):
            threading.Event().wait(int(request[3:5]) / 50)  # up to two seconds: longer than the grace
        return request

    def _count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(4):
            yield b"%d" % number

    def _mirror(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests


class Churn(threading.Thread):
    """Does something to the cluster every few hundredths of a second; leaves everything up when it is stopped."""

    def __init__(self, api: Any, servers: list[Server], stop: threading.Event) -> None:
        super().__init__(name="churn")
        self._api, self._servers, self._stop_asked = api, servers, stop
        self._rng = random.Random(7)
        self._down: list[Server] = []
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None

    def run(self) -> None:
        steps = (
            self._scale, self._scale, self._scale, self._drain, self._kill, self._kill, self._api.cut,
            self._api.compact, self._empty,
        )  # fmt: skip
        try:
            while not self._stop_asked.wait(self._rng.uniform(0.02, 0.1)):
                step = self._rng.choice(steps)
                step()
                self.done[step.__name__] += 1
            for server in self._down:
                server.start()
            self._api.put("greeter-2")
            self._api.put("greeter-1", *(each.address for each in self._servers))
        except BaseException as error:
            self.error = error
            raise

    def _scale(self) -> None:
        some = self._rng.sample(self._servers, self._rng.randint(1, SERVERS))
        self._api.put("greeter-1", *(each.address for each in some))

    def _drain(self) -> None:
        self._api.put("greeter-2", self._rng.choice(self._servers).address, ready=False)

    def _empty(self) -> None:
        self._api.put("greeter-1")

    def _kill(self) -> None:
        if len(self._down) > 1:
            self._down.pop(0).start()
        else:
            up = [each for each in self._servers if each not in self._down]
            self._down.append(self._rng.choice(up))
            self._down[-1].stop()


@pytest.fixture
def servers(make_address: Callable[[], str]) -> Iterator[list[Server]]:
    started = [Server(f"s{number}", make_address()) for number in range(SERVERS)]
    yield started
    for each in started:
        each.stop()


@pytest.fixture(autouse=True)
def stacks_of_a_deadlock() -> Iterator[None]:
    """A run that hangs shows where each thread stands, and ends."""
    faulthandler.dump_traceback_later(RUN_S + 100, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def held(servers: list[Server]) -> list[Member]:
    """Every member for these servers that anything still refers to."""
    gc.collect()
    addresses = {each.address for each in servers}
    return [item for item in gc.get_objects() if isinstance(item, Member) and item.key[0] in addresses]


def wait_until(holds: Callable[[], object], what: Callable[[], object]) -> None:
    until = time.monotonic() + LATE_S
    while not holds():
        assert time.monotonic() < until, what()
        threading.Event().wait(0.02)


def make_requests(rng: random.Random) -> Iterator[tuple[str, bytes, bool]]:
    """Which call, its request, whether it waits for a member, and whether it is given up half way (first letter)."""
    for number in itertools.count():
        kind = rng.choices(
            ("say", "future", "future, dropped", "count", "count, dropped", "mirror"), (6, 2, 1, 1, 1, 1)
        )
        nap = b"nap%02d" % rng.choice((1, 5, 10, 99)) if rng.random() < 0.2 else b"at once"
        yield kind[0], nap + b" %d of %d" % (number, id(rng)), rng.random() < 0.5


# -- fifty threads


def call_until(stop: threading.Event, channel: Any, ledger: Ledger, seed: int) -> None:
    """One thread: one call after the other."""
    rng = random.Random(seed)
    say, count = channel.unary_unary("/test.Echo/Say"), channel.unary_stream("/test.Echo/Count")
    mirror = channel.stream_stream("/test.Echo/Mirror")
    for kind, request, is_patient in make_requests(rng):
        if stop.wait(rng.random() / 50):
            return
        number = ledger.begin(kind)
        how = "OK"
        arguments = {"timeout": rng.choice((TIMEOUT_S, TIMEOUT_S, 0.3)), "wait_for_ready": is_patient}
        try:
            if kind == "say":
                assert say(request, **arguments) == request
            elif kind.startswith("future"):
                future = say.future(request, **arguments)
                if kind.endswith("dropped"):
                    future.cancel()
                assert future.result() == request
            elif kind == "count, dropped":
                next(count(request, **arguments))
                how = "dropped"
            elif kind == "count":
                assert list(count(request, **arguments)) == [b"0", b"1", b"2", b"3"]
            else:
                assert list(mirror(iter([request, request]), **arguments)) == [request, request]
        except grpc.RpcError as error:
            how = error.code().name
        except grpc.FutureCancelledError:
            how = "CANCELLED"
        except Exception as error:  # noqa: BLE001  # to be told by the audit
            how = repr(error)
        ledger.end(number, how)


def test_fifty_threads_with_churn(api: Any, kubeconfig: Any, servers: list[Server]) -> None:
    """No call is lost track of, no member leaks, nothing hangs; and all is well when the churn is over."""
    ledger, stop = Ledger(), threading.Event()
    api.put("greeter-1", *(each.address for each in servers))
    channel = kube_grpc.Channel(f"greeter.shop:{PORT}", kubeconfig=str(kubeconfig), **OPTIONS)
    churn = Churn(api, servers, stop)
    callers = [
        threading.Thread(target=call_until, args=(stop, channel, ledger, seed), name=f"caller {seed}")
        for seed in range(THREADS)
    ]
    for thread in (*callers, churn):
        thread.start()
    threading.Event().wait(RUN_S)
    stop.set()
    for thread in (*callers, churn):
        thread.join(TIMEOUT_S + LATE_S)
    assert [thread.name for thread in (*callers, churn) if thread.is_alive()] == []

    settle(channel, ledger, servers)
    channel.close()
    require_all(ledger, churn, servers)


def settle(channel: Any, ledger: Ledger, servers: list[Server]) -> None:
    """All members are back, and no other is held; no call is open, none is counted."""

    def serves_all() -> bool:
        return sum(item.is_serving for item in channel.members()) == SERVERS

    wait_until(serves_all, lambda: f"not all are back: {channel.members()}")
    wait_until(lambda: not ledger.audit(held(servers)), lambda: ledger.audit(held(servers)))
    wait_until(lambda: len(held(servers)) == SERVERS, lambda: f"members leaked: {len(held(servers))}")


def require_all(ledger: Ledger, churn: Churn, servers: list[Server]) -> None:
    """Everything that was to happen did: calls of all endings, steps of all kinds; and no member is left."""
    assert churn.error is None
    wait_until(lambda: not held(servers), lambda: f"members leaked: {held(servers)}")
    if RUN_S >= 10:
        assert set(churn.done) == {"_scale", "_drain", "_kill", "cut", "compact", "_empty"}
        assert set(ledger.ended) - RARE == ENDINGS, ledger.ended
        assert ledger.ended["OK"] > 1000, ledger.ended


# -- two hundred tasks


async def call_on(stop: threading.Event, channel: Any, ledger: Ledger, seed: int) -> None:
    """One task: one call after the other."""
    rng = random.Random(seed)
    say, count = channel.unary_unary("/test.Echo/Say"), channel.unary_stream("/test.Echo/Count")
    mirror = channel.stream_stream("/test.Echo/Mirror")
    for kind, request, is_patient in make_requests(rng):
        await asyncio.sleep(rng.random() / 5)
        if stop.is_set():
            return
        number = ledger.begin(kind)
        how = "OK"
        arguments = {"timeout": rng.choice((TIMEOUT_S, TIMEOUT_S, 0.3)), "wait_for_ready": is_patient}
        try:
            if kind in ("say", "future"):
                assert await say(request, **arguments) == request
            elif kind == "future, dropped":
                call = say(request, **arguments)
                await asyncio.sleep(0)
                call.cancel()
                assert await call == request
            elif kind == "count, dropped":
                stream = count(request, **arguments)
                await stream.read()
                stream.cancel()
                how = "dropped"
            elif kind == "count":
                assert [item async for item in count(request, **arguments)] == [b"0", b"1", b"2", b"3"]
            else:
                stream = mirror(iter([request, request]), **arguments)
                assert [item async for item in stream] == [request, request]
        except grpc.RpcError as error:
            how = error.code().name
        except asyncio.CancelledError:
            how = "CANCELLED"
        except Exception as error:  # noqa: BLE001  # to be told by the audit
            how = repr(error)
        ledger.end(number, how)


def test_two_hundred_tasks_with_churn(api: Any, kubeconfig: Any, servers: list[Server]) -> None:
    """As with threads, in one event loop."""
    ledger, stop = Ledger(), threading.Event()
    api.put("greeter-1", *(each.address for each in servers))
    churn = Churn(api, servers, stop)

    async def run() -> None:
        channel = kube_grpc.aio.Channel(f"greeter.shop:{PORT}", kubeconfig=str(kubeconfig), **OPTIONS)
        churn.start()
        callers = [asyncio.ensure_future(call_on(stop, channel, ledger, seed)) for seed in range(TASKS)]
        await asyncio.sleep(RUN_S)
        stop.set()
        _, late = await asyncio.wait(callers, timeout=TIMEOUT_S + LATE_S)
        assert not late
        await asyncio.to_thread(churn.join)
        await asyncio.to_thread(settle, channel, ledger, servers)
        await channel.close()

    asyncio.run(run())
    require_all(ledger, churn, servers)


# -- the bookkeeping itself


def test_the_ledger_notices() -> None:
    """A call that never ends, one that ends late or as nothing may, and a count that stays, are each told."""
    ledger = Ledger()
    member = Member(Endpoint("192.0.2.1", 1), None, lambda _member: None)
    ledger.end(ledger.begin("fine"), "OK")
    assert ledger.audit([member]) == []

    ledger.begin("lost")
    ledger.end(ledger.begin("wrong"), "UNKNOWN")
    late = ledger.begin("late")
    ledger._open[late] = ("late", time.monotonic() - TIMEOUT_S - LATE_S - 1)
    ledger.end(late, "OK")
    member.enter()

    wrong, slow, lost, counted = ledger.audit([member])
    assert (wrong, lost) == ("wrong 2 ended with UNKNOWN", "lost 1 never ended")
    assert slow.startswith("late 3 ended ")
    assert counted == "1 in flight on ('192.0.2.1', 1)"


def test_a_leak_is_noticed(
    api: Any, kubeconfig: Any, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pool that forgets to leave one member, and one that keeps a member, the audit fails."""
    ledger, stop = Ledger(), threading.Event()
    api.put("greeter-1", *(each.address for each in servers))
    turns = itertools.count()
    leave = Member.leave
    monkeypatch.setattr(Member, "leave", lambda item: None if next(turns) == 5 else leave(item))
    with kube_grpc.Channel(f"greeter.shop:{PORT}", kubeconfig=str(kubeconfig), **OPTIONS) as channel:
        caller = threading.Thread(target=call_until, args=(stop, channel, ledger, 1))
        caller.start()
        wait_until(lambda: sum(ledger.ended.values()) > 6, lambda: ledger.ended)
        stop.set()
        caller.join(TIMEOUT_S + LATE_S)
        (counted,) = ledger.audit(held(servers))
        assert counted.startswith("1 in flight on ")
        kept = held(servers)[0]
    wait_until(lambda: len(held(servers)) == 1, lambda: held(servers))
    assert held(servers) == [kept]
