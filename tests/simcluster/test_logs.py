"""Container logs: the file's format, selections, and followers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.kubelet.logs import ContainerLog, Selection


class Clock:
    """Seconds since the epoch, one more at each look."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def make(tmp_path: Path) -> ContainerLog:
    return ContainerLog(tmp_path / "log", Clock())


async def collect(log: ContainerLog, **selection: Any) -> bytes:
    return b"".join([piece async for piece in log.read(Selection(**selection))])


def read(log: ContainerLog, **selection: Any) -> bytes:
    return asyncio.run(collect(log, **selection))


def test_file_has_the_format_of_container_runtimes(tmp_path: Path) -> None:
    """Time to the nanosecond, stream, whole or partial, text; streams do not mix within a line."""
    log = make(tmp_path)
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"error\n")
    log.write("stdout", b"o\nrest")
    log.close()
    assert log.path.read_bytes().decode().splitlines() == [
        "1970-01-12T13:46:41.000000000Z stdout F one",
        "1970-01-12T13:46:42.000000000Z stderr F error",
        "1970-01-12T13:46:43.000000000Z stdout F two",
        "1970-01-12T13:46:44.000000000Z stdout F rest",
    ]


@pytest.mark.parametrize(
    ("selection", "shown"),
    [
        ({}, b"1\n2\n3\n4\n"),
        ({"tail_lines": 2}, b"3\n4\n"),
        ({"tail_lines": 0}, b""),
        ({"tail_lines": 9}, b"1\n2\n3\n4\n"),
        ({"limit_bytes": 3}, b"1\n2"),
        ({"since_at": 1_000_003.0}, b"3\n4\n"),
        ({"since_at": 1_000_003.5, "timestamps": True}, b"1970-01-12T13:46:44.000000000Z 4\n"),
        ({"since_at": 2e6}, b""),
    ],
)
def test_selections(tmp_path: Path, selection: dict[str, Any], shown: bytes) -> None:
    """Tail, limit, since and timestamps, as `kubectl logs` asks for them."""
    log = make(tmp_path)
    for line in (b"1\n", b"2\n", b"3\n", b"4\n"):
        log.write("stdout", line)
    assert read(log, **selection) == shown


@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(0, 15))
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_what_is_read(tmp_path_factory: Any, pieces: list[bytes], tail: int) -> None:
    """For any output in any pieces: the same lines come out, and a tail is the end of them."""
    log = ContainerLog(tmp_path_factory.mktemp("logs") / "log", Clock())
    for piece in pieces:
        log.write("stdout", piece)
    log.close()
    written = b"".join(pieces)
    lines = [line + b"\n" for line in written.split(b"\n")]
    if lines[-1] == b"\n":
        lines.pop()
    assert read(log) == b"".join(lines)
    assert read(log, tail_lines=tail) == b"".join(lines[len(lines) - min(tail, len(lines)) :])


def test_long_lines_are_split_in_the_file_and_whole_for_readers(tmp_path: Path) -> None:
    """A line of 40 000 bytes is three entries, and one line again."""
    log = make(tmp_path)
    log.write("stdout", b"x" * 40_000 + b"\n")
    tags = [entry.split(b" ")[2] for entry in log.path.read_bytes().splitlines()]
    assert tags == [b"P", b"P", b"F"]
    assert read(log) == b"x" * 40_000 + b"\n"


def test_follower_sees_what_comes_and_ends_with_the_container(tmp_path: Path) -> None:
    """Each write wakes it; the end of the container ends it; one that does not follow ends at once."""

    async def scenario() -> tuple[bytes, list[bytes], bytes]:
        log = make(tmp_path)
        log.write("stdout", b"before\n")
        seen: asyncio.Queue[bytes] = asyncio.Queue()

        async def follow() -> None:
            async for piece in log.read(Selection(follow=True)):
                seen.put_nowait(piece)

        task = asyncio.create_task(follow())
        pieces = [await seen.get()]
        snapshot = await collect(log)
        for text in (b"one\n", b"two\n"):
            log.write("stdout", text)
            pieces.append(await seen.get())
        log.write("stdout", b"last")
        log.close()
        await task
        return snapshot, pieces, await seen.get()

    snapshot, pieces, last = asyncio.run(asyncio.wait_for(scenario(), 10))
    assert (snapshot, pieces, last) == (b"before\n", [b"before\n", b"one\n", b"two\n"], b"last\n")
