"""What streams to and from containers: logs, commands, attached terminals, forwarded ports.

The rule it keeps: which container is meant is decided here, as a real API server does; everything else about containers
is the kubelet's. What can be refused is refused before the connection is upgraded, with the status of a real server.

Sources: kubernetes pkg/registry/core/pod/strategy.go (LogLocation, streamLocation); k8s.io/cri-streaming
pkg/streaming/remotecommand.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web

from simcluster.apiserver import forwarding, pod_logs
from simcluster.apiserver.calls import Call, Execution, Kubelet
from simcluster.apiserver.channels import Channels, is_websocket, require_upgrade
from simcluster.apiserver.queries import read_flag
from simcluster.apiserver.remote import PROTOCOLS, Wanted, converse, show_failure, tell
from simcluster.errors import BadRequest, PlainError, StatusError
from simcluster.registry import Object, Registry

Start = Callable[[Wanted], Awaitable[Execution]]


class Streams:
    """Serves pods/log, pods/exec, pods/attach, pods/portforward and the proxies.

    `find_kubelet` returns None until the nodes are there.
    """

    def __init__(
        self, registry: Registry, find_kubelet: Callable[[], Kubelet | None], chance: random.Random
    ) -> None:
        self._registry = registry
        self._chance = chance
        self._find_kubelet = find_kubelet

    async def log(self, call: Call) -> web.StreamResponse:
        """Stream the log of a container."""
        target, query = call.target, call.query
        options = pod_logs.read_options(query, target.name)
        pod = self._registry.get("pods", target.namespace, target.name)
        container = choose_container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return web.Response(status=204)
        kubelet = self._require_kubelet()
        where = (pod["metadata"]["namespace"], target.name, container)
        pieces = await kubelet.logs(*where, **asdict(options))
        return await pod_logs.stream_log(call.request, aiter(pieces), follow=options.follow)

    async def exec(self, call: Call) -> web.StreamResponse:
        """Run a command in a container; it ends with its client."""
        command = call.request.query.getall("command", [])
        where = self._locate(call)

        async def start(wanted: Wanted) -> Execution:
            kubelet = self._require_kubelet()
            return await kubelet.execute(*where, command, stdin=wanted.stdin, tty=wanted.tty)

        return await self._connect("exec", call, where, start, command)

    async def attach(self, call: Call) -> web.StreamResponse:
        """Listen and talk to a running container; it outlives its client."""
        where = self._locate(call)

        async def start(wanted: Wanted) -> Execution:
            return await self._require_kubelet().attach(*where, stdin=wanted.stdin)

        return await self._connect("attach", call, where, start, None)

    async def _connect(
        self, verb: str, call: Call, where: tuple[str, str, str], start: Start, command: list[str] | None
    ) -> web.StreamResponse:
        """Connect a client with what `start` gives."""
        require_upgrade(call.request)
        wanted = _read_wanted(call)
        if is_websocket(call.request):
            sockets = Channels(call.request, PROTOCOLS)
            try:
                execution = await start(wanted)
            except StatusError as failure:
                await sockets.open()
                await tell(sockets, wanted, show_failure(failure.message, sockets.protocol))
                return sockets.response
            await sockets.open()
            await converse(sockets, execution, wanted, command)
            return sockets.response
        # Few clients speak it any more.
        from simcluster.apiserver.spdy_channels import SpdyChannels

        await self._require_kubelet().find_running(verb, *where)
        streams = SpdyChannels(call.request)
        if not await streams.open(wanted):
            return streams.response
        try:
            execution = await start(wanted)
        except (StatusError, PlainError) as failure:
            await tell(streams, wanted, show_failure(failure.message, streams.protocol))
        else:
            await converse(streams, execution, wanted, command)
        return streams.response

    async def forward(self, call: Call) -> web.StreamResponse:
        """Carry connections to ports of a pod."""
        pod = self._registry.get("pods", call.target.namespace, call.target.name)
        _require_node(pod)
        ports = forwarding.read_ports(call.request.query.getall("ports", []))
        require_upgrade(call.request)
        kubelet, metadata = self._require_kubelet(), pod["metadata"]
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            raise PlainError(f'pod not found ("{metadata["name"]}_{metadata["namespace"]}")', 500)
        connect = forwarding.Forwarder(kubelet, metadata["namespace"], metadata["name"], metadata["uid"])
        return await forwarding.serve(call.request, connect, ports)

    async def proxy(self, call: Call) -> web.StreamResponse:
        """Hand a request on to a pod, a Service or a node."""
        # Few clusters are ever asked for it.
        from simcluster.apiserver import proxying

        return await proxying.serve(call, self._registry, self._require_kubelet(), self._chance)

    def _locate(self, call: Call) -> tuple[str, str, str]:
        """Return namespace, pod and container that a request is about."""
        pod = self._registry.get("pods", call.target.namespace, call.target.name)
        container = choose_container(pod, call.query.get("container", ""))
        _require_node(pod)
        return pod["metadata"]["namespace"], pod["metadata"]["name"], container

    def _require_kubelet(self) -> Kubelet:
        kubelet = self._find_kubelet()
        if kubelet is None:
            raise StatusError("the node of the pod is not running yet", code=503, reason="ServiceUnavailable")
        return kubelet


def _require_node(pod: Object) -> None:
    if not pod["spec"].get("nodeName"):
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")


def _read_wanted(call: Call) -> Wanted:
    """Return which channels a client asks for; PlainError if it is none of those with data."""
    query = call.query
    tty = read_flag(query, "tty")
    # A terminal has one output only.
    stderr = read_flag(query, "stderr") and not tty
    wanted = Wanted(read_flag(query, "stdin"), read_flag(query, "stdout"), stderr, tty)
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise PlainError("you must specify at least 1 of stdin, stdout, stderr", 400)
    return wanted


def choose_container(pod: Object, asked: str) -> str:
    """Return the container that is meant; BadRequest if none is named and there are several, or it is none."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [each["name"] for each in spec["containers"]]
    init = [each["name"] for each in spec.get("initContainers") or ()]
    if asked:
        ephemeral = [each["name"] for each in spec.get("ephemeralContainers") or ()]
        if asked not in (*init, *names, *ephemeral):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names) == 1:
        return str(names[0])
    raise BadRequest(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join((*init, *names))}]"
    )
