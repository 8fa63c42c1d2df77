"""What the API server does to volumes and claims on them. Pure.

It does not protect what is in use by finalizers: no controller here would take them away again.

Source: kubernetes pkg/registry/core/{persistentvolume,persistentvolumeclaim}/strategy.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from simcluster.registry.instants import format_time

Object = dict[str, Any]


class _Around(Protocol):
    @property
    def clock(self) -> Callable[[], float]: ...


def prepare(volume: Object, old: Object | None, around: _Around) -> None:
    """Say since when a new volume is pending."""
    if old is None:
        volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": format_time(around.clock())}


def prepare_claim(claim: Object, old: Object | None, _around: object) -> None:
    """Let both fields that name the source of a claim's data say the same."""
    spec = claim["spec"]
    if old is None and "dataSource" in spec:
        spec.setdefault("dataSourceRef", dict(spec["dataSource"]))
    elif old is None and "dataSourceRef" in spec and not spec["dataSourceRef"].get("namespace"):
        spec.setdefault("dataSource", dict(spec["dataSourceRef"]))
