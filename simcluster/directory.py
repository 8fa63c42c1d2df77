"""The folder of a running cluster, and what is left of clusters that were killed.

The rules it keeps: a folder belongs to the process that holds the lock on its file `owner`; the lock ends
with the process, however that ends, so a folder without one is nobody's, and the next cluster of this user
removes it and says so. A folder that the user named is kept.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_OWNER = "owner"
# A folder that is just being made can be lost once to each cluster that starts beside it.
_TRIES = 100


def _prefix() -> str:
    return f"simcluster-{os.getuid()}-"


@dataclass(frozen=True, slots=True)
class Directory:
    """A locked folder; mode 0700."""

    path: Path
    owner: BinaryIO
    is_temporary: bool

    def close(self) -> None:
        """Give it up; a temporary one is removed with all that is in it."""
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        self.owner.close()


def open_directory(path: Path | None) -> Directory:
    """The folder at `path`, made if need be, or a temporary one; FileExistsError if another cluster lives in
    it.
    """
    if path is not None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = _lock(path)
        except OSError as error:
            raise type(error)(
                f"--directory: {path} can not be made or written: {error.strerror}\n  give a folder of yours"
            ) from None
        if owner is None:
            raise FileExistsError(
                f"{path} is the folder of a running cluster\n  choose another folder, or stop that cluster"
            )
        return Directory(path.resolve(), owner, is_temporary=False)
    for _ in range(_TRIES):
        made = Path(tempfile.mkdtemp(prefix=_prefix()))
        owner = _lock(made)
        # Another cluster that starts at this moment may have taken it for abandoned, and have removed it.
        if owner is not None and _is_at(made / _OWNER, owner):
            return Directory(made, owner, is_temporary=True)
        if owner is not None:
            owner.close()
    raise FileExistsError(f"{made} was taken by another process as soon as it was made")


def _is_at(path: Path, opened: BinaryIO) -> bool:
    """Whether the open file is still the one at that path."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return found.st_ino == os.fstat(opened.fileno()).st_ino


def _lock(path: Path) -> BinaryIO | None:
    """Lock the folder's owner file; None if another process holds it."""
    owner = (path / _OWNER).open("ab")
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner.close()
        return None
    return owner


def is_owned(path: Path) -> bool:
    """Whether a running cluster lives in that folder."""
    if not (path / _OWNER).exists():
        return False
    owner = _lock(path)
    if owner is not None:
        owner.close()
    return owner is None


def remove_abandoned() -> list[Path]:
    """Remove the temporary folders of this user's clusters that are dead; returns them."""
    removed = []
    for path in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        # A folder without the file is one that is being made at this moment, or no cluster's.
        if path.is_symlink() or path.stat().st_uid != os.getuid() or not (path / _OWNER).exists():
            continue
        owner = _lock(path)
        if owner is not None:
            shutil.rmtree(path, ignore_errors=True)
            owner.close()
            removed.append(path)
    return removed
