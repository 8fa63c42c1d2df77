"""What processes need, from /proc: a process and all that it has started."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_PROXY = "envoy"


def find_family(pids: Iterable[int]) -> list[int]:
    """These processes and their descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
    found = list(pids)
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def read_memory(pids: Iterable[int]) -> float:
    """The memory of these processes and their descendants in MB (10^6 bytes), a proxy's left out.

    Pages that several of them share are counted once (PSS).
    """
    total_kib = 0
    for pid in find_family(pids):
        folder = Path("/proc", str(pid))
        try:
            if _PROXY in (folder / "comm").read_text():
                continue
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it ended meanwhile
        total_kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kib * 1024 / 1e6
