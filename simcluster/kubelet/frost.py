"""Whether a node stands still, as one that hangs or has lost its power: nothing on it happens until it thaws.

The rule it keeps: whatever the kubelet does of its own accord passes `wait` first, so a frozen node writes nothing,
renews no lease, probes, starts and kills nothing; what fell due meanwhile is done at the thaw. It decides nothing and
stops no process: that is `kubelet`'s part.
"""

from __future__ import annotations

import asyncio


class Frost:
    """The state of one node: frozen or not."""

    def __init__(self) -> None:
        self._thawed = asyncio.Event()
        self._thawed.set()

    @property
    def is_frozen(self) -> bool:
        """Whether the node stands still."""
        return not self._thawed.is_set()

    def freeze(self) -> None:
        """Hold everybody who comes to `wait`."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Let all of them go on."""
        self._thawed.set()

    async def wait(self) -> None:
        """Return when the node is not frozen."""
        # It may freeze again between the thaw and the turn of the one who waits.
        while self.is_frozen:
            await self._thawed.wait()
