"""Requests against a cluster, as a program makes them: many at once over kept connections, and watches beside them.

The rule it keeps: the same client for every cluster, so that its own cost is on both sides of each comparison.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import orjson

from benchmarks.clusters import Running

PODS = "/api/v1/namespaces/default/pods"


@contextlib.asynccontextmanager
async def connect(cluster: Running, *, connections: int = 0) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with at most so many connections (0: as many as wanted)."""
    connector = aiohttp.TCPConnector(ssl=cluster.tls, limit=connections)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(
        cluster.url, connector=connector, headers=cluster.headers, timeout=timeout
    ) as session:
        yield session


async def send(
    session: aiohttp.ClientSession, method: str, path: str, body: Any = None, **more: Any
) -> bytes:
    """Send one request and return its answer's body; RuntimeError with the answer if it is refused."""
    data = None if body is None else orjson.dumps(body)
    headers = {"Content-Type": more.pop("content_type", "application/json")}
    async with session.request(method, path, data=data, headers=headers, **more) as answer:
        read = await answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {read.decode(errors='replace')[:300]}")
        return read


async def do_all(work: Iterable[Callable[[], Awaitable[object]]], *, at_once: int) -> float:
    """Do all of it, so many at once; returns how long it took in seconds."""
    waiting = iter(list(work))

    async def worker() -> None:
        for each in waiting:
            await each()

    begun_at = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    return time.perf_counter() - begun_at


async def follow(
    session: aiohttp.ClientSession, path: str, query: dict[str, str]
) -> AsyncGenerator[bytes, None]:
    """The lines of a watch, as they come; a line may be long."""
    rest = b""
    async with session.get(path, params={"watch": "1", **query}) as answer:
        if answer.status != 200:
            raise RuntimeError(f"watch {path}: {answer.status} {(await answer.read())[:300]!r}")
        async for piece in answer.content.iter_any():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line


async def read_revision(session: aiohttp.ClientSession, path: str) -> str:
    """The resourceVersion to begin a watch at."""
    page = orjson.loads(await send(session, "GET", path, params={"limit": "1"}))
    revision: str = page["metadata"]["resourceVersion"]
    return revision
