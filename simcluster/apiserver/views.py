"""Objects as something else: a Table, or their metadata alone, as the client asks with `as=`. Pure.

The rule it keeps: a view that does not fit what was asked for, that of a list or of one object, is refused as a real
server refuses it.

Source: k8s.io/apiserver pkg/endpoints/handlers/response.go transformResponseObject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcluster.apiserver import tables
from simcluster.apiserver.answers import Form
from simcluster.apiserver.listing import Page, list_metadata
from simcluster.errors import NotAcceptable
from simcluster.schema import Resource

Object = dict[str, Any]
ONE, LIST = "PartialObjectMetadata", "PartialObjectMetadataList"
VIEWS = ("Table", ONE, LIST)


def show(kind: Resource, obj: Object, form: Form, query: Mapping[str, str], now: float) -> Object:
    """Return the view of one object that is asked for; NotAcceptable if it is one of a list."""
    if form.transform == "Table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        shown = "scale" if obj.get("kind") == "Scale" else kind.name
        return _table(shown, [obj], metadata, form, query, now)
    if form.transform == ONE:
        return tables.partial(obj, form.version)
    raise NotAcceptable.of_view(f"{LIST}, but the requested object is not a list ({_go_name(kind)})")


def show_page(kind: Resource, page: Page, form: Form, query: Mapping[str, str], now: float) -> Object:
    """Return the view of a list that is asked for; NotAcceptable if it is one of a single object."""
    objects = [record.object for record in page.records]
    if form.transform == "Table":
        return _table(kind.name, objects, list_metadata(page), form, query, now)
    if form.transform == LIST:
        items = [tables.partial(obj, form.version) for obj in objects]
        head = {"kind": LIST, "apiVersion": f"meta.k8s.io/{form.version}"}
        return head | {"metadata": list_metadata(page), "items": items}
    raise NotAcceptable.of_view(f"{ONE}, but the requested object is a list ({_go_name(kind)}List)")


def _table(
    shown: str, objects: list[Object], metadata: Object, form: Form, query: Mapping[str, str], now: float
) -> Object:
    included = tables.check_included(query.get("includeObject", ""))
    table = tables.make_table(shown, objects, metadata, now=now, included=included)
    return table | {"apiVersion": f"meta.k8s.io/{form.version}"}


def _go_name(kind: Resource) -> str:
    return f"*{kind.group.partition('.')[0] if kind.group else 'core'}.{kind.kind}"
