"""A watch that is half-open: the connection stands, and nothing comes. How soon it is noticed, and what it costs."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kube_grpc
from kube_grpc import hooks, roster
from kube_grpc.access import Access
from kube_grpc.backoff import Backoff
from kube_grpc.watch import Pace, Watch

QUICK = Backoff(first_s=0.01, most_s=0.05)
SAY = "/test.Echo/Say"
Start = Callable[..., Watch]


def freeze(api: Any) -> None:
    """Watches say nothing more, and do not end."""
    with api.changed:
        api.is_frozen = True


def thaw(api: Any) -> None:
    with api.changed:
        api.is_frozen = False
        api.changed.notify_all()


def test_a_half_open_watch_is_noticed(api: Any, recorder: Any, start: Start) -> None:
    """A watch that says nothing beyond its own time and the read time-out is given up, and no change is lost."""
    api.put("a", "10.0.0.1")
    start(Pace(connection_s=1, backoff=QUICK), late_s=0.2)
    api.wait_until(lambda: api.watching == 1)

    with api.changed:
        api.is_frozen = True
        api.put("a", "10.0.0.2")
    api.wait_until(lambda: api.count("watch") >= 2)
    with api.changed:
        api.is_frozen = False
        api.changed.notify_all()

    recorder.wait_for_addresses("10.0.0.2")


def test_a_watch_without_events_costs_one_request_each_time(api: Any, recorder: Any, start: Start) -> None:
    """Negative control: one that ends in order is no failure. The next goes on from the last revision, on the same
    connection: no list, no second handshake.
    """
    api.put("a", "10.0.0.1")
    api.bookmark_at = 500
    start(Pace(connection_s=1, shortest_s=0.0, backoff=QUICK))

    api.wait_until(lambda: api.count("watch") >= 4)

    assert [query.get("resourceVersion") for _, query in api.requests[:4]] == [None, "101", "500", "500"]
    assert (api.count("list"), api.connections, recorder.errors) == (1, 1, [])


def test_two_silent_watches_in_a_row_lead_to_a_list(api: Any, recorder: Any, start: Start) -> None:
    """One that is opened and brings nothing either is no proof that nothing happened: a list is."""
    api.put("a", "10.0.0.1")
    start(Pace(connection_s=1, backoff=QUICK), late_s=0.1)
    api.wait_until(lambda: api.watching == 1)

    freeze(api)
    api.put("a", "10.0.0.2")

    recorder.wait_for_addresses("10.0.0.2")
    assert api.count("list") == 2
    thaw(api)


def test_a_watch_that_ended_in_order_forgives_the_silence_before(
    api: Any, recorder: Any, start: Start
) -> None:
    """Silent, well, silent: no list, however long ago the first one was."""
    api.put("a", "10.0.0.1")
    start(Pace(connection_s=1, shortest_s=0.0, backoff=QUICK), late_s=0.1)
    for _ in range(2):
        api.wait_until(lambda: api.watching == 1)
        seen = api.count("watch")
        freeze(api)
        api.wait_until(lambda seen=seen: api.count("watch") > seen)
        thaw(api)
        seen = api.count("watch")
        api.wait_until(lambda seen=seen: api.count("watch") > seen)

    assert (api.count("list"), recorder.errors) == (1, [])


def test_a_half_open_watch_in_a_hurry(api: Any, recorder: Any, start: Start) -> None:
    """Where calls find nobody, a silent watch of an hour is cut and resumed at once; that is no failure."""
    api.put("a", "10.0.0.1")
    watch = start(Pace(connection_s=3600, hurry_s=0.0))
    api.wait_until(lambda: api.watching == 1)
    recorder.wait_until(lambda: recorder.worked)

    with api.changed:
        api.is_frozen = True
        api.put("a", "10.0.0.2")
    # Again and again, as calls do: the first may come before the answer's headers were read.
    while api.count("watch") < 2:
        watch.hurry()
        with api.changed:
            api.changed.wait(0.05)
    with api.changed:
        api.is_frozen = False
        api.changed.notify_all()

    recorder.wait_for_addresses("10.0.0.2")
    assert (api.count("list"), recorder.errors) == (1, [])


def test_a_young_watch_is_trusted(api: Any, recorder: Any, start: Start) -> None:
    """However many calls find nobody: a watch that was just opened is not opened again."""
    api.put("a", "10.0.0.1")
    watch = start()
    recorder.wait_until(lambda: recorder.worked)

    for _ in range(100):
        watch.hurry()
    api.put("a", "10.0.0.2")

    recorder.wait_for_addresses("10.0.0.2")
    assert (api.count("list"), api.count("watch")) == (1, 1)


@pytest.mark.parametrize(("age_s", "is_cut"), [(0.0, True), (-3600.0, False)])
def test_a_doubt_about_a_watch(age_s: float, is_cut: bool, api: Any, recorder: Any, start: Start) -> None:
    """What happened after it was opened and was not told is a reason to open another; what happened before is none."""
    api.put("a", "10.0.0.1")
    watch = start(Pace(connection_s=3600))
    api.wait_until(lambda: api.watching == 1)
    recorder.wait_until(lambda: recorder.worked)
    while watch._opened_at is None:
        time.sleep(0.001)  # Between the answer's headers and the first read.

    watch.doubt(time.monotonic() + age_s)
    if is_cut:
        api.wait_until(lambda: api.count("watch") == 2)
    api.put("a", "10.0.0.2")

    recorder.wait_for_addresses("10.0.0.2")
    assert (api.count("list"), api.count("watch"), recorder.errors) == (1, 2 if is_cut else 1, [])


def test_a_lost_member_makes_one_doubt_the_watch(
    api: Any,
    kubeconfig: Path,
    make_backend: Any,
    make_process: Any,
    log: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pod dies, its successor comes, and a dead watch of an hour says nothing: it is opened anew for the lost
    connection, and the successor gets calls, though the other pod answers all the time.
    """
    monkeypatch.setattr(roster, "_DOUBT_S", 0.1)
    stays, dies, comes = make_backend("stays"), make_process("dies"), make_backend("comes")
    api.put("a", stays.address, dies.address)
    with kube_grpc.Channel(
        "greeter.shop:50051", kubeconfig=str(kubeconfig), hook=log, watch_timeout_s=3600
    ) as channel:
        log.wait_for(hooks.MemberReady, 2)
        api.wait_until(lambda: api.watching == 1)
        freeze(api)
        api.put("a", stays.address, comes.address)
        dies.kill()
        api.wait_until(lambda: api.count("watch") == 2)
        thaw(api)
        log.wait_for(hooks.MemberReady, 3)

        say = channel.unary_unary(SAY)
        assert {say(b"x", timeout=10).split(b":")[0] for _ in range(8)} == {b"stays", b"comes"}
    assert (api.count("list"), api.count("watch")) == (1, 2)


def test_a_member_that_is_back_raises_no_doubt(
    api: Any,
    kubeconfig: Path,
    make_process: Any,
    make_backend: Any,
    log: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: a container that restarts on its address before long costs no request."""
    monkeypatch.setattr(roster, "_DOUBT_S", 5.0)
    dies = make_process("dies")
    api.put("a", dies.address)
    with kube_grpc.Channel(
        "greeter.shop:50051", kubeconfig=str(kubeconfig), hook=log, watch_timeout_s=3600
    ) as channel:
        log.wait_for(hooks.MemberReady)
        dies.kill()
        log.wait_for(hooks.MemberUnready)
        make_process("dies", dies.address)
        log.wait_for(hooks.MemberReady, 2)
        (member,) = channel._pool.members
        assert member.lost_at is None


def test_the_kernel_finds_a_silent_api_server(api: Any, kubeconfig: Path) -> None:
    """No FIN, no RST: the connection is asked for a sign of life after five idle seconds, and given up after ten."""
    access = Access(kubeconfig=str(kubeconfig))
    response = access.client.rest_client.pool_manager.request("GET", api.url, preload_content=False)
    try:
        sock = response.connection.sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
    finally:
        response.close()
        access.close()
