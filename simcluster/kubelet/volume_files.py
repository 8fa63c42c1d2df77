"""A directory whose files change all at once, as the kubelet's AtomicWriter makes it.

The rule it keeps (pkg/volume/util/atomic_writer.go): the files are in a directory of their own, to which the
link `..data` leads; a new version is made beside it and takes its place by one rename, so that no reader sees
half of it; the names that users see are links through `..data`.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from simcluster.kubelet.volumes import Files

_LINK, _DRAFT = "..data", "..data_tmp"


def write_files(directory: Path, files: Files, now: float) -> bool:
    """Make these the files of a directory, which exists; whether anything changed."""
    link = directory / _LINK
    before = directory / link.readlink() if link.is_symlink() else None
    if before is not None and _read(before) == {path: (file.data, file.mode) for path, file in files.items()}:
        return False
    after = _make_version(directory, files, now)
    draft = directory / _DRAFT
    draft.unlink(missing_ok=True)
    draft.symlink_to(after.name)
    draft.rename(link)
    _link_names(directory, {PurePosixPath(path).parts[0] for path in files})
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)
    return True


def _make_version(directory: Path, files: Files, now: float) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("..%Y_%m_%d_%H_%M_%S")
    number = len(list(directory.glob(f"{stamp}.*")))
    version = directory / f"{stamp}.{int(now * 1e9) % 1_000_000_000 + number:09d}"
    version.mkdir(mode=0o755)
    for path, file in files.items():
        target = version / path
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(file.data)
        target.chmod(file.mode)
    return version


def _link_names(directory: Path, names: set[str]) -> None:
    for entry in list(directory.iterdir()):
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        shown = directory / name
        if not shown.is_symlink():
            shown.symlink_to(f"{_LINK}/{name}")


def _read(version: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(version)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in version.rglob("*")
        if path.is_file()
    }
