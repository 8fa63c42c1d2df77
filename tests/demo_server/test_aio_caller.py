"""The caller for asyncio, against real servers."""

import asyncio

import grpc.aio

from demo_server.aio_caller import AioCaller
from demo_server.pacer import Pacer
from demo_server.samples import Sample

WAIT_S = 20.0


def call(address: str, pacer: Pacer, stop_after: int | None = None) -> tuple[int, list[Sample]]:
    """The number of calls sent and their samples; `stop_after` calls it is told to stop."""
    samples: list[Sample] = []
    asked = 0

    async def wait(seconds: float) -> bool:
        nonlocal asked
        asked += 1
        await asyncio.sleep(seconds)
        return stop_after is not None and asked > stop_after

    async def run() -> int:
        async with grpc.aio.insecure_channel(address) as channel:
            caller = AioCaller("pool-aio", channel, name="world", deadline_s=WAIT_S, record=samples.append)
            return await caller.run(pacer, wait)

    return asyncio.run(run()), sorted(samples, key=lambda sample: sample.seq)


def test_answered_calls(start_greeter) -> None:
    """Each call is one sample with the pod that answered, in order of time by its number."""
    greeter = start_greeter("greeter-a")
    sent, samples = call(greeter.address, Pacer(200.0, 20))
    assert (sent, [sample.seq for sample in samples]) == (20, list(range(20)))
    assert {(each.variant, each.code, each.pod) for each in samples} == {("pool-aio", "OK", "greeter-a")}
    assert [sample.sent_at for sample in samples] == sorted(sample.sent_at for sample in samples)


def test_slow_answers_do_not_thin_the_load(start_greeter) -> None:
    """With answers of 0.5 s, 40 calls at 80 a second are sent before the first is answered or soon after; when told to
    stop, what is in flight is waited for.
    """
    greeter = start_greeter("greeter-a", "--delay-s=0.5", "--threads=64")
    sent, samples = call(greeter.address, Pacer(80.0), stop_after=40)
    assert (sent, len(samples), {sample.code for sample in samples}) == (40, 40, {"OK"})
    # One after the other would take 20 s.
    assert samples[-1].sent_at - samples[0].sent_at < 5.0


def test_refused_connection_names_its_peer(free_port) -> None:
    """Where nobody listens, the sample says UNAVAILABLE and which address was tried."""
    peer = f"127.0.0.1:{free_port()}"
    _, (sample,) = call(peer, Pacer(10.0, 1))
    assert (sample.code, sample.pod, sample.peer) == ("UNAVAILABLE", None, peer)
    assert "Connection refused" in str(sample.detail)
