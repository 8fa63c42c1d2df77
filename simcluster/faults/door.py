"""The socket of the admin interface, from before anybody serves it: who connects meanwhile is served then.

The rule it keeps: its mode is 0600.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

NAME = "admin.sock"


class Door:
    """A listening Unix socket in a folder, until `close`; `listener` is what is served."""

    def __init__(self, directory: Path) -> None:
        self.listener = _bind(directory)
        self.listener.listen()

    def close(self) -> None:
        """Listen no more. Safe to call again."""
        self.listener.close()


def _bind(directory: Path) -> socket.socket:
    """A socket in a folder, however long the folder's path is: the kernel takes 107 bytes at most."""
    path = directory / NAME
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        bound.bind(f"/proc/self/fd/{folder}/{NAME}")
        # Nobody can connect before it listens.
        path.chmod(0o600)
    except BaseException:
        bound.close()
        raise
    finally:
        os.close(folder)
    bound.settimeout(0)
    return bound
