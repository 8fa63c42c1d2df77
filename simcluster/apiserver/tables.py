"""Tables: what `kubectl get` asks for instead of objects. Pure.

Source: k8s.io/apiserver pkg/endpoints/handlers/response.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from simcluster.apiserver.column import Column
from simcluster.apiserver.columns import COLUMNS, DEFAULT
from simcluster.apiserver.pod_cells import list_conditions
from simcluster.apiserver.watching import Encoder
from simcluster.errors import BadRequest
from simcluster.schema import Resource
from simcluster.store import Record

Object = dict[str, Any]
INCLUDED = ("None", "Metadata", "Object")


def check_included(included: str) -> str:
    """Return how much of each object a row is to hold; BadRequest if it is none of `INCLUDED`."""
    chosen = included if included else "Metadata"
    if chosen not in INCLUDED:
        text = "must be 'Metadata', 'Object', 'None', or empty"
        raise BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{included}": {text}'
        )
    return chosen


def partial(record_object: Object, version: str = "v1") -> Object:
    """Return only the metadata of an object."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}"}
    return head | {"metadata": record_object["metadata"]}


def make_table(
    resource: str,
    objects: Sequence[Object],
    metadata: Object,
    *,
    now: float,
    included: str,
    headed: bool = True,
) -> Object:
    """Return the Table of some objects of a resource, or of `scale`.

    Without `headed` it has no column definitions, as the later ones of a watch.
    """
    columns = COLUMNS.get(resource, DEFAULT)
    rows = [_row(columns, obj, now, included) for obj in objects]
    if resource == "pods":
        for row, obj in zip(rows, objects, strict=True):
            conditions = list_conditions(obj)
            if conditions:
                row["conditions"] = conditions
    table: Object = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    # A real server writes null where there are none.
    table["columnDefinitions"] = [column.definition() for column in columns] if headed else None
    return table | {"rows": rows}


def _row(columns: tuple[Column, ...], obj: Object, now: float, included: str) -> Object:
    is_bookmark = "name" not in obj["metadata"]
    cells = (
        [_blank(column, now) for column in columns]
        if is_bookmark
        else [column.cell(obj, now) for column in columns]
    )
    row: Object = {"cells": cells}
    if included == "Metadata":
        row["object"] = partial(obj)
    elif included == "Object":
        row["object"] = obj
    else:
        row["object"] = None
    return row


def _blank(column: Column, now: float) -> Any:
    """The cell of an object that has nothing, not even a name, as in a bookmark."""
    try:
        return column.cell({"metadata": {"name": ""}, "spec": {}, "status": {}}, now)
    except (KeyError, IndexError, TypeError, ValueError):
        return 0 if column.type == "integer" else ""


def table_encoder(kind: Resource, *, now: Any, included: str) -> Encoder:
    """Return what writes the events of one watch as Tables; only the first names the columns. `now` is a clock."""
    headed = True

    def encode(event_type: str, record: Record) -> bytes:
        nonlocal headed
        metadata = {"resourceVersion": record.object["metadata"]["resourceVersion"]}
        table = make_table(kind.name, [record.object], metadata, now=now(), included=included, headed=headed)
        headed = False
        return orjson.dumps({"type": event_type, "object": table}, option=orjson.OPT_APPEND_NEWLINE)

    return encode


def partial_encoder(version: str) -> Encoder:
    """Return what writes the events of one watch with the objects' metadata alone."""

    def encode(event_type: str, record: Record) -> bytes:
        shown = {"type": event_type, "object": partial(record.object, version)}
        return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)

    return encode
