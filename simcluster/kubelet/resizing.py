"""A pod whose containers are to have other resources than they began with.

The rule it keeps: nothing here limits a process, so what is asked for is given at once; a container that is to be
restarted for it (`resizePolicy`) is stopped, and started again by its pod's restart policy.

Source: kubernetes pkg/kubelet/allocation, pkg/kubelet/kuberuntime (doPodResizeAction).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from simcluster.kubelet.containers import Running

if TYPE_CHECKING:
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
_KINDS = ("initContainers", "containers")


def resize(worker: PodWorker, before: Object) -> None:
    """Give the containers of a pod what its spec asks for now; `before` is the pod as it was."""
    changed = [(one, other) for one, other in _pair(before, worker.pod) if _asks(one) != _asks(other)]
    if not changed:
        return
    told = orjson.dumps(_describe(worker.pod)).decode()
    worker.host.recorder.record(worker.pod, "Normal", "ResizeStarted", f"Pod resize started: {told}")
    for one, other in changed:
        name = other["name"]
        if _is_disruptive(one, other) and isinstance(worker.containers[name].state, Running):
            worker.stop_container(name, message=f"Container {name} resize requires restart")
    worker.host.recorder.record(worker.pod, "Normal", "ResizeCompleted", f"Pod resize completed: {told}")
    worker.publish()


def _pair(before: Object, after: Object) -> Iterator[tuple[Object, Object]]:
    for kind in _KINDS:
        yield from zip(before["spec"].get(kind) or (), after["spec"].get(kind) or (), strict=True)


def _asks(container: Object) -> Object:
    asks: Object = container.get("resources") or {}
    return asks


def _is_disruptive(old: Object, new: Object) -> bool:
    """Whether one of the resources that change has the container restarted."""
    before, after = _asks(old), _asks(new)
    for rule in new.get("resizePolicy") or ():
        name = rule["resourceName"]
        is_changed = any(
            (before.get(kind) or {}).get(name) != (after.get(kind) or {}).get(name)
            for kind in ("requests", "limits")
        )
        if is_changed and rule["restartPolicy"] == "RestartContainer":
            return True
    return False


def _describe(pod: Object) -> Object:
    """What all containers ask for, in the order of Go's fields."""
    described: Object = {
        kind: [
            {"name": each["name"], "resources": dict(sorted(_asks(each).items()))}
            for each in pod["spec"][kind]
        ]
        for kind in _KINDS
        if pod["spec"].get(kind)
    }
    return described | {"generation": pod["metadata"].get("generation", 1)}
