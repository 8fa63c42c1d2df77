"""Hedging: a call that has no answer in time is made once more on another member, and the first success is taken.

Rule: `hedges` says which calls. Hedges and retries share one budget. A failure is no answer while another attempt is
under way; when all have failed, the call ends with the failure of the first, and then is judged as any other.

Has the blocking form; that of asyncio is `aio.racing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from kube_grpc.entrance import Entrance
from kube_grpc.hedges import Hedge
from kube_grpc.member import Member
from kube_grpc.picker import Metadata


def race(
    pool: Entrance,
    hedge: Hedge,
    first: Member,
    start: Callable[[Member, float | None], Any],
    timeout: float | None,
    metadata: Metadata,
) -> tuple[Any, Any]:
    """The response and its call; raises grpc.RpcError, the first attempt's. `start` makes a future on a member, with a
    timeout. The first member was entered by the caller, who leaves it; the others are entered and left here.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    ended: SimpleQueue[Any] = SimpleQueue()
    running = {start(first, timeout): first}
    (opening,) = running
    opening.add_done_callback(ended.put)
    tried = [first]
    made = 1
    try:
        while running:
            try:
                call = ended.get(timeout=hedge.after_s if made < hedge.attempts else None)
            except Empty:
                made += 1
                other = enter_hedge(pool, tried, metadata)
                if other is not None:
                    left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                    hedged = _start(start, other, left_s)
                    running[hedged] = other
                    hedged.add_done_callback(ended.put)
                continue
            member = running.pop(call)
            error = call.exception()
            if error is None:
                if member is not first and first not in running.values():
                    pool.judge(first, opening.code())
                member.succeed()
                return call.result(), call
            if member is not first:
                pool.judge(member, error.code())
    finally:
        for call in running:
            call.cancel()
    raise opening.exception()


def enter_hedge(pool: Entrance, tried: list[Member], metadata: Metadata) -> Member | None:
    """A member for one more attempt, entered and noted in `tried`; None if there is no other or no budget."""
    other = pool.enter_other(tried, metadata)
    if other is None:
        return None
    if pool.budget is None or not pool.budget.spend():
        other.leave()
        return None
    tried.append(other)
    return other


def _start(start: Callable[[Member, float | None], Any], member: Member, timeout: float | None) -> Any:
    """A call that leaves its member when it is over."""
    try:
        call = start(member, timeout)
    except BaseException:
        member.leave()
        raise
    call.add_done_callback(lambda _call: member.leave())
    return call
