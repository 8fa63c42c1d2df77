"""Watches: the events of a subscription, filtered and written as they come.

The rule it keeps: a client that applies what it is sent to what it listed has exactly what matches its selector: an
object that starts to match comes as ADDED, one that stops as DELETED. Bookmarks tell it how far it is.

Sources: k8s.io/apiserver pkg/endpoints/handlers/watch.go, pkg/storage/cacher.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable

import orjson

from simcluster.apiserver.list_options import ListOptions
from simcluster.errors import StatusError
from simcluster.registry import Event, Object, Subscription
from simcluster.schema import Resource
from simcluster.selectors import Selector
from simcluster.store import Key, Record

BOOKMARK_S = 60.0
# What follows the last piece sooner than this waits for the rest of it and is sent with what comes meanwhile: to wake
# a reader costs more than to write for it.
TOGETHER_S = 0.002
_BEFORE_END_S = 2.0
# Where a client sets no time-out: between these, at random.
SHORTEST_S, LONGEST_S = 1800.0, 3600.0

# Writes the object of an event: type, record -> the line's JSON.
Encoder = Callable[[str, Record], bytes]


def encode_plain(event_type: str, record: Record) -> bytes:
    """Return an event with its whole object."""
    return b'{"type":"' + event_type.encode() + b'","object":' + record.encoded + b"}\n"


def translate(event: Event, selector: Selector) -> tuple[str, Record] | None:
    """Return the event as somebody sees it who sees only what matches, or None if he sees nothing."""
    if selector.everything:
        return event.type, event.record
    was = event.previous is not None and selector.matches(event.previous.object)
    if event.type == "DELETED":
        return ("DELETED", event.record) if was or selector.matches(event.object) else None
    now = selector.matches(event.object)
    if now:
        return ("MODIFIED" if was else "ADDED"), event.record
    if was and event.previous is not None:
        return "DELETED", _last_matching(event.previous, event.revision)
    return None


def _last_matching(previous: Record, revision: int) -> Record:
    """Return the last state that matched, with the revision at which it stopped to."""
    metadata = {**previous.object["metadata"], "resourceVersion": str(revision)}
    return Record(previous.key, {**previous.object, "metadata": metadata}, revision)


class Feed:
    """The lines of one watch: `present` first, as ADDED, then what comes; ends after the time-out or when cut.

    `since` is the revision that it begins after, that of `present` where there is any; `revision` gives that of the
    newest write, which is where a reader is who has been sent all there is.
    """

    def __init__(
        self,
        kind: Resource,
        subscription: Subscription,
        options: ListOptions,
        encode: Encoder,
        *,
        present: Iterable[Record],
        since: int,
        revision: Callable[[], int],
        chance: random.Random,
    ) -> None:
        self._kind = kind
        self._subscription = subscription
        self._options = options
        self._encode = encode
        self._present = present
        self._since = since
        self._revision = revision
        asked = options.timeout_s
        self._lasts_s = chance.uniform(SHORTEST_S, LONGEST_S) if not asked else float(asked)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield what there is to send, as it comes; one piece may hold several lines."""
        loop = asyncio.get_running_loop()
        end_at = loop.time() + self._lasts_s
        begin = self._begin()
        if begin:
            yield begin
        bookmark_at = self._next_bookmark(loop.time(), end_at)
        sent_at = -TOGETHER_S
        while True:
            try:
                async with asyncio.timeout_at(min(end_at, bookmark_at)):
                    events = [await anext(self._subscription)]
            except TimeoutError:
                if loop.time() >= end_at:
                    return
                yield self._bookmark(self._revision())
                bookmark_at = self._next_bookmark(loop.time(), end_at)
                continue
            except StopAsyncIteration:
                return
            except StatusError as error:
                yield encode_error(error)
                return
            await _wait_until(sent_at + TOGETHER_S)
            piece = self._write(events + self._subscription.take())
            if piece:
                sent_at = loop.time()
                yield piece

    def _begin(self) -> bytes:
        selector = self._options.selector
        lines = [self._encode("ADDED", each) for each in self._present if selector.matches(each.object)]
        if self._options.initial_events and self._options.bookmarks:
            lines.append(self._bookmark(self._since, initial=True))
        return b"".join(lines)

    def _write(self, events: list[Event]) -> bytes:
        selector, since = self._options.selector, self._since
        seen = (translate(event, selector) for event in events if event.revision > since)
        return b"".join(self._encode(*each) for each in seen if each is not None)

    def _next_bookmark(self, now: float, end_at: float) -> float:
        if not self._options.bookmarks:
            return end_at
        last_at = end_at - _BEFORE_END_S
        return min(now + BOOKMARK_S, last_at if last_at > now else end_at)

    def _bookmark(self, revision: int, *, initial: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return self._encode("BOOKMARK", Record(Key(self._kind.name, "", ""), obj, revision))


async def _wait_until(instant_at: float) -> None:
    delay_s = instant_at - asyncio.get_running_loop().time()
    if delay_s > 0:
        await asyncio.sleep(delay_s)


def encode_error(error: StatusError) -> bytes:
    """Return the event that tells a watcher why its watch ends."""
    return orjson.dumps({"type": "ERROR", "object": error.as_object()}, option=orjson.OPT_APPEND_NEWLINE)
