"""The verbs on objects: get, list, create, update, patch, delete, deletecollection.

The rule it keeps: everything that is decided about objects is decided by the registry; here is only HTTP: what a
request says, and how the answer is written.
"""

from __future__ import annotations

import orjson
from aiohttp import web

from simcluster.apiserver import bodies, forms, writing
from simcluster.apiserver.answers import (
    Form,
    answer,
    answer_encoded,
    answer_pieces,
    choose_form,
    show_success,
)
from simcluster.apiserver.calls import Call
from simcluster.apiserver.forms import OBJECTS
from simcluster.apiserver.list_options import read_list_options, read_revision
from simcluster.apiserver.listing import Page, encode_list, select_page, wait_for_revision
from simcluster.apiserver.views import VIEWS, show, show_page
from simcluster.errors import NotFound, UnsupportedPatch
from simcluster.patches import PatchType
from simcluster.registry import DeleteOptions, Object, Registry, identity
from simcluster.registry.warnings import PODS_STAY
from simcluster.store import Key

_PATCH_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
_APPLY = "application/apply-patch+yaml"
# Kinds of which a PUT makes what is not there (AllowCreateOnUpdate of their strategies; measured).
_CREATED = frozenset({"endpoints", "events", "leases.coordination.k8s.io", "limitranges", "services"}) | {
    f"{each}.rbac.authorization.k8s.io"
    for each in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
}
# Kinds whose deletion is answered with the object, not with a Status.
_RETURNED = frozenset(
    {
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "podtemplates",
        "storageclasses.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
)
# Lists of more objects are written in pieces.
_WHOLE = 100


class Objects:
    """Serves the verbs but watch."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def get(self, call: Call) -> web.Response:
        """Answer with one object, or with its Scale."""
        target = call.target
        form = choose_form(call.accept, VIEWS, offered=OBJECTS)
        said = read_revision(call.query)
        if said is not None:
            await wait_for_revision(self._registry, said)
        record = self._registry.record(target.resource, target.namespace, target.name)
        if target.subresource != "scale" and not form.transform:
            return answer_encoded(record.encoded)
        obj = record.object
        if target.subresource == "scale":
            obj = self._registry.get(target.resource, target.namespace, target.name, subresource="scale")
        return answer(self._show(call, obj, form))

    async def list(self, call: Call) -> web.Response:
        """Answer with all objects that match, or a page of them."""
        form = choose_form(call.accept, VIEWS)
        options = read_list_options(call.query, call.target.resource, watch=False)
        page = await select_page(self._registry, call.kind, call.target.namespace, options)
        return self._answer_page(call, page, form)

    async def create(self, call: Call) -> web.Response:
        """Store a new object."""
        body, options = await writing.read_object(call, "create")
        created = self._registry.create(call.target.resource, call.target.namespace, body, options=options)
        return self._written(call, created, status=201)

    async def update(self, call: Call) -> web.Response:
        """Replace an object, or what a subresource shows of it."""
        body, options = await writing.read_object(call, "update")
        target, subresource = call.target, _subresource(call)
        try:
            updated = self._registry.update(
                target.resource, target.namespace, target.name, body, subresource=subresource, options=options
            )
        except NotFound:
            if target.resource not in _CREATED or subresource:
                raise
            identity.require_name(body, target.name)
            made = self._registry.create(target.resource, target.namespace, body, options=options)
            return self._written(call, made, status=201)
        return self._written(call, updated)

    async def patch(self, call: Call) -> web.Response:
        """Change an object, or what a subresource shows of it."""
        if call.request.content_type == _APPLY:
            return await self._apply(call)
        kind = _PATCH_TYPES.get(call.request.content_type)
        if kind is None:
            raise UnsupportedPatch
        patch, options = await writing.read_patch(call, kind)
        target = call.target
        patched = self._registry.patch(
            target.resource,
            target.namespace,
            target.name,
            patch,
            kind,
            subresource=_subresource(call),
            options=options,
        )
        return self._written(call, patched)

    async def _apply(self, call: Call) -> web.Response:
        """Make of an object what somebody wants of it; create it if it is not there."""
        target = call.target
        wanted, options = await writing.read_applied(call)
        applied, is_new = self._registry.apply(
            target.resource,
            target.namespace,
            target.name,
            wanted,
            subresource=_subresource(call),
            options=options,
        )
        return self._written(call, applied, status=201 if is_new else 200)

    async def delete(self, call: Call) -> web.Response:
        """Delete an object, or begin to."""
        target = call.target
        options = await _read_deletion(call)
        uid = self._registry.get(target.resource, target.namespace, target.name)["metadata"]["uid"]
        last = self._registry.delete(
            target.resource,
            target.namespace,
            target.name,
            grace_s=options.grace_s,
            uid=options.uid,
            resource_version=options.resource_version,
            propagation=options.propagation,
            dry_run=options.dry_run,
        )
        if not options.dry_run and self._is_there(call, last):
            return answer(last, status=202 if options.propagation == "Foreground" else 200)
        if target.resource in _RETURNED:
            return answer(last)
        return answer(show_success(target.plural, target.name, target.group, uid))

    async def delete_collection(self, call: Call) -> web.Response:
        """Delete all objects that match; answer with what they were."""
        options = await _read_deletion(call)
        asked = read_list_options(call.query, call.target.resource, watch=False)
        page = await select_page(self._registry, call.kind, call.target.namespace, asked)
        form = choose_form(call.accept, VIEWS)
        answered = self._answer_page(call, page, form)
        for record in page.records:
            try:
                self._registry.delete(
                    record.key.resource,
                    record.key.namespace,
                    record.key.name,
                    grace_s=options.grace_s,
                    propagation=options.propagation,
                    dry_run=options.dry_run,
                )
            except NotFound:
                # The deletion of an earlier one took it along.
                continue
        return answered

    def _written(self, call: Call, obj: Object, status: int = 200) -> web.Response:
        form = choose_form(call.accept, VIEWS)
        if form.transform:
            return answer(self._show(call, obj, form), status=status)
        metadata = obj["metadata"]
        key = Key(call.target.resource, metadata.get("namespace", ""), metadata["name"])
        record = self._registry.store.get(key)
        # What was just stored is encoded for the watchers anyway.
        stored = record is not None and record.object is obj
        encoded = record.encoded if stored and record is not None else orjson.dumps(obj)
        return answer_encoded(encoded, status=status)

    def _is_there(self, call: Call, last: Object) -> bool:
        metadata = last["metadata"]
        record = self._registry.store.get(
            Key(call.target.resource, metadata.get("namespace", ""), metadata["name"])
        )
        return record is not None and record.object["metadata"]["uid"] == metadata["uid"]

    def _show(self, call: Call, obj: Object, form: Form) -> Object:
        return show(call.kind, obj, form, call.query, self._registry.clock()) if form.transform else obj

    def _answer_page(self, call: Call, page: Page, form: Form) -> web.Response:
        if form.transform:
            return answer(show_page(call.kind, page, form, call.query, self._registry.clock()))
        pieces = encode_list(call.kind, page)
        if len(page.records) > _WHOLE and not forms.is_translated(call.request):
            return answer_pieces(pieces)
        return answer_encoded(b"".join(pieces))


async def _read_deletion(call: Call) -> DeleteOptions:
    options = await bodies.read_delete_options(call)
    if call.target.resource == "jobs.batch" and options.propagation is None:
        call.warnings.append(PODS_STAY)
    return options


def _subresource(call: Call) -> str | None:
    return call.target.subresource if call.target.subresource else None
