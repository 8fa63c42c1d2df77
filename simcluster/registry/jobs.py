"""What the API server does to Jobs: the selector and labels that tell one Job's pods from another's. Pure.

Source: kubernetes pkg/registry/batch/job/strategy.go (generateSelector).
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_UID = "batch.kubernetes.io/controller-uid"
_NAME = "batch.kubernetes.io/job-name"


def prepare(job: Object, old: Object | None, _around: object) -> None:
    """Make a new Job select by its own uid, unless its creator selects by hand."""
    spec, metadata = job["spec"], job["metadata"]
    if old is not None or spec.get("manualSelector"):
        return
    uid, name = metadata["uid"], metadata.get("name", "")
    marks = {_UID: uid, _NAME: name, "controller-uid": uid, "job-name": name}
    template = dict(spec["template"])
    template["metadata"] = dict(template.get("metadata", {}))
    template["metadata"]["labels"] = dict(sorted((template["metadata"].get("labels", {}) | marks).items()))
    if metadata.get("labels", {}) == spec["template"].get("metadata", {}).get("labels", {}):
        # A Job without labels of its own is labelled like its pods.
        metadata["labels"] = dict(template["metadata"]["labels"])
    selector = dict(spec.get("selector", {}))
    selector["matchLabels"] = dict(sorted((selector.get("matchLabels", {}) | {_UID: uid}).items()))
    job["spec"] = {**spec, "template": template, "selector": selector}
