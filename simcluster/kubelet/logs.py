"""What containers write: one file per container instance, and reading it the way `kubectl logs` asks for it.

The rules it keeps: a line in the file is `<time> <stream> <F|P> <text>`, the format of the container run-time
interface; P marks a line that goes on in the next entry. Followers are woken by what is written, never by a
clock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from simcluster.registry import format_time, parse_time

_LONGEST_LINE = 16 * 1024  # bytes of one entry, as containerd's
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a log is wanted, and how. `since_at` is in seconds since the epoch."""

    since_at: float | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    follow: bool = False


class ContainerLog:
    """The log of one instance of a container, from its start to its end."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.is_closed = False
        self._clock = clock
        self._pending: dict[str, bytes] = {}
        self._followers: set[asyncio.Future[None]] = set()
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, stream: str, data: bytes) -> None:
        """Take what a stream (`stdout`, `stderr`) has to say; lines that are not complete yet wait."""
        *lines, rest = (self._pending.pop(stream, b"") + data).split(b"\n")
        entries = [entry for line in lines for entry in _split(line)]
        while len(rest) > _LONGEST_LINE:
            entries.append((b"P", rest[:_LONGEST_LINE]))
            rest = rest[_LONGEST_LINE:]
        if rest:
            self._pending[stream] = rest
        self._append(stream, entries)

    def close(self) -> None:
        """The container has ended: what waits is a line, and followers reach their end."""
        if self.is_closed:
            return
        for stream, rest in self._pending.items():
            self._append(stream, [(b"F", rest)])
        self._pending.clear()
        self.is_closed = True
        self._file.close()
        self._wake()

    def _append(self, stream: str, entries: list[tuple[bytes, bytes]]) -> None:
        if not entries:
            return
        stamp = _stamp(self._clock())
        prefix = f"{stamp} {stream} ".encode()
        self._file.write(b"".join(prefix + tag + b" " + text + b"\n" for tag, text in entries))
        self._wake()

    def _wake(self) -> None:
        for follower in self._followers:
            if not follower.done():
                follower.set_result(None)
        self._followers.clear()

    def tail(self, lines: int) -> bytes:
        """The last so many entries, as text to show."""
        with self.path.open("rb") as file:
            _seek_tail(file, lines)
            entries = [entry + b"\n" for entry in file.read().split(b"\n")[:-1]]
        return _show(entries, Selection())

    async def wait(self) -> None:
        """Wait until something is written or the log is closed."""
        follower: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._followers.add(follower)
        try:
            await follower
        finally:
            self._followers.discard(follower)

    async def read(self, selection: Selection) -> AsyncIterator[bytes]:
        """The selected entries, as text to show; with `follow` until the container ends."""
        left = selection.limit_bytes
        with self.path.open("rb") as file:
            if selection.tail_lines is not None:
                _seek_tail(file, selection.tail_lines)
            while True:
                # Looked at before the file is: what is written in between wakes nobody, but is read.
                is_last = self.is_closed or not selection.follow
                while entries := _read_entries(file):
                    shown = _show(entries, selection)
                    if left is not None:
                        shown = shown[:left]
                        left -= len(shown)
                    if shown:
                        yield shown
                    if left == 0:
                        return
                if is_last:
                    return
                if not self.is_closed and file.tell() == os.fstat(file.fileno()).st_size:
                    await self.wait()


def _split(line: bytes) -> list[tuple[bytes, bytes]]:
    entries = []
    while len(line) > _LONGEST_LINE:
        entries.append((b"P", line[:_LONGEST_LINE]))
        line = line[_LONGEST_LINE:]
    return [*entries, (b"F", line)]


def _stamp(at: float) -> str:
    nanoseconds = round(at * 1e9)
    return f"{format_time(nanoseconds // 1_000_000_000)[:-1]}.{nanoseconds % 1_000_000_000:09d}Z"


def _read_entries(file: BinaryIO) -> list[bytes]:
    """The next block of whole entries; empty at the end of the file."""
    block = file.read(_BLOCK)
    if block and not block.endswith(b"\n"):
        block += file.readline()
    return [entry + b"\n" for entry in block.split(b"\n")[:-1]]


def _show(entries: list[bytes], selection: Selection) -> bytes:
    shown = []
    for entry in entries:
        stamp, _, tag, text = entry.split(b" ", 3)
        if selection.since_at is not None and parse_time(stamp.decode()) < selection.since_at:
            continue
        if tag == b"P":
            text = text[:-1]
        shown.append(stamp + b" " + text if selection.timestamps else text)
    return b"".join(shown)


def _seek_tail(file: BinaryIO, lines: int) -> None:
    """Move to where the last so many entries begin."""
    end = file.seek(0, os.SEEK_END)
    position, seen = end, 0
    while position > 0 and seen <= lines:
        start = max(0, position - _BLOCK)
        file.seek(start)
        block = file.read(position - start)
        for offset in range(len(block) - 1, -1, -1):
            if block[offset] == ord("\n"):
                seen += 1
                # The newline that ends the entry before the first one that is wanted.
                if seen == lines + 1:
                    file.seek(start + offset + 1)
                    return
        position = start
    file.seek(0 if lines else end)
