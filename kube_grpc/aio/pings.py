"""Asking each member regularly whether it answers, from the event loop.

Rule: all members at once, each with a deadline of one interval, and no second round before the first is over.
Without a ping of the caller's a connection that gRPC can not make counts as a failed ping. Does not judge: it reports
each result.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import grpc

from kube_grpc.aio.cancelling import is_cancelled_itself
from kube_grpc.member import Connectivity, Member


async def ping_members(
    members: Callable[[], tuple[Member, ...]],
    ping: Callable[[Any], object] | None,
    listener: Callable[[Member, str | None], None],
    interval_s: float,
) -> None:
    """Ping the members that `members()` lists every `interval_s`, until it is cancelled."""
    while True:
        await asyncio.sleep(interval_s)
        # One that is still connecting for the first time is not asked yet: it takes no calls either.
        asked = [item for item in members() if not item.may_connect]
        results = await asyncio.gather(*(_ping_one(item, ping, interval_s) for item in asked))
        for member, error in zip(asked, results, strict=True):
            listener(member, error)


async def _ping_one(member: Member, ping: Callable[[Any], object] | None, interval_s: float) -> str | None:
    if member.state is Connectivity.TRANSIENT_FAILURE:
        return "can not be connected to"
    if ping is None:
        return None
    try:
        async with asyncio.timeout(interval_s):
            answer = ping(member.channel)
            if inspect.isawaitable(answer):
                await answer
    except TimeoutError:
        return f"no answer within {interval_s:g} s"
    except asyncio.CancelledError:
        if is_cancelled_itself():
            raise
        return "its call was cancelled"  # As when the member leaves and its connection is closed meanwhile.
    except grpc.RpcError as error:
        status: Any = error
        return f"{status.code().name}: {status.details()}"
    except Exception as error:  # noqa: BLE001 the caller's own code: whatever it raises means "does not answer"
        return f"{type(error).__name__}: {error}"
    return None
