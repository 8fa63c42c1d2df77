"""The Greeter server: `helloworld.Greeter/SayHello`, gRPC health and reflection, and a graceful stop.

The rule it keeps: after SIGTERM it is a lame duck for a while: health says NOT_SERVING, and every call is still
answered, so that clients which hear of its end in that time lose nothing. Then no new call is taken, calls in flight
have the grace period to end, and the exit code is 0. What takes it off the endpoints is the deletion of its pod, not
this server; health is for clients that go by that, and changes the endpoint's `serving` only after three failed probes.

What gRPC's server does with those that still have not heard: a new connection is refused (UNAVAILABLE); a call that
arrives on an open connection before the client has read GOAWAY ends as CANCELLED; a stream that never ends by itself
(a health watch) holds the stop until the grace period is over.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

try:
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection

    from demo_server import helloworld_pb2, helloworld_pb2_grpc
    from demo_server.address import ListenAddress, default_address, parse_address
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    from demo_server.extra import explain_absence

    sys.exit(explain_absence("server", error))

GREETER = "helloworld.Greeter"
PORT = 50051
GRACE_S = 20.0
"""Less than Kubernetes' default terminationGracePeriodSeconds of 30, so that the stop is ours and not a
SIGKILL.
"""
LAME_DUCK_S = 2.0
"""Endpoints reach a client that watches in milliseconds; on a busy cluster it may be a second. Together with GRACE_S it
is still less than terminationGracePeriodSeconds.
"""
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

_OPTIONS = (
    # With so_reuseport two servers could share a port by accident and split its connections.
    ("grpc.so_reuseport", 0),
    # Clients and proxies may send HTTP/2 keepalive pings each 5 s, also between calls; gRPC's default of five
    # minutes answers them with GOAWAY too_many_pings.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

log = logging.getLogger(__name__)


class Settings(NamedTuple):  # no dataclass: making that class is a thirtieth of what a server's start takes
    """What one server needs to know. `delay_s` is an artificial delay of each call, for tests of calls in
    flight.
    """

    listen: ListenAddress
    pod: str
    pid_file: Path | None = None
    lame_duck_s: float = LAME_DUCK_S
    grace_s: float = GRACE_S
    delay_s: float = 0.0
    threads: int = 8


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    """Says hello in the name of its pod."""

    def __init__(self, pod: str, delay_s: float) -> None:
        self._pod = pod
        self._delay_s = delay_s

    def SayHello(  # noqa: N802 - the name that the service definition gives
        self, request: helloworld_pb2.HelloRequest, context: grpc.ServicerContext
    ) -> helloworld_pb2.HelloReply:
        """Answer `"<pod>" says: Hello <name>`."""
        del context
        if self._delay_s > 0:
            time.sleep(self._delay_s)
        return helloworld_pb2.HelloReply(message=f'"{self._pod}" says: Hello {request.name}')


def parse_settings(argv: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Settings from the command line, with defaults from the downward API's POD_IP and POD_NAME, and LAME_DUCK_S."""
    parser = argparse.ArgumentParser(prog="python -m demo_server.server", description=__doc__)
    parser.add_argument(
        "--listen", type=parse_address, default=default_address(environ, PORT), metavar="ADDR:PORT"
    )
    parser.add_argument("--pid-file", type=Path, metavar="FILE", help="where to write the process id")
    parser.add_argument(
        "--lame-duck",
        type=_seconds,
        default=environ.get("LAME_DUCK_S", str(LAME_DUCK_S)),
        metavar="S",
        help=f"how long it serves on after SIGTERM (default: LAME_DUCK_S, or {LAME_DUCK_S:g})",
    )
    parser.add_argument(
        "--grace", type=_seconds, default=GRACE_S, metavar="S", help="after that, for calls in flight"
    )
    parser.add_argument("--delay-s", type=_seconds, default=0.0, metavar="S", help="delay of each answer")
    parser.add_argument("--threads", type=int, choices=range(1, 257), default=8, metavar="1..256")
    args = parser.parse_args(argv)
    return Settings(
        listen=args.listen,
        pod=environ.get("POD_NAME", socket.gethostname()),
        pid_file=args.pid_file,
        lame_duck_s=args.lame_duck,
        grace_s=args.grace,
        delay_s=args.delay_s,
        threads=args.threads,
    )


def serve(settings: Settings, stop: threading.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT (or until `stop` is set), then stop gracefully.

    Raises RuntimeError where the address can not be bound.
    """
    healthy = health.HealthServicer(experimental_non_blocking=True)
    server = grpc.server(futures.ThreadPoolExecutor(settings.threads, "call"), options=_OPTIONS)
    helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(settings.pod, settings.delay_s), server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    names = (GREETER, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port(str(settings.listen))
    with _written_pid(settings.pid_file):
        server.start()
        for name in ("", *names):
            healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("%s listens on %s", settings.pod, ListenAddress(settings.listen.host, port))
        if stop is None:
            signal.sigwait(STOP_SIGNALS)
        else:
            stop.wait()
        log.info("lame duck: serving on for %g s", settings.lame_duck_s)
        healthy.enter_graceful_shutdown()
        time.sleep(settings.lame_duck_s)
        stopped = server.stop(settings.grace_s)
        log.info("stopping: calls in flight have %g s", settings.grace_s)
        stopped.wait()
    log.info("stopped")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0 after a graceful stop, 1 where it could not listen."""
    # Blocked before any thread exists, so that only sigwait takes them, in every thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    settings = parse_settings(argv, os.environ)
    try:
        serve(settings)
    except RuntimeError as error:
        log.error("cannot listen on %s: %s", settings.listen, error)  # noqa: TRY400 - no fault of the code
        log.error("is it an address of this machine or pod, and is the port free?")  # noqa: TRY400
        return 1
    return 0


@contextmanager
def _written_pid(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(f"{os.getpid()}\n", encoding="ascii")
    partial.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of seconds; give 0 or more, such as 0.5')
    return value


if __name__ == "__main__":
    sys.exit(main())
