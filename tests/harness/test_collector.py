"""Following the log of a client over breaks, against a server that breaks off.

Nothing lost, nothing counted twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from harness.collector import collect
from harness.errors import ApiError
from harness.history import BadLine, Call, Note
from harness.kube import Kube
from harness.scene import Scene

CLIENT: dict[str, Any] = {
    "metadata": {
        "name": "client-1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": "client"},
    },
    "status": {"containerStatuses": [{"name": "client", "restartCount": 0, "state": {"running": {}}}]},
}


def line(seq: int) -> str:
    """A sample as a client prints it."""
    found = {"v": 1, "variant": "pool", "seq": seq, "sent_at": 100.0 + seq, "latency_s": 0.1, "code": "OK"}
    return json.dumps({**found, "pod": "a", "peer": None})


class Breaking:
    """A connection whose log breaks off.

    What each opening gives, an error to raise at its end, and what was asked.
    """

    def __init__(self, *openings: tuple[list[str], Exception | None]) -> None:
        self._openings = list(openings)
        self.asked: list[dict[str, str]] = []

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """One client pod, and then nothing more."""
        yield "LIST", [CLIENT] if path.endswith("pods") else []
        await asyncio.Event().wait()

    @asynccontextmanager
    async def lines(self, path: str, **query: str) -> AsyncIterator[AsyncIterator[str]]:
        """The next opening of the log; the last one stays open."""
        self.asked.append(query)
        texts, error = self._openings.pop(0)

        async def read() -> AsyncIterator[str]:
            for text in texts:
                yield text
            if error is not None:
                raise error
            await asyncio.Event().wait()

        yield read()


def follow(connection: Breaking, samples: int) -> Scene:
    """The scene once so many samples have arrived."""
    scene = Scene(lambda: 1_000.0)

    async def play() -> None:
        async with collect(cast(Kube, connection), "night", scene):
            await scene.until(
                lambda: sum(isinstance(each, Call) for each in scene.records) >= samples, 10, str
            )

    asyncio.run(play())
    return scene


def test_a_log_that_breaks_off() -> None:
    """It is read again from before its last line.

    What had arrived counts once, and the break is noted once.
    """
    connection = Breaking(
        ([line(0), line(1)], ConnectionResetError("reset")),
        ([], ApiError(500, "", "away", request="GET log")),
        ([line(1), line(2)], None),
    )

    scene = follow(connection, 3)

    assert [each.sample.seq for each in scene.records if isinstance(each, Call)] == [0, 1, 2]
    assert [each.text for each in scene.records if isinstance(each, Note)] == [
        "the log of client-1 broke off: reset"
    ]
    assert [query.get("sinceTime") for query in connection.asked] == [
        None,
        "1970-01-01T00:16:30Z",
        "1970-01-01T00:16:30Z",
    ]


def test_a_sample_of_another_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts for nobody: the pod's label says what it measures, and one of the two is wrong."""
    labels = {"app": "client", "kube-grpc.dev/variant": "pool"}
    monkeypatch.setitem(CLIENT["metadata"], "labels", labels)
    connection = Breaking(([line(0).replace('"pool"', '"clusterip"'), line(1)], None))

    scene = follow(connection, 1)

    assert [each.sample.seq for each in scene.records if isinstance(each, Call)] == [1]
    assert [each.reason for each in scene.records if isinstance(each, BadLine)] == [
        'variant "clusterip", where the pod is labelled "pool"'
    ]


def test_a_log_that_can_not_be_opened_at_first() -> None:
    """It is then read from its beginning, so that no early sample is lost."""
    connection = Breaking(([], ConnectionResetError("reset")), ([line(0)], None))

    follow(connection, 1)

    assert [query.get("sinceTime") for query in connection.asked] == [None, None]
