"""What the cases run on: the simulation (default), a kind cluster made for the run, or a cluster that somebody has.

The rule it keeps: what it makes it removes; of a borrowed cluster it touches only what carries its own prefix.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kubernetes.client
import kubernetes.config

from rig.client import Client
from rig.room import new_name

TARGETS = ("sim", "kind", "kubeconfig")
IMAGE = "python:3.11-slim-bookworm"
# The longest that a case waits for one thing. A cluster of processes is quick; images and probes of a real one are not.
PATIENCE_S = {"sim": 30.0, "kind": 60.0, "kubeconfig": 60.0}


class TargetError(Exception):
    """The target can not be had; the text says what to do."""


@dataclass(frozen=True)
class Choice:
    """What was asked for on the command line, read."""

    target: str
    kubeconfig: Path | None = None
    context: str | None = None
    version: str | None = None
    image: str = IMAGE


def choose(target: str | None, kubeconfig: str | None, **others: str | None) -> Choice:
    """Settle what was asked for; TargetError if it does not go together."""
    chosen = target or ("kubeconfig" if kubeconfig else "sim")
    if chosen not in TARGETS:
        raise TargetError(
            f'--conformance-target: unknown target "{chosen}"\n  known targets: {", ".join(TARGETS)}'
        )
    if (chosen == "kubeconfig") is not (kubeconfig is not None):
        raise TargetError(
            "--conformance-target kubeconfig goes with --conformance-kubeconfig PATH, and only with it\n"
            f"  got: target {chosen}, kubeconfig {kubeconfig}"
        )
    given = {key: value for key, value in others.items() if value is not None}
    return Choice(chosen, None if kubeconfig is None else Path(kubeconfig), **given)  # type: ignore[arg-type]


@contextmanager
def open_target(choice: Choice, folder: Path) -> Iterator[Path]:
    """The kubeconfig of the target, for as long as the block lasts."""
    if choice.target == "kubeconfig":
        assert choice.kubeconfig is not None
        yield choice.kubeconfig
    elif choice.target == "kind":
        with _kind(choice, folder) as path:
            yield path
    else:
        import simcluster

        with simcluster.Cluster({choice.image: [sys.executable]}, slice_size=100) as cluster:
            yield cluster.kubeconfig


@contextmanager
def _kind(choice: Choice, folder: Path) -> Iterator[Path]:
    missing = [name for name in ("kind", "docker") if shutil.which(name) is None]
    if missing:
        raise TargetError(f"--conformance-target kind: {' and '.join(missing)} not on PATH")
    name, path = new_name("conformance"), folder / "kubeconfig"
    image = [] if choice.version is None else ["--image", f"kindest/node:{choice.version}"]
    try:
        _run("kind", "create", "cluster", "--name", name, "--kubeconfig", str(path), "--wait", "120s", *image)
        if subprocess.run(
            ["docker", "image", "inspect", choice.image], capture_output=True, check=False
        ).returncode:
            _run("docker", "pull", choice.image)
        _run("kind", "load", "docker-image", choice.image, "--name", name)
        yield path
    finally:
        _run("kind", "delete", "cluster", "--name", name, "--kubeconfig", str(path))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TargetError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def connect(kubeconfig: Path, context: str | None, patience_s: float) -> Client:
    """The client of a kubeconfig's user."""
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(kubeconfig), context, client_configuration=configuration)
    return Client(configuration, patience_s=patience_s)
