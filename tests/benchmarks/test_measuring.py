"""The benchmarks measure what is there; that they run is tested, never how fast."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.clusters import Peers, find_peers
from benchmarks.processes import read_memory
from benchmarks.simulation import measure_start

_ROOT = Path(__file__).parents[2]
NOBODY = Peers(None, None, None, None)


def test_without_peers_only_ours_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the peers' programs still gets its own figures."""
    start, idle = measure_start(NOBODY, 1, lambda _text: None)
    assert start.ours.median > 0
    assert 10 < idle.ours.median < 1000
    assert start.theirs is None
    assert idle.theirs is None


def test_memory_counts_children() -> None:
    """A process's memory is that of all it has started."""
    child = "a = b'x' * 40_000_000; print(1, flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert read_memory([process.pid]) > 40
        process.stdin.close()


def test_peers_are_found_where_envtest_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS comes before PATH; without stages there is no kwok."""
    for name in ("etcd", "kube-apiserver", "kwok"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.delenv("KWOK_STAGES", raising=False)
    peers = find_peers()
    assert peers.etcd == str(tmp_path / "etcd")
    assert peers.has_control_plane
    assert not peers.has_kwok


def test_an_unknown_measurement_is_refused() -> None:
    """The known ones are named, and nothing is measured."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed"], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown: speed" in done.stderr
    assert "known: start" in done.stderr


def test_unknown_work_is_not_profiled() -> None:
    """The known ones are named."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.profiling", "speed"],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, 'unknown work "speed"\n  known: greeters, pods, start\n')


def test_a_profile_names_the_rooms() -> None:
    """The API server and the registry have their share in creating pods."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.profiling", "pods"],
        cwd=_ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "%  simcluster/registry\n" in done.stdout
    assert "%  simcluster/apiserver\n" in done.stdout
