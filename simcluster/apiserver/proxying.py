"""Requests that the API server hands on to pods, Services and nodes: pods/proxy, services/proxy, nodes/proxy.

The rules it keeps: bodies are handed on as they come, in both directions; credentials go no further than here; an
answer's redirects and links lead through the proxy again; whoever can not be reached is told of by 503. What changes
the protocol of a connection is handed on by `proxy_upgrades`.

A node has no server of its own here: what its kubelet would say of itself and its pods is said here, as far as it goes.

Sources: k8s.io/apimachinery pkg/util/proxy (upgradeaware.go, transport.go); kubernetes
pkg/registry/core/*/rest/subresources.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import random
from collections.abc import Callable, Iterator
from urllib.parse import quote

import aiohttp
import orjson
import yarl
from aiohttp import web
from multidict import CIMultiDict

from simcluster.apiserver import proxy_places, proxy_upgrades, rewriting
from simcluster.apiserver.calls import Call, Kubelet
from simcluster.apiserver.channels import changes_protocol
from simcluster.apiserver.proxy_places import Place, unavailable
from simcluster.errors import MethodNotAllowed, PlainError, StatusError
from simcluster.registry import Object, Registry

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Of one connection (RFC 9110, 7.6.1), and what is ours alone.
_HOPS = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "expect", "authorization",
}  # fmt: skip
_CREDENTIALS = {"authorization", "transfer-encoding", "expect"}  # and what is said of the body again
_DIAL_S = 30.0  # k8s.io/apiserver: the dialer's time-out
_SNIFFED = 512
_LARGEST_PAGE = 8 * 1024 * 1024
_KUBELET_PORT = "10250"
_UNREACHED = "error trying to reach service: "


async def serve(
    call: Call, registry: Registry, kubelet: Kubelet, chance: random.Random
) -> web.StreamResponse:
    """Answer as who is meant answers; StatusError if nobody does."""
    request, target = call.request, call.target
    if request.method not in _METHODS:
        raise MethodNotAllowed
    changes = changes_protocol(request)
    is_bare = not target.rest and not request.path.endswith("/")
    if is_bare and not changes and request.method in ("GET", "HEAD"):
        query = request.rel_url.raw_query_string
        where = f"{_quote(request.path)}/{'?' if query else ''}{query}"
        return web.Response(status=301, headers={"Location": where})
    if target.plural == "nodes":
        answer = await _answer_for_node(call, registry, kubelet)
        if changes:
            proxy_upgrades.require_consent(answer.status)
        return answer
    if target.plural == "pods":
        place = proxy_places.find_pod(registry, target.namespace, target.name)
    else:
        place = proxy_places.find_service(registry, target.namespace, target.name, chance)
    return await _hand_on(call, place)


def _find_path(call: Call) -> str:
    """The path of a request behind the proxy; what leads out of it stays at its root."""
    path = posixpath.normpath("/" + "/".join(call.target.rest))
    return path if path == "/" or not call.request.path.endswith("/") else f"{path}/"


def _quote(path: str) -> str:
    return quote(path, safe="/:@!$&'()*+,;=~-._")


def _find_before(call: Call) -> str:
    """The part of the path that leads to the proxy."""
    parts = [part for part in call.request.path.split("/") if part]
    return "/" + "/".join(parts[: len(parts) - len(call.target.rest)])


# --- Pods and Services


async def _hand_on(call: Call, place: Place) -> web.StreamResponse:
    request, path = call.request, _find_path(call)
    changes = changes_protocol(request)
    told = proxy_upgrades.refuse_dial if changes else _refuse
    port = f":{place.port}" if place.port else ""
    host = f"[{place.host}]" if ":" in place.host else place.host
    at = f"{place.host}:{place.port if place.port else {'http': 80, 'https': 443}[place.scheme]}"
    if port and not (place.port.isdecimal() and int(place.port) <= 65535):
        raise told(
            f"dial tcp: address {place.port}: invalid port"
            if place.port.isdecimal()
            else f"dial tcp: lookup tcp/{place.port}: unknown port"
        )
    query = "" if changes else request.rel_url.raw_query_string
    url = yarl.URL(f"{place.scheme}://{host}{port}{_quote(path)}{'?' if query else ''}{query}", encoded=True)
    connector = aiohttp.TCPConnector(limit=0, ssl=False)  # unverified, as a real API server does
    time = aiohttp.ClientTimeout(total=None, sock_connect=_DIAL_S)
    async with aiohttp.ClientSession(connector=connector, timeout=time, auto_decompress=False) as session:
        with _told(at, told):
            answer = await session.request(
                request.method,
                url,
                headers=_find_headers(call, changes=changes),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        async with answer:
            if changes:
                return await proxy_upgrades.hand_back(request, answer)
            return await _hand_back(call, answer)


def _refuse(why: str) -> StatusError:
    return unavailable(_UNREACHED + why)


def _find_headers(call: Call, *, changes: bool) -> CIMultiDict[str]:
    """What of a request's headers goes on, and what is added; with `changes`, those of the connection go on, too."""
    request, stay = call.request, _CREDENTIALS if changes else _HOPS
    headers = CIMultiDict(
        (key, value)
        for key, value in request.headers.items()
        if key.lower() not in stay and not key.lower().startswith("impersonate-")
    )
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    known = request.headers.get("X-Forwarded-For")
    came = [each for each in (known, peer[0] if peer else None) if each]
    headers["X-Forwarded-For"] = ", ".join(came)
    if not changes:
        headers["X-Forwarded-Uri"] = _quote(_find_before(call) + _find_path(call))
    return headers


