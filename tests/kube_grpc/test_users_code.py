"""What a caller gives that does not work: it is named, and nothing hangs for it."""

import random
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from kube_grpc import OptionError, hooks
from kube_grpc.channel import Channel
from kube_grpc.endpoints import EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

SAY, COUNT, JOIN = (f"/test.Echo/{name}" for name in ("Say", "Count", "Join"))
TARGET = Target("greeter", "shop", 50051)
Open = Callable[..., Any]


@pytest.fixture
def open_channel(log: Any) -> Iterator[Open]:
    """Opens a channel over a pool that is told these endpoints."""
    opened: list[Channel] = []

    def begin(*servers: Any, **options: Any) -> Channel:
        pool = Pool(TARGET, Options(hook=log, **options), rng=random.Random(1))
        channel = Channel.over(SimpleNamespace(pool=pool), pool.close)  # type: ignore[arg-type]
        opened.append(channel)
        tell(channel, *servers)
        log.wait_for(hooks.MemberReady, len(servers))
        return channel

    yield begin
    for channel in opened:
        channel.close()


def tell(channel: Channel, *servers: Any) -> None:
    channel._pool.found(EndpointSet(tuple(sorted((item.endpoint for item in servers), key=lambda e: e.key))))


@pytest.mark.parametrize(
    "given", [["no pair"], [("grpc.max_send_message_length", object())], 7, [("name", 1, "more")]]
)
def test_channel_arguments_for_one_member_that_are_none(
    given: Any, open_channel: Open, make_backend: Any, caplog: Any
) -> None:
    """That member has no overrides, the log says why, and calls are answered."""
    channel = open_channel(make_backend("a"), per_member=lambda _: given)

    assert channel.unary_unary(SAY)(b"x", timeout=10) == b"a:x"
    assert "option per_member failed on Endpoint(" in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"options": (("grpc.max_send_message_length", object()),)},
        {"credentials": object()},
        {"credentials": grpc.access_token_call_credentials("x")},
    ],
)
def test_channel_arguments_that_grpc_does_not_take(given: dict[str, Any]) -> None:
    """Said where the channel is made, not with each pod that comes."""
    with pytest.raises(OptionError) as caught:
        Pool(TARGET, Options(**given), rng=random.Random(1))

    assert "options are pairs of a name and an int, str or bytes; credentials are" in str(caught.value)


def test_a_hook_that_opens_a_channel(make_backend: Any) -> None:
    """It is called by the pool's own thread, which goes on: calls are answered, by both."""
    opened: list[Channel] = []
    done = threading.Event()

    def begin(hook: Any, server: Any) -> Channel:
        pool = Pool(TARGET, Options(hook=hook), rng=random.Random(1))
        channel = Channel.over(SimpleNamespace(pool=pool), pool.close)  # type: ignore[arg-type]
        opened.append(channel)
        tell(channel, server)
        return channel

    def hook(event: Any) -> None:
        if isinstance(event, hooks.MemberReady):
            begin(None, make_backend("b"))
            done.set()

    begin(hook, make_backend("a"))
    assert done.wait(10)
    answers = [each.unary_unary(SAY)(b"x", timeout=10, wait_for_ready=True) for each in opened]
    for each in opened:
        each.close()
    assert answers == [b"a:x", b"b:x"]


class Sticky:
    """A policy that keeps its first choice, whether or not it has left."""

    def __init__(self) -> None:
        self.choice: Any = None

    def pick(self, members: Any, _metadata: Any) -> Any:
        if self.choice is None:
            self.choice = members[0]
        return self.choice


def test_a_policy_that_picks_a_member_that_left(open_channel: Open, make_backend: Any, log: Any) -> None:
    """The call fails with what is allowed, instead of asking the policy for ever."""
    servers = [make_backend(name) for name in "ab"]
    policy = Sticky()
    channel = open_channel(*servers, policy=policy)
    first = channel.unary_unary(SAY)(b"x", timeout=10)[:1].decode()
    tell(channel, *(item for item in servers if item.name.decode() != first))
    log.wait_for(hooks.MemberRemoved)

    with pytest.raises(OptionError, match="one of the members that it is given with each call"):
        channel.unary_unary(SAY)(b"x", timeout=10)

    policy.choice = None
    assert channel.unary_unary(SAY)(b"x", timeout=10)[:1].decode() != first


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary"])
def test_metadata_that_can_be_read_once(kind: str, open_channel: Open, make_backend: Any) -> None:
    """A generator is read by the policy, and sent nevertheless, as on a grpc.Channel."""
    server = make_backend("a")
    channel = open_channel(server, policy="consistent_hash", hash_key="user")

    def metadata() -> Iterator[tuple[str, str]]:
        yield ("user", "me")

    if kind == "unary_unary":
        channel.unary_unary(SAY)(b"x", timeout=10, metadata=metadata())
    elif kind == "unary_stream":
        list(channel.unary_stream(COUNT)(b"x", timeout=10, metadata=metadata()))
    else:
        channel.stream_unary(JOIN)(iter([b"x"]), timeout=10, metadata=metadata())

    assert [item.get("user") for item in server.metadata] == ["me"]


def test_subscribing_to_a_closed_channel(open_channel: Open) -> None:
    """The subscriber is told so, and no thread stays for it (see the fixture that counts them)."""
    channel = open_channel()
    channel.close()
    told, is_told = [], threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        told.append(state)
        is_told.set()

    channel.subscribe(note)

    assert is_told.wait(10)
    assert told == [grpc.ChannelConnectivity.SHUTDOWN]
