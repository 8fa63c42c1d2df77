"""The streams of a remote command on a SPDY connection, as numbered channels.

The rules it keeps: nothing begins before the client has opened as many streams as it asked for; a command's outputs
end before it is said how it ended. Streams of unknown types are agreed to and passed over.

Source: k8s.io/cri-streaming pkg/streaming/remotecommand/httpstream.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

from aiohttp import web

from simcluster.apiserver import spdy
from simcluster.apiserver.channels import ERROR, OLD, RESIZE, STDERR, STDIN, STDOUT, V4, Frame
from simcluster.apiserver.remote import Wanted
from simcluster.apiserver.spdy_session import Event, Plain, Session, negotiate, open_plain
from simcluster.apiserver.switching import Switched

_V3, _V2 = "v3.channel.k8s.io", "v2.channel.k8s.io"
_PROTOCOLS = (V4, _V3, _V2, OLD)
_RESIZING = (V4, _V3)
_TYPES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
_OPENING_S = 30.0
_MOST_EARLY = 50  # pieces that may come before the last stream is opened


class SpdyChannels:
    """One connection with a stream for each channel, from `open` to `close`."""

    def __init__(self, request: web.BaseRequest) -> None:
        self.protocol = negotiate(request, _PROTOCOLS, says_twice=True)
        self._request = request
        self._streams: dict[int, int] = {}  # by channel
        self._channels: dict[int, int] = {}  # by stream
        self._unended: set[int] = set()
        self._early: deque[Frame] = deque()

    @property
    def response(self) -> Switched:
        """The answer to the request that asked for the connection; there is none before `open`."""
        return self._switched

    async def open(self, wanted: Wanted) -> bool:
        """Upgrade the connection and wait for its streams; False if they do not come, and then nothing is open."""
        self._switched = open_plain(self._request, self.protocol)
        self._session = Session(Plain(self._switched))
        self._events = self._session.events()
        missing = 1 + wanted.stdin + wanted.stdout + wanted.stderr
        missing += wanted.tty and self.protocol in _RESIZING
        try:
            async with asyncio.timeout(_OPENING_S):
                async for event in self._events:
                    self._early.extend(await self._take(event))
                    missing -= isinstance(event, spdy.Opened) and event.stream in self._channels
                    if missing == 0 or len(self._early) > _MOST_EARLY:
                        break
            if missing:
                await self.close()
            elif self.protocol == OLD:
                # The first version ends its input at once and gives the error stream up, but writes to it.
                await self._end(STDIN)
                await self._reset(*(self._streams[each] for each in (ERROR,) if each in self._streams))
        except (TimeoutError, ConnectionError):
            self._switched.writer.close()
            return False
        return not missing

    async def _take(self, event: Event) -> list[Frame]:
        """Return what an event means on the channels."""
        stream, frames = event.stream, []
        if isinstance(event, spdy.Opened):
            channel = _TYPES.get(spdy.find_header(event, "streamtype"))
            if channel is not None:
                self._streams[channel], self._channels[stream] = stream, channel
            self._unended.add(stream)
            await self._session.send(spdy.Answered(stream, {}))
        channel = self._channels.get(stream)
        if isinstance(event, spdy.Reset):
            self._unended.discard(stream)
        if channel is not None:
            if isinstance(event, spdy.Data) and event.data:
                frames.append(Frame(channel, event.data))
            if isinstance(event, spdy.Reset) or event.is_last:
                frames.append(Frame(channel, None))
        return frames

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Yield what the client sends until it is gone."""
        async with contextlib.aclosing(self._events):
            while self._early:
                yield self._early.popleft()
            async for event in self._events:
                for frame in await self._take(event):
                    yield frame

    async def send(self, channel: int, data: bytes) -> None:
        """Send data; returns when the client's side has room for it. What the client opened no stream for is lost."""
        stream = self._streams.get(channel)
        if stream is not None and data:
            await self._session.send(spdy.Data(stream, data))

    async def end_output(self) -> None:
        """Say that the command writes no more."""
        for channel in (STDOUT, STDERR):
            await self._end(channel)

    async def _end(self, channel: int) -> None:
        stream = self._streams.get(channel)
        if stream in self._unended:
            self._unended.discard(stream)
            await self._session.send(spdy.Data(stream, b"", is_last=True))

    async def _reset(self, *streams: int) -> None:
        self._unended.difference_update(streams)
        await self._session.send(*(spdy.Reset(each, spdy.CANCEL) for each in streams))

    async def close(self) -> None:
        """End the connection in order."""
        await self._reset(*sorted(self._unended))
        await self._session.send(self._session.goodbye)
        self._switched.writer.close()