async def _hand_back(call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Stream an answer to the client."""
    host, before = call.request.headers.get("Host", ""), _find_before(call)
    headers = CIMultiDict((key, value) for key, value in answer.headers.items() if key.lower() not in _HOPS)
    if "Location" in headers:
        headers["Location"] = rewriting.rewrite_link(headers["Location"], host, before)
    is_page = headers.get("Content-Type", "").startswith("text/html") and "Content-Encoding" not in headers
    if is_page and call.request.method != "HEAD" and (answer.content_length or 0) <= _LARGEST_PAGE:
        page = rewriting.rewrite_page((await answer.read()).decode("latin-1"), host, before).encode("latin-1")
        headers.popall("Content-Length", None)
        return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=page)
    pieces = aiter(answer.content.iter_any())
    first = await anext(pieces, b"")
    if "Content-Type" not in headers and first:
        headers["Content-Type"] = _sniff(first[:_SNIFFED])
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    if "Content-Length" not in headers and call.request.version >= (1, 1) and answer.status not in (204, 304):
        response.enable_chunked_encoding()
    await response.prepare(call.request)
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        if first:
            await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response
    # It broke off: the client is not to take what came for the whole.
    if call.request.transport is not None:
        call.request.transport.abort()
    return response


def _sniff(begin: bytes) -> str:
    """The media type of an answer that names none: text or not."""
    text = all(each >= 32 or each in b"\t\n\f\r\x1b" for each in begin)
    return "text/plain; charset=utf-8" if text else "application/octet-stream"


@contextlib.contextmanager
def _told(at: str, refuse: Callable[[str], StatusError]) -> Iterator[None]:
    """Tell why somebody is not reached, as Go's client tells it, by `refuse`."""
    try:
        yield
    except aiohttp.ClientConnectorSSLError as error:
        why = "tls: first record does not look like a TLS handshake"
        wrong = getattr(error.os_error, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
        raise refuse(why if wrong else f"tls: {error.os_error}") from error
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        text = os.strerror(number).lower() if number else str(error.os_error)
        raise refuse(f"dial tcp {at}: connect: {text}") from error
    except aiohttp.ServerTimeoutError as error:
        raise refuse(f"dial tcp {at}: i/o timeout") from error
    except aiohttp.ServerDisconnectedError as error:
        raise refuse("EOF") from error
    except (aiohttp.ClientError, OSError) as error:
        raise refuse(str(error)) from error


# --- Nodes


async def _answer_for_node(call: Call, registry: Registry, kubelet: Kubelet) -> web.Response:
    """Answer what a kubelet answers: that it is well, and which pods it has."""
    named = proxy_places.read_name("node", call.target.name)
    node = registry.get("nodes", None, named.name)
    addresses = node.get("status", {}).get("addresses", ())
    host = next((each["address"] for each in addresses if each["type"] == "InternalIP"), named.name)
    if named.port not in ("", _KUBELET_PORT):
        raise unavailable(f"{_UNREACHED}dial tcp {host}:{named.port}: connect: connection refused")
    try:
        async with asyncio.timeout(_DIAL_S):
            is_there = await kubelet.attend(named.name)
    except TimeoutError:
        raise unavailable(f"{_UNREACHED}dial tcp {host}:{_KUBELET_PORT}: i/o timeout") from None
    if not is_there:
        raise unavailable(f"{_UNREACHED}dial tcp: lookup {named.name}: no such host")
    path = _find_path(call)
    if path == "/healthz":
        return web.Response(text="ok")
    if path.rstrip("/") in ("/pods", "/runningpods"):
        pods = [each for each in registry.list("pods")[0] if each["spec"].get("nodeName") == named.name]
        if path.startswith("/runningpods"):
            pods = [_outline(each) for each in pods if each.get("status", {}).get("phase") == "Running"]
        bare = [
            {key: value for key, value in each.items() if key not in ("kind", "apiVersion")} for each in pods
        ]
        listing = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": bare}
        return web.Response(body=orjson.dumps(listing), content_type="application/json")
    raise PlainError("404 page not found\n", 404)


def _outline(pod: Object) -> Object:
    """A pod as a container run-time knows it."""
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
    containers = [
        {"name": each["name"], "image": each["image"], "resources": {}} for each in pod["spec"]["containers"]
    ]
    return {"metadata": metadata, "spec": {"containers": containers}, "status": {}}
