"""Sends the calls of one client from an event loop; otherwise as `caller`, whose rules it keeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from demo_server.caller import Log, user_of
from demo_server.helloworld_pb2 import HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub
from demo_server.pacer import Pacer
from demo_server.samples import Sample


class AioCaller:
    """Calls SayHello at a pace and hands each finished call's sample to `record`."""

    def __init__(
        self,
        variant: str,
        channel: grpc.aio.Channel,
        *,
        name: str,
        deadline_s: float,
        record: Callable[[Sample], None],
    ) -> None:
        self.log = Log(variant)
        # A generated stub takes either kind of channel, and has its kind of calls.
        self._stub: Any = GreeterStub(channel)  # type: ignore[arg-type]
        self._request = HelloRequest(name=name)
        self._deadline_s = deadline_s
        self._record = record
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self, pacer: Pacer, wait: Callable[[float], Awaitable[bool]]) -> int:
        """Send until the pacer ends or `wait(seconds)`, asked before each call, answers that it is time to stop; then
        wait until no call is in flight. Returns the number of calls sent.
        """
        start_s = time.monotonic()
        seq = 0
        while (wait_s := pacer.wait_s(time.monotonic() - start_s, seq)) is not None:
            if await wait(wait_s):
                break
            self.log.note_lateness(time.monotonic() - start_s - pacer.due_s(seq))
            task = asyncio.create_task(self._call(seq))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            seq += 1
        await asyncio.gather(*self._in_flight)
        return seq

    async def _call(self, seq: int) -> None:
        sent = self.log.note_sent(seq)
        code, answer, failure = grpc.StatusCode.OK, None, None
        try:
            answer = await self._stub.SayHello(self._request, timeout=self._deadline_s, metadata=user_of(seq))
        except grpc.aio.AioRpcError as error:
            code, failure = error.code(), error
        latency_s = time.monotonic() - sent.sent_s
        self._record(self.log.describe(sent, latency_s, code, answer, failure))
