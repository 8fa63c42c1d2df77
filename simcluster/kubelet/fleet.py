"""The kubelets of a cluster's nodes, together.

The rules it keeps: a change of a pod is told to the kubelet of its node and to no other, however many there are;
one timer beats for all of them, a part at a time; a request for a pod's logs goes to the kubelet of its node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from simcluster.controllers.informers import Informers
from simcluster.controllers.workqueue import CallLater, Timer
from simcluster.errors import StatusError
from simcluster.kubelet.attachment import Attachment
from simcluster.kubelet.execution import Execution
from simcluster.kubelet.kubelet import Kubelet
from simcluster.profile import Profile
from simcluster.registry import Registry

Object = dict[str, Any]
# What a container that waits may have lacked.
_REFERRED = ("secrets", "configmaps", "serviceaccounts")
# The beats of many nodes are spread over this many moments of an interval, so that they hold nobody up.
_TURNS = 10


class Fleet:
    """All kubelets of one cluster, from `start` to `stop`."""

    def __init__(
        self,
        registry: Registry,
        informers: Informers,
        profile: Profile,
        call_later: CallLater,
        kubelets: Sequence[Kubelet],
    ) -> None:
        self._registry = registry
        self._informers = informers
        self._interval_s = profile.node_status_s
        self._call_later = call_later
        self._kubelets = {each.node: each for each in kubelets}
        self._timer: Timer | None = None
        self._begun_at = registry.clock()
        self._turn = 0

    def start(self) -> None:
        """Register the nodes and take on the pods that are bound to them, now and later."""
        for kubelet in self._kubelets.values():
            kubelet.start()
        self._informers.of("pods").handle(self._on_pod)
        for resource in _REFERRED:
            self._informers.of(resource).handle(self._on_referred)
        self._wait()

    async def stop(self) -> None:
        """Kill every pod at once; nothing is written to the API any more."""
        if self._timer is not None:
            self._timer.cancel()
        for kubelet in self._kubelets.values():
            await kubelet.stop()

    @property
    def nodes(self) -> Sequence[str]:
        """The names of the nodes."""
        return tuple(self._kubelets)

    def of_node(self, node: str) -> Kubelet | None:
        """The kubelet of a node; None if it is no node of this cluster."""
        return self._kubelets.get(node)

    def _wait(self) -> None:
        self._timer = self._call_later(self._interval_s / _TURNS, self._beat)

    def _beat(self) -> None:
        """Beat for every tenth node; each has its turn once in an interval, however late this is called."""
        self._wait()
        due = int((self._registry.clock() - self._begun_at) * _TURNS / self._interval_s)
        kubelets = list(self._kubelets.values())
        for turn in range(max(self._turn, due - _TURNS), due):
            for kubelet in kubelets[turn % _TURNS :: _TURNS]:
                kubelet.beat()
        self._turn = due

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        kubelet = self._kubelets.get(pod["spec"].get("nodeName", ""))
        if kubelet is not None:
            kubelet.notice(pod, is_gone=new is None)

    def _on_referred(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            for kubelet in self._kubelets.values():
                kubelet.retry(new["metadata"]["namespace"])

    # --- What the API server asks

    def _of_pod(self, namespace: str, pod: str) -> Kubelet:
        """The kubelet of a pod; an error as of a node that can not be reached if there is none."""
        node = self._registry.get("pods", namespace, pod)["spec"].get("nodeName", "")
        kubelet = self._kubelets.get(node)
        if kubelet is None:
            raise StatusError(f"dial tcp: lookup {node}: no such host")
        return kubelet

    async def logs(self, namespace: str, pod: str, container: str, **selection: Any) -> AsyncIterator[bytes]:
        """As `Kubelet.logs`."""
        return await self._of_pod(namespace, pod).logs(namespace, pod, container, **selection)

    async def find_running(self, verb: str, namespace: str, pod: str, container: str) -> object:
        """As `Kubelet.find_running`."""
        return await self._of_pod(namespace, pod).find_running(verb, namespace, pod, container)

    async def execute(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> Execution:
        """As `Kubelet.execute`."""
        kubelet = self._of_pod(namespace, pod)
        return await kubelet.execute(namespace, pod, container, command, stdin=stdin, tty=tty)

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> Attachment:
        """As `Kubelet.attach`."""
        return await self._of_pod(namespace, pod).attach(namespace, pod, container, stdin=stdin)

    async def connect(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As `Kubelet.connect`."""
        return await self._of_pod(namespace, pod).connect(namespace, pod, port)

    async def attend(self, node: str) -> bool:
        """Wait until a node answers; whether there is one of this name."""
        kubelet = self._kubelets.get(node)
        if kubelet is not None:
            await kubelet.attend()
        return kubelet is not None
