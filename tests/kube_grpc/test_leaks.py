"""Nothing is left of a closed channel: sockets, tasks, complaints; threads are counted after every test (conftest)."""

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import pytest

import kube_grpc
import kube_grpc.aio

SAY, COUNT = "/test.Echo/Say", "/test.Echo/Count"
TARGET = "greeter.shop:50051"
WAIT_S = 30.0


def sockets() -> int:
    """Those that this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue  # The listing's own.
    return found


def assert_none_left(api: Any, before: int) -> None:
    """The servers' ends, which are in this process too, close a moment later; those of watches are told to."""
    api.cut()
    deadline = time.monotonic() + WAIT_S
    while sockets() > before:
        assert time.monotonic() < deadline, f"{sockets()} sockets, {before} before"
        time.sleep(0.05)


def use(kubeconfig: Path) -> kube_grpc.Channel:
    """A channel with a call that was answered, a stream that was not read to its end, a subscriber and a ping."""
    channel = kube_grpc.Channel(TARGET, kubeconfig=str(kubeconfig), ping=lambda _: None, ping_interval_s=0.05)
    assert channel.unary_unary(SAY)(b"x", timeout=WAIT_S) == b"a:x"
    next(channel.unary_stream(COUNT)(b"x", timeout=WAIT_S))
    channel.subscribe(lambda _: None)
    return channel


def test_sync_channels(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """Opened, used in every way and closed, over and over: no socket stays."""
    api.put("a", make_backend("a").address)
    use(kubeconfig).close()
    before = sockets()

    for _ in range(3):
        use(kubeconfig).close()

    assert_none_left(api, before)


def test_a_channel_that_is_open_is_counted(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """Negative control: the count sees the connections of one that was not closed yet."""
    api.put("a", make_backend("a").address)
    use(kubeconfig).close()
    before = sockets()

    with use(kubeconfig):
        assert sockets() > before
    assert_none_left(api, before)


async def use_aio(kubeconfig: Path) -> None:
    """Calls that were answered, are under way, wait for a member, and are forgotten; then the channel is closed."""
    nobody = kube_grpc.aio.Channel("other.shop:50051", kubeconfig=str(kubeconfig), dns_fallback=False)
    nobody.unary_unary(SAY)(b"x", wait_for_ready=True, timeout=WAIT_S)
    async with kube_grpc.aio.Channel(
        TARGET, kubeconfig=str(kubeconfig), ping=lambda _: None, ping_interval_s=0.05
    ) as channel:
        assert await channel.unary_unary(SAY)(b"x", timeout=WAIT_S) == b"a:x"
        await channel.unary_stream(COUNT)(b"x", timeout=WAIT_S).read()
        channel.unary_unary(SAY)(b"x", timeout=WAIT_S).add_done_callback(lambda _: None)
    await nobody.close()


def test_aio_channels(
    api: Any, kubeconfig: Path, make_backend: Any, caplog: Any, recwarn: pytest.WarningsRecorder
) -> None:
    """No socket and no task stays, and nothing is said of calls that nobody waited for, as gRPC says nothing."""
    api.put("a", make_backend("a").address)

    async def work() -> set[asyncio.Task[Any]]:
        async with asyncio.timeout(WAIT_S):
            await use_aio(kubeconfig)
            for _ in range(5):
                await asyncio.sleep(0)  # What was cancelled ends in the loop's next turns.
            return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]  # there is one here

    assert asyncio.run(work()) == set()
    before = sockets()
    for _ in range(3):
        assert asyncio.run(work()) == set()
    gc.collect()

    assert_none_left(api, before)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert [
        item for item in recwarn.list if issubclass(item.category, ResourceWarning | RuntimeWarning)
    ] == []


def test_tokens_that_are_rotated(api: Any, kubeconfig: Path, recorder: Any, start: Any) -> None:
    """Each time the watch breaks and its token is refused, the connections of the client before are closed at once, not
    when the garbage collector comes by.
    """
    token, counts = kubeconfig.with_name("token"), []
    gc.collect()
    gc.disable()
    try:
        start()
        for number in range(1, 7):
            api.wait_until(lambda: api.watching == 1)
            counts.append(sockets())
            token.write_text(f"token {number}")
            api.accepted_token = f"token {number}"
            api.cut()
            api.put("a", f"10.0.0.{number}")
            recorder.wait_for_addresses(f"10.0.0.{number}")
    finally:
        gc.enable()

    assert max(counts) <= counts[0] + 2  # One that is just being closed, and its other end.


def test_an_event_loop_that_ends_with_a_channel_open(api: Any, kubeconfig: Path, make_backend: Any) -> None:
    """Nobody is left to be told of changes: its thread ends by itself, with the next thing to tell (the fixture that
    counts threads waits for it).
    """
    api.put("a", make_backend("a").address)

    async def work() -> None:
        channel = kube_grpc.aio.Channel(TARGET, kubeconfig=str(kubeconfig))
        assert await channel.unary_unary(SAY)(b"x", timeout=WAIT_S) == b"a:x"

    asyncio.run(work())
    api.wait_until(lambda: api.watching == 1)
    api.put("a", "127.0.0.1")
    gc.collect()
