"""What a caller sees of calls on a `Channel`, compared with a plain grpc.Channel to the same server, case by case."""

import random
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from scripted import KINDS, SERVICE, Server, plain, told

from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

WAIT_S = 30.0
Channels = Callable[[], tuple[grpc.Channel, grpc.Channel]]


@pytest.fixture
def server(make_address: Callable[[], str]) -> Iterator[Server]:
    """Does as each call says."""
    running = Server(make_address())
    yield running
    running.stop()


@pytest.fixture
def channels(server: Server) -> Iterator[Channels]:
    """Makes a plain channel and one of ours, both connected to the server."""
    opened: list[grpc.Channel] = []

    def make() -> tuple[grpc.Channel, grpc.Channel]:
        bare = grpc.insecure_channel(f"{server.address}:50051")
        pool = Pool(Target("scripted", "shop", 50051), Options(), rng=random.Random(1))
        ours = Channel.over(SimpleNamespace(pool=pool), pool.close)  # type: ignore[arg-type]  # what it uses of it
        pool.found(EndpointSet((Endpoint(server.address, 50051),), slices=1))
        opened.extend((bare, ours))
        for channel in (bare, ours):
            grpc.channel_ready_future(channel).result(timeout=WAIT_S)
        return bare, ours

    yield make
    for channel in opened:
        channel.close()


def compare(channels: Channels, observe: Callable[[grpc.Channel], Any]) -> Any:
    """Both are seen alike; what was seen."""
    bare, ours = channels()
    expected = observe(bare)
    assert observe(ours) == expected
    return expected


def multi(channel: grpc.Channel, kind: str, *made_with: Any) -> Any:
    return getattr(channel, KINDS[kind])(f"/{SERVICE}/{kind}", *made_with)


def requests_for(kind: str) -> Any:
    return b"q" if kind[0] == "u" else iter([b"q", b"r"])


def script(name: str) -> tuple[tuple[str, str], ...]:
    return (("script", name),)


FACTS = ("code", "details", "initial_metadata", "trailing_metadata", "is_active", "time_remaining")
FUTURE_FACTS = ("done", "running", "cancelled")


def status(call: Any) -> dict[str, Any]:
    """All that a call tells of itself once it is over."""
    return {
        **{name: told(getattr(call, name)) for name in FACTS},
        **{name: told(getattr(call, name)) for name in FUTURE_FACTS if hasattr(call, name)},
        "kinds": [
            kind.__name__ for kind in (grpc.RpcError, grpc.Call, grpc.Future) if isinstance(call, kind)
        ],
        "late callback": told(lambda: call.add_callback(lambda: None)),
        "cancel": told(call.cancel),
    }


SCRIPTS = ("ok", "abort", "raise", "trail", "long")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "patient": {"wait_for_ready": True},
    "compressed": {"compression": grpc.Compression.Gzip},
    "deadline": {"timeout": WAIT_S},
    "no such metadata": {"metadata": (("Upper", "x"),)},
    "metadata that is no text": {"metadata": (("key", 1),)},
    "metadata that is no pairs": {"metadata": "ab"},
    "metadata as a list": {"metadata": [("script", "ok")]},
    "a deadline that is no number": {"timeout": "soon"},
    "credentials without TLS": {"credentials": grpc.access_token_call_credentials("x")},
}


