"""Runs a program that can not outlive its parent: `python -m demo_server.leash PARENT PROGRAM ARGUMENT…`.

The rule it keeps: where the process PARENT, which started it, is gone, also by SIGKILL, the kernel kills the program
(Linux; elsewhere it is only started). The parent's thread that starts it must be its main thread, because the kernel
watches that thread.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the program; does not return."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        # The kernel tells of a death to come only. The parent's number is given, because a parent that died while this
        # interpreter started would otherwise be taken for the one that adopted us.
        if os.getppid() != parent:
            sys.exit("leash: the parent ended before the program began")
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
