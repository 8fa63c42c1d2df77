"""What a person sees while something takes time."""

from __future__ import annotations

import pytest

from harness.progress import Progress, spell


class Watched:
    """A progress whose clock stands still, and what it has written."""

    def __init__(self, *, is_live: bool, width: int = 100) -> None:
        self.at, self.written = 0.0, ""
        self.progress = Progress(self.write, is_live=is_live, width=width, clock=lambda: self.at)

    def write(self, text: str) -> None:
        """Take the text."""
        self.written += text

    def draw_at(self, at: float) -> str:
        """What is written at a time."""
        self.at, before = at, len(self.written)
        self.progress.draw(0)
        return self.written[before:]


def test_a_log_hears_nothing_of_what_is_quick() -> None:
    """Under two seconds a log has no line; then one, and again each fifteen."""
    watched = Watched(is_live=False)
    watched.progress.say("deploying")

    assert watched.draw_at(1.9) == ""
    assert watched.draw_at(2.0) == ": deploying … 2 s\n"
    assert watched.draw_at(16.9) == ""
    assert watched.draw_at(17.0) == ": deploying … 17 s\n"


def test_a_new_step_starts_anew() -> None:
    """What is waited for next has two seconds of its own."""
    watched = Watched(is_live=False)
    watched.progress.say("deploying")
    watched.at = 1.9
    watched.progress.say("waiting")

    assert watched.draw_at(3.8) == ""
    assert watched.draw_at(3.9) == ": waiting … 2 s\n"


def test_why_it_takes_so_long() -> None:
    """The detail is asked for when a line is shown, not before."""
    watched, reason = Watched(is_live=False), ["nothing"]
    watched.progress.say("waiting", lambda: reason[0])
    reason[0] = "no image"

    assert watched.draw_at(3.0) == ": waiting (no image) … 3 s\n"


def test_a_terminal_has_one_live_line() -> None:
    """It is rewritten in place, never wider than the terminal, and gone when something is printed."""
    watched = Watched(is_live=True, width=30)
    watched.progress.say("a" * 50)

    assert f"\r\x1b[2K⠋ : {'a' * 16} 1 s" == watched.draw_at(1.0)
    watched.progress.show("done")
    assert watched.written.endswith("\r\x1b[2Kdone\n")


def test_while_a_block_runs() -> None:
    """The live line is taken away at its end, also when the block raises."""
    watched = Watched(is_live=True)

    def fail() -> None:
        with watched.progress.working("night"):
            watched.progress.draw(0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert "night" in watched.written
    assert watched.written.endswith("\r\x1b[2K")


def test_few_letters() -> None:
    """Where the encoding lacks a sign there is another for it, and a name stays as it is."""
    assert spell("── wait … é", "ascii") == "-- wait ... é"
    assert spell("── wait …", "utf-8") == "── wait …"
