"""The pool with real connections: who joins, who leaves, what happens to calls meanwhile."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from kube_grpc import hooks
from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

OpenPool = Callable[..., Any]
SAY = "/test.Echo/Say"
REFUSED = DiscoveryError("the API is away", kind="unreachable")


@pytest.fixture
def open_pool(log: Any) -> Iterator[OpenPool]:
    """Opens a pool that is told its endpoints by the test, with a channel over it."""
    opened: list[Channel] = []

    def begin(**options: Any) -> Any:
        pool = Pool(Target("greeter", "shop", 50051), Options(hook=log, **options), rng=random.Random(1))
        channel = Channel.over(SimpleNamespace(pool=pool), pool.close)
        opened.append(channel)
        return SimpleNamespace(pool=pool, channel=channel, say=channel.unary_unary(SAY))

    yield begin
    for channel in opened:
        channel.close()


def listing(*servers: Any) -> EndpointSet:
    """What discovery would report for these servers or endpoints."""
    found = [item if isinstance(item, Endpoint) else item.endpoint for item in servers]
    return EndpointSet(tuple(sorted(found, key=lambda item: item.key)), slices=1)


def gone(server: Any, **conditions: bool) -> Endpoint:
    return replace(server.endpoint, **conditions)


def who(opened: Any, calls: int) -> Counter[bytes]:
    return Counter(opened.say(b"x", timeout=10).split(b":")[0] for _ in range(calls))


def test_calls_go_round_the_members(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """Every member answers its exact share."""
    servers = [make_backend(name) for name in "abc"]
    opened = open_pool()

    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 3)

    assert who(opened, 30) == {b"a": 10, b"b": 10, b"c": 10}


def test_a_picker_that_does_not_go_round_is_found_out(
    open_pool: OpenPool, make_backend: Any, log: Any
) -> None:
    """Negative control: with a policy that always takes the first member, the shares above come out differently."""
    servers = [make_backend(name) for name in "abc"]
    opened = open_pool()
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 3)

    opened.pool.picker = SimpleNamespace(pick=lambda _metadata: opened.pool.members[0])

    assert len(who(opened, 30)) == 1


def test_the_first_call_waits_for_the_first_discovery(open_pool: OpenPool, make_backend: Any) -> None:
    """A call made before anything is known is answered as soon as there is a member."""
    opened = open_pool()
    with futures.ThreadPoolExecutor(1) as executor:
        answer = executor.submit(opened.say, b"x", timeout=20)
        opened.pool.found(listing(make_backend("a")))

        assert answer.result() == b"a:x"


def test_a_new_member_gets_calls_only_when_it_is_connected(
    open_pool: OpenPool, make_backend: Any, log: Any
) -> None:
    """An address where nobody answers costs no call while others serve."""
    server = make_backend("a")
    opened = open_pool()
    opened.pool.found(listing(server))
    log.wait_for(hooks.MemberReady)

    opened.pool.found(listing(server, Endpoint("127.99.99.99", 50051)))
    log.wait_for(hooks.MemberAdded, 2)

    assert who(opened, 20) == {b"a": 20}
    assert [item.is_serving for item in opened.channel.members()] == [True, False]


def test_a_member_that_leaves_finishes_its_calls(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """New calls go elsewhere at once; the one in flight is answered; then the connection closes."""
    old, new = make_backend("old"), make_backend("new")
    opened = open_pool()
    opened.pool.found(listing(old))
    answer = opened.say.future(b"hold", timeout=20)
    old.wait_until(lambda: old.held == 1)
    opened.pool.found(listing(old, new))
    log.wait_for(hooks.MemberReady, 2)

    opened.pool.found(listing(new))
    (removed,) = log.wait_for(hooks.MemberRemoved)
    assert who(opened, 10) == {b"new": 10}
    old.gate.set()

    assert answer.result() == b"old:hold"
    assert (removed.pod, removed.reason) == ("old", "it is no longer listed")


def test_a_call_that_outlasts_the_grace_is_cancelled(
    open_pool: OpenPool, make_backend: Any, caplog: Any
) -> None:
    """Draining is bounded, and says whom it cut off."""
    old = make_backend("old")
    opened = open_pool(drain_grace_s=0.05)
    opened.pool.found(listing(old))
    answer = opened.say.future(b"hold", timeout=20)
    old.wait_until(lambda: old.held == 1)

    opened.pool.found(listing(make_backend("new")))

    with pytest.raises(grpc.RpcError) as caught:
        answer.result()
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert "1 calls still ran 0.05 s after it left, cancelled" in caplog.text


def test_streams_finish_too(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """A response stream that is under way when its member leaves is read to its end."""
    old = make_backend("old")
    opened = open_pool()
    opened.pool.found(listing(old))
    stream = opened.channel.unary_stream("/test.Echo/Count")(b"hold", timeout=20)
    assert next(stream) == b"old:0"

    opened.pool.found(listing(make_backend("new")))
    log.wait_for(hooks.MemberRemoved)
    old.gate.set()

    assert list(stream) == [b"old:1", b"old:2"]


def test_a_terminating_member_is_passed_over(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """As soon as its endpoint is listed as terminating, calls go to the others."""
    old, new = make_backend("old"), make_backend("new")
    opened = open_pool()
    opened.pool.found(listing(old, new))
    log.wait_for(hooks.MemberReady, 2)

    opened.pool.found(listing(gone(old, ready=False, terminating=True), new))
    (unready,) = log.wait_for(hooks.MemberUnready)

    assert who(opened, 10) == {b"new": 10}
    assert (unready.pod, unready.reason) == ("old", "it is terminating")


def test_terminating_members_serve_when_nobody_else_does(open_pool: OpenPool, make_backend: Any) -> None:
    """Scaled down to pods that are all on their way out: calls still get answers."""
    last = make_backend("last")
    opened = open_pool()

    opened.pool.found(listing(gone(last, ready=False, serving=True, terminating=True)))

    assert who(opened, 3) == {b"last": 3}


def test_a_killed_member_is_passed_over_and_comes_back(
    open_pool: OpenPool, make_process: Any, log: Any
) -> None:
    """kill -9: once the connection is known to be lost no call fails; after a restart on the same address it serves."""
    servers = [make_process(name) for name in "ab"]
    opened = open_pool()
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 2)

    servers[0].kill()
    (lost,) = log.wait_for(hooks.MemberUnready)
    assert who(opened, 20) == {b"b": 20}
    make_process("a again", servers[0].address)
    log.wait_for(hooks.MemberReady, 3)

    assert who(opened, 20) == {b"a again": 10, b"b": 10}
    assert (lost.pod, lost.reason) == ("a", "the connection is lost")


def test_an_orphaned_member_leaves_when_its_connection_dies(
    open_pool: OpenPool, make_process: Any, log: Any
) -> None:
    """With the Service deleted its pods go on serving; one that dies is gone for good, even if it comes back."""
    servers = [make_process(name) for name in "ab"]
    opened = open_pool()
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 2)

    orphans = listing(*(gone(item, orphaned=True) for item in servers))
    opened.pool.found(replace(orphans, slices=0))
    assert set(who(opened, 10)) == {b"a", b"b"}
    servers[0].kill()
    (removed,) = log.wait_for(hooks.MemberRemoved)
    make_process("somebody else", servers[0].address)
    opened.pool.found(replace(orphans, slices=0))

    assert who(opened, 10) == {b"b": 10}
    assert (removed.pod, removed.reason) == ("a", "its connection is lost and its Service is gone")


def test_discovery_that_fails_takes_nobody_away(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """Errors are told once per cause and once when they end; the members serve all the time."""
    opened = open_pool()
    opened.pool.found(listing(make_backend("a")))
    opened.pool.works()
    log.wait_for(hooks.MemberReady)

    for _ in range(3):
        opened.pool.failed(REFUSED)
    opened.pool.failed(DiscoveryError("you may not", kind="forbidden", remedy="kind: Role"))
    log.wait_for(hooks.DiscoveryFailed, 2)
    assert who(opened, 5) == {b"a": 5}
    opened.pool.works()
    log.wait_for(hooks.DiscoveryRecovered)

    assert [item.kind for item in log.of(hooks.DiscoveryFailed)] == ["unreachable", "forbidden"]
    assert str(log.of(hooks.DiscoveryFailed)[1]) == (
        "greeter.shop:50051: discovery failed, members stay as they are: you may not\nkind: Role"
    )


def test_an_empty_set_is_obeyed(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """Scaled to zero: calls fail at once, and say so."""
    opened = open_pool()
    opened.pool.found(listing(make_backend("a")))
    log.wait_for(hooks.MemberReady)

    opened.pool.found(EndpointSet(slices=1))
    log.wait_for(hooks.MemberRemoved)

    with pytest.raises(grpc.RpcError) as caught:
        opened.say(b"x")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "the Service has no endpoints; is it scaled to zero" in caught.value.details()


def test_a_hook_that_raises_is_logged(open_pool: OpenPool, make_backend: Any, caplog: Any) -> None:
    """The caller's hook can not stop the pool."""

    def broken(event: hooks.Event) -> None:
        raise ValueError(event)

    pool = Pool(Target("greeter", "shop", 50051), Options(hook=broken), rng=random.Random(1))
    with Channel.over(SimpleNamespace(pool=pool), pool.close) as channel:  # type: ignore[arg-type]
        pool.found(listing(make_backend("a")))

        assert channel.unary_unary(SAY)(b"x", timeout=20) == b"a:x"
    assert "the hook raised on MemberAdded" in caplog.text


