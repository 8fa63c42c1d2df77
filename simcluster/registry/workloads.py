"""What the API server fills in of Deployments and their like beyond defaults. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def prepare_daemon_set(daemon_set: Object, old: Object | None, _around: object) -> None:
    """Count the changes of a DaemonSet's template, where no writer can change the count."""
    metadata = daemon_set["metadata"]
    number = 1
    if old is not None:
        before = old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "1")
        number = int(before) + (daemon_set["spec"]["template"] != old["spec"]["template"])
    metadata["annotations"] = metadata.get("annotations", {}) | {TEMPLATE_GENERATION: str(number)}
