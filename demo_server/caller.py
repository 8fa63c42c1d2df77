"""Sends the calls of one client and turns each into a sample. `aio_caller` does the same with asyncio.

The rule it keeps: a call is sent when the pacer says so, whatever the calls before it do; each has a deadline
and becomes exactly one sample. `sent_at` is one wall-clock anchor plus monotonic time, taken together with
the sequence number, so that order by one is order by the other and a step of the clock does not reorder
samples.

Every call carries the metadata key `user`, one of USERS in turn, for variants that balance by it.
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
from demo_server.variants import USER_KEY

LATE_S = 0.05
"""A call sent this long after it was due is counted as late, and the count is logged at the end."""
USERS = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that was sent: wall clock, and monotonic."""

    seq: int
    sent_at: float
    sent_s: float


class Log:
    """Which calls were sent when, how late, and the sample of each that is over."""

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._wall_anchor_at = time.time()
        self._anchor_s = time.monotonic()
        self.late = 0
        self.latest_s = 0.0

    def note_sent(self, seq: int) -> Sent:
        """A call is sent now."""
        now_s = time.monotonic()
        return Sent(seq, self._wall_anchor_at + (now_s - self._anchor_s), now_s)

    def note_lateness(self, late_s: float) -> None:
        """A call is sent that long after it was due."""
        if late_s > LATE_S:
            self.late += 1
            self.latest_s = max(self.latest_s, late_s)

    def describe(self, sent: Sent, latency_s: float, code: object, answer: object, error: object) -> Sample:
        """The sample of a call that is over: its gRPC status, its answer if it has one, and the call or the error to
        ask what went wrong.
        """
        status = code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name
        message = detail = peer = None
        if code is grpc.StatusCode.OK and isinstance(answer, HelloReply):
            message = answer.message
        else:
            detail = _text(_ask(error, "details"))
            peer = peer_of(_text(_ask(error, "debug_error_string")))
        return Sample(self._variant, sent.seq, sent.sent_at, latency_s, status, message, peer, detail)


def user_of(seq: int) -> tuple[tuple[str, str]]:
    """The metadata of a call."""
    return ((USER_KEY, f"user-{seq % USERS}"),)


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
        self.log = Log(variant)
        self._stub = GreeterStub(channel)
        self._request = HelloRequest(name=name)
        self._deadline_s = deadline_s
        self._record = record
        self._in_flight = 0
        self._idle = threading.Condition()

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
            self.log.note_lateness(time.monotonic() - start_s - pacer.due_s(seq))
            self.send(seq)
            seq += 1
        return seq

    def send(self, seq: int) -> None:
        """Send one call without waiting for its answer."""
        sent = self.log.note_sent(seq)
        with self._idle:
            self._in_flight += 1
        try:
            call = self._stub.SayHello.future(self._request, timeout=self._deadline_s, metadata=user_of(seq))
        except grpc.RpcError as error:
            self._finish(sent, error)
            return
        call.add_done_callback(lambda done: self._finish(sent, done))

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until no call is in flight; deadlines end each. False after `timeout_s` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._in_flight == 0, timeout_s)

    def _finish(self, sent: Sent, call: object) -> None:
        latency_s = time.monotonic() - sent.sent_s
        try:
            code = _ask(call, "code")
            answer = _ask(call, "result") if code is grpc.StatusCode.OK else None
            self._record(self.log.describe(sent, latency_s, code, answer, call))
        finally:
            with self._idle:
                self._in_flight -= 1
                self._idle.notify_all()


def _ask(call: object, method: str) -> object:
    """What a call says of itself. Every gRPC call answers these; an RpcError raised by a channel may not."""
    asked = getattr(call, method, None)
    return asked() if callable(asked) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
