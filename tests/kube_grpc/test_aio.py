"""`aio.Channel` as a grpc.aio.Channel: the four kinds of calls, what happens without a member, and all around calls."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from kube_grpc import TargetError, hooks
from kube_grpc.aio import Channel, NoMemberError
from kube_grpc.aio.pool import AioPool
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.options import Options
from kube_grpc.target import Target

SAY, COUNT, JOIN, MIRROR = (f"/test.Echo/{name}" for name in ("Say", "Count", "Join", "Mirror"))
WAIT_S = 30.0
NOBODY = Endpoint("127.0.0.1", 1)  # nothing listens on that port


def run(work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(WAIT_S):
            return await work

    return asyncio.run(bounded())


class Events:
    """A hook whose events can be awaited."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._more = asyncio.Event()

    def __call__(self, event: Any) -> None:
        self.seen.append(event)
        self._more.set()

    async def wait_for(self, kind: type, count: int = 1) -> None:
        while sum(isinstance(item, kind) for item in self.seen) < count:
            self._more.clear()
            await self._more.wait()


@asynccontextmanager
async def open_channel(*servers: Any, interceptors: tuple[Any, ...] = (), **given: Any) -> AsyncIterator[Any]:
    """A channel over a pool that is told these endpoints, connected to all of them."""
    events = Events()
    options = Options(hook=events, **given)
    pool = AioPool(Target("greeter", "shop", 50051), options, interceptors=interceptors, rng=random.Random(1))
    async with Channel.over(pool, options) as channel:
        opened = SimpleNamespace(
            pool=pool, channel=channel, events=events, tell=lambda *given: tell(pool, *given)
        )
        if servers:
            tell(pool, *(item.endpoint for item in servers))
            await events.wait_for(hooks.MemberReady, len(servers))
        yield opened


def tell(pool: AioPool, *endpoints: Endpoint) -> None:
    pool.found(EndpointSet(tuple(sorted(endpoints, key=lambda item: item.key)), slices=1))


async def letters(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


def in_flight(opened: Any) -> int:
    return sum(item.in_flight for item in opened.channel.members())


def test_all_four_kinds_of_calls(make_backend: Any) -> None:
    """Awaited, iterated, read and written: the answers are those of a bare grpc.aio.Channel."""

    async def work() -> None:
        async with open_channel(make_backend("a")) as opened:
            channel = opened.channel
            assert await channel.unary_unary(SAY)(b"x") == b"a:x"
            assert [each async for each in channel.unary_stream(COUNT)(b"x")] == [b"a:0", b"a:1", b"a:2"]
            assert await channel.stream_unary(JOIN)(letters(b"x", b"y")) == b"a:x,y"
            assert [each async for each in channel.stream_stream(MIRROR)(letters(b"x"))] == [b"a:x"]
            call = channel.stream_stream(MIRROR)()
            await call.write(b"y")
            assert await call.read() == b"a:y"
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK

    run(work())


def test_no_call_stays_counted(make_backend: Any) -> None:
    """After calls of every kind, good, failed and cancelled, no member has a call in flight."""

    async def work() -> None:
        async with open_channel(make_backend("a")) as opened:
            say, count = opened.channel.unary_unary(SAY), opened.channel.unary_stream(COUNT)
            await say(b"x")
            with pytest.raises(grpc.aio.AioRpcError):
                await say(b"fail")
            held = say(b"hold")
            assert in_flight(opened) == 1
            held.cancel()
            with pytest.raises(asyncio.CancelledError):
                await held
            assert held.cancelled()
            stream = count(b"hold")
            await stream.read()
            stream.cancel()
            await stream.code()
            while in_flight(opened):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0)

    run(work())


def test_calls_go_to_the_pods_in_turn(make_backend: Any) -> None:
    """Round robin over three pods: nine calls, three each."""

    async def work() -> list[bytes]:
        async with open_channel(*(make_backend(name) for name in "abc")) as opened:
            say = opened.channel.unary_unary(SAY)
            return [await say(b"x") for _ in range(9)]

    answers = run(work())
    assert {name: answers.count(name + b":x") for name in (b"a", b"b", b"c")} == {b"a": 3, b"b": 3, b"c": 3}


