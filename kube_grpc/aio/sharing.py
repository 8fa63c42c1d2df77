"""`connect`: stubs over asyncio channels that are shared in one event loop, as `kube_grpc.connect` does for threads.

Rule: one channel for each event loop, target and options, whatever the stub classes. It is counted: it ends when every
stub that was made over it was closed by `await close(stub)`, or with `await close_all()` in that loop. A stub that is
dropped without `close` keeps its channel.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from kube_grpc.aio.channel import Channel
from kube_grpc.options import check_options
from kube_grpc.pings import StubPing

StubT = TypeVar("StubT")


class _Shared:
    """One channel and how many stubs use it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.users = 0


_shared: weakref.WeakKeyDictionary[Any, dict[Any, _Shared]] = weakref.WeakKeyDictionary()
_of_stub: weakref.WeakKeyDictionary[Any, _Shared] = weakref.WeakKeyDictionary()


def connect(target: str, stub_class: Callable[[Any], StubT], **options: Any) -> StubT:
    """A stub whose calls go to all pods of the Service. Keyword arguments as for `aio.Channel`, except that `ping` is
    called with a stub of the class that was given.

    Must be called where an event loop runs: RuntimeError else. Raises TargetError, OptionError, AccessError.
    """
    interceptors = tuple(options.pop("interceptors", ()))
    asked = check_options(options)
    ping = asked.ping
    key = (target, asked, interceptors, stub_class if ping is not None else None)
    if ping is not None:
        options["ping"] = StubPing(ping, stub_class)
    here = _shared.setdefault(asyncio.get_running_loop(), {})
    if key not in here:
        here[key] = _Shared(Channel(target, interceptors=interceptors, **options))
    shared = here[key]
    stub = stub_class(shared.channel)
    shared.users += 1
    _of_stub[stub] = shared
    return stub


async def close(stub: object) -> None:
    """Give up a stub that `connect` made. The last stub over a channel ends it. Again is no error."""
    shared = _of_stub.pop(stub, None)
    if shared is None:
        return
    shared.users -= 1
    if shared.users == 0:
        here = _shared.get(asyncio.get_running_loop(), {})
        for key in [each for each, found in here.items() if found is shared]:
            del here[key]
        await shared.channel.close()


async def close_all() -> None:
    """End all channels that `connect` opened in this event loop; calls under way are cancelled."""
    ended = _shared.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(each.channel.close() for each in ended.values()))
