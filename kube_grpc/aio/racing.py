"""Hedging for asyncio, see `hedging`: the rules are the same."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc.aio

from kube_grpc.aio.deferred import Begin
from kube_grpc.aio.pool import AioPool
from kube_grpc.hedges import Hedge
from kube_grpc.hedging import enter_hedge
from kube_grpc.member import Member
from kube_grpc.picker import Metadata


async def race(
    pool: AioPool,
    hedge: Hedge,
    first: tuple[Member, Any],
    begin: Begin,
    deadline: float | None,
    metadata: Metadata,
) -> tuple[Any, Any]:
    """The response and its call; raises grpc.aio.AioRpcError, the first attempt's. `first` is under way, with its
    member; what `begin` makes leaves its member when it is over.
    """
    opening = asyncio.ensure_future(_respond(pool, *first))
    running = {opening: first}
    tried = [first[0]]
    made = 1
    try:
        while running:
            wait_s = hedge.after_s if made < hedge.attempts else None
            done, _ = await asyncio.wait(running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                made += 1
                other = enter_hedge(pool, tried, metadata)
                if other is not None:
                    left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                    call = begin(other, left_s)
                    running[asyncio.ensure_future(_respond(pool, other, call))] = (other, call)
            for task in done:
                member, call = running.pop(task)
                error = task.exception()  # CancelledError if the call was cancelled: so is this one, then
                if error is None:
                    failed = opening.exception() if task is not opening and opening not in running else None
                    if isinstance(failed, grpc.aio.AioRpcError):
                        pool.judge(first[0], failed.code())
                    member.succeed()
                    return task.result(), call
                if not isinstance(error, grpc.aio.AioRpcError):
                    raise error
                if task is not opening:
                    pool.judge(member, error.code())
    finally:
        for task in running:
            task.cancel()  # which cancels its call
    return opening.result(), first[1]


async def _respond(pool: AioPool, member: Member, call: Any) -> Any:
    try:
        return await call
    except asyncio.CancelledError:
        pool.explain_cancelled(member)  # If it raises, that is a failure: the other attempts go on.
        raise
