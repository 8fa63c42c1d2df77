"""What a caller sees of calls on an `aio.Channel`, compared with a plain grpc.aio.Channel, case by case."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from scripted import KINDS, SERVICE, Server, plain

from kube_grpc.aio.channel import Channel
from kube_grpc.aio.pool import AioPool
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.target import Target

WAIT_S = 30.0
Observe = Callable[[Any], Awaitable[Any]]


@pytest.fixture
def server(make_address: Callable[[], str]) -> Iterator[Server]:
    """Does as each call says."""
    running = Server(make_address())
    yield running
    running.stop()


def compare(server: Server, observe: Observe, interceptors: Callable[[], Any] = tuple) -> Any:
    """Both channels are seen alike; what was seen."""

    async def both() -> tuple[Any, Any]:
        async with asyncio.timeout(WAIT_S):
            bare = grpc.aio.insecure_channel(f"{server.address}:50051", interceptors=interceptors())
            pool = AioPool(
                Target("scripted", "shop", 50051),
                Options(),
                interceptors=interceptors(),
                rng=random.Random(1),
            )
            ours = Channel.over(pool, Options())
            pool.found(EndpointSet((Endpoint(server.address, 50051),), slices=1))
            seen = []
            for channel in (bare, ours):
                await channel.channel_ready()
                seen.append(await observe(channel))
                await channel.close()
            return seen[0], seen[1]

    expected, seen = asyncio.run(both())
    assert seen == expected
    return expected


def multi(channel: Any, kind: str, *made_with: Any) -> Any:
    return getattr(channel, KINDS[kind])(f"/{SERVICE}/{kind}", *made_with)


async def letters() -> AsyncIterator[bytes]:
    yield b"q"
    yield b"r"


def requests_for(kind: str) -> Any:
    return b"q" if kind[0] == "u" else letters()


def script(name: str) -> tuple[tuple[str, str], ...]:
    return (("script", name),)


async def told(what: Callable[[], Any]) -> Any:
    """What it returns or, awaited, brings; or the error, in comparable words."""
    try:
        found = what()
        return plain_aio(await found if isinstance(found, Awaitable) else found)
    except grpc.aio.AioRpcError as error:
        return (
            "AioRpcError", error.code().name, error.details(),
            plain_aio(error.initial_metadata()), plain_aio(error.trailing_metadata()),
        )  # fmt: skip
    except asyncio.CancelledError as error:
        return ("CancelledError", str(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, the other channel must raise it, too
        return (type(error).__name__, plain(str(error)))


def plain_aio(found: Any) -> Any:
    if found is grpc.aio.EOF:
        return "EOF"
    if isinstance(found, grpc.aio.Metadata):
        return tuple((key, value) for key, value in found if key.startswith("x-"))
    return plain(found)


ASKED = ("code", "details", "initial_metadata", "trailing_metadata", "done", "cancelled", "time_remaining")


async def status(call: Any) -> dict[str, Any]:
    """All that a call tells of itself once it is over."""
    late: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    call.add_done_callback(late.set_result)
    return {
        **{name: await told(getattr(call, name)) for name in ASKED},
        "late callback": await late is call,
        "cancel": await told(call.cancel),
        "kinds": [
            kind.__name__
            for kind in (
                grpc.aio.UnaryUnaryCall, grpc.aio.UnaryStreamCall, grpc.aio.StreamUnaryCall, grpc.aio.StreamStreamCall,
            )
            if isinstance(call, kind)
        ],
    }  # fmt: skip


async def read_all(call: Any) -> list[Any]:
    """By iterating, and once more after the end."""
    seen: list[Any] = []
    stream = call.__aiter__()
    while True:
        answer = await told(lambda: anext(stream))
        seen.append(answer)
        if not isinstance(answer, bytes):
            return [*seen, await told(lambda: anext(call.__aiter__()))]


async def bring(call: Any, kind: str) -> Any:
    return await told(lambda: call) if kind[1] == "u" else await read_all(call)


SCRIPTS = ("ok", "abort", "raise", "trail", "long")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "patient": {"wait_for_ready": True},
    "compressed": {"compression": grpc.Compression.Gzip},
    "deadline": {"timeout": WAIT_S},
    "no such metadata": {"metadata": (("Upper", "x"),)},
    "metadata that is no text": {"metadata": (("key", 1),)},
    "metadata that is no pairs": {"metadata": "ab"},
    "metadata as a list": {"metadata": [("script", "abort")]},
    "metadata as gRPC's": {"metadata": grpc.aio.Metadata(("script", "abort"))},
    "a deadline that is no number": {"timeout": "soon"},
    "credentials without TLS": {"credentials": grpc.access_token_call_credentials("x")},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_calls(kind: str, name: str, server: Server) -> None:
    """What they bring, what they tell when they are over, whom callbacks are called with, awaited twice."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script(name))
        heard: list[bool] = []
        call.add_done_callback(lambda told_by: heard.append(told_by is call))
        seen = [await bring(call, kind), await status(call)]
        return [*seen, await bring(call, kind), heard]

    compare(server, observe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ok", "abort", "raise"])
def test_asked_before_they_are_awaited(kind: str, name: str, server: Server) -> None:
    """Initial metadata first, and the status before the response."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script(name))
        seen = [await told(call.initial_metadata)]
        if kind[1] == "u":
            seen += [await told(call.code), await told(call.trailing_metadata), await told(call.details)]
        return [*seen, await bring(call, kind)]

    compare(server, observe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ARGUMENTS)
def test_arguments(kind: str, given: str, server: Server) -> None:
    """Each argument, with values that are good and values that are not: the same effect, the same error, raised at the
    same place.
    """

    async def observe(channel: Any) -> Any:
        try:
            call = multi(channel, kind)(requests_for(kind), **ARGUMENTS[given])
        except Exception as error:  # noqa: BLE001  # whatever it is, the other channel must raise it, too
            return ["at once", type(error).__name__, str(error)]
        return await bring(call, kind)

    compare(server, observe)


@pytest.mark.parametrize("kind", ["us", "ss"])
def test_reading(kind: str, server: Server) -> None:
    """Response by response, beyond the end, and mixed with iterating."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind))
        seen = [await told(call.read) for _ in range(5)]
        mixed = multi(channel, kind)(requests_for(kind))
        async for response in mixed:
            seen.append(response)
            break
        return [*seen, await told(mixed.read), mixed.cancel()]

    compare(server, observe)


@pytest.mark.parametrize("kind", ["su", "ss"])
def test_writing(kind: str, server: Server) -> None:
    """Requests one by one, the end, and what is not allowed after it or beside an iterator."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)()
        seen = [await told(lambda: call.write(b"q")), await told(call.done_writing)]
        # The words depend on whether the end was heard of.
        seen += [(await told(lambda: call.write(b"r")))[0], await told(call.done_writing)]
        seen.append(await bring(call, kind) if kind == "su" else [await told(call.read) for _ in range(3)])
        seen.append(await told(lambda: call.write(b"r")))
        iterated = multi(channel, kind)(letters())
        return [*seen, await told(lambda: iterated.write(b"s")), await told(iterated.done_writing)]

    compare(server, observe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_begun", [False, True])
def test_cancelled(kind: str, is_begun: bool, server: Server) -> None:
    """Before anything came, or after the first sign of life: what it tells, and what waiting for it says."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script("hold"))
        seen: list[Any] = []
        if is_begun and kind != "uu":
            seen.append(await told(call.initial_metadata))
        seen += [call.done(), call.cancelled(), call.cancel(), call.cancel()]
        seen += [await bring(call, kind), await status(call)]
        return seen

    compare(server, observe)


@pytest.mark.parametrize("kind", KINDS)
def test_the_task_that_waits_is_cancelled(kind: str, server: Server) -> None:
    """So is a call that it waits for, but not a stream that it iterates over."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script("hold"))
        task = asyncio.ensure_future(bring_all(call, kind))
        await call.initial_metadata() if kind != "uu" else await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        seen = [call.cancelled(), call.cancel()]
        return [*seen, await status(call)]

    compare(server, observe)


async def bring_all(call: Any, kind: str) -> None:
    if kind[1] == "u":
        await call
        return
    async for _ in call:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline_under_way(kind: str, server: Server) -> None:
    """The time is up while the server holds the call."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), timeout=0.3, metadata=script("hold"))
        brought = await bring(call, kind)
        found = await status(call)
        # Who notices first says it in other words.
        return [brought[-1] if kind[1] == "s" else brought[:2], found["code"], found["kinds"]]

    compare(server, observe)


@pytest.mark.parametrize("kind", ["us", "ss"])
def test_a_stream_that_breaks_off(kind: str, server: Server) -> None:
    """A response, then the server's error; what was read stays good."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script("late"))
        return [await read_all(call), await status(call)]

    compare(server, observe)


@pytest.mark.parametrize("kind", ["su", "ss"])
def test_requests_that_raise(kind: str, server: Server) -> None:
    """The caller's own iterator fails: the call does, as gRPC has it."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"q"
        raise LookupError("no more")

    async def observe(channel: Any) -> Any:
        brought = await bring(multi(channel, kind)(failing()), kind)
        return brought if kind == "su" else brought[-1]

    compare(server, observe)


@pytest.mark.parametrize("kind", ["su", "ss"])
def test_requests_from_a_plain_iterator(kind: str, server: Server) -> None:
    """It need not be asynchronous."""

    async def observe(channel: Any) -> Any:
        return await bring(multi(channel, kind)(iter([b"q", b"r"])), kind)

    compare(server, observe)


def _refuse(_: Any) -> bytes:
    raise LookupError("not to be had")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, 1])
