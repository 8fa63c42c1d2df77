"""`connect`: stubs over pools that are shared in this process, as in the original kube-grpc.

Rule: one pool for each pair of target and options, whatever the stub classes. A pool is counted: it ends when
every stub that was made over it was closed by `close(stub)`, or with `close_all()`, which also runs when the
process ends. A stub that is dropped without `close` keeps its pool, so that code that connects anew for each
call finds its connections again.

Options are as for `Channel`, except that `ping` is called with a stub of the class that was given.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from kube_grpc.channel import Channel
from kube_grpc.options import Options, check_options
from kube_grpc.pings import StubPing
from kube_grpc.session import Session

StubT = TypeVar("StubT")
_Key = tuple[str, Options, type[Any] | None]


class _Shared:
    """One pool and how many stubs use it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0


_lock = threading.Lock()
_shared: dict[_Key, _Shared] = {}
_channels: weakref.WeakKeyDictionary[Any, Channel] = weakref.WeakKeyDictionary()


def connect(target: str, stub_class: Callable[[Any], StubT], **options: Any) -> StubT:
    """A stub whose calls go to all pods of the Service. Keyword arguments as for `Channel`.

    Raises TargetError, OptionError, AccessError.
    """
    asked = check_options(options)
    ping = asked.ping
    # Pools are shared across stub classes, but a ping is written for one of them.
    key: _Key = (target, asked, stub_class if ping is not None and isinstance(stub_class, type) else None)
    if ping is not None:
        options["ping"] = StubPing(ping, stub_class)
    with _lock:
        if key not in _shared:
            if not _shared:
                atexit.register(close_all)
            _shared[key] = _Shared(Session(target, Options(**options)))
        shared = _shared[key]
        shared.users += 1
        channel = Channel.over(shared.session, functools.partial(_release, key, shared))
        stub = stub_class(channel)
        _channels[stub] = channel
        return stub


def close(stub: object) -> None:
    """Give up a stub that `connect` made. The last stub over a pool ends the pool. Again is no error."""
    with _lock:
        channel = _channels.pop(stub, None)
    if channel is not None:
        channel.close()


def close_all() -> None:
    """End all pools that `connect` opened; calls under way are cancelled, later ones raise ValueError."""
    with _lock:
        ended = list(_shared.values())
        _shared.clear()
    for shared in ended:
        shared.session.close()


def _renew_lock() -> None:
    global _lock  # in the child of a fork whoever held it is gone
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _release(key: _Key, shared: _Shared) -> None:
    with _lock:
        shared.users -= 1
        is_last = shared.users == 0 and _shared.get(key) is shared
        if is_last:
            del _shared[key]
    if is_last:
        shared.session.close()
