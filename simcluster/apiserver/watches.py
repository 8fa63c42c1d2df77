"""The verb watch: what a watch begins with, the streams that are open, and what faults do to them.

The rules it keeps: a watch without a revision begins with what is there; one from a revision that is gone ends with 410
inside a good answer; one from a revision to come waits for it. A stream that is stalled gets nothing and no end, until
it is told to go on; then what it missed comes. What the events are is `watching`'s part.

Source: k8s.io/apiserver pkg/endpoints/handlers/watch.go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from aiohttp import web

from simcluster.apiserver import forms, tables
from simcluster.apiserver.answers import Form, choose_form
from simcluster.apiserver.calls import Call
from simcluster.apiserver.list_options import ListOptions, read_list_options
from simcluster.apiserver.listing import wait_for_revision
from simcluster.apiserver.watching import Encoder, Feed, encode_error, encode_plain
from simcluster.errors import StatusError
from simcluster.faults.requests import Facts, RequestFaults
from simcluster.registry import Registry, Subscription
from simcluster.selectors import FieldTerm, Selector

_TRANSFORMS = ("Table", "PartialObjectMetadata")


@dataclass(eq=False, slots=True)
class Stream:
    """One open watch. `facts` are None for the owner's own, which faults leave alone."""

    facts: Facts | None
    request: web.BaseRequest
    subscription: Subscription | None = None
    last_word: bytes = b""
    stalls: int = 0
    _moving: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, last_word: bytes = b"") -> None:
        """End it as a server does, after what has come already and `last_word`."""
        self.last_word = last_word
        if self.subscription is not None:
            self.subscription.close()

    def cut(self) -> None:
        """Break its connection off."""
        if self.request.transport is not None:
            self.request.transport.abort()

    def stall(self) -> None:
        """Send nothing from now on."""
        self.stalls += 1
        self._moving.clear()

    def resume(self) -> None:
        """Send again, unless it is stalled for another reason, too."""
        self.stalls = max(0, self.stalls - 1)
        if not self.stalls:
            self._moving.set()

    async def wait(self) -> None:
        """Return when something may be sent."""
        while self.stalls:
            await self._moving.wait()


class Watches:
    """All open watches. `chance` spreads the ends of those that set none."""

    def __init__(self, registry: Registry, chance: random.Random, faults: RequestFaults) -> None:
        self._registry = registry
        self._chance = chance
        self._faults = faults
        self._open: set[Stream] = set()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def close(self) -> None:
        """End all of them."""
        for stream in tuple(self._open):
            stream.end()

    def find(self, covers: Callable[[Facts], bool]) -> list[Stream]:
        """Return the open ones that a fault hits."""
        return [stream for stream in self._open if stream.facts is not None and covers(stream.facts)]

    async def watch(self, call: Call) -> web.StreamResponse:
        """Stream what happens to the objects that match."""
        form = choose_form(call.accept, _TRANSFORMS, forms.WATCHES)
        options = _only_named(call, read_list_options(call.query, call.target.resource, watch=True))
        stream = Stream(call.facts, call.request)
        if stream.facts is not None and self._faults.stalls(stream.facts):
            stream.stall()
        # Before the answer begins: who has seen its head misses nothing that comes after.
        pieces = self._disturb(stream, await self._begin(call, options, self._encoder(call, form), stream))
        kind = forms.JSON
        if forms.choose(call.accept) == "protobuf":
            pieces, kind = forms.translate_events(pieces, call.protobuf), forms.WATCHES[1]
        headers = {"Content-Type": kind, "Cache-Control": "no-cache, private"} | call.warning_headers()
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        self._open.add(stream)
        try:
            await response.prepare(call.request)
            async for piece in pieces:
                await stream.wait()
                await response.write(piece)
            await stream.wait()
            if stream.last_word:
                await response.write(stream.last_word)
            await response.write_eof()
        finally:
            self._open.discard(stream)
            stream.end()
        return response

    async def _begin(
        self, call: Call, options: ListOptions, encode: Encoder, stream: Stream
    ) -> AsyncIterator[bytes]:
        """Return the lines of a watch."""
        registry, revision = self._registry, options.revision
        try:
            if options.initial_events and revision:
                await wait_for_revision(registry, revision)
            since = registry.revision if options.initial_events or not revision else revision
            namespace, resource = call.target.namespace, call.target.resource
            present = registry.store.list(resource, namespace) if options.initial_events else []
            stream.subscription = registry.watch(resource, namespace, min(since, registry.revision))
        except StatusError as error:
            return _only(encode_error(error))
        feed = Feed(
            call.kind, stream.subscription, options, encode, present=present, since=since,
            revision=lambda: registry.revision, chance=self._chance,
        )  # fmt: skip
        return feed.lines()

    async def _disturb(self, stream: Stream, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the lines as the faults that hold by then have them: late, or several times."""
        async for piece in pieces:
            facts = stream.facts
            late_s = 0.0 if facts is None else self._faults.lateness_s(facts)
            if late_s > 0:
                await asyncio.sleep(late_s)
            times = 1 if facts is None else self._faults.times(facts)
            yield piece if times == 1 else b"".join(line * times for line in piece.splitlines(keepends=True))

    def _encoder(self, call: Call, form: Form) -> Encoder:
        if form.transform == "Table":
            included = tables.check_included(call.query.get("includeObject", ""))
            return tables.table_encoder(call.kind, now=self._registry.clock, included=included)
        return tables.partial_encoder(form.version) if form.transform else encode_plain


async def _only(line: bytes) -> AsyncIterator[bytes]:
    yield line


def _only_named(call: Call, options: ListOptions) -> ListOptions:
    """Narrow a watch on one name, as a path can ask for it, to that name."""
    if not call.target.name:
        return options
    named = FieldTerm("metadata.name", call.target.name, equal=True)
    selector = options.selector
    return replace(options, selector=Selector(selector.labels, (*selector.fields, named)))
