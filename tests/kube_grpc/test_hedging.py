"""Hedged calls: a slow member is not waited for, the first success counts, nothing stays behind."""

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from kube_grpc import Ejection, Hedge, OptionError, hooks
from kube_grpc.aio import Channel as AioChannel
from kube_grpc.aio.pool import AioPool
from kube_grpc.channel import Channel
from kube_grpc.endpoints import EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.retries import Budget, Retry
from kube_grpc.target import Target

SAY = "/test.Echo/Say"
WAIT_S = 30.0
TARGET = Target("greeter", "shop", 50051)
SOON = Hedge(after_s=0.02)
Call = Callable[[bytes], bytes]
Use = Callable[[Any, Call], None]


def set_of(servers: list[Any]) -> EndpointSet:
    return EndpointSet(tuple(sorted((each.endpoint for each in servers), key=lambda item: item.key)))


def in_flight(channel: Any) -> int:
    return sum(item.in_flight for item in channel.members())


def settle(channel: Any) -> None:
    rest = threading.Event()
    assert any(in_flight(channel) == 0 or rest.wait(0.01) for _ in range(1000)), channel.members()


class Slow:
    """A policy that gives each call to the member that answers last: the one named first."""

    def __init__(self, *pods: str) -> None:
        self.pods = pods

    def pick(self, members: Any, metadata: Any) -> Any:
        return min(members, key=lambda item: self.pods.index(item.endpoint.pod))


@pytest.fixture(params=["sync", "aio"])
def use(request: pytest.FixtureRequest, log: Any) -> Callable[..., None]:
    """Calls `work` with a channel over these servers and a function that makes one blocking call on it. When it is
    over no call is counted any more.
    """

    def over_threads(work: Use, options: Options, servers: list[Any]) -> None:
        pool = Pool(TARGET, options, rng=random.Random(1))
        with Channel.over(SimpleNamespace(pool=pool), pool.close) as channel:  # type: ignore[arg-type]
            pool.found(set_of(servers))
            log.wait_for(hooks.MemberReady, len(servers))
            say = channel.unary_unary(SAY)
            work(channel, lambda request: say(request, timeout=WAIT_S))
            settle(channel)

    def over_a_loop(work: Use, options: Options, servers: list[Any]) -> None:
        async def run() -> None:
            pool = AioPool(TARGET, options, rng=random.Random(1))
            async with AioChannel.over(pool, options) as channel:
                pool.found(set_of(servers))
                await asyncio.to_thread(log.wait_for, hooks.MemberReady, len(servers))
                loop, say = asyncio.get_running_loop(), channel.unary_unary(SAY)

                async def respond(request: bytes) -> bytes:
                    return await say(request, timeout=WAIT_S)

                def call(request: bytes) -> bytes:
                    return asyncio.run_coroutine_threadsafe(respond(request), loop).result(WAIT_S)

                await asyncio.to_thread(work, channel, call)
                await asyncio.to_thread(settle, channel)

        asyncio.run(run())

    def begin(work: Use, servers: list[Any], **given: Any) -> None:
        over = over_threads if request.param == "sync" else over_a_loop
        over(work, Options(hook=log, **given), servers)

    return begin


def test_a_slow_member_is_not_waited_for(use: Any, make_backend: Any) -> None:
    """The other member's answer is the call's, and the slow one's attempt is cancelled: it is no longer counted."""
    slow, quick = make_backend("slow"), make_backend("quick")
    quick.gate.set()

    use(
        lambda _, say: answers(say(b"hold"), b"quick:hold"),
        [slow, quick],
        hedge=SOON,
        policy=Slow("slow", "quick"),
    )
    assert (slow.held, quick.held) == (1, 1)
    slow.gate.set()


def answers(said: bytes, wanted: bytes) -> None:
    assert said == wanted


def test_an_answer_in_time_is_no_reason_for_a_second_call(use: Any, make_backend: Any) -> None:
    """With an answer before the time the other member hears nothing."""
    one, other = make_backend("one"), make_backend("other")
    patient = Hedge(after_s=WAIT_S)

    use(lambda _, say: answers(say(b"x"), b"one:x"), [one, other], hedge=patient, policy=Slow("one", "other"))
    assert (len(one.metadata), len(other.metadata)) == (1, 0)


