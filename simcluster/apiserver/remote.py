"""The conversation between a client and a command: input, output, terminal sizes, and how it ended.

The rule it keeps: the pace is set by whoever reads, on either side; how the command ended is the last thing said.
A client that goes away ends the conversation, and what that means for the command is the command's affair.

Sources: k8s.io/cri-streaming pkg/streaming/remotecommand (websocket.go, exec.go); k8s.io/apiserver
pkg/util/proxy/streamtranslator.go for what v5 says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from simcluster.apiserver.calls import Execution
from simcluster.apiserver.channels import (
    ERROR,
    OLD,
    OLD_TEXT,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    UNNAMED,
    V4,
    V4_TEXT,
    V5,
    Frame,
)

PROTOCOLS = (V5, V4, V4_TEXT, OLD, OLD_TEXT, UNNAMED)
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which channels a client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def has(self, channel: int) -> bool:
        """Whether output on a channel is wanted."""
        return {STDOUT: self.stdout, STDERR: self.stderr}.get(channel, False)

    @property
    def first(self) -> int:
        """The channel on which the client is told that it is connected."""
        return STDOUT if self.stdout else STDERR if self.stderr else ERROR


class Channels(Protocol):
    """What carries a conversation; one end of it is the client."""

    @property
    def protocol(self) -> str:
        """What is spoken, by its name."""
        ...

    def frames(self) -> AsyncGenerator[Frame, None]:
        """Yield what the client sends until it is gone."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """Send data; returns when the client's side has room for it."""
        ...

    async def end_output(self) -> None:
        """Say that the command writes no more, where that can be said."""
        ...

    async def close(self) -> None:
        """End the connection in order."""
        ...


async def converse(
    channels: Channels, execution: Execution, wanted: Wanted, command: list[str] | None
) -> None:
    """Carry everything between a client and a command until one of them has ended; `command` None: attached."""
    listener = asyncio.create_task(_listen(channels, execution, wanted))
    speaker = asyncio.create_task(_speak(channels, execution, wanted))
    try:
        await asyncio.wait({listener, speaker}, return_when=asyncio.FIRST_COMPLETED)
        if speaker.done() and speaker.exception() is None:
            # Nobody else may read while the connection is closed in order.
            listener.cancel()
            await asyncio.wait({listener})
            code = speaker.result() if command is not None else 0
            await _conclude(channels, show_exit(code, channels.protocol, command or []))
    finally:
        for task in (listener, speaker):
            task.cancel()
        if not speaker.done() or speaker.cancelled() or speaker.exception() is not None:
            await execution.kill()
        for task in (listener, speaker):
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task


async def tell(channels: Channels, wanted: Wanted, status: Object) -> None:
    """Say how it ended before it began."""
    await channels.send(wanted.first, b"")
    await _conclude(channels, status)


async def _conclude(channels: Channels, status: Object) -> None:
    """Say how it ended; a client that has gone does not want to know."""
    with contextlib.suppress(ConnectionError):
        if channels.protocol in (V5, V4, V4_TEXT):
            await channels.send(ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            await channels.send(ERROR, str(status["message"]).encode())
        await channels.close()


async def _listen(channels: Channels, execution: Execution, wanted: Wanted) -> None:
    """Give the command its input and sizes; returns when the client is gone."""
    sizes = b""
    async with contextlib.aclosing(channels.frames()) as frames:
        async for frame in frames:
            if frame.channel == STDIN and wanted.stdin:
                if frame.data is None:
                    await execution.close_stdin()
                elif frame.data:
                    await execution.write_stdin(frame.data)
            elif frame.channel == RESIZE and frame.data is not None and wanted.tty:
                sizes = _resize(execution, sizes + frame.data)


def _resize(execution: Execution, said: bytes) -> bytes:
    """Apply the terminal sizes in a piece of a JSON stream; return what is not complete yet."""
    *whole, rest = said.replace(b"}", b"}\n").split(b"\n")
    for each in whole:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            size = orjson.loads(each)
            width, height = size["Width"], size["Height"]
            if 0 < width < 2**16 and 0 < height < 2**16:
                execution.resize(width, height)
    return rest if len(rest) < 1024 else b""


async def _speak(channels: Channels, execution: Execution, wanted: Wanted) -> int:
    """Send what the command writes; return its exit code."""
    await channels.send(wanted.first, b"")
    async for channel, data in execution.output():
        if wanted.has(channel):
            await channels.send(channel, data)
    await channels.end_output()
    return await execution.wait()


def show_exit(code: int, protocol: str, command: list[str]) -> Object:
    """Return the Status of a command that has ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    how = f"command terminated with exit code {code}"
    if protocol != V5:
        how = f"error executing command [{' '.join(command)}], exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {how}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def show_failure(said: str, protocol: str) -> Object:
    """Return the Status of a command that could not be started."""
    if protocol == V5:
        # A real server takes the kubelet's refusal for one more inside.
        said = f"Internal error occurred: {said}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {said}",
        "reason": "InternalError",
        "details": {"causes": [{"message": said}]},
        "code": 500,
    }
