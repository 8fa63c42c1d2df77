"""`Channel` as a grpc.Channel: the four kinds of calls, what happens without a member, and everything around calls."""

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from kube_grpc import hooks
from kube_grpc.attempts import never_left
from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.options import Options
from kube_grpc.outcome import NoMemberError
from kube_grpc.pool import Pool
from kube_grpc.target import Target

SAY, COUNT, JOIN, MIRROR = (f"/test.Echo/{name}" for name in ("Say", "Count", "Join", "Mirror"))
Open = Callable[..., Any]


@pytest.fixture
def open_channel(log: Any) -> Iterator[Open]:
    """Opens a channel over a pool that is told these endpoints."""
    opened: list[Channel] = []

    def begin(*servers: Any, **options: Any) -> Any:
        pool = Pool(Target("greeter", "shop", 50051), Options(hook=log, **options), rng=random.Random(1))
        channel = Channel.over(SimpleNamespace(pool=pool), pool.close)  # type: ignore[arg-type]
        opened.append(channel)
        if servers:
            endpoints = sorted((item.endpoint for item in servers), key=lambda item: item.key)
            pool.found(EndpointSet(tuple(endpoints), slices=1))
            log.wait_for(hooks.MemberReady, len(servers))
        return SimpleNamespace(pool=pool, channel=channel)

    yield begin
    for channel in opened:
        channel.close()


def test_all_four_kinds_of_calls(open_channel: Open, make_backend: Any) -> None:
    """Blocking, with_call, future and streams: the answers are those of a bare grpc.Channel."""
    channel = open_channel(make_backend("a")).channel
    say, join = channel.unary_unary(SAY), channel.stream_unary(JOIN)

    assert say(b"x") == b"a:x"
    assert say.with_call(b"x")[0] == b"a:x"
    assert say.with_call(b"x")[1].code() is grpc.StatusCode.OK
    assert say.future(b"x").result() == b"a:x"
    assert list(channel.unary_stream(COUNT)(b"x")) == [b"a:0", b"a:1", b"a:2"]
    assert join(iter([b"x", b"y"])) == b"a:x,y"
    assert join.with_call(iter([b"x"]))[1].code() is grpc.StatusCode.OK
    assert join.future(iter([b"x"])).result() == b"a:x"
    assert list(channel.stream_stream(MIRROR)(iter([b"x", b"y"]))) == [b"a:x", b"a:y"]


def test_no_call_stays_counted(open_channel: Open, make_backend: Any) -> None:
    """After calls of every kind, good, failed, cancelled and abandoned, no member has a call in flight."""
    server = make_backend("a")
    opened = open_channel(server)
    say, count = opened.channel.unary_unary(SAY), opened.channel.unary_stream(COUNT)
    over = threading.Semaphore(0)

    say(b"x")
    with pytest.raises(grpc.RpcError):
        say(b"fail")
    with pytest.raises(grpc.RpcError):
        say(b"hold", timeout=0.01)
    with pytest.raises(TypeError):
        say.future("not bytes")
    for call in (say.future(b"hold"), count(b"hold")):
        call.add_callback(over.release)
        call.cancel()
    list(count(b"x"))
    server.gate.set()

    assert all(over.acquire(timeout=20) for _ in range(2))
    (member,) = opened.pool.members
    assert len(member.in_flight) == 0


def test_a_stream_that_is_dropped_is_cancelled(open_channel: Open, make_backend: Any) -> None:
    """As with a bare channel: the last reference goes, the call ends, without waiting for the garbage collector."""
    server = make_backend("a")
    opened = open_channel(server)
    (member,) = opened.pool.members
    gc.disable()
    try:
        stream = opened.channel.unary_stream(COUNT)(b"hold")
        assert next(stream) == b"a:0"
        assert len(member.in_flight) == 1

        del stream

        server.wait_until(lambda: server.ended == 1)
        # The two ends hear of it independently.
        deadline = time.monotonic() + 20
        while member.in_flight:
            assert time.monotonic() < deadline
    finally:
        gc.enable()


def test_what_the_caller_passes_arrives(open_channel: Open, make_backend: Any) -> None:
    """Metadata and time-outs have their effect at the server; serializers are applied."""
    server = make_backend("a")
    channel = open_channel(server).channel
    say = channel.unary_unary(SAY, str.encode, bytes.decode)

    assert say("x", timeout=20, metadata=(("who", "me"),)) == "a:x"
    assert server.metadata[-1]["who"] == "me"
    with pytest.raises(grpc.RpcError) as caught:
        say("hold", timeout=0.01)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


