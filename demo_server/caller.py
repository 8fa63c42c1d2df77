"""Sends the calls of one client and turns each into a sample.

The rule it keeps: a call is sent when the pacer says so, whatever the calls before it do; each has a deadline
and becomes exactly one sample. `sent_at` is one wall-clock anchor plus monotonic time, taken together with
the sequence number, so that order by one is order by the other and a step of the clock does not reorder
samples.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from demo_server.helloworld_pb2 import HelloReply, HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub
from demo_server.pacer import Pacer
from demo_server.samples import Sample, peer_of

LATE_S = 0.05
"""A call sent this long after it was due is counted as late, and the count is logged at the end."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sent:
    seq: int
    sent_at: float
    sent_s: float


class Caller:
    """Calls SayHello at a pace and hands each finished call's sample to `record`, from any thread."""

    def __init__(
        self,
        variant: str,
        channel: grpc.Channel,
        *,
        name: str,
        deadline_s: float,
        record: Callable[[Sample], None],
    ) -> None:
        self._variant = variant
        self._stub = GreeterStub(channel)
        self._request = HelloRequest(name=name)
        self._deadline_s = deadline_s
        self._record = record
        self._in_flight = 0
        self._idle = threading.Condition()
        self._wall_anchor_at = time.time()
        self._anchor_s = time.monotonic()
        self.late = 0
        self.latest_s = 0.0

    def run(self, pacer: Pacer, wait: Callable[[float], bool]) -> int:
        """Send until the pacer ends or `wait(seconds)`, asked before each call, answers that it is time to
        stop.

        Returns the number of calls sent.
        """
        start_s = time.monotonic()
        seq = 0
        while (wait_s := pacer.wait_s(time.monotonic() - start_s, seq)) is not None:
            if wait(wait_s):
                break
            self._note_lateness(time.monotonic() - start_s - pacer.due_s(seq))
            self.send(seq)
            seq += 1
        return seq

    def send(self, seq: int) -> None:
        """Send one call without waiting for its answer."""
        now_s = time.monotonic()
        sent = _Sent(seq, self._wall_anchor_at + (now_s - self._anchor_s), now_s)
        with self._idle:
            self._in_flight += 1
        try:
            call = self._stub.SayHello.future(self._request, timeout=self._deadline_s)
        except grpc.RpcError as error:
            self._finish(sent, error)
            return
        call.add_done_callback(lambda done: self._finish(sent, done))

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until no call is in flight; deadlines end each. False after `timeout_s` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._in_flight == 0, timeout_s)

    def _finish(self, sent: _Sent, call: object) -> None:
        latency_s = time.monotonic() - sent.sent_s
        try:
            self._record(self._describe(sent, latency_s, call))
        finally:
            with self._idle:
                self._in_flight -= 1
                self._idle.notify_all()

    def _describe(self, sent: _Sent, latency_s: float, call: object) -> Sample:
        code = _ask(call, "code")
        status = code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name
        message = detail = peer = None
        if code is grpc.StatusCode.OK and isinstance(reply := _ask(call, "result"), HelloReply):
            message = reply.message
        else:
            detail = _text(_ask(call, "details"))
            peer = peer_of(_text(_ask(call, "debug_error_string")))
        return Sample(self._variant, sent.seq, sent.sent_at, latency_s, status, message, peer, detail)

    def _note_lateness(self, late_s: float) -> None:
        if late_s > LATE_S:
            self.late += 1
            self.latest_s = max(self.latest_s, late_s)


def _ask(call: object, method: str) -> object:
    """What a call says of itself. Every gRPC call answers these; an RpcError raised by a channel may not."""
    asked = getattr(call, method, None)
    return asked() if callable(asked) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
