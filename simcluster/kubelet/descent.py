"""Who descends from a process, and how all of it is ended.

The rule it keeps: no process that a cluster started outlives the cluster. A process that makes itself a
*subreaper* becomes the parent of every orphan below it, so that its descendants can always be found; one that
is *bound to its parent* is killed by the kernel when that parent goes.

It knows nothing of pods and uses the standard library alone, because the zygote imports it. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")


def bind_to_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` (its pid) ends. Exits at once if it has already ended.

    The kernel watches the *thread* that forked, so call it only in children of a main thread.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended between the fork and the line above
        os._exit(128 + signal.SIGKILL)


def unbind_from_parent() -> None:
    """Live on after the parent."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Make this process the parent of all orphans among its descendants (see prctl(2), CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _parents() -> dict[int, int]:
    """Pid → pid of its parent, of every live process; zombies are left out."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            stat = Path(entry.path, "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while the list was read
        state, parent = stat.rpartition(b")")[2].split()[:2]
        if state not in (b"Z", b"X"):
            parents[int(entry.name)] = int(parent)
    return parents


def find_descendants(root: int) -> set[int]:
    """Pids of all live processes below `root`, without itself."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    unseen = [root]
    while unseen:
        below = [pid for pid in children.get(unseen.pop(), ()) if pid not in found]
        found.update(below)
        unseen.extend(below)
    return found


def kill_descendants() -> None:
    """SIGKILL every descendant of this process and reap them all; returns when none is left.

    Only complete after `adopt_orphans`. Looks again after each death: a process may fork while it is killed.
    """
    while True:
        for pid in find_descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
