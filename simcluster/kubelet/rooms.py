"""Rooms: what a process of a pod sees apart from this machine: its network, its files, its host name.

The rules it keeps: namespaces are held by processes and descriptors alone, never by names, so nothing of them
outlives the cluster; mounts are made in namespaces that are slaves of this machine's, so its own files stay as
they are. A mount point that this machine does not have is provided on a tmpfs that mirrors the directory
around it.

It knows nothing of pods and uses the standard library alone, because the zygote imports it. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NEW_MOUNTS, NEW_NAMES, NEW_USERS, NEW_NETWORK = 0x00020000, 0x04000000, 0x10000000, 0x40000000
_READ_ONLY, _REMOUNT, _BIND, _MOVE, _RECURSIVE = 0x1, 0x20, 0x1000, 0x2000, 0x4000
_UNBINDABLE, _PRIVATE, _SLAVE = 0x20000, 0x40000, 0x80000
_DETACH = 2
# Flags that a mount of a more privileged owner has must be given again (mount_namespaces(7), locked flags).
_KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME | os.ST_RELATIME
_RELATIVE_TIME = 0x200000  # MS_RELATIME; statvfs has another bit for it
# Where nearly every container has something mounted, and machines have nothing.
_USUAL_POINTS = (("/var/run/secrets/kubernetes.io/serviceaccount", True), ("/dev/termination-log", False))
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or directory of this machine, to be seen at another path."""

    source: str
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """What to see. `beside` is the pid of the process whose room it is; everything else is for a new one."""

    hostname: str | None = None
    stage: str = ""  # an empty directory of its own, to put mount points together in
    mounts: tuple[Mount, ...] = ()
    beside: int | None = None


def read_room(written: dict[str, Any]) -> Room:
    """A room from its fields, as they come in a request."""
    return Room(**written | {"mounts": tuple(Mount(**each) for each in written["mounts"])})


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Have this process leave what it shares with its parent."""
    _check(_LIBC.unshare(flags), "unshare")


def enter(descriptor: int) -> None:
    """Have this process join a namespace."""
    _check(_LIBC.setns(descriptor, 0), "setns")


def own_users(*, uid: int, gid: int) -> None:
    """Enter a user namespace of one's own, in which this user has these numbers and every capability."""
    outside = os.getuid(), os.getgid()
    unshare(NEW_USERS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside[0]} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside[1]} 1")


def _mount(source: str, target: str, kind: str | None, flags: int, what: str) -> None:
    fs = None if kind is None else kind.encode()
    _check(_LIBC.mount(os.fsencode(source), os.fsencode(target), fs, flags, None), what)


def bind(mount: Mount) -> None:
    """Show a file or directory at another path, which exists."""
    what = f"mount {mount.source} at {mount.target}"
    _mount(mount.source, mount.target, None, _BIND | _RECURSIVE, what)
    if mount.is_read_only:
        kept = os.statvfs(mount.target).f_flag
        flags = (kept & _KEPT & ~os.ST_RELATIME) | (_RELATIVE_TIME if kept & os.ST_RELATIME else 0)
        _mount(mount.source, mount.target, None, _BIND | _REMOUNT | _READ_ONLY | flags, f"{what} read-only")


