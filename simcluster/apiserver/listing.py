"""Lists: selectors, pages that hang together, revisions, and writing ten thousand objects quickly.

The rule it keeps: all pages of one list show one revision; when that is gone the client is told so (410) and given a
token to go on with what is there now.

Sources: k8s.io/apiserver pkg/endpoints/handlers/get.go, pkg/storage/continue.go; apimachinery
pkg/apis/meta/internalversion/validation.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from simcluster.apiserver.bodies import read_flag, read_integer
from simcluster.errors import (
    BadRequest,
    Cause,
    ContinueExpired,
    Expired,
    Invalid,
    TooLargeVersion,
    forbidden,
    unsupported,
)
from simcluster.registry import Registry
from simcluster.schema import Resource
from simcluster.selectors import Selector, parse
from simcluster.store import Event, Record

# How long a request for a future revision is kept waiting, as in the watch cache.
PATIENCE_S = 3.0
_MATCHES = ("Exact", "NotOlderThan", "")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or watch asks for; `revision` is None if it says nothing."""

    selector: Selector
    limit: int = 0
    token: str = ""
    revision: int | None = None
    match: str = ""
    bookmarks: bool = False
    initial_events: bool = False
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one: `token` asks for what follows; `remaining` is None where it is not known."""

    records: list[Record]
    revision: int
    token: str = ""
    remaining: int | None = None


def read_list_options(query: Mapping[str, str], resource: str, *, watch: bool) -> ListOptions:
    """Read a query; BadRequest or Invalid with the real text."""
    said = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    initial = read_flag(query, "sendInitialEvents")
    faults = _find_faults(said, match, watch=watch, initial="sendInitialEvents" in query)
    if faults:
        raise Invalid("ListOptions.meta.k8s.io", "", faults)
    if said and not (said.isascii() and said.isdigit()):
        text = f'strconv.ParseUint: parsing "{said}": invalid syntax'
        raise BadRequest(f'invalid resource version: resourceVersion: Invalid value: "{said}": {text}')
    limit = read_integer(query, "limit")
    return ListOptions(
        selector=parse(query.get("labelSelector", ""), query.get("fieldSelector", ""), resource),
        limit=0 if limit is None else max(limit, 0),
        token=query.get("continue", ""),
        revision=int(said) if said else None,
        match=match,
        bookmarks=read_flag(query, "allowWatchBookmarks"),
        initial_events=initial,
        timeout_s=read_integer(query, "timeoutSeconds"),
    )


def _find_faults(revision: str, match: str, *, watch: bool, initial: bool) -> list[Cause]:
    field = "resourceVersionMatch"
    if initial and not watch:
        return [forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if initial and match != "NotOlderThan":
        return [forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")]
    if match not in _MATCHES:
        return [unsupported(field, match, _MATCHES)]
    if watch and match and not initial:
        return [
            forbidden(
                field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
        ]
    if match and not watch and not revision:
        return [forbidden(field, f"{field} is forbidden unless resourceVersion is provided")]
    if match == "Exact" and revision == "0":
        return [forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"')]
    return []


async def wait_for_revision(registry: Registry, revision: int) -> None:
    """Return once the store has reached a revision; TooLargeVersion if it does not in time."""
    if registry.revision >= revision:
        return
    reached = asyncio.get_running_loop().create_future()

    def notice(event: Event) -> None:
        if event.revision >= revision and not reached.done():
            reached.set_result(None)

    stop = registry.store.listen(None, notice)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await reached
    except TimeoutError as error:
        raise TooLargeVersion(revision, registry.revision) from error
    finally:
        stop()


async def select_page(
    registry: Registry, kind: Resource, namespace: str | None, options: ListOptions
) -> Page:
    """Return the objects that a list asks for."""
    if options.token:
        return _continue(registry, kind, namespace, options)
    if options.revision is not None:
        await wait_for_revision(registry, options.revision)
    store = registry.store
    if options.match == "Exact" and options.revision is not None:
        revision, records = options.revision, store.list_at(kind.name, namespace, options.revision)
    else:
        revision, records = store.revision, store.list(kind.name, namespace)
    return _cut(records, revision, options)


def _continue(registry: Registry, kind: Resource, namespace: str | None, options: ListOptions) -> Page:
    revision, start = _read_token(options.token)
    store = registry.store
    try:
        if revision == -1:
            revision, records = store.revision, store.list(kind.name, namespace)
        else:
            records = store.list_at(kind.name, namespace, revision)
    except Expired as error:
        raise ContinueExpired(_write_token(-1, start)) from error
    # One text, not two values: so the order is that of the keys, in which the list is.
    rest = [record for record in records if (record.key.namespace, record.key.name) > start]
    return _cut(rest, revision, options)


def _cut(records: list[Record], revision: int, options: ListOptions) -> Page:
    selector = options.selector
    if not selector.everything:
        records = [record for record in records if selector.matches(record.object)]
    if not options.limit or len(records) <= options.limit:
        return Page(records, revision)
    last = records[options.limit - 1].key
    remaining = len(records) - options.limit if selector.everything else None
    token = _write_token(revision, (last.namespace, last.name))
    return Page(records[: options.limit], revision, token, remaining)


def _write_token(revision: int, after: tuple[str, str]) -> str:
    start = f"{after[0]}/{after[1]}\0"
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        held = orjson.loads(text)
        namespace, _, name = held["start"].removesuffix("\0").partition("/")
        revision = int(held["rv"])
    except (ValueError, binascii.Error, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from error
    if revision < -1 or held.get("v") != "meta.k8s.io/v1":
        raise BadRequest(
            "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion"
        )
    return revision, (namespace, name)


def encode_list(kind: Resource, page: Page) -> bytes:
    """Return a page as the JSON of its `…List`; items go without kind and version, as a real server writes them."""
    lead = orjson.dumps({"kind": kind.kind, "apiVersion": kind.api_version})[:-1] + b","
    cut = len(lead)
    items = b",".join(_item(record.encoded, lead, cut) for record in page.records)
    metadata: dict[str, object] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
    return orjson.dumps(head)[:-1] + b',"items":[' + items + b"]}"


def _item(encoded: bytes, lead: bytes, cut: int) -> bytes:
    if encoded.startswith(lead):
        return b"{" + encoded[cut:]
    bare = orjson.loads(encoded)
    bare.pop("kind", None)
    bare.pop("apiVersion", None)
    return orjson.dumps(bare)