def test_status_metadata_and_time_are_those_of_the_call(make_backend: Any) -> None:
    """A unary call's code, details, metadata, remaining time and callback are its own."""

    async def work() -> None:
        async with open_channel(make_backend("a")) as opened:
            say = opened.channel.unary_unary(SAY)
            call = say(b"x", timeout=WAIT_S, metadata=(("k", "v"),))
            assert 0 < call.time_remaining() <= WAIT_S
            told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            call.add_done_callback(told.set_result)
            assert await call == b"a:x"
            assert await call == b"a:x"  # as often as wanted
            assert await told is call
            assert call.done()
            assert not call.cancelled()
            assert await call.code() is grpc.StatusCode.OK
            assert await call.details() == ""
            assert len(await call.trailing_metadata()) == 0
            await call.initial_metadata()
            failed = say(b"fail")
            assert await failed.code() is grpc.StatusCode.UNAVAILABLE
            assert "backends failing" in await failed.details()
            with pytest.raises(grpc.aio.AioRpcError, match="backends failing"):
                await failed

    run(work())


def test_without_a_member_a_call_fails_at_once_with_the_reason() -> None:
    """Where there is no hope, every kind of call fails with UNAVAILABLE and words that name the Service."""

    async def work() -> None:
        async with open_channel() as opened:
            opened.tell()
            while opened.channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await opened.channel.wait_for_state_change(opened.channel.get_state())
            channel = opened.channel
            call = channel.unary_unary(SAY)(b"x")
            with pytest.raises(NoMemberError, match=r"greeter\.shop:50051.*no endpoints") as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            assert "no endpoints" in await call.details()
            assert len(await call.trailing_metadata()) == 0
            assert call.done()
            assert not call.cancelled()
            with pytest.raises(NoMemberError):
                _ = [each async for each in channel.unary_stream(COUNT)(b"x")]
            with pytest.raises(NoMemberError):
                await channel.stream_unary(JOIN)(letters(b"x"))
            stream = channel.stream_stream(MIRROR)()
            with pytest.raises(NoMemberError):
                await stream.write(b"x")
            with pytest.raises(NoMemberError):
                await stream.read()
            with pytest.raises(NoMemberError):
                await stream.wait_for_connection()

    run(work())


def test_a_patient_call_waits_for_a_member(make_backend: Any) -> None:
    """With wait_for_ready calls of every kind wait, and are made when a pod comes; nobody has to await them."""

    async def work() -> None:
        backend = make_backend("a")
        async with open_channel() as opened:
            opened.tell()
            patient: dict[str, Any] = {"wait_for_ready": True, "timeout": WAIT_S}
            say = opened.channel.unary_unary(SAY)(b"x", **patient)
            count = opened.channel.unary_stream(COUNT)(b"x", **patient)
            mirror = opened.channel.stream_stream(MIRROR)(**patient)
            told = asyncio.Event()
            say.add_done_callback(lambda call: told.set() if call is say else None)
            assert not say.done()
            opened.tell(backend.endpoint)
            await told.wait()
            assert say.done()
            assert await say == b"a:x"
            assert [each async for each in count] == [b"a:0", b"a:1", b"a:2"]
            await mirror.write(b"y")
            assert await mirror.read() == b"a:y"
            mirror.cancel()

    run(work())


def test_a_patient_call_ends_with_its_deadline() -> None:
    """It fails with DEADLINE_EXCEEDED and the reason why there is no member."""

    async def work() -> None:
        async with open_channel() as opened:
            opened.tell()
            opened.pool.failed(DiscoveryError("refused by the API", kind="forbidden"))
            call = opened.channel.unary_unary(SAY)(b"x", timeout=0.05, wait_for_ready=True)
            with pytest.raises(NoMemberError, match="refused by the API") as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    run(work())