def test_log_lines_only_on_change(open_pool: OpenPool, make_backend: Any, log: Any, caplog: Any) -> None:
    """The same set told again and again logs nothing."""
    server = make_backend("a")
    opened = open_pool()
    caplog.set_level("INFO", "kube_grpc")
    opened.pool.found(listing(server))
    log.wait_for(hooks.MemberReady)
    before = len(caplog.records)

    for _ in range(10):
        opened.pool.found(listing(server))
        opened.pool.works()
    assert who(opened, 2) == {b"a": 2}

    assert len(caplog.records) == before == 2


def test_churn_under_load_loses_no_call(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """While members come and go (the servers stay up) in 200 updates, calls from four threads all succeed, and are
    all accounted for: nobody is left counted on a member."""
    servers = [make_backend(name) for name in "abcd"]
    opened = open_pool()
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 4)
    is_over = threading.Event()
    rng = random.Random(3)

    def call() -> int:
        count = 0
        while not is_over.is_set():
            opened.say(b"x", timeout=20)
            count += 1
        return count

    with futures.ThreadPoolExecutor(4) as executor:
        counts = [executor.submit(call) for _ in range(4)]
        for _ in range(200):
            added = len(log.of(hooks.MemberAdded))
            chosen = rng.sample(servers, rng.randint(1, 4))
            opened.pool.found(listing(*chosen))
            log.wait_until(
                lambda seen=added: len(log.of(hooks.MemberAdded)) >= seen and opened.pool.picker is not None
            )
        is_over.set()

        assert all(item.result() > 0 for item in counts)
    assert all(not item.in_flight for item in opened.pool.members)


