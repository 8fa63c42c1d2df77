"""Writes samples as lines, from a thread of its own.

The rule it keeps: a slow reader of the output never delays a call or its latency; every sample handed in
before `close` is written and flushed. Where the reader has gone away, the writer says so once through
`on_broken` and drops the rest.
"""

import contextlib
import io
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from demo_server.samples import Sample


class SampleWriter:
    """`record` may be called from any thread. `on_broken` is called from the writer's thread."""

    def __init__(
        self, stream: TextIO, encode: Callable[[Sample], str], on_broken: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._encode = encode
        self._on_broken = on_broken
        self._queue: queue.SimpleQueue[Sample | None] = queue.SimpleQueue()
        self.broken: OSError | None = None
        self._thread = threading.Thread(target=self._write_all, name="samples", daemon=True)
        self._thread.start()

    def record(self, sample: Sample) -> None:
        """Take a sample; returns at once."""
        self._queue.put(sample)

    def close(self) -> None:
        """Write what was recorded, then end."""
        self._queue.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        while (sample := self._queue.get()) is not None:
            if self.broken is not None:
                continue
            try:
                self._stream.write(self._encode(sample) + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except OSError as error:
                self._give_up(error)
        if self.broken is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """What is still buffered goes nowhere, or the interpreter would stumble over it once more at its end."""
        self.broken = error
        with contextlib.suppress(io.UnsupportedOperation), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
        self._on_broken()
