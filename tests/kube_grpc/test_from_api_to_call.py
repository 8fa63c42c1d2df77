"""From the Kubernetes API to answered calls: `Channel` and `connect` as users open them, in both modes."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import kube_grpc
from kube_grpc import hooks, sharing

SAY = "/test.Echo/Say"
Open = Callable[..., kube_grpc.Channel]


@pytest.fixture
def open_channel(kubeconfig: Path, log: Any) -> Iterator[Open]:
    """Opens channels to Service greeter in namespace shop."""
    opened: list[kube_grpc.Channel] = []

    def begin(target: str = "greeter.shop.svc.cluster.local:50051", **options: Any) -> kube_grpc.Channel:
        opened.append(kube_grpc.Channel(target, kubeconfig=str(kubeconfig), hook=log, **options))
        return opened[-1]

    yield begin
    for channel in opened:
        channel.close()


def who(channel: grpc.Channel, calls: int) -> Counter[bytes]:
    say = channel.unary_unary(SAY)
    return Counter(say(b"x", timeout=20).split(b":")[0] for _ in range(calls))


def list_all(api: Any, *servers: Any) -> None:
    """Two endpoints a slice, so that a Service of three has two slices."""
    for number in range(0, len(servers), 2):
        api.put(f"slice-{number}", *(item.address for item in servers[number : number + 2]))


@pytest.mark.parametrize("mode", ["watch", "poll"])
def test_calls_go_to_all_pods(mode: str, open_channel: Open, api: Any, make_backend: Any, log: Any) -> None:
    """Round robin over the endpoints of all slices, in both modes."""
    list_all(api, *(make_backend(name) for name in "abc"))
    channel = open_channel(mode=mode)

    log.wait_for(hooks.MemberReady, 3)

    assert who(channel, 9) == {b"a": 3, b"b": 3, b"c": 3}


def test_the_original_policy(open_channel: Open, api: Any, make_backend: Any, log: Any) -> None:
    """Random, as the original kube-grpc: everybody gets calls (the chance of missing one of two is 1 in 2**99)."""
    list_all(api, make_backend("a"), make_backend("b"))
    channel = open_channel(mode="poll", policy="random")
    log.wait_for(hooks.MemberReady, 2)

    assert set(who(channel, 100)) == {b"a", b"b"}


def test_pods_that_come_and_go(open_channel: Open, api: Any, make_backend: Any, log: Any) -> None:
    """Scaled up and down: the new one serves, the old one does not, and no call fails."""
    old, new = make_backend("old"), make_backend("new")
    list_all(api, old)
    channel = open_channel()
    assert who(channel, 2) == {b"old": 2}

    list_all(api, old, new)
    log.wait_for(hooks.MemberReady, 2)
    assert who(channel, 4) == {b"old": 2, b"new": 2}
    list_all(api, new)
    log.wait_for(hooks.MemberRemoved)

    assert who(channel, 4) == {b"new": 4}


def test_a_short_target_means_the_contexts_namespace(open_channel: Open, api: Any, make_backend: Any) -> None:
    """`greeter:50051` is the Service in the namespace of the kubeconfig's context."""
    list_all(api, make_backend("a"))

    assert who(open_channel("greeter:50051"), 1) == {b"a": 1}


@pytest.mark.parametrize("mode", ["watch", "poll"])
def test_a_deleted_service(mode: str, open_channel: Open, api: Any, make_backend: Any, log: Any) -> None:
    """The pool goes on without an error, over all pods of all slices; made again, the Service is followed again."""
    servers = [make_backend(name) for name in "abc"]
    list_all(api, *servers)
    channel = open_channel(mode=mode, refresh_interval_s=0.05)
    log.wait_for(hooks.MemberReady, 3)

    for name in list(api.slices):
        api.delete(name)
    seen = api.count("list")
    api.wait_until(lambda: mode == "watch" or api.count("list") > seen + 2)
    assert who(channel, 9) == {b"a": 3, b"b": 3, b"c": 3}
    new = make_backend("new")
    list_all(api, new)
    log.wait_for(hooks.MemberRemoved, 3)

    assert who(channel, 3) == {b"new": 3}


