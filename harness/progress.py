"""What a person sees while something takes time: one live line on a terminal, plain lines in a log.

Rule: nothing that lasts over two seconds is silent, and nothing shorter makes noise in a log. The text goes
through the function that is given, so that it ends up where the rest of the output does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TICK_S = 0.1
_FIRST_LINE_S = 2.0
_NEXT_LINE_S = 15.0
_CLEAR = "\r\x1b[2K"
_PLAIN = str.maketrans({"─": "-", "…": "..."})


def spell(text: str, encoding: str) -> str:
    """The text with signs that the encoding has, for a terminal or a log that knows few letters."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN)
    return text


class Progress:
    """Says what is being waited for. `is_live` is whether the output is a terminal that can rewrite a line."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        is_live: bool,
        width: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._is_live, self._clock = write, is_live, clock
        self._width = width - 12  # a live line must not wrap: it could not be taken back
        self._lock = threading.Lock()
        self._title, self._text = "", ""
        self._detail: Callable[[], str] | None = None
        self._since = self._next_line_at = 0.0
        self._is_drawn = False

    def say(self, text: str, detail: Callable[[], str] | None = None) -> None:
        """What is being waited for now.

        `detail` is asked each time this is shown, for why it takes so long.
        """
        with self._lock:
            self._text, self._detail = text, detail
            self._since = self._clock()
            self._next_line_at = self._since + _FIRST_LINE_S

    @contextmanager
    def working(self, title: str) -> Iterator[None]:
        """While the block runs, show its title, what it said last, and for how long."""
        self._title = title
        self.say("")
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(ended,), name="k8s-progress", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()
            self._clear()

    def show(self, text: str) -> None:
        """Print whole lines, above the live one."""
        with self._lock:
            self._clear()
            self._write(f"{text}\n")

    def draw(self, frame: int) -> None:
        """Bring the output up to date: the live line, or a plain one when it is time for it."""
        with self._lock:
            now = self._clock()
            told = f"{self._title}: {self._text}" if self._text else self._title
            detail = "" if self._detail is None else self._detail()
            told = f"{told} ({detail})" if detail else told
            waited = f"{now - self._since:.0f} s"
            if self._is_live:
                self._write(f"{_CLEAR}{_FRAMES[frame % len(_FRAMES)]} {told[: self._width]} {waited}")
                self._is_drawn = True
            elif now >= self._next_line_at:
                self._write(f"{told} … {waited}\n")
                self._next_line_at = now + _NEXT_LINE_S

    def _tick(self, ended: threading.Event) -> None:
        frame = 0
        while not ended.wait(_TICK_S):
            self.draw(frame)
            frame += 1

    def _clear(self) -> None:
        if self._is_drawn:
            self._write(_CLEAR)
            self._is_drawn = False
