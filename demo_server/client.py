"""The client: calls the Greeter in one of several ways at a steady pace and prints one sample a line.

The rule it keeps: the pace is open-loop, each call has a deadline, and every call sent is printed. SIGTERM
stops the pace, calls in flight end, the output is flushed, exit code 0. Logs go to stderr.
"""

import argparse
import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    from demo_server.aio_caller import AioCaller
    from demo_server.caller import Caller, Log
    from demo_server.pacer import Pacer
    from demo_server.sample_writer import SampleWriter
    from demo_server.samples import Sample, encode_json, encode_text
    from demo_server.variants import (
        ASYNCIO,
        VARIANTS,
        Destination,
        SettingsError,
        open_aio_channel,
        open_channel,
    )
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    from demo_server.extra import explain_absence

    sys.exit(explain_absence("client", error))

RATE = 10.0
DEADLINE_S = 1.0
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
FORMATS: Mapping[str, Callable[[Sample], str]] = {"json": encode_json, "text": encode_text}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one client needs to know; `count` None means until SIGTERM."""

    variant: str
    destination: Destination
    name: str
    pacer: Pacer
    deadline_s: float
    encode: Callable[[Sample], str]


def parse_settings(argv: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Settings from the command line; RATE, DEADLINE_S, PING_INTERVAL_S and REFRESH_INTERVAL_S are its
    defaults.

    Raises SettingsError where a variable or file is unusable.
    """
    args = _make_parser(environ).parse_args(argv)
    destination = Destination(
        target=args.target,
        dns_authority=_set_text(environ, "GRPC_DNS_AUTHORITY"),
        authority=args.authority,
        ca_certificate=_read_ca(args.ca_file, environ),
        ping_interval_s=_number("PING_INTERVAL_S", environ.get("PING_INTERVAL_S", "1")),
        refresh_interval_s=_number("REFRESH_INTERVAL_S", environ.get("REFRESH_INTERVAL_S", "60")),
    )
    return Settings(
        variant=args.variant,
        destination=destination,
        name=args.name,
        pacer=Pacer(_number("rate", args.rate), args.count),
        deadline_s=_number("deadline", args.deadline),
        encode=FORMATS[args.format],
    )


def run(settings: Settings, stop: threading.Event) -> int:
    """Call until the count is reached or `stop` is set; the exit code."""
    writer = SampleWriter(sys.stdout, settings.encode, on_broken=stop.set)
    if settings.variant in ASYNCIO:
        sent, kept = asyncio.run(_call_with_asyncio(settings, stop, writer))
    else:
        sent, kept = _call_with_threads(settings, stop, writer)
    log.info("%d calls sent, %d of them late, the latest by %.3f s", sent, kept.late, kept.latest_s)
    if writer.broken is not None:
        log.error("the reader of the samples went away: %s", writer.broken)
        return 1
    return 0


def _call_with_threads(settings: Settings, stop: threading.Event, writer: SampleWriter) -> tuple[int, Log]:
    with open_channel(settings.variant, settings.destination) as channel:
        caller = Caller(
            settings.variant,
            channel,
            name=settings.name,
            deadline_s=settings.deadline_s,
            record=writer.record,
        )
        _tell_begin(settings)
        sent = caller.run(settings.pacer, stop.wait)
        caller.wait_idle()
        writer.close()
    return sent, caller.log


async def _call_with_asyncio(
    settings: Settings, stop: threading.Event, writer: SampleWriter
) -> tuple[int, Log]:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()

    def pass_on() -> None:
        stop.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stopped.set)

    async def wait(seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), seconds)
        return stopped.is_set()

    threading.Thread(target=pass_on, name="stop", daemon=True).start()
    async with open_aio_channel(settings.variant, settings.destination) as channel:
        caller = AioCaller(
            settings.variant,
            channel,
            name=settings.name,
            deadline_s=settings.deadline_s,
            record=writer.record,
        )
        _tell_begin(settings)
        sent = await caller.run(settings.pacer, wait)
        writer.close()
    return sent, caller.log


def _tell_begin(settings: Settings) -> None:
    log.info("%s calls %s, %g/s", settings.variant, settings.destination.target, settings.pacer.rate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 2 for settings that can not work."""
    # Blocked before any thread exists, so that only the thread that waits for them takes them. (The pace loop does
    # not wait with sigtimedwait itself: interrupted by SIGSTOP and SIGCONT, CPython's answers as if a signal had
    # come.)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    stop = threading.Event()
    threading.Thread(target=_await_signal, args=(stop,), name="signals", daemon=True).start()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return run(parse_settings(argv, os.environ), stop)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - a user's mistake: the message says it, a traceback hides it
        return 2


def _await_signal(stop: threading.Event) -> None:
    signal.sigwait(STOP_SIGNALS)
    stop.set()


def _make_parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo_server.client", description=__doc__)
    parser.add_argument("--variant", required=True, choices=VARIANTS)
    parser.add_argument("--target", required=True, metavar="NAME:PORT", help="or a gRPC target URI")
    parser.add_argument("--name", default="world", help="whom to greet (default: world)")
    parser.add_argument("--count", type=_count, metavar="N", help="stop after N calls (default: never)")
    parser.add_argument("--rate", default=environ.get("RATE", str(RATE)), metavar="CALLS_PER_S")
    parser.add_argument("--deadline", default=environ.get("DEADLINE_S", str(DEADLINE_S)), metavar="S")
    parser.add_argument("--authority", metavar="HOST", help="the Ingress host (variant ingress)")
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="instead of INGRESS_CA (variant ingress)"
    )
    parser.add_argument("--format", default="json", choices=FORMATS)
    return parser


def _number(what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SettingsError(f'{what}: "{text}" is not a number above 0')
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of calls; give 0 or more')
    return int(text)


def _set_text(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name, "")
    return text if text else None


def _read_ca(path: Path | None, environ: Mapping[str, str]) -> bytes | None:
    if path is not None:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SettingsError(f"--ca-file: cannot read {path}: {error.strerror}") from error
    text = _set_text(environ, "INGRESS_CA")
    return None if text is None else text.encode()


if __name__ == "__main__":
    sys.exit(main())
