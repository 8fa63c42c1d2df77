"""One pod as an asyncio pool holds it."""

from __future__ import annotations

from kube_grpc.member import Connectivity, Member


class AioMember(Member):
    """A connection to one pod, a grpc.aio.Channel. Used in one event loop only."""

    __slots__ = ()

    def look(self) -> Connectivity:
        """gRPC's state of the connection now; has gRPC connect if it is idle."""
        state: Connectivity = self.channel.get_state(try_to_connect=True)
        return state