def test_pings_in_watch_mode(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """A member whose ping fails is passed over, and serves again when the ping is answered."""
    servers = [make_backend(name) for name in "ab"]
    opened = open_pool()
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 2)
    first = next(item for item in opened.pool.members if item.endpoint.pod == "a")

    opened.pool.pinged(first, "no answer")
    (unready,) = log.wait_for(hooks.MemberUnready)
    assert who(opened, 6) == {b"b": 6}
    opened.pool.pinged(first, None)
    log.wait_for(hooks.MemberReady, 3)

    assert who(opened, 6) == {b"a": 3, b"b": 3}
    assert unready.reason == "its ping failed: no answer"


def test_pings_in_poll_mode(open_pool: OpenPool, make_backend: Any, log: Any) -> None:
    """A member whose ping fails is out, and back with the next refresh, as in the original kube-grpc."""
    servers = [make_backend(name) for name in "ab"]
    opened = open_pool(mode="poll")
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 2)
    first = next(item for item in opened.pool.members if item.endpoint.pod == "a")

    opened.pool.pinged(first, "no answer")
    (removed,) = log.wait_for(hooks.MemberRemoved)
    assert who(opened, 6) == {b"b": 6}
    opened.pool.found(listing(*servers))
    log.wait_for(hooks.MemberReady, 3)

    assert who(opened, 6) == {b"a": 3, b"b": 3}
    assert removed.reason == "its ping failed: no answer; out until the next refresh"
