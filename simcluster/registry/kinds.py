"""What kinds do beyond the common: a table of rules, and the hooks that the table names.

The rule it keeps: a kind that is not in the table is treated as most kinds are; nothing else in the registry asks
which kind it has before it. Hooks change only the new object and only read the old one.

Source: the strategies of kubernetes pkg/registry/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from simcluster.errors import Cause
from simcluster.registry import (
    events,
    jobs,
    namespaces,
    nodes,
    pods,
    priorities,
    services,
    volumes,
    workloads,
)
from simcluster.store import Store

Object = dict[str, Any]


class Surroundings(Protocol):
    """What hooks may ask the registry for."""

    @property
    def addresses(self) -> services.Addresses | None:
        """Who gives out cluster IPs, if anybody does."""

    @property
    def store(self) -> Store:
        """Where the objects are."""

    @property
    def clock(self) -> Callable[[], float]:
        """The time, in seconds since the epoch."""


def _leave(_new: Object, _old: Object | None, _around: Surroundings) -> None:
    """Change nothing."""


def _accept(_new: Object, _old: Object | None) -> list[Cause]:
    """Find no fault."""
    return []


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind.

    `generation`: it counts changes of its spec. `unconditional`: a PUT without resourceVersion is taken.
    `prepare(new, old, around)` fills in, `find_faults(new, old)` refuses; `old` is None on creation.
    `prepare_status` fills in on a write to /status. `release` gives back what `prepare` took.
    """

    generation: bool = False
    unconditional: bool = True
    background: bool = True
    prepare: Callable[[Object, Object | None, Surroundings], None] = _leave
    find_faults: Callable[[Object, Object | None], list[Cause]] = _accept
    release: Callable[[Object, Surroundings], None] | None = None
    metadata_from_status: frozenset[str] = field(default=frozenset({"labels", "annotations", "finalizers"}))


_DEFAULT = Rules()
_COUNTED = Rules(generation=True)

RULES: dict[str, Rules] = {
    "pods": Rules(generation=True, prepare=pods.prepare, find_faults=pods.find_faults),
    "services": Rules(prepare=services.prepare, find_faults=services.find_faults, release=services.release),
    "namespaces": Rules(prepare=namespaces.prepare),
    "deployments.apps": Rules(
        generation=True,
        find_faults=workloads.find_faults,
        metadata_from_status=frozenset({"annotations", "finalizers"}),
    ),
    "replicasets.apps": Rules(generation=True, find_faults=workloads.find_faults),
    "statefulsets.apps": Rules(generation=True, find_faults=workloads.find_faults),
    "daemonsets.apps": Rules(
        generation=True, prepare=workloads.prepare_daemon_set, find_faults=workloads.find_faults
    ),
    "replicationcontrollers": _COUNTED,
    "jobs.batch": Rules(generation=True, prepare=jobs.prepare),
    "persistentvolumes": Rules(prepare=volumes.prepare),
    "persistentvolumeclaims": Rules(prepare=volumes.prepare_claim),
    "podtemplates": _COUNTED,
    "deviceclasses.resource.k8s.io": _COUNTED,
    "resourceslices.resource.k8s.io": _COUNTED,
    "ingresses.networking.k8s.io": Rules(generation=True, find_faults=workloads.find_ingress_faults),
    "ingressclasses.networking.k8s.io": _COUNTED,
    "networkpolicies.networking.k8s.io": _COUNTED,
    "poddisruptionbudgets.policy": _COUNTED,
    "priorityclasses.scheduling.k8s.io": Rules(generation=True, prepare=priorities.prepare),
    "endpointslices.discovery.k8s.io": _COUNTED,
    "flowschemas.flowcontrol.apiserver.k8s.io": _COUNTED,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": _COUNTED,
    "rolebindings.rbac.authorization.k8s.io": Rules(find_faults=workloads.find_binding_faults),
    "clusterrolebindings.rbac.authorization.k8s.io": Rules(find_faults=workloads.find_binding_faults),
    "leases.coordination.k8s.io": Rules(unconditional=False),
    "secrets": Rules(find_faults=workloads.find_data_faults),
    "configmaps": Rules(find_faults=workloads.find_data_faults),
    "events": Rules(find_faults=events.find_faults),
    "events.events.k8s.io": Rules(find_faults=events.find_view_faults),
    "nodes": Rules(prepare=nodes.prepare),
}


def rules_of(resource: str) -> Rules:
    """Return the rules of a resource, named `plural[.group]`."""
    return RULES.get(resource, _DEFAULT)
