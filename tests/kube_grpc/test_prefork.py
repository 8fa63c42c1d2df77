"""A real gunicorn that loads the application, with its channel, before it forks its workers."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

WORKERS = 2
WAIT_S = 30


@pytest.fixture(params=["sync", "gthread"])
def served(request: pytest.FixtureRequest, api: Any, kubeconfig: Path, make_backend: Any) -> Iterator[Any]:
    """The application under gunicorn with --preload, over one pod named a."""
    api.put("greeter-1", make_backend("a").address)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "gunicorn", "--preload", "--bind", "127.0.0.1:0", "--workers", str(WORKERS),
            "--worker-class", request.param, "--threads", "2" if request.param == "gthread" else "1",
            "--graceful-timeout", "5", "prefork_app:app",
        ],
        cwd=Path(__file__).parent,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"Listening at: (http://\S+)", line)
            if found is not None:
                break
        else:
            raise AssertionError("".join(lines))
        # Read on, or gunicorn would stop at a full pipe.
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
        reader.start()
        yield SimpleNamespace(process=process, url=found[1], lines=lines)
    finally:
        process.terminate()
        process.wait(WAIT_S)
    reader.join(WAIT_S)


def ask_until(served: Any, known: set[int]) -> set[int]:
    """Requests, until so many workers have answered that are not known; each must be answered by the pod."""
    seen: set[int] = set()
    for _ in range(500):
        with urllib.request.urlopen(served.url, timeout=WAIT_S) as answer:
            facts = json.load(answer)
        assert facts["said"] == "a:x"
        assert facts["pid"] != facts["master"]
        seen.add(facts["pid"])
        if len(seen - known) == WORKERS:
            return seen - known
    raise AssertionError(f"answered: {seen}, known: {known}\n{''.join(served.lines)}")


def test_every_worker_calls_on_the_channel_of_the_master(served: Any) -> None:
    """All workers are answered, and so are those that take their place on a reload."""
    first = ask_until(served, set())
    served.process.send_signal(signal.SIGHUP)

    second = ask_until(served, first)
    assert first.isdisjoint(second)
    assert not [line for line in served.lines if "Traceback" in line or "TIMEOUT" in line]