def test_the_api_goes_away(open_channel: Open, api: Any, make_backend: Any, log: Any, caplog: Any) -> None:
    """Working members go on, one line says so, and one says that it is over."""
    server = make_backend("a")
    list_all(api, server)
    channel = open_channel()
    log.wait_for(hooks.MemberReady)
    api.wait_until(lambda: api.watching == 1)

    api.refuse_with.update(list=503, watch=503)
    api.cut()
    log.wait_for(hooks.DiscoveryFailed)
    assert who(channel, 5) == {b"a": 5}
    api.refuse_with.clear()

    (recovered,) = log.wait_for(hooks.DiscoveryRecovered)
    assert len(log.of(hooks.DiscoveryFailed)) == 1
    assert recovered.failing_s >= 0


def test_a_403_at_the_start(open_channel: Open, api: Any, make_backend: Any, log: Any, caplog: Any) -> None:
    """The call fails at once and names the permission; the log shows the Role; once granted, calls are answered."""
    list_all(api, make_backend("a"))
    api.refuse_with.update(list=403)
    channel = open_channel()

    with pytest.raises(kube_grpc.NoMemberError) as caught:
        channel.unary_unary(SAY)(b"x", timeout=20)
    api.refuse_with.clear()

    assert "system:serviceaccount:web:client may not list endpointslices" in caught.value.details()
    (failed,) = log.wait_for(hooks.DiscoveryFailed)
    assert failed.kind == "forbidden"
    assert "kind: Role\n" in caplog.text
    assert channel.unary_unary(SAY)(b"x", timeout=20, wait_for_ready=True) == b"a:x"


def test_a_port_name_that_is_not_there(open_channel: Open, api: Any, make_backend: Any, log: Any) -> None:
    """The call's error lists the names that there are."""
    list_all(api, make_backend("a"))

    with pytest.raises(kube_grpc.NoMemberError) as caught:
        open_channel("greeter.shop:web").unary_unary(SAY)(b"x", timeout=20)

    assert 'no port matches "web": the slices have grpc=50051' in caught.value.details()


def test_poll_mode_leaves_out_a_pod_that_fails_its_ping(
    open_channel: Open, api: Any, make_backend: Any, log: Any
) -> None:
    """As the original: out after the next ping, back after the next refresh."""
    good, bad = make_backend("good"), make_backend("bad")
    list_all(api, good, bad)
    refused = threading.Event()

    def ping(channel: grpc.Channel) -> None:
        if channel.unary_unary(SAY)(b"ping").startswith(b"bad") and not refused.is_set():
            refused.set()
            raise RuntimeError("not well")

    channel = open_channel(mode="poll", ping=ping, ping_interval_s=0.2, refresh_interval_s=1.0)
    (removed,) = log.wait_for(hooks.MemberRemoved)
    log.wait_for(hooks.MemberReady, 3)

    assert (removed.pod, removed.peer) == (None, bad.endpoint.uri)
    assert removed.reason == "its ping failed: RuntimeError: not well; out until the next refresh"
    assert set(who(channel, 4)) == {b"good", b"bad"}


def test_a_ping_that_is_not_answered(open_channel: Open, api: Any, make_backend: Any, log: Any) -> None:
    """A ping written without a time-out gets the interval as its deadline; futures are waited for."""
    server = make_backend("a")
    list_all(api, server)
    open_channel(mode="watch", ping=lambda one: one.unary_unary(SAY).future(b"hold"), ping_interval_s=0.2)

    (unready,) = log.wait_for(hooks.MemberUnready)
    server.gate.set()
    log.wait_for(hooks.MemberReady, 2)

    assert unready.reason == "its ping failed: DEADLINE_EXCEEDED: Deadline Exceeded"


def test_poll_mode_without_a_ping_leaves_out_a_dead_pod(
    open_channel: Open, api: Any, make_process: Any, log: Any
) -> None:
    """A connection that gRPC can not make counts as a failed ping."""
    servers = [make_process(name) for name in "ab"]
    list_all(api, *servers)
    channel = open_channel(mode="poll", ping_interval_s=0.1)
    log.wait_for(hooks.MemberReady, 2)

    servers[0].kill()

    (removed,) = log.wait_for(hooks.MemberRemoved)
    assert removed.reason == "its ping failed: can not be connected to; out until the next refresh"
    assert who(channel, 3) == {b"b": 3}


