"""`python -m benchmarks`: measure everything, or what is named, and write results.md."""

from __future__ import annotations

import compileall
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import balancer, simulation
from benchmarks.clusters import find_peers
from benchmarks.results import Figure, render

_MEASURES = {
    "start": simulation.measure_start,
    "pods": simulation.measure_pods,
    "lists": simulation.measure_lists,
    "watchers": simulation.measure_watchers,
    "greeters": simulation.measure_greeters,
    "calls": balancer.measure_calls,
    "members": balancer.measure_members,
}
# What can be profiled where a bound is missed.
_PROFILED = ("start", "pods", "greeters")
_RESULTS = Path(__file__).parent / "results.md"


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)  # noqa: T201 -- progress


def _describe_machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d', time.gmtime())}"
    )


def _compile() -> None:
    """Have the bytecode of our modules beside them, as an installation leaves it: a checkout may never have it, and
    would compile all of it at every start.
    """
    for package in ("demo_server", "kube_grpc", "simcluster"):
        compileall.compile_dir(_RESULTS.parent.parent / package, quiet=2)


def _profile(work: str) -> str:
    command = [sys.executable, "-m", "benchmarks.profiling", work]
    return subprocess.run(
        command, cwd=_RESULTS.parent.parent, capture_output=True, text=True, check=True
    ).stdout


def main(
    only: Annotated[list[str] | None, typer.Argument(help=f"Which of: {', '.join(_MEASURES)}.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 5,
    output: Annotated[Path, typer.Option(help="Where to write the page.")] = _RESULTS,
) -> None:
    """Measure, and write the page of results."""
    unknown = sorted(set(only or ()) - set(_MEASURES))
    if unknown:
        print(f"unknown: {', '.join(unknown)}\n  known: {', '.join(_MEASURES)}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(2)
    _compile()
    peers = find_peers()
    if not peers.has_control_plane:
        _say("etcd and kube-apiserver are not on this machine; KUBEBUILDER_ASSETS names their folder")
    if not peers.has_kwok:
        _say("kwok is not on this machine; it is looked for on PATH, its stages in KWOK_STAGES")
    figures: list[Figure] = []
    profiles: dict[str, str] = {}
    for name, measure in _MEASURES.items():
        if only and name not in only:
            continue
        found = measure(peers, rounds, _say)
        figures += found
        if name in _PROFILED and any(not each.is_kept for each in found):
            _say(f"a bound was missed: profiling {name}")
            profiles[name] = _profile(name)
    page = render(figures, machine=_describe_machine(), profiles=profiles)
    output.write_text(page)
    print(page)  # noqa: T201 -- the result


if __name__ == "__main__":
    typer.run(main)