class Recording:
    """A member's channel that keeps what its multi-callables are called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, kind: str) -> Any:
        def make(*made_with: Any, **named: Any) -> Any:
            def call(*arguments: Any) -> Any:
                self.calls.append((kind, made_with, named, arguments))
                return LostError("over")

            call.future = call.with_call = call  # type: ignore[attr-defined]  # as grpc's multi-callables
            return call

        return make

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_every_argument_goes_on_unchanged(kind: str, open_channel: Open, make_backend: Any) -> None:
    """Compression and credentials too, in every kind of call and every way to make it."""
    opened = open_channel(make_backend("a"))
    (member,) = opened.pool.members
    real, member.channel = member.channel, Recording()
    recording = member.channel
    credentials = grpc.access_token_call_credentials("x")
    multi = getattr(opened.channel, kind)("/s/M", str, bytes, _registered_method=True)

    ways = [getattr(multi, name) for name in ("__call__", "with_call", "future") if hasattr(multi, name)]
    for way in ways:
        way("request", 5.0, (("a", "b"),), credentials, None, grpc.Compression.Gzip)

    expected = ("request", 5.0, (("a", "b"),), credentials, None, grpc.Compression.Gzip)
    assert recording.calls == [(kind, ("/s/M", str, bytes), {"_registered_method": True}, expected)] * len(
        ways
    )
    real.close()


def test_interceptors(open_channel: Open, make_backend: Any) -> None:
    """grpc.intercept_channel takes this channel as any other."""

    class Tag(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(details, request + b"!")

    channel = grpc.intercept_channel(open_channel(make_backend("a")).channel, Tag())

    assert channel.unary_unary(SAY)(b"x") == b"a:x!"


def test_tls_with_the_services_name(open_channel: Open, make_backend: Any, certificate: Any) -> None:
    """The certificate is checked against the Service's name, not against the pod's address."""
    key, chain = certificate("greeter.shop.svc")
    server = make_backend("a", None, grpc.ssl_server_credentials([(key, chain)]))

    channel = open_channel(server, credentials=grpc.ssl_channel_credentials(chain)).channel

    assert channel.unary_unary(SAY)(b"x") == b"a:x"


def test_tls_of_another_name(open_channel: Open, make_backend: Any, certificate: Any) -> None:
    """Negative control: a pod with another Service's certificate is not talked to."""
    key, chain = certificate("other.shop.svc")
    server = make_backend("a", None, grpc.ssl_server_credentials([(key, chain)]))
    opened = open_channel(credentials=grpc.ssl_channel_credentials(chain))

    opened.pool.found(EndpointSet((server.endpoint,), slices=1))

    with pytest.raises(grpc.RpcError) as caught:
        opened.channel.unary_unary(SAY)(b"x", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "1 endpoints listed, 1 can not be connected to" in caught.value.details()


def test_without_a_member_a_call_fails_at_once(open_channel: Open) -> None:
    """Once discovery has answered, nobody waits: UNAVAILABLE, with Service and reason, in every kind of call."""
    opened = open_channel()
    opened.pool.failed(DiscoveryError("the API is away", kind="unreachable"))
    channel = opened.channel

    with pytest.raises(NoMemberError) as caught:
        channel.unary_unary(SAY)(b"x")
    with pytest.raises(NoMemberError):
        channel.stream_unary(JOIN)(iter([b"x"]))
    future = channel.unary_unary(SAY).future(b"x")
    stream = channel.unary_stream(COUNT)(b"x")

    text = caught.value.details()
    assert text.startswith(
        "no member for greeter.shop:50051: its endpoints were never known; discovery fails since 20"
    )
    assert text.endswith(": the API is away")
    assert isinstance(future.exception(), NoMemberError)
    assert future.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(NoMemberError):
        next(stream)


def test_a_call_that_waits_for_ready_waits_until_its_deadline(open_channel: Open) -> None:
    """wait_for_ready without a member: DEADLINE_EXCEEDED, and the reason why there was none."""
    opened = open_channel()
    opened.pool.found(EndpointSet(slices=1))

    with pytest.raises(NoMemberError) as caught:
        opened.channel.unary_unary(SAY)(b"x", timeout=0.1, wait_for_ready=True)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "the Service has no endpoints" in caught.value.details()


def test_a_call_that_waits_for_ready_gets_the_member_that_comes(
    open_channel: Open, make_backend: Any
) -> None:
    """It waits through an empty set, and is answered by the first pod."""
    opened = open_channel()
    opened.pool.found(EndpointSet(slices=1))
    answers: list[bytes] = []
    say = opened.channel.unary_unary(SAY)
    thread = threading.Thread(target=lambda: answers.append(say(b"x", timeout=20, wait_for_ready=True)))
    thread.start()

    opened.pool.found(EndpointSet((make_backend("a").endpoint,), slices=1))
    thread.join()

    assert answers == [b"a:x"]


def test_the_deadline_holds_before_the_first_discovery(open_channel: Open) -> None:
    """Nothing is known yet and nothing comes: the call ends at its deadline, never later."""
    with pytest.raises(NoMemberError) as caught:
        open_channel().channel.unary_unary(SAY)(b"x", timeout=0.1)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "no answer from the Kubernetes API yet, asked since" in caught.value.details()


def test_members_that_refuse(open_channel: Open) -> None:
    """Listed but not reachable: the call waits for the attempt, not longer, and says how many there are."""
    opened = open_channel()
    opened.pool.found(
        EndpointSet((Endpoint("127.99.99.98", 50051), Endpoint("127.99.99.99", 50051)), slices=1)
    )

    with pytest.raises(NoMemberError) as caught:
        opened.channel.unary_unary(SAY)(b"x", timeout=20)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "2 endpoints listed, 2 can not be connected to" in caught.value.details()


class Refusing:
    """A member's channel whose calls fail as if the connection had just been lost."""

    def __init__(self, endpoint: Endpoint, details: str) -> None:
        self.details = details.format(uri=endpoint.uri)
        self.calls = 0

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        def fail(*args: Any) -> Any:
            self.calls += 1
            raise LostError(self.details)

        fail.with_call = fail  # type: ignore[attr-defined]  # as grpc's multi-callables
        return fail

    def close(self) -> None:
        """Nothing is open."""


class LostError(grpc.RpcError):
    """An error of gRPC's making."""

    def add_callback(self, callback: Any) -> bool:
        return False

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return str(self)


LOST = "connections to all backends failing; last error: UNKNOWN: {uri}: Failed to connect to remote host: refused"


def break_first(opened: Any, details: str) -> Refusing:
    """Makes the first member's calls fail with these details, while the pool still holds it to be connected."""
    member = opened.pool.picker.members[0]
    real, member.channel = member.channel, Refusing(member.endpoint, details)
    member.methods.clear()
    real.close()
    return member.channel


def test_what_gRPC_says_when_a_call_never_left(make_process: Any) -> None:  # noqa: N802  # a name
    """The words that the retry relies on are those of the gRPC that is installed, and name the member's address."""
    server = make_process("a")
    server.kill()
    uri = server.endpoint.uri
    channel = grpc.insecure_channel(uri, Options().member_options("greeter"))
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SAY)(b"x", timeout=20)

    assert never_left(caught.value, SimpleNamespace(endpoint=server.endpoint))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "details",
    [
        "connections to all backends failing; last error: UNKNOWN: ipv4:192.0.2.1:1: refused",
        "Stream removed (Socket closed)",
        "Stream removed (RST_STREAM (Received RST_STREAM with error code 7))",
        "{uri}: Failed to connect to remote host",
    ],
)
def test_a_call_that_may_have_been_processed_is_not_repeated(
    details: str, open_channel: Open, make_backend: Any
) -> None:
    """An error that a server could have sent, or a connection lost in mid-call, goes to the caller."""
    opened = open_channel(make_backend("a"), make_backend("b"))
    opened.pool.picker.pick()  # so that the first member is next after the other
    broken = break_first(opened, details)
    say = opened.channel.unary_unary(SAY)

    outcomes = [_outcome(say) for _ in range(2)]

    assert outcomes.count("failed") == 1
    assert broken.calls == 1