def try_out(action: Callable[[], None]) -> str | None:
    """Why `action` can not be done, tried in a process of its own; None if it can."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is the answer
            os.write(write, (str(error) or type(error).__name__).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123 -- a descriptor has no path
        said = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return said if said else None


def own_mounts() -> None:
    """Enter a mount namespace of one's own, and a user namespace where that takes one; this user stays who
    they are. OSError says why not, and then nothing has changed.
    """
    try:
        unshare(NEW_MOUNTS)
    except PermissionError:
        obstacle = try_out(_own_users_and_mounts)
        if obstacle is not None:
            raise OSError(f"user namespaces can not be had: {obstacle}") from None
        _own_users_and_mounts()
    else:
        _follow_machine()
    _find_programs()  # once for all rooms
    for target, is_directory in _USUAL_POINTS:
        # Once for all rooms; one that can not be provided here is tried again in each.
        with contextlib.suppress(OSError):
            provide(target, tempfile.gettempdir(), is_directory=is_directory)
    _MIRRORS.clear()  # what a room lacks besides is its own


def _own_users_and_mounts() -> None:
    own_users(uid=os.getuid(), gid=os.getgid())
    unshare(NEW_MOUNTS)
    _follow_machine()


def _follow_machine() -> None:
    """Mounts of this machine are seen; ours are not seen by it."""
    _mount("none", "/", None, _SLAVE | _RECURSIVE, "mount namespace")


def furnish(room: Room, network: int | None) -> None:
    """Move this process, a fresh fork, into its room."""
    if room.beside is not None:
        _join(room.beside)
        return
    if network is not None:
        enter(network)
    if room.hostname is not None:
        unshare(NEW_NAMES)
        name = room.hostname.encode()
        _check(_LIBC.sethostname(name, len(name)), "sethostname")
    if room.mounts:
        unshare(NEW_MOUNTS)
        _follow_machine()
        for mount in room.mounts:
            provide(mount.target, room.stage, is_directory=Path(mount.source).is_dir())
            covered = _hold_programs(mount.target)
            bind(mount)
            _uncover(covered)


@functools.cache
def _find_programs() -> frozenset[Path]:
    """The directories that Python needs; they stay the same for all processes of a zygote."""
    return frozenset(Path(each).resolve() for each in (sys.prefix, sys.base_prefix, *sys.path) if each)


def _hold_programs(target: str) -> dict[Path, int]:
    """Path → descriptor of what Python needs of the directories that a mount there would cover.

    A checkout in /work must not vanish from pods that have a volume at /work.
    """
    top = Path(target).resolve()
    found = [each for each in _find_programs() if each != top and each.is_relative_to(top) and each.is_dir()]
    outer = [
        each for each in found if not any(each != other and each.is_relative_to(other) for other in found)
    ]
    return {each: os.open(each, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for each in outer}


def _uncover(held: dict[Path, int]) -> None:
    """Have these directories where they were, within what was mounted over them."""
    for path, descriptor in held.items():
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", str(path), None, _BIND | _RECURSIVE, f"mount {path} again")
        os.close(descriptor)


def _join(pid: int) -> None:
    for kind in ("net", "uts", "mnt"):
        # What is shared anyway may belong to more privileged users, and could not be joined.
        if Path(f"/proc/{pid}/ns/{kind}").samefile(f"/proc/self/ns/{kind}"):
            continue
        descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(descriptor)
        finally:
            os.close(descriptor)


def provide(target: str, stage: str, *, is_directory: bool) -> None:
    """Have something at this path to mount on, without making it on this machine."""
    path = Path(target).resolve()
    if path.exists():
        return
    around = next(parent for parent in path.parents if parent.is_dir())
    if around.stat().st_dev not in _MIRRORS:
        _mirror(around, stage)
    if is_directory:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# Devices of the file systems that this process made: what is made on them is not on this machine.
_MIRRORS: set[int] = set()


def _mirror(directory: Path, stage: str) -> None:
    """Lay a tmpfs with the same entries over a directory; it is put together at `stage`, an empty directory."""
    # Unbindable, so that a directory above it can be copied without it.
    _mount("tmpfs", stage, "tmpfs", 0, f"tmpfs for {directory}")
    _mount("none", stage, None, _UNBINDABLE, f"tmpfs for {directory}")
    _MIRRORS.add(Path(stage).stat().st_dev)
    _copy_entries(directory, Path(stage))
    if directory == Path("/"):
        # Nothing can be laid over a root that is in use.
        os.chdir(stage)
        _check(_LIBC.pivot_root(b".", b"."), "pivot_root")
        _check(_LIBC.umount2(b".", _DETACH), "umount of the root before")
        os.chdir("/")
    else:
        _mount(stage, str(directory), None, _MOVE, f"mirror of {directory}")
    _mount("none", str(directory), None, _PRIVATE, f"mirror of {directory}")


def _copy_entries(before: Path, after: Path) -> None:
    after.chmod(stat.S_IMODE(before.stat().st_mode))
    for entry in os.scandir(before):
        there = after / entry.name
        if entry.is_symlink():
            there.symlink_to(Path(entry.path).readlink())
            continue
        if entry.is_dir():
            there.mkdir()
        else:
            there.touch()
        _mount(entry.path, str(there), None, _BIND | _RECURSIVE, f"mirror of {entry.path}")
