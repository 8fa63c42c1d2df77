"""A real uwsgi that loads the application, with its channel, before it forks its workers, or in each of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
WAIT_S = 30
BESIDE = Path(sys.executable).with_name("uwsgi")
UWSGI = str(BESIDE) if BESIDE.exists() else shutil.which("uwsgi")

pytestmark = pytest.mark.skipif(UWSGI is None, reason="no uwsgi here: pip install pyuwsgi")
Serve = Callable[..., "Served"]


class Served:
    """uwsgi with two workers over one pod named a."""

    def __init__(self, kubeconfig: Path, *flags: str) -> None:
        self.process = subprocess.Popen(
            [
                str(UWSGI), "--http-socket", "127.0.0.1:0", "--master", "--processes", "2", "--need-app",
                "--die-on-term", "--wsgi-file", str(HERE / "prefork_app.py"), "--callable", "app", *flags,
            ],
            env={**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def wait_for(self, pattern: str, count: int = 1) -> str:
        """What the group of the pattern is in the first line that has it, once so many have."""

        def found() -> list[str]:
            return [match[1] for line in self.lines if (match := re.search(pattern, line)) is not None]

        with self._more:
            assert self._more.wait_for(lambda: len(found()) >= count, WAIT_S), "".join(self.lines)
        return found()[0]

    def ask(self) -> Any:
        """The facts that one request is answered with."""
        address = self.wait_for(r"bound to TCP address (\S+)")
        with urllib.request.urlopen(f"http://{address}", timeout=WAIT_S) as answer:
            return json.load(answer)

    def end(self) -> None:
        """With all its workers, whatever they are at."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(WAIT_S)


@pytest.fixture
def serve(api: Any, kubeconfig: Path, make_backend: Any) -> Iterator[Serve]:
    """Starts uwsgi with these flags."""
    api.put("greeter-1", make_backend("a").address)
    started: list[Served] = []

    def begin(*flags: str) -> Served:
        started.append(Served(kubeconfig, *flags))
        return started[-1]

    yield begin
    for served in started:
        served.end()


@pytest.mark.parametrize("flags", [("--enable-threads", "--py-call-uwsgi-fork-hooks"), ("--lazy-apps",)])
def test_every_worker_calls(flags: tuple[str, ...], serve: Serve) -> None:
    """On the channel that was opened before the fork, or on one of its own; and nothing is complained of."""
    served = serve(*flags)
    served.wait_for(r"(spawned uWSGI worker)", 2)
    answered: dict[int, Any] = {}
    deadline = time.monotonic() + WAIT_S
    with futures.ThreadPoolExecutor(8) as callers:
        while len(answered) < 2:
            assert time.monotonic() < deadline, "".join(served.lines)
            answered |= {item["pid"]: item for item in callers.map(lambda _: served.ask(), range(16))}

    assert {item["said"] for item in answered.values()} == {"a:x"}
    assert all((item["master"] == pid) is ("--lazy-apps" in flags) for pid, item in answered.items())
    assert not [line for line in served.lines if "Traceback" in line or "without threads" in line]
