"""The subresources of pods that are posted to: binding and eviction.

Source: kubernetes pkg/registry/core/pod/storage (storage.go, eviction.go).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from simcluster.apiserver import bodies
from simcluster.apiserver.answers import answer
from simcluster.apiserver.calls import Call
from simcluster.errors import BadRequest, Invalid, required
from simcluster.registry import Registry

_DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodWrites:
    """Serves pods/binding and pods/eviction."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def bind(self, call: Call) -> web.Response:
        """Give a pod to a node."""
        body = await self._read(call, "Binding")
        target = body.get("target") or {}
        if not target.get("name"):
            raise Invalid("Binding", call.target.name, [required("target.name")])
        if call.target.namespace is not None:
            self._registry.bind(call.target.namespace, call.target.name, target["name"])
        return answer(_DONE, status=201)

    async def evict(self, call: Call) -> web.Response:
        """Delete a pod as gently as its disruption budgets ask."""
        body = await self._read(call, "Eviction")
        given: Any = body.get("deleteOptions") or {}
        asked = bodies.read_delete_body(given)
        is_dry = bodies.read_dry_run(call.query, "CreateOptions") or asked.dry_run
        options = replace(asked, dry_run=is_dry)
        if call.target.namespace is not None:
            self._registry.evict(call.target.namespace, call.target.name, options=options)
        return answer(_DONE, status=201)

    async def _read(self, call: Call, kind: str) -> dict[str, Any]:
        body = await bodies.read_object(call, kind)
        if not isinstance(body, dict):
            raise BadRequest(f"the object provided is unrecognized (must be of type {kind})")
        if (body.get("metadata") or {}).get("name") != call.target.name:
            raise BadRequest(f"name in URL does not match name in {kind} object")
        return body