def _outcome(say: Any) -> str:
    try:
        say(b"x", timeout=20)
    except grpc.RpcError:
        return "failed"
    return "answered"


def test_a_server_that_passes_on_such_an_error_is_not_called_twice(
    open_channel: Open, make_backend: Any
) -> None:
    """A server's own "connections to all backends failing", about an upstream, is an answer, not a lost call."""
    server, other = make_backend("a"), make_backend("b")
    channel = open_channel(server, other).channel

    with pytest.raises(grpc.RpcError):
        channel.unary_unary(SAY)(b"fail")

    assert len(server.metadata) + len(other.metadata) == 1


def test_a_call_that_never_left_is_made_on_another_member(open_channel: Open, make_backend: Any) -> None:
    """Blocking calls and with_call do not notice that a connection was lost before they were sent."""
    opened = open_channel(make_backend("a"), make_backend("b"))
    broken = break_first(opened, LOST)
    say = opened.channel.unary_unary(SAY)

    assert [_outcome(say) for _ in range(10)] == ["answered"] * 10
    assert say.with_call(b"x")[1].code() is grpc.StatusCode.OK
    assert broken.calls >= 5


def test_a_call_is_tried_once_more_and_not_for_ever(open_channel: Open, make_backend: Any) -> None:
    """With nobody else to turn to, the caller gets gRPC's own error."""
    opened = open_channel(make_backend("a"))
    broken = break_first(opened, LOST)

    assert _outcome(opened.channel.unary_unary(SAY)) == "failed"
    assert broken.calls == 1


