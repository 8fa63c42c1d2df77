"""Which class is the default one, of those of volumes and of Ingresses. Pure.

Source: kubernetes pkg/volume/util (GetDefaultClass) and plugin/pkg/admission/network/defaultingressclass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


def choose_default(classes: Iterable[Object], *annotations: str) -> Object | None:
    """The class that one of the annotations marks: of several the newest, then the first by name."""
    marked = [each for each in classes if is_marked(each, annotations)]
    marked.sort(key=lambda each: str(each["metadata"]["name"]))
    # Newest first; the sort before decides between equals.
    marked.sort(key=lambda each: str(each["metadata"]["creationTimestamp"]), reverse=True)
    return marked[0] if marked else None


def is_marked(of_class: Object, annotations: Iterable[str]) -> bool:
    """Whether one of the annotations marks a class."""
    said = of_class["metadata"].get("annotations") or {}
    return any(said.get(each) == "true" for each in annotations)