def test_a_failed_refresh_keeps_the_members(
    open_channel: Open, api: Any, make_backend: Any, log: Any
) -> None:
    """Poll mode, API away: the pool stays as it is (the original's first versions ended the process)."""
    list_all(api, make_backend("a"))
    channel = open_channel(mode="poll", refresh_interval_s=0.05)
    log.wait_for(hooks.MemberReady)

    api.refuse_with.update(list=500)
    log.wait_for(hooks.DiscoveryFailed)
    assert who(channel, 3) == {b"a": 3}
    api.refuse_with.clear()

    log.wait_for(hooks.DiscoveryRecovered)


class EchoStub:
    """As generated code."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.say = channel.unary_unary(SAY, _registered_method=True)  # type: ignore[call-arg]  # not in the stubs


class OtherStub(EchoStub):
    """Another service of the same pods."""


@pytest.fixture
def connect(kubeconfig: Path) -> Iterator[Callable[..., Any]]:
    """kube_grpc.connect to Service greeter; everything is closed afterwards."""
    yield lambda stub=EchoStub, **options: kube_grpc.connect(
        "greeter.shop:50051", stub, kubeconfig=str(kubeconfig), **options
    )
    kube_grpc.close_all()


def test_two_stub_classes_share_a_pool(connect: Callable[..., Any], api: Any, make_backend: Any) -> None:
    """Each gets its own class (the original gave the second caller the first one's), over one set of connections."""
    list_all(api, make_backend("a"))

    one, other = connect(EchoStub), connect(OtherStub)

    assert (type(one), type(other)) == (EchoStub, OtherStub)
    assert (one.say(b"x"), other.say(b"x")) == (b"a:x", b"a:x")
    assert api.count("list") == 1


def test_other_options_are_another_pool(connect: Callable[..., Any], api: Any, make_backend: Any) -> None:
    """What differs in any option is not shared; option lists may be lists."""
    list_all(api, make_backend("a"))

    one, other = connect(options=[("grpc.keepalive_time_ms", 9999)]), connect(policy="random")

    assert (one.say(b"x"), other.say(b"x")) == (b"a:x", b"a:x")
    assert api.count("list") == 2


def test_the_last_stub_closes_the_pool(connect: Callable[..., Any], api: Any, make_backend: Any) -> None:
    """Counted: the pool lives until every stub over it was closed; a dropped stub counts as open."""
    list_all(api, make_backend("a"))
    one, other = connect(), connect()
    one.say(b"x")

    kube_grpc.close(one)
    kube_grpc.close(one)
    assert other.say(b"x") == b"a:x"
    kube_grpc.close(other)

    with pytest.raises(ValueError, match="closed channel"):
        other.say(b"x")
    assert connect().say(b"x") == b"a:x"


def test_a_connection_for_each_call(connect: Callable[..., Any], api: Any, make_backend: Any) -> None:
    """The original's way of use, `connect` before every call, finds its pool again although nobody closes anything."""
    list_all(api, make_backend("a"))

    assert {connect().say(b"x") for _ in range(20)} == {b"a:x"}
    assert api.count("list") == 1
    (shared,) = sharing._shared.values()
    (member,) = shared.session.pool.members
    assert len(member.methods) == 1, "each stub must not leave something on the members"


def test_ping_with_a_stub(connect: Callable[..., Any], api: Any, make_backend: Any) -> None:
    """`connect(…, ping=…)` calls it with a stub of that class, over one member."""
    server = make_backend("a")
    list_all(api, server)
    pinged = threading.Event()

    def ping(stub: EchoStub) -> None:
        if stub.say(b"ping") == b"a:ping":
            pinged.set()

    connect(ping=ping, ping_interval_s=0.1)

    assert pinged.wait(20)


def test_close_all(connect: Callable[..., Any], api: Any, make_backend: Any) -> None:
    """Everything that `connect` opened is closed, at once."""
    list_all(api, make_backend("a"))
    stub = connect()
    stub.say(b"x")

    kube_grpc.close_all()

    with pytest.raises(ValueError, match="closed channel"):
        stub.say(b"x")


def test_an_option_that_does_not_exist(connect: Callable[..., Any]) -> None:
    """A misspelt option is refused, with the list of those there are."""
    with pytest.raises(kube_grpc.OptionError) as caught:
        connect(pollicy="random")

    first, allowed, remedy = str(caught.value).splitlines()
    assert "unexpected keyword argument 'pollicy'" in first
    assert allowed.startswith("  allowed: mode, policy, hash_key, ")
    assert remedy == "  do: leave out what is not listed"