def test_connectivity_of_the_whole(open_channel: Open, make_backend: Any) -> None:
    """CONNECTING while nothing is known, READY with a member, TRANSIENT_FAILURE without, SHUTDOWN when closed."""
    opened = open_channel()
    states: list[grpc.ChannelConnectivity] = []
    changed = threading.Condition()

    def note(state: grpc.ChannelConnectivity) -> None:
        with changed:
            states.append(state)
            changed.notify_all()

    def wait_for(count: int) -> None:
        with changed:
            assert changed.wait_for(lambda: len(states) >= count, 20)

    opened.channel.subscribe(note)
    wait_for(1)
    opened.pool.found(EndpointSet((make_backend("a").endpoint,), slices=1))
    wait_for(2)
    opened.pool.found(EndpointSet(slices=1))
    wait_for(3)
    opened.channel.close()
    wait_for(4)

    assert [state.name for state in states] == ["CONNECTING", "READY", "TRANSIENT_FAILURE", "SHUTDOWN"]


def test_unsubscribing(open_channel: Open, make_backend: Any) -> None:
    """grpc.channel_ready_future, which subscribes and unsubscribes, works on it."""
    opened = open_channel()
    ready = grpc.channel_ready_future(opened.channel)

    opened.pool.found(EndpointSet((make_backend("a").endpoint,), slices=1))
    ready.result(timeout=20)
    opened.channel.unsubscribe(print)

    assert opened.pool.announcer._callbacks == []


def test_a_closed_channel(open_channel: Open, make_backend: Any) -> None:
    """Calls in flight are cancelled, waiting ones end, later ones raise what a closed grpc.Channel raises."""
    server = make_backend("a")
    opened = open_channel(server)
    say = opened.channel.unary_unary(SAY)
    in_flight = say.future(b"hold")
    server.wait_until(lambda: server.held == 1)

    with opened.channel:
        pass

    assert in_flight.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(ValueError, match="Cannot invoke RPC on closed channel!"):
        say(b"x")
    opened.channel.close()


def test_closing_wakes_a_call_that_waits(open_channel: Open) -> None:
    """A call without a deadline that waits for a member ends when the channel is closed, with the status that it has
    on a grpc.Channel.
    """
    plain = grpc.insecure_channel("ipv4:127.0.0.1:1")
    expected = plain.unary_unary(SAY).future(b"x", wait_for_ready=True)
    plain.close()
    opened = open_channel()
    is_waiting = threading.Event()
    opened.pool.hurry = is_waiting.set  # Called by who waits, with the lock that `close` takes.
    opened.pool.failed(DiscoveryError("the API is away", kind="unreachable"))

    with futures.ThreadPoolExecutor() as executor:
        call = executor.submit(opened.channel.unary_unary(SAY), b"x", wait_for_ready=True)
        assert is_waiting.wait(20)
        opened.channel.close()
        error: Any = call.exception(20)

    assert isinstance(error, grpc.RpcError)
    assert (error.code(), error.details()) == (expected.code(), expected.details())
    assert error.code() is grpc.StatusCode.CANCELLED


def test_stubs_that_are_made_again_and_again(open_channel: Open, make_backend: Any) -> None:
    """Equal multi-callables are one on each member: a stub for every call does not fill the memory."""
    opened = open_channel(make_backend("a"))

    for _ in range(50):
        opened.channel.unary_unary(SAY, bytes, bytes, _registered_method=True)(b"x")

    (member,) = opened.pool.members
    assert len(member.methods) == 1


def test_who_is_in_the_pool(open_channel: Open, make_backend: Any) -> None:
    """`members()` is for a person at a prompt: who, in which state, with how many calls."""
    server = make_backend("a")
    opened = open_channel(server)

    (view,) = opened.channel.members()

    assert (view.peer, view.pod, view.state, view.is_serving, view.in_flight) == (
        f"ipv4:{server.address}:50051",
        "a",
        "READY",
        True,
        0,
    )


def test_calls_that_find_nobody_hurry_discovery(open_channel: Open, log: Any) -> None:
    """Where listed pods can not be reached, a call tells discovery; where none are listed, it does not."""
    opened = open_channel()
    told: list[None] = []
    opened.pool.hurry = lambda: told.append(None)
    say = opened.channel.unary_unary(SAY)

    opened.pool.found(EndpointSet((Endpoint("127.0.0.1", 1),), slices=1))
    with pytest.raises(NoMemberError, match="can not be connected to"):
        say(b"x", timeout=20)
    assert told

    opened.pool.found(EndpointSet((), slices=1))
    log.wait_for(hooks.MemberRemoved)
    told.clear()
    with pytest.raises(NoMemberError, match="is it scaled to zero"):
        say(b"x", timeout=20)
    assert not told
