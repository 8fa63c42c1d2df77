"""Logs and commands in containers: the two subresources that stream.

The rule it keeps: which container is meant is decided here, as a real API server does; everything else about containers
is the kubelet's. A client that goes away ends its stream, and the command that it ran.

Sources: kubernetes pkg/registry/core/pod/strategy.go (LogLocation, streamLocation); k8s.io/apimachinery
pkg/util/remotecommand/constants.go for the channels.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from simcluster.apiserver.calls import Call, Execution, Kubelet
from simcluster.apiserver.queries import read_flag, read_integer
from simcluster.errors import BadRequest, StatusError
from simcluster.registry import Object, Registry, parse_time

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class Streams:
    """Serves pods/log and pods/exec. `kubelet` is None until the node is there."""

    def __init__(self, registry: Registry, kubelet: Kubelet | None) -> None:
        self._registry = registry
        self.kubelet = kubelet

    async def log(self, call: Call) -> web.StreamResponse:
        """Stream the log of a container."""
        target, query = call.target, call.query
        pod = self._registry.get("pods", target.namespace, target.name)
        container = choose_container(pod, query.get("container", ""))
        selection = _read_selection(query)
        if not pod["spec"].get("nodeName"):
            return web.Response(status=204)
        kubelet = self._require_kubelet()
        pieces = await kubelet.logs(pod["metadata"]["namespace"], target.name, container, **selection)
        iterator = aiter(pieces)
        # The first piece is asked for before the answer begins: until then a refusal can still be a Status.
        first = None if selection["follow"] else await anext(iterator, None)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        if first is not None:
            await response.write(first)
        async for piece in iterator:
            await response.write(piece)
        await response.write_eof()
        return response

    async def exec(self, call: Call) -> web.StreamResponse:
        """Run a command in a container, over a WebSocket."""
        target, query = call.target, call.request.query
        pod = self._registry.get("pods", target.namespace, target.name)
        container = choose_container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            raise BadRequest(f"pod {target.name} does not have a host assigned")
        command = query.getall("command", [])
        if not command:
            raise BadRequest("you must specify at least one command for the container")
        wanted = {name: read_flag(query, name) for name in ("stdin", "stdout", "stderr", "tty")}
        if not any(wanted[name] for name in ("stdin", "stdout", "stderr")):
            raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        socket = web.WebSocketResponse(protocols=PROTOCOLS)
        if not socket.can_prepare(call.request).ok:
            raise BadRequest("unable to upgrade: only WebSocket is served")
        kubelet = self._require_kubelet()
        where = (pod["metadata"]["namespace"], target.name, container)
        execution = await kubelet.execute(*where, command, stdin=wanted["stdin"], tty=wanted["tty"])
        await socket.prepare(call.request)
        await _converse(socket, execution, wanted)
        return socket

    def _require_kubelet(self) -> Kubelet:
        if self.kubelet is None:
            raise StatusError("the node of the pod is not running yet", code=503, reason="ServiceUnavailable")
        return self.kubelet


def choose_container(pod: Object, asked: str) -> str:
    """Return the container that is meant; BadRequest if none is named and there are several, or it is none."""
    name = pod["metadata"]["name"]
    names = [each["name"] for each in pod["spec"]["containers"]]
    init = [each["name"] for each in pod["spec"].get("initContainers", ())]
    if asked:
        if asked not in names + init:
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    annotated = pod["metadata"].get("annotations", {}).get(_DEFAULT_CONTAINER)
    if annotated in names:
        return str(annotated)
    if len(names) == 1:
        return str(names[0])
    or_init = f" or one of the init containers: [{' '.join(init)}]" if init else ""
    raise BadRequest(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]{or_init}"
    )


def _read_selection(query: Any) -> dict[str, Any]:
    """Return which part of a log is asked for."""
    since = query.get("sinceTime")
    try:
        since_at = None if since is None else parse_time(since)
    except ValueError as error:
        raise BadRequest(f"sinceTime: {since!r} is not an RFC 3339 instant") from error
    numbers = {name: read_integer(query, name) for name in ("sinceSeconds", "tailLines", "limitBytes")}
    for name, least in (("sinceSeconds", 1), ("tailLines", 0), ("limitBytes", 1)):
        given = numbers[name]
        if given is not None and given < least:
            raise BadRequest(f"{name}: Invalid value: {given}: must be greater than or equal to {least}")
    return {
        "follow": read_flag(query, "follow"),
        "previous": read_flag(query, "previous"),
        "since_s": numbers["sinceSeconds"],
        "since_at": since_at,
        "tail_lines": numbers["tailLines"],
        "timestamps": read_flag(query, "timestamps"),
        "limit_bytes": numbers["limitBytes"],
    }


async def _converse(socket: web.WebSocketResponse, execution: Execution, wanted: dict[str, bool]) -> None:
    """Carry input and output between a client and a command until the command ends or the client goes."""
    listener = asyncio.create_task(_listen(socket, execution))
    speaker = asyncio.create_task(_speak(socket, execution, wanted))
    try:
        await asyncio.wait({listener, speaker}, return_when=asyncio.FIRST_COMPLETED)
        if speaker.done():
            await socket.send_bytes(bytes([_ERROR]) + orjson.dumps(speaker.result()))
            await socket.close()
    finally:
        for task in (listener, speaker):
            task.cancel()
        if not speaker.done() or speaker.cancelled() or speaker.exception() is not None:
            await execution.kill()
        for task in (listener, speaker):
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task


async def _listen(socket: web.WebSocketResponse, execution: Execution) -> None:
    """Give the command its input; returns when the client is gone."""
    async for message in socket:
        data = message.data
        if message.type is WSMsgType.TEXT:
            data = data.encode()
        elif message.type is not WSMsgType.BINARY:
            return
        if not data:
            continue
        channel, payload = data[0], data[1:]
        if channel == _STDIN and payload:
            await execution.write_stdin(payload)
        elif channel == _CLOSE and payload[:1] == bytes([_STDIN]):
            await execution.close_stdin()
        # Resizing a terminal that is not there changes nothing.


async def _speak(socket: web.WebSocketResponse, execution: Execution, wanted: dict[str, bool]) -> Object:
    """Send what the command writes; return the Status that tells how it ended."""
    asked = {_STDOUT: wanted["stdout"], _STDERR: wanted["stderr"]}
    async for channel, data in execution.output():
        if asked.get(channel):
            await socket.send_bytes(bytes([channel]) + data)
    return show_exit(await execution.wait())


def show_exit(code: int) -> Object:
    """Return the Status of a command that has ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
