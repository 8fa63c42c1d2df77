"""The pieces that a watch is sent in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import orjson

from simcluster import schema
from simcluster.apiserver.list_options import read_list_options
from simcluster.apiserver.watching import Feed, encode_plain
from simcluster.registry import Subscription
from simcluster.store import Key, Store

CHANGES = 40


def write(store: Store, number: int) -> None:
    """Another state of the same object."""
    store.put(Key("pods", "a", "x"), {"metadata": {"name": "x"}, "number": number})


def follow(store: Store) -> tuple[AsyncIterator[bytes], Subscription]:
    """The pieces of a watch from now on, and what ends it."""
    subscription = Subscription(store, "pods", None, ())
    kind = schema.load().of_kind("v1", "Pod")
    assert kind is not None
    options = read_list_options({"resourceVersion": "1"}, "pods", watch=True)
    feed = Feed(
        kind, subscription, options, encode_plain,
        present=(), since=store.revision, revision=lambda: store.revision, chance=random.Random(1),
    )  # fmt: skip
    return feed.lines(), subscription


def test_what_comes_close_together_is_sent_together() -> None:
    """All of it and in order, in fewer pieces than changes, though each came by itself."""

    async def run() -> list[bytes]:
        store = Store()
        pieces, subscription = follow(store)

        async def change() -> None:
            for number in range(CHANGES):
                write(store, number)
                await asyncio.sleep(0)
            subscription.close()

        changing = asyncio.create_task(change())
        found = [piece async for piece in pieces]
        await changing
        return found

    found = asyncio.run(run())
    lines = [orjson.loads(line) for piece in found for line in piece.splitlines()]
    assert [line["object"]["number"] for line in lines] == list(range(CHANGES))
    assert len(found) < CHANGES / 4


def test_a_change_by_itself_waits_for_nothing() -> None:
    """A piece that follows no other is there as soon as everybody has had a turn."""

    async def run() -> bytes:
        store = Store()
        pieces, subscription = follow(store)
        piece: asyncio.Task[bytes] = asyncio.create_task(anext(pieces))  # type: ignore[arg-type]  # a coroutine
        await asyncio.sleep(0)
        write(store, 1)
        for _ in range(3):
            await asyncio.sleep(0)
        assert piece.done()
        subscription.close()
        return piece.result()

    assert orjson.loads(asyncio.run(run()))["object"]["number"] == 1
