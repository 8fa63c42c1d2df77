"""Processes that fork with an open channel: each side goes on by itself, or is told what to do."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kube_grpc import forks
from kube_grpc.channel import Channel
from kube_grpc.endpoints import EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target

SAY = "/test.Echo/Say"
TARGET = Target("greeter", "shop", 50051)
PROGRAM = Path(__file__).with_name("fork_program.py")
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(api: Any, kubeconfig: Path, make_backend: Any) -> Run:
    """Runs the program over one pod named a; the lines that it printed."""
    api.put("greeter-1", make_backend("a").address)

    def begin(way: str, **environment: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(kubeconfig), way],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return begin


def test_a_channel_opened_before_a_fork_works_on_both_sides(run: Run) -> None:
    """The child begins anew with its first call, with threads of its own; the parent's pool goes on."""
    before, child, code, after = run("plain")

    assert before["said"] == child["said"] == after["said"] == "a:x"
    assert code["code"] == 0
    assert any(name.endswith("discovery") for name in child["threads"])


def test_a_child_that_does_not_call_starts_no_threads(run: Run) -> None:
    """It is only marked: nothing is started or asked on behalf of a child that does not need it."""
    _, child, _ = run("idle")

    assert child["threads"] == ["MainThread"]


def test_a_fork_in_the_midst_of_calls(run: Run) -> None:
    """Ten forks while four threads call: every child is answered, and no call of the parent's fails."""
    lines = run("busy")

    assert [line["said"] for line in lines if line["who"] == "child"] == ["a:x"] * 10
    (parent,) = [line for line in lines if "codes" in line]
    assert parent["codes"] == [0] * 10
    assert parent["failed"] == []


@pytest.fixture
def pool(make_backend: Any) -> Iterator[tuple[Any, Pool, Any]]:
    """A server, a pool of it, and a call over the pool."""
    backend, opened = make_backend("a"), Pool(TARGET, Options(), rng=random.Random(1))
    with Channel.over(SimpleNamespace(pool=opened), opened.close) as channel:  # type: ignore[arg-type]
        opened.found(EndpointSet((backend.endpoint,)))
        say = channel.unary_unary(SAY)
        assert say(b"x", wait_for_ready=True) == b"a:x"
        yield backend, opened, say


def test_calls_and_forks_wait_for_each_other(pool: tuple[Any, Pool, Any]) -> None:
    """A fork waits for the call under way; a call that comes then waits, is not refused, and is made afterwards."""
    backend, opened, say = pool
    with futures.ThreadPoolExecutor(2) as threads:
        held = threads.submit(say, b"hold")
        backend.wait_until(lambda: backend.held == 1)
        release = threading.Timer(0.05, backend.gate.set)
        release.start()
        forks._before()
        try:
            assert backend.gate.is_set()
            assert not opened.is_busy
            late = threads.submit(say, b"late")
            assert futures.wait([late], timeout=0.1).not_done
            assert len(backend.metadata) == 2
        finally:
            forks._after_in_parent()
        assert (held.result(), late.result()) == (b"a:hold", b"a:late")


def test_a_fork_does_not_wait_for_ever(pool: tuple[Any, Pool, Any]) -> None:
    """With a call that does not end it goes on soon, and calls do, too."""
    backend, opened, say = pool
    with futures.ThreadPoolExecutor(1) as threads:
        held = threads.submit(say, b"hold")
        backend.wait_until(lambda: backend.held == 1)
        forks._before()
        try:
            assert opened.is_busy
        finally:
            forks._after_in_parent()
        assert say(b"x") == b"a:x"
        backend.gate.set()
        assert held.result() == b"a:hold"


def test_workers_of_multiprocessing_share_the_module_s_channel(run: Run) -> None:
    """Forked workers each use the channel that the parent opened."""
    assert run("pool")[1]["said_by_workers"] == ["a:x"] * 6


def test_without_grpcs_fork_support_a_child_is_told_what_to_do(run: Run) -> None:
    """It would hang in gRPC: the call is refused instead, and names the ways out; the parent goes on."""
    _, child, _, after = run("plain", GRPC_ENABLE_FORK_SUPPORT="0")

    assert child["error"].startswith("RuntimeError: this channel was opened before the process forked")
    assert "  do: open it in the child" in child["error"]
    assert after["said"] == "a:x"


def test_an_asyncio_channel_belongs_to_its_process(run: Run) -> None:
    """In the child of a fork its calls are refused with what to do."""
    _, child, code = run("aio")

    assert child["error"].startswith("UsageError: this channel was opened before the process forked")
    assert code["code"] == 0


@pytest.mark.parametrize(("has_threads", "lines"), [(0, 1), (1, 0)])
def test_a_server_that_stops_threads(
    has_threads: int, lines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Under a uwsgi without threads one line names the flag; under one with threads there is none."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=has_threads))

    forks.look_for_threads()

    assert [record.getMessage().count("--enable-threads") for record in caplog.records] == [1] * lines
