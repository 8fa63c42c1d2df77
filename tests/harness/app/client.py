"""A client for tests, with nothing but the standard library: one connection a call, one sample a line.

It shows what a client of one's own has to do, which is little. FAULT breaks it on purpose: `first` always
calls the pod that answered first.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time


def call(address: tuple[str, int], deadline_s: float) -> tuple[str, str | None]:
    """Code and pod of one call."""
    try:
        with socket.create_connection(address, deadline_s) as connection:
            answer = connection.recv(100).decode()
    except OSError:
        return "UNAVAILABLE", None
    return ("OK", answer) if answer else ("UNAVAILABLE", None)


def main() -> None:
    """Call at the pace of RATE until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    address = (os.environ["GREETER_SERVICE_HOST"], int(os.environ["GREETER_SERVICE_PORT"]))
    rate, deadline_s = float(os.environ["RATE"]), float(os.environ["DEADLINE_S"])
    sys.stderr.write(f"calling {address}\n")
    began = time.monotonic()
    first: str | None = None
    for seq in range(10**9):
        time.sleep(max(0.0, began + seq / rate - time.monotonic()))
        sent_at, since = time.time(), time.monotonic()
        code, pod = call(address, deadline_s)
        first = pod if first is None else first
        if os.environ.get("FAULT") == "first" and pod is not None:
            pod = first
        sample = {
            "v": 1,
            "variant": "tcp",
            "seq": seq,
            "sent_at": sent_at,
            "latency_s": time.monotonic() - since,
            "code": code,
            "pod": pod,
            "peer": None,
        }
        sys.stdout.write(json.dumps(sample) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
