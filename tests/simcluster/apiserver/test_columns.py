"""Tables against those of a real kube-apiserver v1.36.3: columns of every kind, and the cells of many objects.

`tables_v1.36.json` holds, for each kind, the columns, the instant of the answer, and rows: the object and its cells.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simcluster.apiserver.column import Column
from simcluster.apiserver.columns import COLUMNS, DEFAULT
from simcluster.schema import load

REAL: dict[str, Any] = json.loads((Path(__file__).parent / "tables_v1.36.json").read_text())
SERVED = [resource.name for resource in load() if resource.stored]


def columns_of(resource: str) -> tuple[Column, ...]:
    return COLUMNS.get(resource, DEFAULT)


@pytest.mark.parametrize("resource", [name for name in SERVED if name in REAL])
def test_a_kind_has_the_real_columns(resource: str) -> None:
    """Names, types, formats and priorities are those of the real server."""
    shown = [
        " ".join(
            [
                column.name.replace(" ", "_"),
                column.type,
                column.format if column.format else "-",
                str(column.priority),
            ]
        )
        for column in columns_of(resource)
    ]
    assert shown == REAL[resource]["columns"]


ROWS = [
    pytest.param(resource, obj, cells, told["now"], id=f"{resource}-{obj['metadata']['name']}")
    for resource, told in REAL.items()
    for obj, cells in told["rows"]
]


@pytest.mark.parametrize(("resource", "obj", "cells", "now"), ROWS)
def test_an_object_has_the_real_cells(
    resource: str, obj: dict[str, Any], cells: list[Any], now: float
) -> None:
    """Each cell is what the real server made of the same object at the same time."""
    names = [column.name for column in columns_of(resource)]
    shown = [column.cell(obj, now) for column in columns_of(resource)]
    assert dict(zip(names, shown, strict=True)) == dict(zip(names, cells, strict=True))