@pytest.mark.parametrize("kind", ["uu", "su"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_blocking_calls(kind: str, name: str, channels: Channels) -> None:
    """The response, or the error, and all that either tells."""

    def observe(channel: grpc.Channel) -> Any:
        call = multi(channel, kind)
        seen: list[Any] = [told(lambda: call(requests_for(kind), metadata=script(name)))]
        try:
            seen.append(status(call.with_call(requests_for(kind), metadata=script(name))[1]))
        except grpc.RpcError as error:
            seen.append(status(error))
        return seen

    compare(channels, observe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_calls_that_go_on(kind: str, name: str, channels: Channels) -> None:
    """Futures and streams: what they bring, what they tell when they are over, whom callbacks are called with."""

    def observe(channel: grpc.Channel) -> Any:
        made = multi(channel, kind)
        call = (made.future if kind[1] == "u" else made)(requests_for(kind), metadata=script(name))
        over, told_by = threading.Event(), []
        if not call.add_callback(over.set):
            over.set()  # It was quicker.
        call.add_done_callback(told_by.append)
        initial = plain(call.initial_metadata())
        brought = told(call.result) if kind[1] == "u" else _read_all(call)
        assert over.wait(WAIT_S)
        late: list[Any] = []
        call.add_done_callback(late.append)
        return [
            initial, brought, status(call), told(lambda: call.exception(timeout=WAIT_S)),
            [item is call for item in told_by], [item is call for item in late],
        ]  # fmt: skip

    compare(channels, observe)


def _read_all(call: Any) -> list[Any]:
    seen: list[Any] = []
    while True:
        answer = told(lambda: next(call))
        seen.append(answer)
        if not isinstance(answer, bytes):
            return [*seen, told(lambda: next(call))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ARGUMENTS)
def test_arguments(kind: str, given: str, channels: Channels) -> None:
    """Each argument, with values that are good and values that are not: the same effect, the same error, raised at the
    same place.
    """

    def observe(channel: grpc.Channel) -> Any:
        made = multi(channel, kind)
        seen = []
        if kind[1] == "u":
            seen.append(told(lambda: made(requests_for(kind), **ARGUMENTS[given])))
            seen.append(told(lambda: made.with_call(requests_for(kind), **ARGUMENTS[given])[0]))
            seen.append(told(lambda: made.future(requests_for(kind), **ARGUMENTS[given]).result()))
        else:
            seen.append(told(lambda: _read_all(made(requests_for(kind), **ARGUMENTS[given]))))
        return seen

    compare(channels, observe)


@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_under_way(kind: str, channels: Channels) -> None:
    """After its first sign of life a call is cancelled: what it tells, and what waiting for it says."""

    def observe(channel: grpc.Channel) -> Any:
        made = multi(channel, kind)
        call = (made.future if kind[1] == "u" else made)(requests_for(kind), metadata=script("hold"))
        # That of a unary-unary call comes with its response only.
        seen: list[Any] = [plain(call.initial_metadata()) if kind != "uu" else None]
        seen.append(told(lambda: call.result(timeout=0.01)) if kind[1] == "u" else told(lambda: next(call)))
        over = threading.Event()
        assert call.add_callback(over.set)
        seen += [call.is_active(), call.running(), call.done(), call.cancelled(), call.time_remaining()]
        seen.append(call.cancel())
        assert over.wait(WAIT_S)
        seen += [told(lambda: call.result(timeout=WAIT_S)), told(lambda: call.exception(timeout=WAIT_S))]
        seen += [told(lambda: call.traceback(timeout=WAIT_S))]
        if kind[1] == "s":
            seen.append(told(lambda: next(call)))
        return [*seen, status(call)]

    compare(channels, observe)


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline_under_way(kind: str, channels: Channels) -> None:
    """The time is up while the server holds the call."""

    def observe(channel: grpc.Channel) -> Any:
        made = multi(channel, kind)
        call = (made.future if kind[1] == "u" else made)(
            requests_for(kind), timeout=0.2, metadata=script("hold")
        )
        seen = told(call.result) if kind[1] == "u" else _read_all(call)[-1]
        # Who notices first says it in other words.
        return [seen[:2], {**status(call), "initial_metadata": None, "details": None}]

    compare(channels, observe)


@pytest.mark.parametrize("kind", ["us", "ss"])
def test_a_stream_that_breaks_off(kind: str, channels: Channels) -> None:
    """A response, then the server's error; what was read stays good."""

    def observe(channel: grpc.Channel) -> Any:
        call = multi(channel, kind)(requests_for(kind), metadata=script("late"))
        return [_read_all(call), status(call)]

    compare(channels, observe)


@pytest.mark.parametrize("kind", ["su", "ss"])
def test_requests_that_raise(kind: str, channels: Channels) -> None:
    """The caller's own iterator fails: the call does, with gRPC's words."""

    def failing() -> Iterator[bytes]:
        yield b"q"
        raise LookupError("no more")

    def observe(channel: grpc.Channel) -> Any:
        made = multi(channel, kind)
        # The answers to those before may come first.
        return told(lambda: made(failing())) if kind == "su" else _read_all(made(failing()))[-1]

    compare(channels, observe)


def _refuse(_: Any) -> bytes:
    raise LookupError("not to be had")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, 1])
def test_serializers_that_raise(kind: str, which: int, channels: Channels) -> None:
    """The request's or the response's: the same status, raised at the same place."""

    def observe(channel: grpc.Channel) -> Any:
        given = [None, None]
        given[which] = _refuse  # type: ignore[call-overload]  # a list of None so far
        made = multi(channel, kind, *given)
        if kind[1] == "s":
            return told(lambda: _read_all(made(requests_for(kind)))[-1])
        return [
            told(lambda: made(requests_for(kind))),
            told(lambda: made.future(requests_for(kind)).result()),
        ]

    compare(channels, observe)


def test_a_closed_channel(channels: Channels) -> None:
    """Calls under way when it is closed, and calls, multi-callables, subscriptions and closing after that."""

    def observe(channel: grpc.Channel) -> Any:
        made = {kind: multi(channel, kind) for kind in KINDS}
        future = made["uu"].future(b"q", metadata=script("hold"))
        stream = made["us"](b"q", metadata=script("hold"))
        next(stream)
        with channel as entered:
            pass
        seen: list[Any] = [entered is channel, told(future.result), told(lambda: next(stream))]
        # The words differ from kind to kind.
        seen += [told(lambda kind=kind: made[kind](requests_for(kind)))[0] for kind in KINDS]
        seen += [told(lambda kind=kind: made[kind].future(requests_for(kind)))[0] for kind in ("uu", "su")]
        seen.append(told(channel.close))
        seen.append(told(lambda: channel.unsubscribe(print)))
        return seen

    compare(channels, observe)


class Seeing(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]  # generic in the stubs only
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Keeps what it is told, and adds to the metadata."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def _see(self, continuation: Any, details: Any, request: Any) -> Any:
        self.seen.append((details.method, details.timeout, details.wait_for_ready, details.compression))
        answer = continuation(details, request)
        self.seen.append([kind.__name__ for kind in (grpc.Call, grpc.Future) if isinstance(answer, kind)])
        return answer

    intercept_unary_unary = _see  # type: ignore[assignment]
    intercept_unary_stream = _see  # type: ignore[assignment]
    intercept_stream_unary = _see  # type: ignore[assignment]
    intercept_stream_stream = _see  # type: ignore[assignment]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ok", "abort"])
def test_interceptors(kind: str, name: str, channels: Channels) -> None:
    """What an interceptor is told and given back, and what comes out at the end."""

    def observe(channel: grpc.Channel) -> Any:
        seeing = Seeing()
        made = multi(grpc.intercept_channel(channel, seeing), kind)
        arguments = {"metadata": script(name), "timeout": WAIT_S, "wait_for_ready": True}
        if kind[1] == "s":
            seen = [_read_all(made(requests_for(kind), **arguments))]
        else:
            seen = [told(lambda: made(requests_for(kind), **arguments))]
            seen.append(told(lambda: made.with_call(requests_for(kind), **arguments)[0]))
            seen.append(told(lambda: made.future(requests_for(kind), **arguments).result()))
        return [seen, seeing.seen]

    compare(channels, observe)


# gRPC's own, of the plain channel, which is closed while its thread asks for the state.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_subscriber(channels: Channels) -> None:
    """Told READY, and SHUTDOWN's absence or presence is the same; an unsubscribed one hears nothing more."""

    def observe(channel: grpc.Channel) -> Any:
        ready, told_states = threading.Event(), []

        def hear(state: grpc.ChannelConnectivity) -> None:
            told_states.append(state)
            if state is grpc.ChannelConnectivity.READY:
                ready.set()

        channel.subscribe(hear, try_to_connect=True)
        assert ready.wait(WAIT_S)
        channel.unsubscribe(hear)
        return told_states[-1]

    compare(channels, observe)


def test_a_difference_is_found(channels: Channels) -> None:
    """Negative control: a channel whose calls say something else is not seen alike."""

    class Louder(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(details, request + b"!")

    def other() -> tuple[grpc.Channel, grpc.Channel]:
        bare, ours = channels()
        return bare, grpc.intercept_channel(ours, Louder())

    with pytest.raises(AssertionError):
        compare(other, lambda channel: told(lambda: multi(channel, "uu")(b"q")))
