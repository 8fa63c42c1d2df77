"""Lists: selectors, pages that hang together, revisions, and writing ten thousand objects quickly.

The rule it keeps: all pages of one list show one revision; when that is gone the client is told so (410) and given a
token to go on with what is there now.

Sources: k8s.io/apiserver pkg/endpoints/handlers/get.go, pkg/storage/cacher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import orjson

from simcluster.apiserver.continuing import NEWEST, read_token, write_token
from simcluster.apiserver.list_options import ListOptions
from simcluster.errors import BadRequest, ContinueExpired, Expired, ListExpired, TooLargeVersion
from simcluster.registry import Registry
from simcluster.schema import Resource
from simcluster.store import Event, Key, Record

# How long a request for a future revision is kept waiting, as in the watch cache.
PATIENCE_S = 3.0
# So many objects are written at once: a long list is never in memory as a whole.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one: `token` asks for what follows; `remaining` is None where it is not known."""

    records: list[Record]
    revision: int
    token: str = ""
    remaining: int | None = None


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
        return await _continue(registry, kind, namespace, options)
    if options.revision:
        await wait_for_revision(registry, options.revision)
        # Pages of a revision that is named are of just that one, as before there was resourceVersionMatch.
        if options.match == "Exact" or (options.limit and not options.match):
            try:
                records = registry.store.list_at(kind.name, namespace, options.revision)
            except Expired as error:
                raise ListExpired from error
            return _cut(records, options.revision, options, namespace)
    if options.revision == 0:
        # What a cache may answer comes whole.
        options = replace(options, limit=0)
    return _cut(registry.store.list(kind.name, namespace), registry.revision, options, namespace)


async def _continue(registry: Registry, kind: Resource, namespace: str | None, options: ListOptions) -> Page:
    revision, start = read_token(options.token)
    if options.revision:
        raise BadRequest("specifying resource version is not allowed when using continue")
    store = registry.store
    if revision < 0:
        revision, records = registry.revision, store.list(kind.name, namespace)
    else:
        await wait_for_revision(registry, revision)
        try:
            records = store.list_at(kind.name, namespace, revision)
        except Expired as error:
            raise ContinueExpired(write_token(NEWEST, start)) from error
    rest = [record for record in records if _path(record.key, namespace) >= start]
    return _cut(rest, revision, options, namespace)


def _path(key: Key, namespace: str | None) -> str:
    """A key relative to what is listed: a namespace, or all of a kind."""
    return f"/{key.name}" if namespace is not None or not key.namespace else f"/{key.namespace}/{key.name}"


def _cut(records: list[Record], revision: int, options: ListOptions, namespace: str | None) -> Page:
    selector = options.selector
    if not selector.everything:
        records = [record for record in records if selector.matches(record.object)]
    if not options.limit or len(records) <= options.limit:
        return Page(records, revision)
    last = records[options.limit - 1].key
    remaining = len(records) - options.limit if selector.everything else None
    token = write_token(revision, _path(last, namespace) + "\0")
    return Page(records[: options.limit], revision, token, remaining)


def list_metadata(page: Page) -> dict[str, object]:
    """Return the metadata of the list, or Table, that shows a page."""
    metadata: dict[str, object] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    return metadata


def encode_list(kind: Resource, page: Page) -> Iterator[bytes]:
    """Yield the JSON of a page's `…List` in pieces; items go without kind and version, as a real server writes them."""
    lead = orjson.dumps({"kind": kind.kind, "apiVersion": kind.api_version})[:-1] + b","
    cut = len(lead)
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": list_metadata(page)}
    before = orjson.dumps(head)[:-1] + b',"items":['
    for batch in (page.records[at : at + _BATCH] for at in range(0, len(page.records), _BATCH)):
        yield before + b",".join(_item(record.encoded, lead, cut) for record in batch)
        before = b","
    yield b"]}" if page.records else before + b"]}"


def _item(encoded: bytes, lead: bytes, cut: int) -> bytes:
    if encoded.startswith(lead):
        return b"{" + encoded[cut:]
    bare = orjson.loads(encoded)
    bare.pop("kind", None)
    bare.pop("apiVersion", None)
    return orjson.dumps(bare)
