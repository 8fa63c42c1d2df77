"""Starting and stopping all controllers of a cluster together.

The rule it keeps: whatever happens to one of them, the others go on; after `close` none of them has a task, a timer
or a listener left.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from simcluster.controllers.aggregation import ClusterRoles
from simcluster.controllers.claim_users import ClaimUsers
from simcluster.controllers.daemonset import DaemonSets
from simcluster.controllers.deployment import Deployments
from simcluster.controllers.disruption import Disruptions
from simcluster.controllers.endpoints import LegacyEndpoints
from simcluster.controllers.endpointslice import EndpointSlices
from simcluster.controllers.event_expiry import EventExpiry
from simcluster.controllers.garbage import GarbageCollector
from simcluster.controllers.informers import Informers
from simcluster.controllers.job import Jobs
from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.mirroring import MirroredEndpoints
from simcluster.controllers.namespace import Namespaces
from simcluster.controllers.nodelifecycle import NodeLifecycle
from simcluster.controllers.podgc import PodCollector
from simcluster.controllers.pods_by_node import PodsByNode
from simcluster.controllers.replicaset import CONTROLLERS, ReplicaSets
from simcluster.controllers.scheduler import Scheduler
from simcluster.controllers.serviceaccount import ServiceAccounts
from simcluster.controllers.statefulset import StatefulSets
from simcluster.controllers.storage import Storage
from simcluster.controllers.taint_eviction import TaintEviction
from simcluster.controllers.ttl import FinishedJobs
from simcluster.faults.race import Race
from simcluster.node_files import NodeFiles
from simcluster.profile import Profile
from simcluster.registry import Registry
from simcluster.registry.event_views import VIEW

_log = logging.getLogger(__name__)


class Controllers:
    """All controllers of one cluster, running."""

    def __init__(
        self, context: Context, loops: Sequence[ControlLoop[Any]], closers: Sequence[Callable[[], None]]
    ) -> None:
        self._context = context
        self._loops = loops
        self._closers = closers
        self._tasks = [asyncio.create_task(loop.run(), name=f"controller {loop.name}") for loop in loops]

    async def close(self) -> None:
        """Stop all of them; returns when they have stopped."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for task, result in zip(self._tasks, results, strict=True):
            if not isinstance(result, asyncio.CancelledError):
                _log.error("%s had stopped", task.get_name(), exc_info=result)
        self._context.informers.close()
        for close in self._closers:
            close()
        for loop in self._loops:
            loop.queue.close()


def start(
    registry: Registry,
    profile: Profile,
    *,
    rng: random.Random,
    clock: Callable[[], float],
    ca_certificate: str,
    slice_size: int = 2,
    race: Race | None = None,
    files: NodeFiles | None = None,
) -> Controllers:
    """Start all controllers in the running event loop.

    `clock` gives seconds since the epoch; `ca_certificate` is PEM text, for every namespace's
    `kube-root-ca.crt`; `slice_size` is the most endpoints that an EndpointSlice gets. ValueError if it is 0.
    `files` are the nodes', for the volumes that are made there.
    """
    informers = Informers(registry)
    call_later = asyncio.get_running_loop().call_later
    race = Race() if race is None else race
    context = Context(registry, informers, profile, rng, clock, call_later, race)
    # A view of what is stored under another name is nobody's to collect.
    stored = [each for each in registry.catalogue if each.stored and each.name != VIEW]
    # As the real ones, the collector leaves events alone: they have no owners and are many.
    collected = [each for each in stored if each.name != "events"]
    endpoints = EndpointSlices(context, most=slice_size)
    legacy = LegacyEndpoints(context)
    pods_by_node = PodsByNode(informers)
    lifecycle = NodeLifecycle(context, pods_by_node)
    jobs = Jobs(context)
    users = ClaimUsers(informers)
    loops: list[ControlLoop[Any]] = [
        # First: until it has seen a node ready, nothing is scheduled there.
        lifecycle.loop,
        Deployments(context).loop,
        ReplicaSets(context).loop,
        ReplicaSets(context, CONTROLLERS).loop,
        StatefulSets(context).loop,
        DaemonSets(context).loop,
        jobs.loop,
        jobs.orphans,
        FinishedJobs(context).loop,
        endpoints.loop,
        legacy.loop,
        MirroredEndpoints(context).loop,
        Disruptions(context).loop,
        Storage(context, users, files).loop,
        Scheduler(context, users).loop,
        TaintEviction(context, pods_by_node).loop,
        PodCollector(context, pods_by_node).loop,
        ServiceAccounts(context, ca_certificate=ca_certificate).loop,
        ClusterRoles(context).loop,
        Namespaces(context, resources=[each.name for each in stored if each.namespaced]).loop,
        GarbageCollector(context, resources=collected).loop,
    ]
    return Controllers(context, loops, (endpoints.close, lifecycle.close, EventExpiry(context).close))
