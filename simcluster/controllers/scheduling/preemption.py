"""Which pods of lower priority would make room for one that fits nowhere: pure.

The rule it keeps: of the pods that could go, as many as possible stay, the more important ones first; the node that
loses least is taken. The accounts are the same afterwards as before.

Source: scheduler/framework/preemption/preemption.go, plugins/defaultpreemption/default_preemption.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simcluster.controllers.scheduling.accounts import Accounts, Held, NodeAccount
from simcluster.controllers.scheduling.asks import Ask
from simcluster.controllers.scheduling.filters import Refusal, refuse_for_ever, refuse_now
from simcluster.controllers.scheduling.topology import make_check

_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NEVER = "not eligible due to preemptionPolicy=Never."
_UNDER_WAY = "not eligible due to a terminating pod on the nominated node."

IsProtected = Callable[[Held], bool]


@dataclass(frozen=True, slots=True)
class Preemption:
    """The pods that have to go from a node, the most important first; without a node, `message` says why not."""

    node: str | None
    victims: tuple[Held, ...] = ()
    message: str = ""


def find_victims(
    ask: Ask,
    accounts: Accounts,
    refusals: Sequence[Refusal],
    *,
    nominated: str | None = None,
    is_protected: IsProtected = lambda _pod: False,
) -> Preemption:
    """Who has to go for a pod that every node refused; `refusals` are the nodes', in the accounts' order.

    `nominated` is the node that others had to leave for it before; `is_protected` tells pods whose disruption budget
    is used up.
    """
    if not ask.may_preempt:
        return Preemption(None, message=_NEVER)
    if _is_under_way(ask, accounts, refusals, nominated):
        return Preemption(None, message=_UNDER_WAY)
    reasons: Counter[str] = Counter()
    found: list[tuple[tuple[object, ...], str, list[Held]]] = []
    for node, refusal in zip(accounts.nodes, refusals, strict=True):
        if refusal.is_final:
            reasons[_NOT_HELPFUL] += 1
            continue
        lesser = [held for held in node.pods.values() if held.ask.priority < ask.priority]
        if not lesser:
            reasons[_NO_VICTIMS] += 1
            continue
        victims = _choose_victims(ask, accounts, node, lesser, is_protected)
        if isinstance(victims, Refusal):
            reasons.update(victims.reasons)
        else:
            found.append((_weigh(victims, is_protected), node.name, victims))
    if not found:
        return Preemption(None, message=tell(len(accounts.nodes), reasons))
    _, name, victims = min(found, key=lambda each: each[0])
    return Preemption(name, tuple(victims))


def tell(total: int, reasons: Counter[str]) -> str:
    """The reasons of all nodes together, as the scheduler's FitError says them."""
    said = ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))
    return f"0/{total} nodes are available: {said}."


def _is_under_way(ask: Ask, accounts: Accounts, refusals: Sequence[Refusal], nominated: str | None) -> bool:
    for node, refusal in zip(accounts.nodes, refusals, strict=True):
        if node.name == nominated and not refusal.is_final:
            return any(held.is_ending and held.ask.priority < ask.priority for held in node.pods.values())
    return False


def _choose_victims(
    ask: Ask, accounts: Accounts, node: NodeAccount, lesser: Sequence[Held], is_protected: IsProtected
) -> list[Held] | Refusal:
    for held in lesser:
        accounts.remove_pod(held.uid)
    try:
        refusal = _refuse(ask, accounts, node)
        if refusal is not None:
            return refusal
        victims = []
        # The protected ones are asked first whether they may stay.
        for held in sorted(sorted(lesser, key=_by_importance), key=lambda each: not is_protected(each)):
            accounts.add_pod(node.name, held)
            if _refuse(ask, accounts, node) is not None:
                accounts.remove_pod(held.uid)
                victims.append(held)
        return sorted(victims, key=_by_importance)
    finally:
        for held in lesser:
            accounts.add_pod(node.name, held)


def _refuse(ask: Ask, accounts: Accounts, node: NodeAccount) -> Refusal | None:
    refusal = refuse_for_ever(ask, node) or refuse_now(ask, node)
    if refusal is not None:
        return refusal
    check = make_check(ask, accounts)
    return None if check is None else check(node)


def _by_importance(held: Held) -> tuple[object, ...]:
    """Higher priority first, then who has run for longer."""
    return -held.ask.priority, held.started_at


def _weigh(victims: Sequence[Held], is_protected: IsProtected) -> tuple[object, ...]:
    """What a node's victims cost; the least is taken."""
    highest = max(held.ask.priority for held in victims)
    # All made positive, so that two of a negative priority cost more than one.
    total = sum(held.ask.priority + 2**31 for held in victims)
    earliest = min(held.started_at for held in victims if held.ask.priority == highest)
    # Texts sort upwards; the latest start is to come first.
    late_first = tuple(-ord(letter) for letter in earliest)
    return sum(map(is_protected, victims)), highest, total, len(victims), late_first
