"""Creating and deleting pods on behalf of the object that controls them, each with its event.

The rule it keeps: creation starts slowly, so that what cannot be created is not tried 500 times; a pod that is gone
already is deleted. Source: pkg/controller/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from simcluster.controllers import ownership
from simcluster.controllers.events import Recorder
from simcluster.controllers.metadata import name_of, uid_of
from simcluster.errors import NotFound, StatusError
from simcluster.registry import Registry
from simcluster.store import Object

BURST = 500


class PodControl:
    """Writes pods for controllers; `recorder` tells of it."""

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder

    def create(self, owner: Object, wanted: Sequence[Object]) -> StatusError | None:
        """Create in batches of 1, 2, 4 and so on; the first batch with a failure is the last.

        Returns that batch's first error.
        """
        batch, begun = 1, 0
        while begun < len(wanted):
            error: StatusError | None = None
            for pod in wanted[begun : begun + batch]:
                failed = self._create_one(owner, pod)
                error = failed if error is None else error
            if error is not None:
                return error
            begun += batch
            batch *= 2
        return None

    def _create_one(self, owner: Object, wanted: Object) -> StatusError | None:
        try:
            pod = self._registry.create("pods", name_of(owner)[0], wanted)
        except StatusError as error:
            if is_namespace_terminating(error):
                return None
            self._recorder.record(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        message = f"Created pod: {pod['metadata']['name']}"
        self._recorder.record(owner, "Normal", "SuccessfulCreate", message)
        return None

    def delete(self, owner: Object, chosen: Iterable[Object]) -> StatusError | None:
        """Delete all of them that are still there; return the first error."""
        first: StatusError | None = None
        for pod in chosen:
            try:
                self._registry.delete("pods", *name_of(pod), uid=uid_of(pod))
            except NotFound:
                continue
            except StatusError as error:
                message = f"Error deleting: {error.message}"
                self._recorder.record(owner, "Warning", "FailedDelete", message)
                first = error if first is None else first
            else:
                message = f"Deleted pod: {pod['metadata']['name']}"
                self._recorder.record(owner, "Normal", "SuccessfulDelete", message)
        return first


def is_namespace_terminating(error: StatusError) -> bool:
    """Whether something could not be created because its namespace is being deleted: no use in trying again."""
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def pod_for(owner: Object, template: Object, *, name: str | None = None) -> Object:
    """A pod by a template, controlled by `owner`, to be named `<owner>-<5 characters>` unless a name is given."""
    copy = deepcopy(template)
    metadata = copy.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    named: dict[str, Any] = {"generateName": f"{owner['metadata']['name']}-"}
    named |= {} if name is None else {"name": name}
    also = {"namespace": name_of(owner)[0], "ownerReferences": [ownership.reference_to(owner)]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": kept | named | also, "spec": copy["spec"]}