def test_a_waiting_call_can_be_cancelled() -> None:
    """By `cancel`, and by cancelling the task that awaits it; it is then cancelled and done."""

    async def work() -> None:
        async with open_channel() as opened:
            opened.tell()
            say = opened.channel.unary_unary(SAY)
            first = say(b"x", wait_for_ready=True)
            assert first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert first.cancelled()
            assert first.done()
            second = say(b"x", wait_for_ready=True)
            task = asyncio.ensure_future(_wrap(second))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not second.cancelled():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0)

    run(work())


@pytest.mark.parametrize(("kind", "method"), [("unary_unary", SAY), ("unary_stream", COUNT)])
def test_the_status_of_a_call_that_was_cancelled_while_it_waited(kind: str, method: str) -> None:
    """It is told as by a call of grpc.aio, and who asks for it is not cancelled; also who asked before."""

    async def ask(channel: Any) -> list[Any]:
        call = getattr(channel, kind)(method)(b"x", wait_for_ready=True)
        earlier = asyncio.ensure_future(call.code())
        await asyncio.sleep(0)
        assert call.cancel()
        return [
            await earlier, await call.code(), await call.details(),
            await call.initial_metadata(), await call.trailing_metadata(), call.done(), call.cancelled(),
        ]  # fmt: skip

    async def work() -> None:
        async with open_channel() as opened, grpc.aio.insecure_channel("ipv4:127.0.0.1:1") as plain:
            found = await ask(opened.channel)
            assert found == await ask(plain)
            assert found[0] is grpc.StatusCode.CANCELLED

    run(work())


async def _wrap(call: Any) -> Any:
    return await call


def test_a_call_that_never_left_is_made_on_another_member(make_backend: Any, make_process: Any) -> None:
    """Of calls to a pod that was just killed those that never left succeed elsewhere, though nobody asked for it."""

    async def work() -> None:
        killed, other = make_process("killed"), make_backend("other")
        async with open_channel(killed, other) as opened:
            say = opened.channel.unary_unary(SAY)
            killed.kill()
            member = next(item for item in opened.pool.snapshot.members if item.key == killed.endpoint.key)
            # The broken connection is known to gRPC, but the pool has not looked yet.
            while member.channel.get_state() is grpc.ChannelConnectivity.READY:
                await asyncio.to_thread(lambda: None)
            assert [await say(b"x") for _ in range(4)] == [b"other:x"] * 4

    run(work())


def test_a_pod_that_leaves_finishes_what_it_has(make_backend: Any) -> None:
    """A call in flight on a pod that is no longer listed is answered; new calls go elsewhere."""

    async def work() -> None:
        leaving, staying = make_backend("leaving"), make_backend("staying")
        async with open_channel(leaving) as opened:
            say = opened.channel.unary_unary(SAY)
            held = say(b"hold")
            await asyncio.to_thread(leaving.wait_until, lambda: leaving.held == 1)
            opened.tell(staying.endpoint)
            await opened.events.wait_for(hooks.MemberRemoved)
            assert await say(b"x", wait_for_ready=True) == b"staying:x"
            leaving.gate.set()
            assert await held == b"leaving:hold"

    run(work())


def test_a_drain_is_bounded(make_backend: Any) -> None:
    """A call that runs longer than the grace fails with CANCELLED when its pod has left; but who awaits it was not
    cancelled, and does not end as if it had been. (Where the call or its task is cancelled, it does.)
    """

    async def work(*, is_cancelled: str) -> Any:
        backend = make_backend("a")
        async with open_channel(backend, drain_grace_s=0.05) as opened:
            held = opened.channel.unary_unary(SAY)(b"hold")
            task = asyncio.ensure_future(_await(held))
            await asyncio.to_thread(backend.wait_until, lambda: backend.held == 1)
            opened.tell()
            if is_cancelled:
                (held if is_cancelled == "call" else task).cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            return ended, await held.code()

    error, code = run(work(is_cancelled=""))
    assert isinstance(error, grpc.aio.AioRpcError)
    assert error.code() is code is grpc.StatusCode.CANCELLED
    assert "its pod had left" in str(error.details())
    for who in ("call", "task"):
        error, code = run(work(is_cancelled=who))
        assert isinstance(error, asyncio.CancelledError)
        assert code is grpc.StatusCode.CANCELLED


