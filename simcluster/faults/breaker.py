"""What begins each kind of fault in a running cluster, and what undoes it.

The rule it keeps: a fault that can not begin here (there is no such node, the API is away already) is refused before
anything is changed. What a fault does is its own room's: the API server's, the kubelet's, the network's.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from simcluster.apiserver.server import ApiServer
from simcluster.apiserver.watching import encode_error
from simcluster.errors import Expired, NotFound
from simcluster.faults import kinds
from simcluster.faults.board import Undo
from simcluster.faults.kinds import Fault, FaultError
from simcluster.faults.race import Race
from simcluster.faults.requests import ApiLatency, ApiRefuse, EventsLate, EventsRepeat, WatchStall
from simcluster.faults.reshuffling import repack
from simcluster.kubelet.fleet import Fleet
from simcluster.network.driver import Network

_SLICES = "endpointslices.discovery.k8s.io"


@dataclass(slots=True)
class Breaker:
    """One cluster, to be broken. `slice_size` is the most endpoints that its controller puts in a slice."""

    server: ApiServer
    fleet: Fleet
    network: Network
    race: Race
    chance: random.Random
    slice_size: int
    _is_away: bool = False
    _frozen: set[str] = field(default_factory=set)

    async def begin(self, fault: Fault) -> Undo:
        """Begin a fault and return what undoes it; FaultError if it can not be."""
        beginnings: dict[type[Any], Callable[[Any], Awaitable[Undo]]] = {
            ApiLatency: self._disturb_requests,
            ApiRefuse: self._disturb_requests,
            EventsLate: self._disturb_requests,
            EventsRepeat: self._disturb_requests,
            WatchStall: self._stall_watches,
            kinds.ApiAway: self._shut_api,
            kinds.Compact: self._compact,
            kinds.Dns: self._disturb_names,
            kinds.FreezeNode: self._freeze_node,
            kinds.FreezePod: self._freeze_pod,
            kinds.ReshuffleSlices: self._reshuffle,
            kinds.TerminationOrder: self._order_termination,
            kinds.WatchCut: self._cut_watches,
        }
        return await beginnings[type(fault)](fault)

    async def _shut_api(self, fault: kinds.ApiAway) -> Undo:
        if self._is_away:
            raise FaultError("api_away: the API is away already")
        self._is_away = True
        reopen = await self.server.shut(cuts=fault.how == "cut")

        async def undo() -> None:
            self._is_away = False
            await reopen()

        return undo

    async def _disturb_requests(self, fault: ApiLatency | ApiRefuse | EventsLate | EventsRepeat) -> Undo:
        return _later(self.server.faults.add(fault))

    async def _stall_watches(self, fault: WatchStall) -> Undo:
        streams = self.server.watches.find(fault.covers)
        remove = self.server.faults.add(fault)
        for stream in streams:
            stream.stall()

        def undo() -> None:
            remove()
            begun = self.server.watches.find(fault.covers) if fault.new else []
            for stream in {*streams, *begun}:
                stream.resume()

        return _later(undo)

    async def _cut_watches(self, fault: kinds.WatchCut) -> Undo:
        revision = self.server.registry.revision
        for stream in self.server.watches.find(fault.covers):
            if fault.how == "reset":
                stream.cut()
            else:
                stream.end(encode_error(Expired(revision, revision)) if fault.how == "expire" else b"")
        return _nothing

    async def _compact(self, _fault: kinds.Compact) -> Undo:
        self.server.registry.compact(self.server.registry.revision)
        return _nothing

    async def _reshuffle(self, fault: kinds.ReshuffleSlices) -> Undo:
        if fault.size > self.slice_size:
            raise FaultError(
                f"reshuffle_slices: size: {fault.size} is more than the cluster's slices hold\n"
                f"  allowed: 1 to {self.slice_size}, or start the cluster with a larger --slice-size"
            )
        registry = self.server.registry
        slices = [
            each
            for each in registry.list(_SLICES, fault.namespace)[0]
            if each["metadata"].get("labels", {}).get("kubernetes.io/service-name") == fault.service
        ]
        if not slices:
            raise FaultError(
                f"reshuffle_slices: Service {fault.namespace}/{fault.service} has no EndpointSlices"
            )
        # New ones first: at no time is an endpoint in none of them.
        for each in repack(slices, fault.size, self.chance):
            registry.create(_SLICES, fault.namespace, each)
        for each in slices:
            registry.delete(_SLICES, fault.namespace, each["metadata"]["name"])
        return _nothing

    async def _freeze_node(self, fault: kinds.FreezeNode) -> Undo:
        kubelet = self.fleet.of_node(fault.node)
        if kubelet is None:
            known = ", ".join(sorted(self.fleet.nodes))
            raise FaultError(f'freeze_node: unknown node "{fault.node}"\n  known nodes: {known}')
        if fault.node in self._frozen:
            raise FaultError(f"freeze_node: node {fault.node} is frozen already")
        self._frozen.add(fault.node)
        kubelet.freeze()
        pods = self.server.registry.list("pods", None)[0]
        silent = [_address_of(pod) for pod in pods if pod["spec"].get("nodeName") == fault.node]
        await self.network.silence([address for address in silent if address])

        async def undo() -> None:
            self._frozen.discard(fault.node)
            await self.network.thaw([address for address in silent if address])
            kubelet.thaw()

        return undo

    async def _freeze_pod(self, fault: kinds.FreezePod) -> Undo:
        where = f"freeze_pod: pod {fault.namespace}/{fault.pod}"
        try:
            pod = self.server.registry.get("pods", fault.namespace, fault.pod)
        except NotFound:
            raise FaultError(f"{where}: there is none") from None
        kubelet = self.fleet.of_node(pod["spec"].get("nodeName", ""))
        uid, reason = pod["metadata"]["uid"], f"fault {id(fault)}"
        if kubelet is None:
            raise FaultError(f"{where}: it runs on no node of this cluster")
        try:
            kubelet.freeze_pod(uid, reason)
        except NotFound:
            raise FaultError(f"{where}: it does not run") from None
        return _later(lambda: kubelet.thaw_pod(uid, reason))

    async def _disturb_names(self, fault: kinds.Dns) -> Undo:
        for each in fault.services:
            if each.count(".") != 1:
                raise FaultError(f"dns: services: {each!r} is not allowed\n  allowed: name.namespace")
        return _later(self.network.disturb_names(fault))

    async def _order_termination(self, fault: kinds.TerminationOrder) -> Undo:
        return _later(self.race.order(fault))


def _address_of(pod: dict[str, Any]) -> str:
    address: str = (pod.get("status") or {}).get("podIP", "")
    return address


def _later(undo: Callable[[], None]) -> Undo:
    async def run() -> None:
        undo()

    return run


async def _nothing() -> None:
    """Undo what was done in a moment."""
