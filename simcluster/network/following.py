"""When the node's proxy acts on changes of Services.

The rule it keeps: the first change is followed at once and later ones at most once per
`proxy_min_interval_s`, as kube-proxy does; changes that come in one turn of the loop are one sync. What a
sync does is the listener's part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from simcluster.controllers.loop import Context
from simcluster.network.observed import Name, Observed


class Following:
    """Tells `sync` the Services that changed, from `start` on."""

    def __init__(self, context: Context, sync: Callable[[Collection[Name]], None]) -> None:
        profile = context.profile
        self.observed = Observed(context.informers, context.call_later, profile.proxy_sync_s)
        self._least_s = profile.proxy_min_interval_s
        self._call_later = context.call_later
        self._sync = sync
        self._changed: set[Name] = set()
        self._is_scheduled = False
        self._synced_at: float | None = None

    def start(self) -> None:
        """Follow Services from now on."""
        self.observed.notice(self._on_change)

    def _on_change(self, name: Name) -> None:
        self._changed.add(name)
        if self._is_scheduled:
            return
        self._is_scheduled = True
        wait_s = 0.0
        if self._synced_at is not None:
            wait_s = max(0.0, self._synced_at + self._least_s - asyncio.get_running_loop().time())
        # Never at once: changes that come in one turn of the loop are one sync.
        self._call_later(wait_s, self._run)

    def _run(self) -> None:
        self._is_scheduled = False
        self._synced_at = asyncio.get_running_loop().time()
        changed, self._changed = self._changed, set()
        self._sync(changed)
