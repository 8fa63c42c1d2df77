"""Which network a cluster gets, and why.

The rule it keeps: `auto` takes namespaces where they work, tried and not guessed, and loopback where they do
not; what was asked for by name is had or refused.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO, LOOPBACK, NAMESPACE = "auto", "loopback", "namespace"
NETWORKS = (AUTO, LOOPBACK, NAMESPACE)


class NetworkUnavailable(OSError):  # noqa: N818 -- named for what happened
    """The network that was asked for can not be had on this machine."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A network, `loopback` or `namespace`, and the reason for it."""

    name: str
    reason: str


def check(wanted: str) -> str:
    """The name again; ValueError, naming the known ones, if there is no such network."""
    if wanted not in NETWORKS:
        raise ValueError(f'unknown network "{wanted}"\n  known networks: {", ".join(NETWORKS)}')
    return wanted


def choose(wanted: str) -> Choice:
    """The network for what was asked for; NetworkUnavailable if that is `namespace` and it can not be had.

    Tries in a process of its own; the caller must have a single thread.
    """
    if check(wanted) == LOOPBACK:
        return Choice(LOOPBACK, "pods share this machine's network")
    # Not at the top: most clusters answer without it.
    from simcluster.network import fabric

    obstacle = fabric.find_obstacle()
    if obstacle is None:
        return Choice(NAMESPACE, "asked for" if wanted == NAMESPACE else "auto: namespaces work here")
    if wanted == NAMESPACE:
        raise NetworkUnavailable(
            f"the namespace network can not be had here: {obstacle}\n  take --network loopback, or auto"
        )
    return Choice(LOOPBACK, f"auto: no namespaces ({obstacle})")
