"""How stale each client's view of the pods was: join gaps, leave gaps, silence.

Rule: a gap is measured for each client by itself and merged only afterwards; what a client never reached is
counted as missed and never left out. Gaps are raw differences of receipt times: a client that hears of a
pod before the harness does has a join gap a little below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from harness.analysis.endpoints import Addresses, Stay
from harness.analysis.results import Join, Leave
from harness.samples import Sample


def joins(
    client: str, calls: Sequence[Sample], stays: Iterable[Stay], began_at: float, ended_at: float
) -> list[Join]:
    """One Join for each stay that began while the load ran and this client was there.

    `calls` are sorted by sent_at.
    """
    if not calls:
        return []
    seen_before: set[str] = set()
    found = []
    for stay in stays:
        is_first = stay.pod not in seen_before
        seen_before.add(stay.pod)
        if not began_at < stay.ready_at < ended_at or calls[0].sent_at > stay.ready_at:
            continue
        earliest = began_at if is_first else stay.ready_at
        latest = ended_at if stay.left_at is None else stay.left_at
        answered = (
            call.sent_at
            for call in calls
            if call.is_ok and call.pod == stay.pod and earliest <= call.sent_at < latest
        )
        first = next(answered, None)
        found.append(Join(client, stay.pod, stay.ready_at, None if first is None else first - stay.ready_at))
    return found


def leaves(
    client: str,
    calls: Sequence[Sample],
    departures: Iterable[tuple[str, float, float | None]],
    addresses: Addresses,
    began_at: float,
    ended_at: float,
) -> list[Leave]:
    """One Leave for each departure, while the load ran, of a pod that this client had called before."""
    aimed = [(call, _aim(call, addresses)) for call in calls]
    found = []
    for pod, left_at, until in departures:
        if not began_at < left_at < ended_at:
            continue
        to_pod = [call for call, aim in aimed if aim == pod]
        if not any(call.sent_at <= left_at for call in to_pod):
            continue
        end = ended_at if until is None else min(until, ended_at)
        after = [call for call in to_pod if left_at < call.sent_at < end]
        found.append(
            Leave(
                client=client,
                pod=pod,
                left_at=left_at,
                gap_s=after[-1].sent_at - left_at if after else 0.0,
                calls_after=len(after),
                errors_after=sum(not call.is_ok for call in after),
            )
        )
    return found


def silence(answered_at: Sequence[float], began_at: float, ended_at: float) -> float:
    """The longest time within [began_at, ended_at] with no answer. `answered_at` need not be sorted."""
    inside = sorted(at for at in answered_at if began_at < at < ended_at)
    marks = [began_at, *inside, ended_at]
    return max(later - earlier for earlier, later in pairwise(marks))


def _aim(call: Sample, addresses: Addresses) -> str | None:
    return call.pod if call.pod is not None else addresses.pod_at(call.peer, call.sent_at)
