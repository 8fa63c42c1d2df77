"""Requests for a change of protocol (WebSocket and others) that a proxy hands on to pods and Services.

The rules it keeps: headers go on as they came, but for credentials; the backend's consent goes back byte by byte, and
from then on both directions are copied, until one of the two ends. A backend that neither consents nor refuses is a
failure. As on a real server, the query goes no further.

Source: k8s.io/apimachinery pkg/util/proxy/upgradeaware.go.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from simcluster.apiserver.switching import Switched, take_over
from simcluster.errors import StatusError

_BLOCK = 64 * 1024
_LAST_WORDS_S = 1.0  # for what a client said before it went
_OF_A_BODY = ("connection", "content-length", "transfer-encoding")


def refuse_dial(why: str) -> StatusError:
    """Return the refusal for somebody who was not reached."""
    return _fail("unexpected EOF" if why == "EOF" else f"error dialing backend: {why}")


def require_consent(status: int) -> None:
    """StatusError if a backend's answer is neither a consent nor a refusal."""
    if status != 101 and status < 400:
        raise _fail(f"invalid upgrade response: status code {status}")


def _fail(message: str) -> StatusError:
    return StatusError(message, code=500, reason="")


async def hand_back(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Pass a backend's answer to a request for a change of protocol on, and what follows it."""
    require_consent(answer.status)
    if answer.status != 101:
        headers = CIMultiDict(
            (key, value) for key, value in answer.headers.items() if key.lower() not in _OF_A_BODY
        )
        refused = web.Response(
            status=answer.status, reason=answer.reason, headers=headers, body=await answer.read()
        )
        refused.force_close()
        return refused
    connection = answer.connection
    if connection is None:
        raise _fail("unexpected EOF")
    reader, writer = take_over(connection.transport, connection.protocol, None)
    lines = b"".join(key + b": " + value + b"\r\n" for key, value in answer.raw_headers)
    switched = Switched(request, f"HTTP/1.1 101 {answer.reason}\r\n".encode() + lines + b"\r\n")
    await _copy_both(switched, reader, writer)
    return switched


async def _copy_both(client: Switched, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there = asyncio.create_task(_copy(client.reader, writer))
    back = asyncio.create_task(_copy(reader, client.writer))
    try:
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not back.done():
            # The client has gone; what it said last may still be on its way.
            await asyncio.wait({there}, timeout=_LAST_WORDS_S)
        for task in (there, back):
            task.cancel()
        for each in (writer, client.writer):
            each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
