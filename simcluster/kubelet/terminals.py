"""The three standard streams of a process, seen from outside: pipes, or one terminal for all.

The rules it keeps: nothing here blocks; a terminal is both ends at once, so its input can not be closed and gets
the key for the end of input instead.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from dataclasses import dataclass, field

STDOUT, STDERR = 1, 2
_END_OF_INPUT = b"\x04"


@dataclass(slots=True, eq=False)
class Pipes:
    """Our ends: `outputs` by descriptor, each 1 or 2; `entry` takes input. With a terminal both are the same."""

    outputs: dict[int, int]
    entry: int | None = None
    has_terminal: bool = False
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _writable: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Give the process input; what it does not read, because it has ended, is lost."""
        async with self._writing:
            while data and self.entry is not None:
                try:
                    data = data[os.write(self.entry, data) :]
                except BlockingIOError:
                    await self._wait_until_writable(self.entry)
                except OSError:
                    return

    async def _wait_until_writable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._writable = loop.create_future()
        loop.add_writer(descriptor, _settle, self._writable)
        try:
            await self._writable
        finally:
            if self.entry == descriptor:
                loop.remove_writer(descriptor)

    async def end_input(self) -> None:
        """Tell the process that there is no more input."""
        if self.has_terminal:
            await self.write(_END_OF_INPUT)
        else:
            self._close_entry()

    def resize(self, width: int, height: int) -> None:
        """Set the size of the terminal, in characters; the process is told by SIGWINCH."""
        if self.has_terminal and self.entry is not None:
            fcntl.ioctl(self.entry, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def close_output(self, descriptor: int) -> None:
        """Close one output; a terminal stays until `close`, which hangs up on whoever still has it."""
        del self.outputs[descriptor]
        if descriptor != self.entry:
            os.close(descriptor)

    def close(self) -> None:
        """Close all."""
        for descriptor in tuple(self.outputs):
            self.close_output(descriptor)
        self._close_entry()

    def _close_entry(self) -> None:
        if self.entry is not None:
            # Whoever waits to write looks again, and finds that there is nothing to write to.
            asyncio.get_running_loop().remove_writer(self.entry)
            os.close(self.entry)
            self.entry = None
            if self._writable is not None:
                _settle(self._writable)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def open_streams(*, stdin: bool, tty: bool) -> tuple[Pipes, tuple[int, int, int]]:
    """Return our ends and the process's three, which are the caller's to close."""
    if tty:
        ours, theirs = os.openpty()
        os.set_blocking(ours, False)
        return Pipes({ours: STDOUT}, ours, has_terminal=True), (theirs, theirs, theirs)
    entry: int | None = None
    if stdin:
        read, entry = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(entry, False)
    else:
        read = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    out, out_end = os.pipe2(os.O_CLOEXEC)
    error, error_end = os.pipe2(os.O_CLOEXEC)
    for each in (out, error):
        os.set_blocking(each, False)
    return Pipes({out: STDOUT, error: STDERR}, entry), (read, out_end, error_end)
