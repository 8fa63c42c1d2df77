"""Channels that are dropped without being closed: they live as long as anybody can call, and no longer. That threads
have ended is seen by the fixture that counts them after each test; sockets and tasks are counted here.
"""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import grpc

import kube_grpc
import kube_grpc.aio

SAY, COUNT = "/test.Echo/Say", "/test.Echo/Count"
TARGET = "greeter.shop:50051"
WAIT_S = 30.0


def threads_of_ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("kube-grpc")]


def test_a_channel_that_is_dropped(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """Its threads end, with a ping and a subscriber, too; the watch at the API server is over."""
    api.put("a", make_backend("a").address)
    channel = kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig), ping=lambda _: None, ping_interval_s=0.05)
    channel.subscribe(lambda _: None)
    assert channel.unary_unary(SAY)(b"x", timeout=WAIT_S) == b"a:x"
    assert threads_of_ours()

    del channel
    for thread in threads_of_ours():
        thread.join(WAIT_S)

    assert threads_of_ours() == []


def test_a_stub_keeps_what_it_needs(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """Negative control: with the channel dropped, its multi-callable goes on, for as long as one likes."""
    api.put("a", make_backend("a").address)
    say = kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig)).unary_unary(SAY)

    for _ in range(3):
        gc.collect()
        assert say(b"x", timeout=WAIT_S) == b"a:x"
    assert threads_of_ours()


def test_a_stream_keeps_what_it_needs(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """With channel and stub dropped, a stream that is under way goes on to its end."""
    server = make_backend("a")
    api.put("a", server.address)
    call = kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig)).unary_stream(COUNT)(b"hold", timeout=WAIT_S)
    assert next(call) == b"a:0"
    gc.collect()
    server.gate.set()

    assert list(call) == [b"a:1", b"a:2"]


def test_a_future_keeps_what_it_needs(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """As a stream."""
    server = make_backend("a")
    api.put("a", server.address)
    call = kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig)).unary_unary(SAY).future(b"hold")
    server.wait_until(lambda: server.held)
    gc.collect()
    server.gate.set()

    assert call.result(WAIT_S) == b"a:hold"


def test_asyncio_channels_that_are_dropped(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """What is under way goes on to its end, then thread and tasks end while the event loop goes on."""
    server = make_backend("a")
    api.put("a", server.address)

    def begin(kind: str, method: str) -> Any:
        channel = kube_grpc.aio.Channel(
            TARGET, kubeconfig=str(kubeconfig), ping=lambda _: None, ping_interval_s=0.05
        )
        return getattr(channel, kind)(method)(b"hold", timeout=WAIT_S)

    async def work() -> None:
        unary, stream = begin("unary_unary", SAY), begin("unary_stream", COUNT)
        assert await stream.read() == b"a:0"
        await asyncio.to_thread(server.wait_until, lambda: server.held)
        gc.collect()
        server.gate.set()
        assert await unary == b"a:hold"
        assert [await stream.read() for _ in range(2)] == [b"a:1", b"a:2"]
        assert await stream.code() is grpc.StatusCode.OK
        del unary, stream
        gc.collect()
        for thread in threads_of_ours():
            await asyncio.to_thread(thread.join, WAIT_S)
        assert threads_of_ours() == []
        for _ in range(5):
            await asyncio.sleep(0)  # What was cancelled ends in the loop's next turns.
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(work())
