"""Where an API server listens when its pods have a network of their own."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entrance:
    """Users come by `outside`, a listening socket of this machine, and the cluster's owner by one of his own; pods by
    an address of theirs, or by the address of the Service `kubernetes`.
    """

    outside: socket.socket
    owner: socket.socket
    inside: tuple[str, int]
    service: tuple[str, int]
