"""A column of `kubectl get`, and the ones that many kinds share. Pure.

Source: kubernetes pkg/printers/internalversion/printers.go, apimachinery pkg/labels FormatLabels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simcluster.apiserver.ages import show_age
from simcluster.registry.scale import show_selector

Object = dict[str, Any]
Cell = Callable[[Object, float], Any]
NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those of priority 1 are shown by `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> Object:
        """Return it as it stands in a Table's columnDefinitions."""
        shown = {"name": self.name, "type": self.type, "format": self.format}
        return shown | {"description": "", "priority": self.priority}


def wide(name: str, cell: Cell) -> Column:
    """Return a column that `-o wide` shows."""
    return Column(name, cell, priority=1)


def at(path: str, empty: Any = "") -> Cell:
    """Return the cell that shows the value at a path such as `spec.replicas`, `empty` where there is none."""
    keys = path.split(".")

    def cell(obj: Object, _now: float) -> Any:
        found: Any = obj
        for key in keys:
            found = found.get(key)
            if found is None:
                return empty
        return found

    return cell


def integer(name: str, path: str) -> Column:
    """Return a column of the number at a path."""
    return Column(name, at(path, 0), type="integer")


def boolean(name: str, path: str, *, empty: bool = False) -> Column:
    """Return a column of the truth at a path."""
    return Column(name, at(path, empty), type="boolean")


def show_labels(labels: dict[str, str] | None) -> str:
    """Return labels as text, `<none>` if there are none."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def show_name(obj: Object, _now: float) -> str:
    """Return the name of an object."""
    return str(obj["metadata"]["name"])


def _age(obj: Object, now: float) -> str:
    return show_age(obj["metadata"].get("creationTimestamp"), now)


NAME = Column("Name", show_name, format="name")
AGE = Column("Age", _age)
CREATED_AT = Column("Created At", lambda obj, _: obj["metadata"].get("creationTimestamp"), type="date")


def containers_of(obj: Object, key: str) -> str:
    """Return one field of all containers of a workload's template."""
    template = obj["spec"].get("template", {})
    return ",".join(each.get(key, "") for each in template.get("spec", {}).get("containers", ()))


CONTAINERS = wide("Containers", lambda obj, _: containers_of(obj, "name"))
IMAGES = wide("Images", lambda obj, _: containers_of(obj, "image"))


def _selector(obj: Object, _now: float) -> str:
    shown = show_selector(obj["spec"].get("selector"))
    return shown if shown else NONE


SELECTOR = wide("Selector", _selector)