async def _iterate(call: Any) -> Any:
    return [each async for each in call]


async def _read(call: Any) -> Any:
    await call.read()
    return await call.read()


async def _write(call: Any) -> Any:
    await call.write(b"x")
    await call.read()
    return await call.read()


async def _send(call: Any) -> Any:
    await call.write(b"x")
    return await call


STREAMS = {
    "responses, iterated": ("unary_stream", COUNT, b"hold", _iterate),
    "responses, read": ("unary_stream", COUNT, b"hold", _read),
    "both, read": ("stream_stream", MIRROR, None, _write),
    "requests": ("stream_unary", JOIN, None, _send),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("who", ["nobody", "call", "task"])
def test_a_stream_that_a_drain_cuts_off(make_backend: Any, stream: str, who: str) -> None:
    """It fails with CANCELLED, and who reads it does not end as cancelled; where call or task is cancelled, it does."""
    kind, method, request, use = STREAMS[stream]

    async def work() -> Any:
        backend = make_backend("a")
        # Cancelling must come first: with a grace that is over at once it need not.
        async with open_channel(backend, drain_grace_s=0.05 if who == "nobody" else WAIT_S) as opened:
            call = getattr(opened.channel, kind)(method)(*([] if request is None else [request]))
            task = asyncio.ensure_future(use(call))
            await asyncio.to_thread(backend.wait_until, lambda: backend.metadata)
            opened.tell()
            await opened.events.wait_for(hooks.MemberRemoved)
            if who != "nobody":
                (call if who == "call" else task).cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            if who == "task":
                call.cancel()  # grpc.aio's goes on if the task was cancelled while it still sent
            return ended, await call.code(), call.done(), call.cancelled()

    error, code, *is_over = run(work())
    assert code is grpc.StatusCode.CANCELLED
    assert is_over == [True, True]
    if who == "nobody":
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is code
        assert "its pod had left" in str(error.details())
    else:
        assert isinstance(error, asyncio.CancelledError)


async def _await(call: Any) -> Any:
    return await call


def test_a_closed_channel_refuses_calls(make_backend: Any) -> None:
    """As grpc.aio's own: UsageError; calls under way are cancelled, or get their grace; closing again is no error."""

    async def work() -> None:
        backend = make_backend("a")
        async with open_channel(backend) as opened:
            held = opened.channel.unary_unary(SAY)(b"hold")
            await asyncio.to_thread(backend.wait_until, lambda: backend.held == 1)
            closing = asyncio.ensure_future(opened.channel.close(WAIT_S))
            backend.gate.set()
            assert await held == b"a:hold"
            await closing
            assert opened.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
            with pytest.raises(grpc.aio.UsageError, match="closed"):
                opened.channel.unary_unary(SAY)(b"x")
            with pytest.raises(grpc.aio.UsageError, match="closed"):
                await opened.channel.channel_ready()

    run(work())


def test_a_waiting_call_ends_when_the_channel_is_closed() -> None:
    """It does not wait for a member that can never come, and ends as on a grpc.aio.Channel: it is cancelled."""

    async def work() -> None:
        plain = grpc.aio.insecure_channel("ipv4:127.0.0.1:1")
        async with open_channel() as opened:
            for channel in (plain, opened.channel):
                call = channel.unary_unary(SAY)(b"x", wait_for_ready=True)
                await asyncio.sleep(0)
                await channel.close()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert (call.done(), call.cancelled()) == (True, True)

    run(work())


def test_interceptors_see_each_call(make_backend: Any) -> None:
    """A grpc.aio interceptor given to the channel is run for calls on every member."""
    seen = []

    class Tag(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            seen.append(details.method)
            return await continuation(details, request + b"!")

    async def work() -> list[bytes]:
        servers = make_backend("a"), make_backend("b")
        async with open_channel(*servers, interceptors=(Tag(),)) as opened:
            say = opened.channel.unary_unary(SAY)
            return sorted([await say(b"x"), await say(b"x")])

    assert run(work()) == [b"a:x!", b"b:x!"]
    assert len(seen) == 2


@pytest.mark.parametrize("is_coroutine", [True, False])
def test_a_member_that_fails_its_ping_is_passed_over(make_backend: Any, *, is_coroutine: bool) -> None:
    """A ping may be a coroutine function or a plain one; the pod is called again when it answers again."""
    bad = make_backend("bad")
    failing = True

    async def ask(channel: Any) -> None:
        if failing and (await channel.unary_unary(SAY)(b"x")).startswith(b"bad"):
            raise RuntimeError("unwell")

    def raise_at_once(channel: Any) -> None:
        if failing:
            raise RuntimeError("unwell")

    async def work() -> None:
        nonlocal failing
        ping: Callable[[Any], object] = ask if is_coroutine else raise_at_once
        async with open_channel(bad, ping=ping, ping_interval_s=0.05) as opened:
            await opened.events.wait_for(hooks.MemberUnready)
            unready = next(each for each in opened.events.seen if isinstance(each, hooks.MemberUnready))
            assert "unwell" in unready.reason
            with pytest.raises(NoMemberError, match="not answering the ping"):
                await opened.channel.unary_unary(SAY)(b"y")
            failing = False
            assert await opened.channel.unary_unary(SAY)(b"y", wait_for_ready=True) == b"bad:y"

    run(work())


def test_a_ping_that_hangs_is_given_up_on(make_backend: Any) -> None:
    """A ping has one interval; then its pod counts as not answering."""

    async def work() -> None:
        async with open_channel(
            make_backend("a"), ping=lambda _channel: asyncio.Event().wait(), ping_interval_s=0.05
        ) as opened:
            await opened.events.wait_for(hooks.MemberUnready)

    run(work())


def test_from_the_api_to_a_call(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """The whole way: a kubeconfig, EndpointSlices, calls; a slice that changes changes who is called."""

    async def work() -> None:
        first, second = make_backend("first"), make_backend("second")
        api.put("greeter-1", first.address)
        async with Channel("greeter:50051", kubeconfig=str(kubeconfig)) as channel:
            await channel.channel_ready()
            say = channel.unary_unary(SAY)
            assert await say(b"x") == b"first:x"
            api.put("greeter-1", second.address)
            while await say(b"x", wait_for_ready=True) != b"second:x":  # noqa: ASYNC110  # calls are how it shows
                await asyncio.sleep(0)

    run(work())


def test_a_wrong_target_is_refused(kubeconfig: Path) -> None:
    """As by the sync channel, with what is allowed."""

    async def work() -> None:
        with pytest.raises(TargetError, match="has no port"):
            Channel("greeter", kubeconfig=str(kubeconfig))

    run(work())


def test_it_needs_a_running_loop(kubeconfig: Path) -> None:
    """Outside a coroutine there is no loop to belong to: RuntimeError, and nothing is left running."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        Channel("greeter:50051", kubeconfig=str(kubeconfig))


def test_calls_that_find_nobody_hurry_discovery() -> None:
    """Where listed pods can not be reached, a call tells discovery; where none are listed, it does not."""

    async def work() -> None:
        async with open_channel() as opened:
            told: list[None] = []
            opened.pool.hurry = lambda: told.append(None)
            say = opened.channel.unary_unary(SAY)
            opened.tell(NOBODY)
            with pytest.raises(NoMemberError, match="can not be connected to"):
                await say(b"x", timeout=WAIT_S)
            assert told
            opened.tell()
            await opened.events.wait_for(hooks.MemberRemoved)
            told.clear()
            with pytest.raises(NoMemberError, match="is it scaled to zero"):
                await say(b"x", timeout=WAIT_S)
            assert not told

    run(work())
