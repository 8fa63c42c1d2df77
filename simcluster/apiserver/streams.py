"""What streams to and from containers: logs, commands, attached terminals, forwarded ports.

The rule it keeps: which container is meant is decided here, as a real API server does; everything else about containers
is the kubelet's. What can be refused is refused before the connection is upgraded, with the status of a real server.

Sources: kubernetes pkg/registry/core/pod/strategy.go (LogLocation, streamLocation); k8s.io/cri-streaming
pkg/streaming/remotecommand.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict

from aiohttp import web

from simcluster.apiserver import forwarding, pod_logs
from simcluster.apiserver.calls import Call, Execution, Kubelet
from simcluster.apiserver.channels import Channels, require_upgrade
from simcluster.apiserver.queries import read_flag
from simcluster.apiserver.remote import PROTOCOLS, Wanted, converse, show_failure, tell
from simcluster.errors import BadRequest, PlainError, StatusError
from simcluster.registry import Object, Registry


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
        where = self._locate(call)
        command = call.request.query.getall("command", [])
        await self._tell_apart("exec", call, where)
        channels, wanted = _open_channels(call)
        try:
            execution = await self._require_kubelet().execute(
                *where, command, stdin=wanted.stdin, tty=wanted.tty
            )
        except StatusError as failure:
            await channels.open()
            await tell(channels, wanted, show_failure(failure, channels.protocol))
            return channels.response
        await channels.open()
        await converse(channels, execution, wanted, command)
        return channels.response

    async def attach(self, call: Call) -> web.StreamResponse:
        """Listen and talk to a running container; it outlives its client."""
        where = self._locate(call)
        await self._tell_apart("attach", call, where)
        channels, wanted = _open_channels(call)
        attached: Execution = await self._require_kubelet().attach(*where, stdin=wanted.stdin)
        await channels.open()
        await converse(channels, attached, wanted, None)
        return channels.response

    async def forward(self, call: Call) -> web.StreamResponse:
        """Carry connections to ports of a pod."""
        pod = self._registry.get("pods", call.target.namespace, call.target.name)
        _require_node(pod)
        ports = forwarding.read_ports(call.request.query.getall("ports", []))
        require_upgrade(call.request)
        kubelet, metadata = self._require_kubelet(), pod["metadata"]
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

    async def _tell_apart(self, verb: str, call: Call, where: tuple[str, str, str]) -> None:
        """Refuse what would be refused over a WebSocket, too: kubectl asks again in SPDY, and shows the last answer."""
        if call.request.headers.get("Upgrade", "").lower().startswith("spdy/"):
            await self._require_kubelet().find_running(verb, *where)

    def _require_kubelet(self) -> Kubelet:
        kubelet = self._find_kubelet()
        if kubelet is None:
            raise StatusError("the node of the pod is not running yet", code=503, reason="ServiceUnavailable")
        return kubelet


def _require_node(pod: Object) -> None:
    if not pod["spec"].get("nodeName"):
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")


def _open_channels(call: Call) -> tuple[Channels, Wanted]:
    """Return the channels, not open yet, and which of them are wanted."""
    require_upgrade(call.request)
    query = call.query
    tty = read_flag(query, "tty")
    # A terminal has one output only.
    stderr = read_flag(query, "stderr") and not tty
    wanted = Wanted(read_flag(query, "stdin"), read_flag(query, "stdout"), stderr, tty)
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise PlainError("you must specify at least 1 of stdin, stdout, stderr", 400)
    return Channels(call.request, PROTOCOLS), wanted


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
