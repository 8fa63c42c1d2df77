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
    access_rules,
    data_rules,
    events,
    jobs,
    limit_rules,
    namespaces,
    nodes,
    pod_parts,
    pods,
    priorities,
    services,
    small_rules,
    traffic_rules,
    volumes,
    workload_rules,
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


def _permit(_new: Object, _old: Object | None, _subresource: str | None, _around: Surroundings) -> None:
    """Let everything be."""


def _accept(_new: Object, _old: Object | None) -> list[Cause]:
    """Find no fault."""
    return []


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind.

    `generation`: it has one, which counts changes of its spec if it is `counted`.
    `unconditional`: a PUT without resourceVersion is taken.
    `prepare(new, old, around)` fills in, `find_faults(new, old)` refuses; `old` is None on creation.
    `permit(new, old, subresource, around)` refuses at the end what is well-formed and not allowed here.
    `find_status_faults(new)` refuses what is written to /status. `release` gives back what `prepare` took.
    """

    generation: bool = False
    counted: bool = True
    unconditional: bool = True
    prepare: Callable[[Object, Object | None, Surroundings], None] = _leave
    find_faults: Callable[[Object, Object | None], list[Cause]] = _accept
    permit: Callable[[Object, Object | None, str | None, Surroundings], None] = _permit
    find_status_faults: Callable[[Object], list[Cause]] | None = None
    release: Callable[[Object, Surroundings], None] | None = None
    metadata_from_status: frozenset[str] = field(default=frozenset({"labels", "annotations", "finalizers"}))


_DEFAULT = Rules()
_COUNTED = Rules(generation=True)

RULES: dict[str, Rules] = {
    "pods": Rules(
        generation=True, prepare=pods.prepare, find_faults=pods.find_faults, permit=pod_parts.permit
    ),
    "services": Rules(prepare=services.prepare, find_faults=services.find_faults, release=services.release),
    "namespaces": Rules(prepare=namespaces.prepare),
    "deployments.apps": Rules(
        generation=True,
        find_faults=workload_rules.find_deployment_faults,
        metadata_from_status=frozenset({"annotations", "finalizers"}),
    ),
    "replicasets.apps": Rules(generation=True, find_faults=workload_rules.find_replica_set_faults),
    "statefulsets.apps": Rules(generation=True, find_faults=workload_rules.find_stateful_set_faults),
    "daemonsets.apps": Rules(
        generation=True,
        prepare=workloads.prepare_daemon_set,
        find_faults=workload_rules.find_daemon_set_faults,
    ),
    "replicationcontrollers": _COUNTED,
    "jobs.batch": Rules(generation=True, prepare=jobs.prepare, find_faults=workload_rules.find_job_faults),
    "persistentvolumes": Rules(prepare=volumes.prepare, find_faults=small_rules.find_volume_faults),
    "persistentvolumeclaims": Rules(
        prepare=volumes.prepare_claim, find_faults=small_rules.find_claim_faults, permit=volumes.permit_claim
    ),
    "limitranges": Rules(find_faults=limit_rules.find_faults),
    "podtemplates": _COUNTED,
    "deviceclasses.resource.k8s.io": _COUNTED,
    "resourceslices.resource.k8s.io": _COUNTED,
    "ingresses.networking.k8s.io": Rules(
        generation=True,
        prepare=traffic_rules.prepare_ingress,
        find_faults=traffic_rules.find_ingress_faults,
        find_status_faults=traffic_rules.find_ingress_status_faults,
    ),
    "ingressclasses.networking.k8s.io": Rules(generation=True, find_faults=traffic_rules.find_class_faults),
    "networkpolicies.networking.k8s.io": Rules(generation=True, find_faults=traffic_rules.find_policy_faults),
    "poddisruptionbudgets.policy": Rules(
        generation=True, unconditional=False, find_faults=small_rules.find_budget_faults
    ),
    "priorityclasses.scheduling.k8s.io": Rules(
        generation=True,
        counted=False,
        prepare=priorities.prepare,
        find_faults=small_rules.find_priority_faults,
    ),
    "endpointslices.discovery.k8s.io": Rules(generation=True, find_faults=traffic_rules.find_slice_faults),
    "storageclasses.storage.k8s.io": Rules(find_faults=small_rules.find_storage_faults),
    "flowschemas.flowcontrol.apiserver.k8s.io": _COUNTED,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": _COUNTED,
    "roles.rbac.authorization.k8s.io": Rules(find_faults=access_rules.find_role_faults),
    "clusterroles.rbac.authorization.k8s.io": Rules(find_faults=access_rules.find_cluster_role_faults),
    "rolebindings.rbac.authorization.k8s.io": Rules(find_faults=access_rules.find_binding_faults),
    "clusterrolebindings.rbac.authorization.k8s.io": Rules(
        find_faults=access_rules.find_cluster_binding_faults
    ),
    "leases.coordination.k8s.io": Rules(unconditional=False, find_faults=small_rules.find_lease_faults),
    "secrets": Rules(find_faults=data_rules.find_secret_faults),
    "configmaps": Rules(find_faults=data_rules.find_config_map_faults),
    "events": Rules(find_faults=events.find_faults),
    "events.events.k8s.io": Rules(find_faults=events.find_view_faults),
    "nodes": Rules(prepare=nodes.prepare, find_faults=small_rules.find_node_faults),
}


def rules_of(resource: str) -> Rules:
    """Return the rules of a resource, named `plural[.group]`."""
    return RULES.get(resource, _DEFAULT)