def test_serializers_that_raise(kind: str, which: int, server: Server) -> None:
    """The request's or the response's: the same status, raised at the same place."""

    async def observe(channel: Any) -> Any:
        given: list[Any] = [None, None]
        given[which] = _refuse
        try:
            call = multi(channel, kind, *given)(requests_for(kind))
        except LookupError as error:
            return ["at once", str(error)]
        brought = await bring(call, kind)
        return brought if kind[1] == "u" else brought[-1]

    compare(server, observe)


def test_a_closed_channel(server: Server) -> None:
    """Calls under way when it is closed, and calls and waiting after that; entered, it is itself."""

    async def observe(channel: Any) -> Any:
        held = multi(channel, "uu")(b"q", metadata=script("hold"))
        stream = multi(channel, "us")(b"q", metadata=script("hold"))
        await stream.read()
        async with channel as entered:
            seen: list[Any] = [entered is channel, channel.get_state(try_to_connect=True)]
        seen += [await told(lambda: held), await told(stream.read), await told(held.code)]
        for kind in KINDS:
            seen.append(await told(lambda kind=kind: multi(channel, kind)(requests_for(kind))))
        return [*seen, channel.get_state(), await told(channel.close), await told(channel.channel_ready)]

    compare(server, observe)


def test_closing_with_a_grace(server: Server) -> None:
    """A call that ends within it is answered."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, "su")()
        await call.write(b"q")
        closing = asyncio.ensure_future(channel.close(WAIT_S))
        await asyncio.sleep(0)
        await call.done_writing()
        brought = await told(lambda: call)
        await closing
        return brought

    compare(server, observe)


class Seeing(
    grpc.aio.UnaryUnaryClientInterceptor,
    grpc.aio.UnaryStreamClientInterceptor,
    grpc.aio.StreamUnaryClientInterceptor,
    grpc.aio.StreamStreamClientInterceptor,
):
    """Sees what calls are made with, and hands on what comes back."""

    async def _see(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata if details.metadata is not None else ()))
        metadata.add("seen", "yes")
        return await continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = _see
    intercept_unary_stream = _see
    intercept_stream_unary = _see
    intercept_stream_stream = _see


def seeing() -> tuple[Any, ...]:
    """grpc.aio takes an interceptor for the first kind that it is of."""

    def only(kind: str) -> Any:
        base = getattr(grpc.aio, f"{kind}ClientInterceptor")
        name = "intercept_" + {"UnaryUnary": "unary_unary", "UnaryStream": "unary_stream",
                               "StreamUnary": "stream_unary", "StreamStream": "stream_stream"}[kind]  # fmt: skip
        return type(kind, (base,), {name: Seeing._see})()

    return tuple(only(kind) for kind in ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ok", "abort", "raise"])
def test_interceptors(kind: str, name: str, server: Server) -> None:
    """Through an interceptor: what calls bring and tell."""

    async def observe(channel: Any) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script(name), timeout=WAIT_S)
        brought = await bring(call, kind)
        return [brought, await told(call.code), await told(call.trailing_metadata), call.done()]

    compare(server, observe, seeing)


def test_a_difference_is_found(server: Server) -> None:
    """Negative control: calls that say something else are not seen alike."""
    said = iter((b"one", b"another"))

    async def observe(channel: Any) -> Any:
        return await told(lambda: multi(channel, "uu")(next(said)))

    with pytest.raises(AssertionError):
        compare(server, observe)
