"""A program on a leash does not outlive its parent."""

import os
import select
import signal
import subprocess
import sys

PARENT = """
import os, subprocess, sys
leash = ["-m", "demo_server.leash", str(os.getpid()), sys.executable]
command = [sys.executable, *(leash if sys.argv[1] == "leash" else []), "-c"]
program = "import os, time; os.write(1, b'%d\\\\n' % os.getpid()); time.sleep(60)"
subprocess.Popen([*command, program]).wait()
"""


def start_parent(kind: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """A parent with a program under it; the program's process id and the read end of its output."""
    reader, writer = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, kind], stdout=writer)
    os.close(writer)
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(reader, 100)
    return parent, int(text), reader


def is_open(reader: int, timeout_s: float) -> bool:
    """Whether somebody still holds the write end, which ends with the last process that has it."""
    readable, _, _ = select.select([reader], [], [], timeout_s)
    return not readable


def test_program_ends_when_its_parent_is_killed() -> None:
    """SIGKILL of the parent, which it can not react to, ends the program too."""
    parent, _, reader = start_parent("leash")
    parent.kill()
    parent.wait()
    assert not is_open(reader, 10)
    os.close(reader)


def test_program_without_a_leash_stays() -> None:
    """Negative control: the same program without the leash outlives its parent."""
    parent, child, reader = start_parent("free")
    parent.kill()
    parent.wait()
    try:
        assert is_open(reader, 0.5)
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(reader)


def test_parent_that_is_gone_already_is_noticed() -> None:
    """A program whose parent died before the leash was on does not begin."""
    command = [sys.executable, "-m", "demo_server.leash", "1", sys.executable, "-c", "print('began')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "leash: the parent ended before the program began\n"
