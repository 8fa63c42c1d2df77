"""A run's ledger of what it has made outside its own process, so that it can be removed after `kill -9`.

Rule: a thing is written down before it is made and crossed out after it is removed. Each run holds a lock
on its ledger for as long as it lives; the kernel lets go of it whatever way the run ends. A ledger that can
be locked belongs to a dead run, and only what stands in it is removed. Names and folders are checked
against our own pattern first, so that not even a damaged ledger can point at somebody else's.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import ClusterError

_RUN = re.compile(r"[0-9a-f]{8}")
FOLDER, KIND_CLUSTER, NAMESPACE = "folder", "kind-cluster", "namespace"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that was made. `kubeconfig` and `context` say on which cluster, for a namespace."""

    kind: str
    name: str
    kubeconfig: str | None = None
    context: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Remove = Callable[[Thing, str], None]


class Lease:
    """The ledger of one run. `run` is its id, eight hex digits, part of the name of all that it makes."""

    def __init__(self, run: str, path: Path, descriptor: int) -> None:
        self.run = run
        self._path = path
        self._descriptor = descriptor
        self._things: list[Thing] = []
        self._folder: Path | None = None

    @property
    def prefix(self) -> str:
        """What the name of everything of this run begins with."""
        return prefix_of(self.run)

    def add(self, thing: Thing) -> Thing:
        """Write a thing down; call this before making it."""
        self._things.append(thing)
        self._write()
        return thing

    def cross_out(self, thing: Thing) -> None:
        """Forget a thing that has been removed."""
        self._things.remove(thing)
        self._write()

    def folder(self) -> Path:
        """The temporary folder of this run, for its owner alone; made when it is first asked for."""
        if self._folder is not None:
            return self._folder
        path = Path(tempfile.gettempdir()) / f"{self.prefix}-{secrets.token_hex(3)}"
        self.add(Thing(FOLDER, str(path)))
        path.mkdir(mode=0o700)
        self._folder = path
        return path

    def close(self, *, is_kept: bool = False) -> None:
        """Remove the folders and give the ledger up.

        With `is_kept` everything stays, and nobody removes it later.
        """
        for thing in [thing for thing in self._things if thing.kind == FOLDER and not is_kept]:
            remove_folder(thing, self.run)
            self.cross_out(thing)
        if is_kept or not self._things:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _write(self) -> None:
        text = json.dumps({"pid": os.getpid(), "things": [asdict(thing) for thing in self._things]})
        os.pwrite(self._descriptor, text.encode(), 0)
        os.ftruncate(self._descriptor, len(text.encode()))
        os.fsync(self._descriptor)


def folder() -> Path:
    """Where ledgers are kept: $XDG_STATE_HOME/kube-grpc/leases, or ~/.local/state/…."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "kube-grpc" / "leases"


def open_lease(where: Path) -> Lease:
    """A new ledger, locked by this process."""
    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        run = secrets.token_hex(4)
        path = where / f"{run}.json"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ClusterError(
            f"{where}: can not be written: {error.strerror}\n"
            "  a run writes down there what it makes; set XDG_STATE_HOME to a folder that can be written"
        ) from None
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return Lease(run, path, descriptor)


def sweep(where: Path, removers: Mapping[str, Remove]) -> Iterator[str]:
    """Remove what dead runs have left, and say so: one sentence a thing. Living runs are not touched.

    A thing that can not be removed now stays in its ledger, for the next run.
    """
    for path in sorted(where.glob("*.json")) if where.is_dir() else []:
        if _RUN.fullmatch(path.stem) is None:
            continue
        descriptor = _lock(path)
        if descriptor is None:
            continue
        try:
            yield from _sweep_one(path, descriptor, removers)
        finally:
            os.close(descriptor)


def prefix_of(run: str) -> str:
    """The beginning of the name of everything that a run makes."""
    return f"kube-grpc-{run}"


def remove_folder(thing: Thing, run: str) -> None:
    """Remove a temporary folder of a run. Raises ClusterError where the path is not one."""
    path = Path(thing.name)
    if path.parent != Path(tempfile.gettempdir()) or not path.name.startswith(prefix_of(run)):
        raise ClusterError(f"{path} is not a folder of run {run}")
    shutil.rmtree(path, ignore_errors=True)


def _lock(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # its owner ended in this very moment
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep_one(path: Path, descriptor: int, removers: Mapping[str, Remove]) -> Iterator[str]:
    run = path.stem
    kept: list[Thing] = []
    for thing in _read(descriptor):
        try:
            removers[thing.kind](thing, run)
            yield f"removed {thing}, left by a run that was killed"
        except (ClusterError, KeyError, OSError) as error:
            kept.append(thing)
            yield f"could not remove {thing}, left by a run that was killed: {error}"
    if kept:
        text = json.dumps({"pid": 0, "things": [asdict(thing) for thing in kept]}).encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
    else:
        path.unlink(missing_ok=True)


def _read(descriptor: int) -> list[Thing]:
    try:
        found = json.loads(os.pread(descriptor, 1 << 20, 0) or b'{"things": []}')
        return [Thing(**entry) for entry in reversed(found["things"])]
    except (ValueError, TypeError, KeyError):
        return []  # the run was killed while it wrote its first line: before anything was made