def test_each_attempt_is_on_another_member(use: Any, make_backend: Any) -> None:
    """Three attempts, three members; there is no fourth."""
    servers = [make_backend(name) for name in "abcd"]
    servers[2].gate.set()

    def work(_: Any, say: Call) -> None:
        answers(say(b"hold"), b"c:hold")

    use(work, servers, hedge=Hedge(after_s=0.02, attempts=3), policy=Slow(*"abcd"))
    assert [each.held for each in servers] == [1, 1, 1, 0]
    for each in servers:
        each.gate.set()


def test_a_failure_waits_for_the_others(use: Any, make_backend: Any) -> None:
    """The hedge fails while the first is still under way: the first one's answer, late as it is, is the call's."""
    slow, failing = make_backend("slow"), make_backend("failing")

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        slow.gate.set()
        context.abort(grpc.StatusCode.DATA_LOSS, "it broke")
        return b""

    failing.stop()
    failing._say = fail
    failing.start()
    use(
        lambda _, say: answers(say(b"hold"), b"slow:hold"),
        [slow, failing],
        hedge=SOON,
        policy=Slow("slow", "failing"),
    )


def test_an_attempt_that_a_drain_cuts_off_is_a_failure(
    use: Any, make_backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pod left and the grace is over: the other attempt goes on, and its answer is the call's."""
    leaving, staying = make_backend("leaving"), make_backend("staying")

    def leave(pool: Any) -> None:
        staying.wait_until(lambda: staying.held == 1)
        pool.found(set_of([staying]))
        rest = threading.Event()
        assert any("still ran" in caplog.text or rest.wait(0.01) for _ in range(1000))
        staying.gate.set()

    def work(channel: Any, say: Call) -> None:
        with futures.ThreadPoolExecutor(1) as threads:
            left = threads.submit(leave, channel._pool)
            answers(say(b"hold"), b"staying:hold")
            left.result()

    use(work, [leaving, staying], hedge=SOON, policy=Slow("leaving", "staying"), drain_grace_s=0.05)
    leaving.gate.set()


def test_a_first_attempt_that_fails_late_counts_against_its_member(use: Any, make_backend: Any) -> None:
    """The call ends well by the other member, and still the failure is one towards the first one's ejection."""
    failing, quick = make_backend("failing"), make_backend("quick")
    begun, failed = threading.Semaphore(0), threading.Semaphore(0)

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        begun.acquire(timeout=WAIT_S)
        context.add_callback(failed.release)
        context.abort(grpc.StatusCode.INTERNAL, "it broke")
        return b""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        begun.release()
        failed.acquire(timeout=WAIT_S)
        return b"quick:x"

    for server, say in ((failing, fail), (quick, answer)):
        server.stop()
        server._say = say
        server.start()

    def work(channel: Any, say: Call) -> None:
        (member,) = [each for each in channel._pool.picker.members if each.endpoint.pod == "failing"]
        for _ in range(int(Budget.MOST) - 1):  # the answer may overtake the failure, but not each time
            answers(say(b"x"), b"quick:x")
        assert member.failures > 0

    rule = Ejection(errors=1000)
    use(work, [failing, quick], hedge=SOON, ejection=rule, policy=Slow("failing", "quick"))


def test_when_all_fail_the_first_failure_is_told(use: Any, make_backend: Any) -> None:
    """The status is that of the first attempt, whoever failed first."""
    servers = [make_backend("first"), make_backend("second")]
    gate = threading.Event()

    def fail_first(request: bytes, context: grpc.ServicerContext) -> bytes:
        gate.wait(WAIT_S)
        context.abort(grpc.StatusCode.ABORTED, "the first")
        return b""

    def fail_second(request: bytes, context: grpc.ServicerContext) -> bytes:
        gate.set()
        context.abort(grpc.StatusCode.DATA_LOSS, "the second")
        return b""

    for server, say in zip(servers, (fail_first, fail_second), strict=True):
        server.stop()
        server._say = say
        server.start()

    def work(_: Any, say: Call) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            say(b"x")
        assert caught.value.code() is grpc.StatusCode.ABORTED

    use(work, servers, hedge=SOON, policy=Slow("first", "second"))


def test_hedges_and_retries_share_a_budget(use: Any, make_backend: Any) -> None:
    """When it is used up no more hedges are made: calls are those of a channel without."""
    slow, quick = make_backend("slow"), make_backend("quick")
    quick.gate.set()
    calls = int(Budget.MOST) + 5

    def work(channel: Any, say: Call) -> None:
        for _ in range(int(Budget.MOST)):
            answers(say(b"hold"), b"quick:hold")
        slow.gate.set()
        for _ in range(calls - int(Budget.MOST)):
            answers(say(b"hold"), b"slow:hold")

    options = {"hedge": SOON, "retry": Retry(budget=0.000_001), "policy": Slow("slow", "quick")}
    use(work, [slow, quick], **options)
    assert quick.held == Budget.MOST


def test_only_the_methods_that_were_named(use: Any, make_backend: Any) -> None:
    """A method that must not be carried out twice is left alone."""
    slow, quick = make_backend("slow"), make_backend("quick")
    threading.Timer(0.2, slow.gate.set).start()
    hedge = Hedge(after_s=0.02, methods=frozenset({"/test.Echo/Other"}))

    use(
        lambda _, say: answers(say(b"hold"), b"slow:hold"),
        [slow, quick],
        hedge=hedge,
        policy=Slow("slow", "quick"),
    )
    assert quick.held == 0


def test_alone_a_member_is_called_once(use: Any, make_backend: Any) -> None:
    """Nobody else to ask: the call waits for the only one."""
    only = make_backend("only")
    threading.Timer(0.2, only.gate.set).start()

    use(lambda _, say: answers(say(b"hold"), b"only:hold"), [only], hedge=SOON)
    assert only.held == 1


def test_the_deadline_holds_for_all_attempts(make_backend: Any, log: Any) -> None:
    """Both members hang: the call ends with its own time-out."""
    servers = [make_backend("a"), make_backend("b")]
    pool = Pool(TARGET, Options(hook=log, hedge=SOON), rng=random.Random(1))
    with Channel.over(SimpleNamespace(pool=pool), pool.close) as channel:  # type: ignore[arg-type]
        pool.found(set_of(servers))
        log.wait_for(hooks.MemberReady, 2)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(SAY).with_call(b"hold", timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert [each.held for each in servers] == [1, 1]
    for each in servers:
        each.gate.set()


def test_cancelling_an_asyncio_call_ends_all_attempts(make_backend: Any, log: Any) -> None:
    """Both servers see their attempt end, and no call is counted."""
    servers = [make_backend("a"), make_backend("b")]

    async def run() -> None:
        options = Options(hook=log, hedge=SOON)
        pool = AioPool(TARGET, options, rng=random.Random(1))
        async with AioChannel.over(pool, options) as channel:
            pool.found(set_of(servers))
            await asyncio.to_thread(log.wait_for, hooks.MemberReady, 2)
            call = channel.unary_unary(SAY)(b"hold", timeout=WAIT_S)
            waiting = asyncio.ensure_future(call.code())
            for each in servers:
                await asyncio.to_thread(each.wait_until, lambda each=each: each.held == 1)
            assert in_flight(channel) == 2
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            async with asyncio.timeout(WAIT_S):
                await asyncio.wait([waiting])
            await asyncio.to_thread(settle, channel)

    asyncio.run(run())
    for each in servers:
        each.gate.set()


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"after_s": 0}, "after_s: seconds, more than 0, finite"),
        ({"after_s": float("nan")}, "after_s: seconds, more than 0, finite"),
        ({"after_s": 1, "attempts": 1}, "attempts: 2 or more"),
        ({"after_s": 1, "methods": frozenset()}, "one or more full names"),
        ({"after_s": 1, "methods": frozenset({"Say"})}, 'as "/package.Service/Method"'),
    ],
)
def test_values_that_mean_nothing(given: dict[str, Any], allowed: str) -> None:
    """A refusal says what is allowed."""
    with pytest.raises(OptionError) as caught:
        Hedge(**given)

    assert allowed in str(caught.value).splitlines()[1]
