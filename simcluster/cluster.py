"""A cluster for a program: started as a child process, stopped with it.

The rules it keeps: `start` returns when the API answers, or raises StartError with the end of the log; the
child stops when its parent ends, however that ends. It imports none of the simulation, so it costs its user
nothing.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from simcluster.faults.remote import OWNER_KUBECONFIG, FaultRefused, Faults

__all__ = ["Cluster", "FaultRefused", "StartError"]

_START_S = 30.0
_STOP_S = 10.0
_SHOWN_LINES = 20
_EXAMPLE = "\n  for example  images={'greeter:dev': 'python -m demo_server.server'}"


class StartError(Exception):
    """The cluster did not start; the text has what it said."""


class Cluster:
    """A simulated cluster in a process of its own; a context manager.

    `images` binds names to commands (texts, or argument lists). `directory` keeps logs and pods' files; by
    default they are
    in a temporary folder that goes when the cluster stops.
    """

    def __init__(
        self,
        images: Mapping[str, str | Sequence[str]] | None = None,
        *,
        kubernetes_version: str | None = None,
        profile: Literal["fast", "faithful"] = "fast",
        directory: Path | None = None,
        nodes: int | None = None,
        status_only_nodes: int | None = None,
        network: Literal["auto", "loopback", "namespace"] | None = None,
        slice_size: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._images = _as_bindings({} if images is None else images)
        self._options = _as_options(
            kubernetes_version=kubernetes_version,
            profile=profile,
            directory=directory,
            nodes=nodes,
            status_only_nodes=status_only_nodes,
            network=network,
            slice_size=slice_size,
            seed=seed,
        )
        # What a pod's status says to do about an image NAME that is not bound; for those who start clusters for others.
        self.remedy = "bind it with simcluster.Cluster(images={'NAME': 'COMMAND'})"
        self._process: subprocess.Popen[bytes] | None = None
        self._kubeconfig: Path | None = None
        self._faults: Faults | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._running()

    @property
    def owner_kubeconfig(self) -> Path:
        """One that reaches the API by a door of its own, where no fault of the API holds."""
        return self._running().parent / OWNER_KUBECONFIG

    @property
    def faults(self) -> Faults:
        """What can be broken in it; all that was begun ends with the cluster, or with this process."""
        folder = self._running().parent
        if self._faults is None:
            self._faults = Faults(folder)
        return self._faults

    @property
    def log(self) -> Path:
        """The cluster's log."""
        return self._running().parent / "log"

    @property
    def pid(self) -> int:
        """The process that the cluster is."""
        self._running()
        assert self._process is not None  # noqa: S101 -- for mypy: what runs has a process
        return self._process.pid

    def _running(self) -> Path:
        if self._kubeconfig is None:
            raise RuntimeError("the cluster does not run; call start() or use it as a context manager")
        return self._kubeconfig

    def start(self) -> None:
        """Start it; returns when its API answers. StartError if it does not."""
        if self._process is not None:
            raise RuntimeError("the cluster runs already; a Cluster is started once at a time")
        ready, ready_end = os.pipe()
        command = [sys.executable, "-m", "simcluster", "up", *self._options]
        for name, argv in self._images.items():
            command += ["--image", f"{name}={argv}"]
        command += ["--ready-fd", str(ready_end), "--parent", str(os.getpid()), "--remedy", self.remedy]
        # A file, not a pipe: nobody reads it while the cluster runs.
        with tempfile.TemporaryFile() as errors, open(ready, "rb") as pipe:  # noqa: PTH123 -- a descriptor has no path
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=[ready_end],
                    start_new_session=True,
                )  # fmt: skip
            finally:
                os.close(ready_end)
            # The end of the pipe, too, makes it readable: a process that dies is known at once.
            is_told = bool(select.select([pipe], [], [], _START_S)[0])
            said = pipe.readline().decode() if is_told else ""
            if not said.endswith("\n"):
                self.stop()
                errors.seek(0)
                raise StartError(_explain(errors.read().decode(errors="replace"), is_late=not is_told))
        self._kubeconfig = Path(said.rstrip("\n"))

    def stop(self) -> None:
        """Stop it and everything in it; does nothing if it does not run."""
        process, self._process, self._kubeconfig = self._process, None, None
        faults, self._faults = self._faults, None
        if faults is not None:
            faults.close()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _as_bindings(images: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Name → command as a shell would read it; TypeError says what it may be."""
    if not isinstance(images, Mapping):
        raise TypeError(f"images: {images!r} is not a mapping of names to commands{_EXAMPLE}")
    found = {}
    for name, command in images.items():
        parts = [command] if isinstance(command, str) else command
        if (
            not isinstance(parts, Sequence)
            or not all(isinstance(part, str) for part in parts)
            or not any(parts)
        ):
            raise TypeError(
                f"images: {name!r}: {command!r} is neither a command nor a list of its words{_EXAMPLE}"
            )
        found[name] = command if isinstance(command, str) else shlex.join(parts)
    return found


def _as_options(**given: object) -> list[str]:
    """Command-line options of what was given; None leaves an option out."""
    options = []
    for name, value in given.items():
        if value is not None:
            options += [f"--{name.replace('_', '-')}", str(value)]
    return options


def _explain(said: str, *, is_late: bool) -> str:
    lines = said.strip().splitlines()[-_SHOWN_LINES:]
    shown = "\n".join(f"  {line}" for line in lines) if lines else "  it said nothing"
    what = f"did not answer within {_START_S:g} s" if is_late else "ended while it started"
    return f"the simulated cluster {what}\n{shown}"
