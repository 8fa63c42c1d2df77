"""Runs in a network namespace of its own: a pool with two pods, of which one falls silent, without FIN or RST.

Prints how many calls failed until none did any more, as one JSON line.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import grpc

from kube_grpc.channel import Channel
from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

PORT = 50051
PODS = ("10.9.0.1", "10.9.0.2")
GIVE_UP_S = 20.0
ENOUGH = 12  # calls in a row: both pods would have been called several times
ECHO = Path(__file__).with_name("echo_program.py")
SILENCE = (
    "add table inet f; add chain inet f o { type filter hook output priority 0; };"
    " add rule inet f o ip daddr %s drop"
)


class Session:
    """What a channel needs of a session, with a pool that is told its endpoints."""

    def __init__(self, options: Options) -> None:
        self.pool = Pool(Target("greeter", "shop", PORT), options, rng=random.Random(1))


def serve(address: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(ECHO), f"{address}:{PORT}", address, "--leash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"serving\n"
    return process


def main() -> None:
    for command in (
        ["ip", "link", "set", "lo", "up"],
        *(["ip", "addr", "add", f"{pod}/32", "dev", "lo"] for pod in PODS),
    ):
        subprocess.run(command, check=True)
    given = (("grpc.keepalive_time_ms", 2**31 - 1),) if "--no-keepalive" in sys.argv else ()
    servers = [serve(pod) for pod in PODS]
    session = Session(Options(options=given))
    with Channel.over(session, session.pool.close) as channel:  # type: ignore[arg-type]
        session.pool.found(EndpointSet(tuple(Endpoint(pod, PORT) for pod in PODS), slices=1))
        say = channel.unary_unary("/test.Echo/Say")
        while {bytes(say(b"x", wait_for_ready=True)) for _ in range(4)} != {
            pod.encode() + b":x" for pod in PODS
        }:
            continue
        subprocess.run(["nft", SILENCE % PODS[1]], check=True)
        sys.stdout.write(json.dumps(call_until_well(say)) + "\n")
    for server in servers:
        server.kill()
        server.communicate()


def call_until_well(say: grpc.UnaryUnaryMultiCallable) -> dict[str, object]:  # type: ignore[type-arg]
    began_at, failed, good = time.monotonic(), 0, 0
    while good < ENOUGH and time.monotonic() - began_at < GIVE_UP_S:
        try:
            say(b"x", timeout=0.5)
        except grpc.RpcError:
            failed, good = failed + 1, 0
        else:
            good += 1
    return {"is_well": good == ENOUGH, "failed": failed}


main()
