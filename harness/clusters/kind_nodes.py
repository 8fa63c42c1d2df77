"""Nodes of a kind cluster that stand still: their containers are paused, with all pods and the kubelet, and cut off.

Rule: only containers of the run's own cluster are paused, and each goes on again: after its time, when it is undone,
or before the cluster is removed. A paused node's kernel would go on acknowledging what its pods are sent, so its
packets are dropped, too: in and out, forwarded or its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import ClusterError

_CLUSTER = "io.x-k8s.kind.cluster"
# The first and the last hook that a packet passes. $0 is -I, which puts a rule first, or -D, which takes it away.
_CUT = """
for tables in iptables ip6tables; do
  $tables -w -t raw "$0" PREROUTING -i eth0 -j DROP && $tables -w -t mangle "$0" POSTROUTING -o eth0 -j DROP || exit
done
"""


class Pauses:
    """The paused nodes of one cluster: a `Breakable`."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._timers: dict[str, threading.Timer | None] = {}
        self._lock = threading.Lock()

    def begin(self, kind: str, fields: dict[str, Any], for_s: float | None) -> str:
        """Pause the node in `fields`; its name is the fault's id. Raises ClusterError."""
        if kind != "freeze_node":
            raise ClusterError(f"{kind}: of a kind cluster only a node can be frozen; take --k8s-backend=sim")
        node = str(fields["node"])
        with _docker() as docker:
            running = docker.containers.list(filters={"label": f"{_CLUSTER}={self._cluster}"})
            found = {each.name: each for each in running}
            if node not in found:
                known = ", ".join(sorted(found)) or "none"
                raise ClusterError(f'freeze_node: no node "{node}" that runs\n  known nodes: {known}')
            _cut(found[node], "-I")
            try:
                found[node].pause()
            except BaseException:
                _cut(found[node], "-D")
                raise
        timer = None if for_s is None else threading.Timer(for_s, self.undo, [node])
        with self._lock:
            self._timers[node] = timer
        if timer is not None:
            timer.daemon = True
            timer.start()
        return node

    def undo(self, number: str) -> None:
        """Let a node go on, if it is paused still."""
        with self._lock:
            if number not in self._timers:
                return
            timer = self._timers.pop(number)
        if timer is not None:
            timer.cancel()
        unpause(self._cluster, number)

    def close(self) -> None:
        """Let all go on."""
        for number in list(self._timers):
            self.undo(number)


def unpause(cluster: str, node: str | None = None) -> None:
    """Let a node of a cluster, or each, go on, whoever paused it: one that stands still can not be removed."""
    with _docker() as docker:
        for each in docker.containers.list(filters={"label": f"{_CLUSTER}={cluster}", "status": "paused"}):
            if node in (None, each.name):
                each.unpause()
                _cut(each, "-D")


def _cut(container: Any, how: str) -> None:
    code, said = container.exec_run(["sh", "-c", _CUT, how])
    if code != 0:
        told = said.decode(errors="replace").strip()[:300]
        raise ClusterError(
            f"freeze_node: the network of {container.name} could not be cut off or joined: {told}"
        )


@contextmanager
def _docker() -> Iterator[Any]:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        try:
            yield client
        finally:
            client.close()
    except DockerException as error:
        raise ClusterError(f"Docker: {error}") from None
